#include "triggers/compile.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_AGE_DEFAULT_NS (2 * INT64_C(1000000000))
#define MAX_AGE_FLOOR_NS (50 * INT64_C(1000000))

struct bind_request {
    const char *name;
    const struct pack_signal *alias; /* NULL for a path */
    const struct source_text *text;  /* for messages: where the name stands */
    uint32_t offset;
};

/* Decision 25: the whole label, letters only, case-blind. */
static bool means_invalid(const char *label)
{
    static const char *const names[] = { "sna", "init", "error", "fault", "notavailable" };
    char letters[16];
    size_t count = 0;

    for (; *label; label++) {
        if (!isalpha((unsigned char)*label))
            continue;
        if (count == sizeof letters - 1)
            return false;
        letters[count++] = (char)tolower((unsigned char)*label);
    }
    letters[count] = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(letters, names[i]) == 0)
            return true;
    return false;
}

static bool is_named(const struct pack *pack, const char *label)
{
    for (uint32_t i = 0; i < pack->label_count; i++)
        if (strcmp(pack->labels[i], label) == 0)
            return true;
    return false;
}

static int compare_raw(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static bool add_invalid(struct compiler *c, int64_t *raws, uint32_t *count, int64_t raw,
                        uint32_t line, uint32_t column)
{
    for (uint32_t i = 0; i < *count; i++)
        if (raws[i] == raw)
            return true;
    if (*count == SIGNAL_INVALID_MAX) {
        pack_error(c->pack, line, column, "E502", "a signal has at most 64 invalid codes");
        return false;
    }
    raws[(*count)++] = raw;
    return true;
}

static bool find_label(struct compiler *c, const struct dbc_signal *dbc,
                       const struct yaml_node *item, int64_t *raws, uint32_t *count)
{
    bool found = false;

    for (uint32_t i = 0; i < dbc->label_count; i++)
        if (strcmp(dbc->labels[i].text, item->text) == 0) {
            found = true;
            if (!add_invalid(c, raws, count, dbc->labels[i].raw, item->line, item->column))
                return false;
        }
    if (found)
        return true;
    const char *names[256];
    uint32_t known = dbc->label_count < 256 ? dbc->label_count : 256;
    for (uint32_t i = 0; i < known; i++)
        names[i] = dbc->labels[i].text;
    const char *nearest = err_nearest(item->text, names, known);
    pack_error(c->pack, item->line, item->column, "E212", "'%s' has no label '%s'%s%s%s", dbc->name,
               item->text, nearest ? "; did you mean '" : "", nearest ? nearest : "",
               nearest ? "'?" : "");
    return false;
}

static bool bind_invalid(struct compiler *c, const struct bind_request *r, struct graph_signal *s)
{
    const struct dbc_signal *dbc = s->first;
    int64_t raws[SIGNAL_INVALID_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < dbc->label_count && count < SIGNAL_INVALID_MAX; i++)
        if (means_invalid(dbc->labels[i].text) && !is_named(c->pack, dbc->labels[i].text))
            raws[count++] = dbc->labels[i].raw;
    if (r->alias && r->alias->invalid)
        for (const struct yaml_node *n = r->alias->invalid->first; n; n = n->next)
            if (!find_label(c, dbc, n, raws, &count))
                return false;
    qsort(raws, count, sizeof *raws, compare_raw);
    int64_t *kept = arena_array(c->pack->arena, count, sizeof *kept);
    if (!kept) {
        c->graph->failed = true;
        return false;
    }
    if (count)
        memcpy(kept, raws, count * sizeof *kept);
    s->invalid = kept;
    s->invalid_count = count;
    return true;
}

/* The constant at one end of `valid:`, in the alias's unit when it has none of its own. */
static bool valid_end(struct compiler *c, const struct bind_request *r, const struct binding *b,
                      const struct ast *ast, struct val *ret)
{
    struct val v = compile_text(c, &r->alias->valid_text, ast);

    if (v.type == VAL_BAD)
        return false;
    if (!val_is_number(&v) || !v.is_const) {
        source_error(c->pack->diags, &r->alias->valid_text, ast->offset, "E304",
                     "an end of 'valid' must be a number");
        return false;
    }
    if (unit_is_none(&v.unit))
        v.unit = b->unit;
    if (!unit_same_quantity(&v.unit, &b->unit)) {
        source_error(c->pack->diags, &r->alias->valid_text, ast->offset, "E403",
                     "'valid' is in %s, but the signal in %s", v.unit.text,
                     b->unit.text[0] ? b->unit.text : "no unit");
        return false;
    }
    *ret = v;
    return true;
}

static bool bind_valid(struct compiler *c, const struct bind_request *r, const struct binding *b,
                       struct graph_signal *s)
{
    struct val low, high;

    if (!r->alias || !r->alias->valid)
        return true;
    const struct ast *range = r->alias->valid;
    if (b->kind != BIND_NUMBER) {
        source_error(c->pack->diags, &r->alias->valid_text, 0, "E304",
                     "'valid' is for numbers; '%s' is %s", b->name,
                     b->kind == BIND_ENUM ? "an enum" : "a bit");
        return false;
    }
    if (!valid_end(c, r, b, range->first, &low) || !valid_end(c, r, b, range->last, &high))
        return false;
    s->has_valid = true;
    if (b->is_float) {
        low = val_convert(c, low, &b->db_unit);
        high = val_convert(c, high, &b->db_unit);
        s->float_low = low.type == VAL_INT ? (double)low.i : low.d;
        s->float_high = high.type == VAL_INT ? (double)high.i : high.d;
        s->float_open_low = range->open_low;
        s->float_open_high = range->open_high;
        return true;
    }
    struct raw_bounds from = exact_bounds(b, range->open_low ? OP_GT : OP_GE, &low);
    struct raw_bounds to = exact_bounds(b, range->open_high ? OP_LT : OP_LE, &high);
    s->valid_low = from.low > to.low ? from.low : to.low;
    s->valid_high = from.high < to.high ? from.high : to.high;
    if (from.is_empty || to.is_empty || s->valid_low > s->valid_high) {
        source_error(c->pack->diags, &r->alias->valid_text, 0, "E305",
                     "no value of '%s' lies in this interval", b->name);
        return false;
    }
    return true;
}

/* Decision 24. */
static bool bind_unit(struct compiler *c, const struct bind_request *r, struct binding *b)
{
    const struct yaml_node *node = r->alias ? r->alias->unit : NULL;
    bool known = unit_from_text(b->dbc->unit, &b->db_unit);

    b->unit = b->db_unit;
    if (!node && !known && b->kind == BIND_NUMBER) {
        uint32_t line, column;
        yaml_place(r->text->tree, r->text->node, r->offset, &line, &column);
        pack_warning(c->pack, line, column, "W704",
                     "the database's unit '%s' of '%s' is not known here: it equals only itself; "
                     "declare it by 'unit:'", b->dbc->unit, b->name);
    }
    if (!node)
        return true;
    struct unit unit;
    if (!unit_from_text(node->text, &unit)) {
        const char *nearest = unit_nearest(node->text);
        pack_error(c->pack, node->line, node->column, "E402", "no such unit: '%s'%s%s%s",
                   node->text, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                   nearest ? "'?" : "");
        return false;
    }
    if (!known || !*b->dbc->unit || unit_is_none(&b->db_unit)) {
        b->db_unit = b->unit = unit;
        return true;
    }
    if (!unit_same_quantity(&unit, &b->db_unit)) {
        pack_error(c->pack, node->line, node->column, "E403",
                   "'%s' is in %s in its database; '%s' is another quantity", b->name,
                   b->dbc->unit, node->text);
        return false;
    }
    b->unit = unit;
    return true;
}

/* Decision 25. */
static void bind_kind(const struct bind_request *r, struct binding *b)
{
    const struct decode_layout *l = &b->dbc->layout;
    bool integer = l->kind == DECODE_UNSIGNED || l->kind == DECODE_SIGNED;
    bool declared = r->alias && r->alias->unit;
    struct unit unit;
    bool has_unit = declared || (unit_from_text(b->dbc->unit, &unit) && !unit_is_none(&unit));

    b->is_float = !integer;
    b->is_int = integer && b->dbc->plan.identity && (l->kind == DECODE_SIGNED || l->bits < 64);
    if (integer && b->dbc->plan.identity && b->dbc->label_count && !has_unit)
        b->kind = BIND_ENUM;
    else if (l->kind == DECODE_UNSIGNED && l->bits == 1 && b->dbc->plan.identity &&
             !b->dbc->label_count && !declared)
        b->kind = BIND_BOOL;
    else
        b->kind = BIND_NUMBER;
}

static void request_error(struct compiler *c, const struct bind_request *r, const char *code,
                          const char *text)
{
    source_error(c->pack->diags, r->text, r->offset, code, "%s", text);
}

/* Branches of one name are one signal to a rule; thresholds are raw, so they must scale alike. */
static bool check_branches(struct compiler *c, const struct bind_request *r,
                           const struct dbset_signal *found)
{
    const struct dbc_signal *first = found->signal;

    if (first->layout.kind == DECODE_BYTES) {
        request_error(c, r, "E207", "a signal of more than 64 bits is no number");
        return false;
    }
    for (int32_t i = first->same_name; i != DBC_NONE; i = found->message->signals[i].same_name) {
        const struct dbc_signal *other = &found->message->signals[i];
        if (other->layout.kind != first->layout.kind || other->layout.bits != first->layout.bits ||
            double_bits(other->layout.factor) != double_bits(first->layout.factor) ||
            double_bits(other->layout.offset) != double_bits(first->layout.offset)) {
            request_error(c, r, "E207",
                          "the multiplexed signals of this name are scaled differently");
            return false;
        }
    }
    return true;
}

static int64_t default_age(struct compiler *c, const struct bind_request *r,
                           const struct dbset_signal *found, const char *name)
{
    int64_t cycle_ns = (int64_t)found->message->cycle_ms * INT64_C(1000000);
    bool is_mux = found->signal->multiplexor != DBC_NONE;
    uint32_t line, column;

    if (cycle_ns && !is_mux)
        return 3 * cycle_ns > MAX_AGE_FLOOR_NS ? 3 * cycle_ns : MAX_AGE_FLOOR_NS;
    yaml_place(r->text->tree, r->text->node, r->offset, &line, &column);
    pack_warning(c->pack, line, column, "W708",
                 "'%s' %s, so it is stale 2 s after its last sample; say it by 'max_age:'", name,
                 is_mux ? "is multiplexed" : "has no cycle time in its database");
    return MAX_AGE_DEFAULT_NS;
}

static bool bind(struct compiler *c, const struct bind_request *r, const struct dbset_signal *found,
                 struct binding *b)
{
    struct graph_signal s = { .message = found->message, .first = found->signal,
                              .address = found->address };

    if (!check_branches(c, r, found))
        return false;
    *b = (struct binding){ .name = r->name, .dbc = found->signal };
    bind_kind(r, b);
    s.bus = arena_text(c->pack->arena, found->bus, strlen(found->bus));
    if (!s.bus || !bind_unit(c, r, b) || !bind_invalid(c, r, &s) || !bind_valid(c, r, b, &s))
        return false;
    s.max_age_ns = r->alias && r->alias->max_age_ns >= 0 ? r->alias->max_age_ns
                                                          : default_age(c, r, found, r->name);
    b->signal = graph_signal(c->graph, &s);
    return b->signal != NODE_NONE;
}

struct binding *bind_alias(struct compiler *c, struct pack_signal *signal)
{
    struct bind_request r = { signal->name, signal, &signal->from, 0 };
    struct dbset_signal found;
    struct err err = { 0 };

    signal->is_used = true;
    if (signal->is_bound)
        return &signal->binding;
    if (signal->has_failed)
        return NULL;
    signal->has_failed = true;
    if (strncmp(signal->from.node->text, "Vehicle.", 8) == 0) {
        refuse_later(c->pack->diags, &signal->from, 0, "Vehicle.* (a VSS path)");
        return NULL;
    }
    if (dbset_signal_path(c->pack->dbset, signal->from.node->text, &found, &err)) {
        request_error(c, &r, "E202", err.text);
        return NULL;
    }
    if (!bind(c, &r, &found, &signal->binding))
        return NULL;
    signal->has_failed = false;
    signal->is_bound = true;
    return &signal->binding;
}

static const char *path_text(struct compiler *c, const struct ast *path)
{
    char text[2 * DBC_NAME_MAX + SOURCE_NAME_MAX + 8];
    int len = snprintf(text, sizeof text, "%s%s%s.%s", path->bus ? path->bus : "",
                       path->bus ? ":" : "", path->parts[0], path->parts[1]);

    return arena_text(c->pack->arena, text,
                      len < (int)sizeof text ? (size_t)len : sizeof text - 1);
}

struct binding *bind_path(struct compiler *c, const struct ast *path)
{
    const char *name = path_text(c, path);
    struct bind_request r = { name, NULL, &c->text, path->offset };
    struct dbset_signal found;
    struct err err = { 0 };

    if (!name)
        return NULL;
    for (uint32_t i = 0; i < c->pack->path_count; i++)
        if (strcmp(c->pack->paths[i].name, name) == 0)
            return &c->pack->paths[i];
    if (dbset_signal_find(c->pack->dbset, path->bus, path->parts[0], path->parts[1], &found,
                          &err)) {
        compile_error(c, path->offset, "E202", "%s", err.text);
        return NULL;
    }
    if (c->pack->path_count == c->pack->paths_room) {
        compile_error(c, path->offset, "E502", "a pack names at most %u signals by path",
                      c->pack->paths_room);
        return NULL;
    }
    struct binding *b = &c->pack->paths[c->pack->path_count];
    if (!bind(c, &r, &found, b))
        return NULL;
    c->pack->path_count++;
    return b;
}
