/* The fields of a pack: keys, scalars, expressions, and the messages about them. */
#include "triggers/pack_private.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#define NAME_MAX_BYTES 64

/* --- messages ------------------------------------------------------------------------------- */

static void say(struct pack *pack, enum diag_severity severity, uint32_t line, uint32_t column,
                const char *code, const char *format, va_list args)
{
    char text[ERR_TEXT_MAX];

    if (severity == DIAG_ERROR && pack->diags && pack->diags->errors >= RULE_ERRORS_SHOWN) {
        pack->diags->errors++;
        return;
    }
    (void)vsnprintf(text, sizeof text, format, args);
    diags_add(pack->diags, severity, code, yaml_file(pack->tree), line, column, "%s", text);
}

void pack_error(struct pack *pack, uint32_t line, uint32_t column, const char *code,
                const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(pack, DIAG_ERROR, line, column, code, format, args);
    va_end(args);
}

void pack_warning(struct pack *pack, uint32_t line, uint32_t column, const char *code,
                  const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(pack, DIAG_WARNING, line, column, code, format, args);
    va_end(args);
}

void *pack_no_memory(struct pack *pack)
{
    pack_error(pack, 0, 0, "E601", "out of memory, or the pack is beyond its bound");
    return NULL;
}

/* --- keys and scalars ----------------------------------------------------------------------- */

bool field_is_kind(struct pack *pack, const struct yaml_node *node, enum yaml_kind kind,
                   const char *what)
{
    if (node->kind == kind)
        return true;
    pack_error(pack, node->line, node->column, "E102", "%s must be %s, found %s", what,
               yaml_kind_name(kind), yaml_kind_name(node->kind));
    return false;
}

void field_check_keys(struct pack *pack, const struct yaml_node *map, const char *what,
                      const char *const *known, const char *const *later)
{
    for (const struct yaml_node *n = map->first; n; n = n->next) {
        size_t count = 0, i;
        for (i = 0; known[i] && strcmp(known[i], n->key) != 0; i++)
            ;
        if (known[i])
            continue;
        for (count = 0; known[count]; count++)
            ;
        for (i = 0; later && later[i] && strcmp(later[i], n->key) != 0; i++)
            ;
        if (later && later[i]) {
            pack_error(pack, n->key_line, n->key_column, "E190",
                       "'%s' is in the rule language but not in this version", n->key);
            continue;
        }
        const char *nearest = err_nearest(n->key, known, count);
        pack_error(pack, n->key_line, n->key_column, "E103", "unknown key '%s' in %s%s%s%s", n->key,
                   what, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                   nearest ? "'?" : "");
    }
}

const char *field_text(struct pack *pack, const struct yaml_node *map, const char *key)
{
    const struct yaml_node *n = yaml_get(map, key);

    if (!n)
        return "";
    if (!field_is_kind(pack, n, YAML_TEXT, key))
        return "";
    const char *copy = arena_text(pack->arena, n->text, n->len);
    return copy ? copy : "";
}

static bool field_is_name(const char *text, size_t max)
{
    size_t len = strlen(text);

    return len > 0 && len <= max &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

bool field_check_name(struct pack *pack, const char *text, uint32_t line, uint32_t column,
                      const char *what)
{
    if (field_is_name(text, NAME_MAX_BYTES))
        return true;
    pack_error(pack, line, column, "E104", "%s '%.80s' must be of [a-z0-9_] and at most 64 bytes",
               what, text);
    return false;
}

bool field_check_ident(struct pack *pack, const char *text, uint32_t line, uint32_t column,
                       const char *what)
{
    static const char *const words[] = { "and", "or", "not", "in", "is", "true", "false", "then",
                                         "within", "total", NULL };
    size_t len = strlen(text);
    bool ok = len > 0 && len <= NAME_MAX_BYTES && !isdigit((unsigned char)text[0]);

    for (size_t i = 0; i < len && ok; i++)
        ok = isalnum((unsigned char)text[i]) || text[i] == '_';
    for (size_t i = 0; words[i] && ok; i++)
        ok = strcmp(words[i], text) != 0;
    if (!ok)
        pack_error(pack, line, column, "E104",
                   "%s '%.80s' must be a name of letters, digits and _, not a word of the language",
                   what, text);
    return ok;
}

int64_t field_duration(struct pack *pack, const struct yaml_node *map, const char *key,
                       int64_t fallback, int64_t most_ns)
{
    static const struct unit second = { .dim = { [DIM_S] = 1 }, .num = 1, .den = 1 };
    const struct yaml_node *n = yaml_get(map, key);

    if (!n || !field_is_kind(pack, n, YAML_TEXT, key))
        return fallback;
    struct parse_config config = field_parser(pack, n);
    struct ast *ast = parse_literal(&config);
    if (!ast)
        return fallback;
    double mul, div, add, ns = -1;
    if (ast->kind == AST_NUMBER && unit_same_quantity(&ast->unit, &second)) {
        unit_conversion(&ast->unit, &second, &mul, &div, &add);
        ns = ast->number * mul * 1e9 / div;
    }
    if (!(ns >= 0) || ns > (double)most_ns) {
        pack_error(pack, n->line, n->column, "E105",
                   "found '%.40s' for '%s'; expected a duration like 500ms, 10s or 2min, at most "
                   "%llds", n->text, key, (long long)(most_ns / 1000000000));
        return fallback;
    }
    return (int64_t)(ns + 0.5);
}

int64_t field_integer(struct pack *pack, const struct yaml_node *map, const char *key,
                      int64_t fallback, int64_t least, int64_t most)
{
    const struct yaml_node *n = yaml_get(map, key);
    int64_t value = 0;

    if (!n || !field_is_kind(pack, n, YAML_TEXT, key))
        return fallback;
    bool ok = n->len > 0 && n->len < 18;
    for (uint32_t i = 0; i < n->len && ok; i++) {
        ok = isdigit((unsigned char)n->text[i]) != 0;
        value = value * 10 + (n->text[i] - '0');
    }
    if (ok && value >= least && value <= most)
        return value;
    pack_error(pack, n->line, n->column, "E105",
               "found '%.40s' for '%s'; expected a whole number of %lld to %lld", n->text, key,
               (long long)least, (long long)most);
    return fallback;
}

bool field_bool(struct pack *pack, const struct yaml_node *map, const char *key, bool fallback)
{
    const struct yaml_node *n = yaml_get(map, key);

    if (!n || !field_is_kind(pack, n, YAML_TEXT, key))
        return fallback;
    if (strcmp(n->text, "true") == 0 || strcmp(n->text, "false") == 0)
        return n->text[0] == 't';
    pack_error(pack, n->line, n->column, "E105", "found '%.40s' for '%s'; expected true or false",
               n->text, key);
    return fallback;
}

int64_t field_bytes(struct pack *pack, const struct yaml_node *map, const char *key)
{
    static const struct { const char *text; int64_t bytes; } units[] = {
        { "B", 1 }, { "kB", 1000 }, { "KiB", 1024 }, { "MB", 1000000 }, { "MiB", 1048576 },
        { "GB", 1000000000 },
    };
    const struct yaml_node *n = yaml_get(map, key);

    if (!n || !field_is_kind(pack, n, YAML_TEXT, key))
        return 0;
    size_t digits = strspn(n->text, "0123456789");
    int64_t value = 0;
    for (size_t i = 0; i < digits && digits <= 9; i++)
        value = value * 10 + (n->text[i] - '0');
    const char *unit = n->text + digits + (n->text[digits] == ' ');
    for (size_t i = 0; digits && digits <= 9 && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(unit, units[i].text) == 0 && value > 0)
            return value * units[i].bytes;
    pack_error(pack, n->line, n->column, "E105",
               "found '%.40s' for '%s'; expected bytes like 500kB, 60MB or 4MiB", n->text, key);
    return 0;
}

int field_choice(struct pack *pack, const struct yaml_node *map, const char *key, int fallback,
                 const char *const *names)
{
    const struct yaml_node *n = yaml_get(map, key);
    char all[160];
    size_t at = 0, count = 0;

    if (!n || !field_is_kind(pack, n, YAML_TEXT, key))
        return fallback;
    for (; names[count]; count++) {
        if (strcmp(names[count], n->text) == 0)
            return (int)count;
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", count ? ", " : "", names[count]);
    }
    pack_error(pack, n->line, n->column, "E105", "found '%.40s' for '%s'; expected one of %s",
               n->text, key, all);
    return fallback;
}

/* --- expressions ---------------------------------------------------------------------------- */

void pack_note_label(void *context, const char *label)
{
    struct pack *pack = context;

    for (uint32_t i = 0; i < pack->label_count; i++)
        if (strcmp(pack->labels[i], label) == 0)
            return;
    if (pack->label_count == PACK_LABELS_MAX)
        pack_error(pack, 0, 0, "E502", "a pack names at most 4096 labels");
    else
        pack->labels[pack->label_count++] = label;
}

struct parse_config field_parser(struct pack *pack, const struct yaml_node *node)
{
    return (struct parse_config){ pack->arena, pack->diags, { pack->tree, node }, pack_note_label,
                                  pack };
}

struct ast *field_expression(struct pack *pack, const struct yaml_node *node, const char *what,
                             struct source_text *ret_text)
{
    if (!field_is_kind(pack, node, YAML_TEXT, what))
        return NULL;
    struct parse_config config = field_parser(pack, node);
    *ret_text = config.source;
    if (node->len)
        return parse_expression(&config);
    pack_error(pack, node->line, node->column, "E105", "%s is empty; expected an expression", what);
    return NULL;
}
