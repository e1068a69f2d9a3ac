#include "proto/yaml.h"

#include "proto/arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define TREE_BYTES_MAX (64u << 20)

struct entry { /* a node and what only the reader needs */
    struct yaml_node node;
    struct yaml_node *last;
    uint32_t key_hash;
};

struct yaml_tree {
    struct arena arena;
    const char *file;
    const uint8_t *bytes;
    uint32_t size;
    const uint32_t *lines; /* begin of each line, in bytes */
    uint32_t line_count;
    struct yaml_node *root;
};

struct reader {
    struct yaml_tree *tree;
    struct err *err;
    yaml_parser_t parser;
    struct entry *stack[YAML_DEPTH_MAX];
    uint32_t depth, nodes;
    yaml_mark_t last_mark; /* where mark_offset was last asked for, and what it found */
    uint32_t last_offset;
    /* A key waits here for its value. */
    const char *key;
    uint32_t key_hash, key_line, key_column;
};

/* --- places ------------------------------------------------------------------------------- */

static uint32_t utf8_len(uint8_t lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Bytes of the byte order mark that some editors write. libyaml takes it for a column, which breaks a
 * map that begins behind it, so it is not shown to libyaml. */
static uint32_t mark_bytes(const struct yaml_tree *tree)
{
    return tree->size >= 3 && !memcmp(tree->bytes, "\xef\xbb\xbf", 3) ? 3 : 0;
}

/* libyaml counts characters; files, editors and we count bytes. Marks mostly go forward, so it walks
 * on from the last one: a file of one long line must not cost the square of its length. */
static uint32_t mark_offset(struct reader *r, const yaml_mark_t *mark)
{
    const struct yaml_tree *tree = r->tree;
    yaml_mark_t *last = &r->last_mark;

    if (mark->line >= tree->line_count)
        return tree->size;
    if (mark->line != last->line || mark->column < last->column || !r->last_offset) {
        *last = (yaml_mark_t){ .line = mark->line };
        r->last_offset = tree->lines[mark->line];
        if (!mark->line)
            r->last_offset = mark_bytes(tree);
    }
    for (; last->column < mark->column && r->last_offset < tree->size; last->column++)
        r->last_offset += utf8_len(tree->bytes[r->last_offset]);
    return r->last_offset < tree->size ? r->last_offset : tree->size;
}

static void offset_place(const struct yaml_tree *tree, uint32_t offset, uint32_t *line,
                         uint32_t *column)
{
    uint32_t low = 0, high = tree->line_count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (tree->lines[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    *line = low + 1;
    *column = offset - tree->lines[low] + 1;
}

static int refuse(struct reader *r, int code, const yaml_mark_t *mark, const char *text,
                  const char *what)
{
    uint32_t line, column;

    offset_place(r->tree, mark_offset(r, mark), &line, &column);
    return err_at(r->err, code, r->tree->file, line, column, "%s%s", text, what);
}

/* --- reading ------------------------------------------------------------------------------ */

/* Characters that libyaml would take as line breaks or that hide in editors never belong here. */
static int check_bytes(struct yaml_tree *tree, struct err *err)
{
    uint32_t line = 1, begin = 0;

    for (uint32_t i = 0; i < tree->size; i++) {
        const uint8_t *p = tree->bytes + i;
        uint32_t left = tree->size - i;
        bool is_break = *p == '\r' && (left < 2 || p[1] != '\n');
        bool is_control = (*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r') || *p == 0x7f;
        bool is_foreign = (left > 1 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) ||
                          (left > 2 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) == 0xa8);
        if (is_break || is_control || is_foreign)
            return err_at(err, -EBADMSG, tree->file, line, i - begin + 1,
                          "found the control character 0x%02x; only line feed, CR LF and tab may "
                          "stand here", *p);
        if (*p == '\n') {
            line++;
            begin = i + 1;
        }
    }
    tree->line_count = line;
    return 0;
}

static int index_lines(struct yaml_tree *tree)
{
    uint32_t *lines = arena_array(&tree->arena, tree->line_count, sizeof *lines);
    uint32_t count = 1;

    if (!lines)
        return -ENOMEM;
    for (uint32_t i = 0; i < tree->size && count < tree->line_count; i++)
        if (tree->bytes[i] == '\n')
            lines[count++] = i + 1;
    tree->lines = lines;
    return 0;
}

static uint32_t text_hash(const char *text)
{
    uint32_t hash = 2166136261u;

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

static int check_duplicate(struct reader *r, const struct entry *map, const yaml_mark_t *mark)
{
    for (const struct yaml_node *n = map->node.first; n; n = n->next) {
        if (((const struct entry *)n)->key_hash != r->key_hash || strcmp(n->key, r->key) != 0)
            continue;
        uint32_t line, column;
        offset_place(r->tree, mark_offset(r, mark), &line, &column);
        return err_at(r->err, -EBADMSG, r->tree->file, line, column,
                      "key '%s' stands here a second time; the first is in line %u", r->key,
                      n->key_line);
    }
    return 0;
}

static int take_key(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct entry *map = r->stack[r->depth - 1];

    if (is_plain && strcmp(text, "<<") == 0)
        return refuse(r, -EBADMSG, &event->start_mark, "merge keys (<<) are not in the subset", "");
    if (event->data.scalar.length > YAML_KEY_BYTES_MAX)
        return refuse(r, -ERANGE, &event->start_mark, "a key is longer than 256 bytes", "");
    if (map->node.count == YAML_KEYS_MAX)
        return refuse(r, -ERANGE, &event->start_mark, "a map has more than 4096 keys", "");
    r->key = arena_text(&r->tree->arena, text, event->data.scalar.length);
    if (!r->key)
        return -ENOMEM;
    r->key_hash = text_hash(r->key);
    offset_place(r->tree, mark_offset(r, &event->start_mark), &r->key_line, &r->key_column);
    return check_duplicate(r, map, &event->start_mark);
}

static int add_node(struct reader *r, const yaml_event_t *event, enum yaml_kind kind,
                    struct entry **ret_entry)
{
    if (r->nodes++ == YAML_NODES_MAX)
        return refuse(r, -ERANGE, &event->start_mark, "the file has more than 131072 values", "");
    struct entry *entry = arena_alloc(&r->tree->arena, sizeof *entry);
    if (!entry)
        return -ENOMEM;
    struct yaml_node *node = &entry->node;
    node->kind = kind;
    node->begin = mark_offset(r, &event->start_mark);
    node->end = mark_offset(r, &event->end_mark);
    offset_place(r->tree, node->begin, &node->line, &node->column);
    node->key = r->key;
    node->key_line = r->key_line;
    node->key_column = r->key_column;
    entry->key_hash = r->key_hash;
    r->key = NULL;
    if (!r->depth) {
        r->tree->root = node;
    } else {
        struct entry *parent = r->stack[r->depth - 1];
        if (parent->last)
            parent->last->next = node;
        else
            parent->node.first = node;
        parent->last = node;
        parent->node.count++;
    }
    *ret_entry = entry;
    return 0;
}

static int take_text(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    bool is_map = r->depth && r->stack[r->depth - 1]->node.kind == YAML_MAP;
    struct entry *entry = NULL;

    if (event->data.scalar.anchor)
        return refuse(r, -EBADMSG, &event->start_mark, "anchors (&) are not in the subset", "");
    if (event->data.scalar.tag)
        return refuse(r, -EBADMSG, &event->start_mark, "tags (!) are not in the subset", "");
    if (strlen(text) != len)
        return refuse(r, -EBADMSG, &event->start_mark, "a text holds the character NUL", "");
    if (is_map && !r->key)
        return take_key(r, event);
    int rc = add_node(r, event, YAML_TEXT, &entry);
    if (rc)
        return rc;
    assert(entry);
    entry->node.text = arena_text(&r->tree->arena, text, len);
    entry->node.len = (uint32_t)len;
    entry->node.is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return entry->node.text ? 0 : -ENOMEM;
}

static int take_open(struct reader *r, const yaml_event_t *event, enum yaml_kind kind)
{
    bool is_map = kind == YAML_MAP;
    const yaml_char_t *anchor = is_map ? event->data.mapping_start.anchor
                                       : event->data.sequence_start.anchor;
    const yaml_char_t *tag = is_map ? event->data.mapping_start.tag
                                    : event->data.sequence_start.tag;
    struct entry *entry = NULL;

    if (anchor)
        return refuse(r, -EBADMSG, &event->start_mark, "anchors (&) are not in the subset", "");
    if (tag)
        return refuse(r, -EBADMSG, &event->start_mark, "tags (!) are not in the subset", "");
    if (r->depth && r->stack[r->depth - 1]->node.kind == YAML_MAP && !r->key)
        return refuse(r, -EBADMSG, &event->start_mark, "a key must be text, not ",
                      yaml_kind_name(kind));
    if (r->depth == YAML_DEPTH_MAX)
        return refuse(r, -ERANGE, &event->start_mark, "maps and lists stand more than 32 deep", "");
    int rc = add_node(r, event, kind, &entry);
    if (rc)
        return rc;
    assert(entry);
    r->stack[r->depth++] = entry;
    return 0;
}

static int take_document(struct reader *r, const yaml_event_t *event)
{
    if (event->data.document_start.version_directive ||
        event->data.document_start.tag_directives.start !=
            event->data.document_start.tag_directives.end)
        return refuse(r, -EBADMSG, &event->start_mark, "directives (%) are not in the subset", "");
    if (r->tree->root)
        return refuse(r, -EBADMSG, &event->start_mark,
                      "a second document begins here; a file holds one", "");
    return 0;
}

static int take_event(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return take_document(r, event);
    case YAML_ALIAS_EVENT:
        return refuse(r, -EBADMSG, &event->start_mark, "aliases (*) are not in the subset", "");
    case YAML_SCALAR_EVENT:
        return take_text(r, event);
    case YAML_SEQUENCE_START_EVENT:
        return take_open(r, event, YAML_LIST);
    case YAML_MAPPING_START_EVENT:
        return take_open(r, event, YAML_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return 0;
    default:
        return 0;
    }
}

static int parser_error(struct reader *r)
{
    const char *problem = r->parser.problem ? r->parser.problem : "out of memory";
    uint32_t line = 0, column = 0;

    if (r->parser.error == YAML_MEMORY_ERROR)
        return err_at(r->err, -ENOMEM, r->tree->file, 0, 0, "out of memory");
    if (r->parser.error == YAML_READER_ERROR)
        offset_place(r->tree, (uint32_t)(r->parser.problem_offset < r->tree->size
                                             ? r->parser.problem_offset : r->tree->size),
                     &line, &column);
    else
        offset_place(r->tree, mark_offset(r, &r->parser.problem_mark), &line, &column);
    return err_at(r->err, -EBADMSG, r->tree->file, line, column, "not YAML: %s", problem);
}

static int read_events(struct reader *r)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event))
            return parser_error(r);
        yaml_event_type_t type = event.type;
        int rc = take_event(r, &event);
        yaml_event_delete(&event);
        if (rc == -ENOMEM)
            return err_at(r->err, rc, r->tree->file, 0, 0, "out of memory");
        if (rc || type == YAML_STREAM_END_EVENT)
            return rc;
    }
}

static int read_tree(struct yaml_tree *tree, struct err *err)
{
    struct reader r = { .tree = tree, .err = err };

    if (!yaml_parser_initialize(&r.parser))
        return err_at(err, -ENOMEM, tree->file, 0, 0, "out of memory");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    uint32_t mark = mark_bytes(tree);
    yaml_parser_set_input_string(&r.parser, tree->bytes + mark, tree->size - mark);
    int rc = read_events(&r);
    yaml_parser_delete(&r.parser);
    if (!rc && !tree->root)
        rc = err_at(err, -EBADMSG, tree->file, 1, 1, "the file is empty");
    return rc;
}

int yaml_open(const void *bytes, size_t size, const char *file, struct err *err,
              struct yaml_tree **ret_tree)
{
    struct yaml_tree *tree;
    int rc;

    if (size > YAML_BYTES_MAX)
        return err_at(err, -ERANGE, file, 0, 0, "the file has %zu bytes; at most %u are read", size,
                      YAML_BYTES_MAX);
    tree = calloc(1, sizeof *tree);
    if (!tree)
        return err_at(err, -ENOMEM, file, 0, 0, "out of memory");
    arena_init(&tree->arena, TREE_BYTES_MAX);
    tree->size = (uint32_t)size;
    tree->file = arena_text(&tree->arena, file, strlen(file));
    tree->bytes = (const uint8_t *)arena_text(&tree->arena, size ? bytes : "", size);
    rc = tree->file && tree->bytes ? check_bytes(tree, err) : -ENOMEM;
    if (!rc)
        rc = index_lines(tree);
    if (rc == -ENOMEM)
        (void)err_at(err, rc, file, 0, 0, "out of memory");
    if (!rc)
        rc = read_tree(tree, err);
    if (rc) {
        yaml_close(tree);
        return rc;
    }
    *ret_tree = tree;
    return 0;
}

int yaml_open_file(const char *path, struct err *err, struct yaml_tree **ret_tree)
{
    FILE *file = fopen(path, "rb");

    if (!file)
        return err_at(err, -errno, path, 0, 0, "cannot be read: %s", strerror(errno));
    char *bytes = malloc(YAML_BYTES_MAX + 1);
    size_t size = bytes ? fread(bytes, 1, YAML_BYTES_MAX + 1, file) : 0;
    int failed = ferror(file) ? errno : 0;
    (void)fclose(file);
    int rc;
    if (!bytes)
        rc = err_at(err, -ENOMEM, path, 0, 0, "out of memory");
    else if (failed)
        rc = err_at(err, -failed, path, 0, 0, "cannot be read: %s", strerror(failed));
    else
        rc = yaml_open(bytes, size, path, err, ret_tree);
    free(bytes);
    return rc;
}

void yaml_close(struct yaml_tree *tree)
{
    if (!tree)
        return;
    arena_deinit(&tree->arena);
    free(tree);
}

const char *yaml_file(const struct yaml_tree *tree)
{
    return tree->file;
}

const struct yaml_node *yaml_root(const struct yaml_tree *tree)
{
    return tree->root;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    for (const struct yaml_node *n = map->first; n; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

const char *yaml_kind_name(enum yaml_kind kind)
{
    return kind == YAML_MAP ? "a map" : kind == YAML_LIST ? "a list" : "text";
}

/* --- places inside a scalar --------------------------------------------------------------- */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes of source that one backslash escape takes, and the bytes of text that it gives. */
static uint32_t escape_len(const uint8_t *at, const uint8_t *end, uint32_t *ret_text)
{
    uint32_t digits = 0, code = 0;

    *ret_text = 1;
    if (end - at < 2)
        return 1;
    if (at[1] == 'x' || at[1] == 'u' || at[1] == 'U')
        digits = at[1] == 'x' ? 2 : at[1] == 'u' ? 4 : 8;
    else if (at[1] == 'N' || at[1] == '_')
        code = 0x85;
    else if (at[1] == 'L' || at[1] == 'P')
        code = 0x2028;
    for (uint32_t i = 0; i < digits && at + 2 + i < end; i++) {
        uint8_t c = at[2 + i];
        code = code << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (code >= 0x80)
        *ret_text = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    return 2 + digits;
}

/* Where the text begins: behind the quote, or on the line below a block's header. */
static const uint8_t *text_begin(const uint8_t *at, const uint8_t *end, uint8_t style)
{
    if (style == '"' || style == '\'')
        return at + 1;
    if (style != '|' && style != '>')
        return at;
    while (at < end && *at != '\n')
        at++;
    return at < end ? at + 1 : at;
}

/* Source and text are walked side by side. Everything but white space stands in the source as it
 * stands in the text, save for escapes; white space (folds, indentation) only gives way. */
void yaml_place(const struct yaml_tree *tree, const struct yaml_node *node, uint32_t offset,
                uint32_t *ret_line, uint32_t *ret_column)
{
    const uint8_t *end = tree->bytes + node->end, *at = tree->bytes + node->begin;
    uint8_t style = node->is_plain || at == end ? 0 : *at;
    uint32_t i = 0;

    at = text_begin(at, end, style);
    while (i <= offset && at < end) {
        uint8_t want = i < node->len ? (uint8_t)node->text[i] : 0;
        bool is_escape = style == '"' && *at == '\\';
        if (is_escape && end - at > 1 && is_space(at[1])  && at[1] != ' ' && at[1] != '\t') {
            at++; /* an escaped line break stands for nothing */
            continue;
        }
        if (!is_escape && i < node->len && !is_space(want) && is_space(*at)) {
            at++;
            continue;
        }
        if (i == offset)
            break;
        uint32_t source = 1, text = 1;
        if (is_escape)
            source = escape_len(at, end, &text);
        else if (style == '\'' && *at == '\'')
            source = 2;
        else if (is_space(want) && !is_space(*at))
            source = 0; /* the white space of a fold has been passed */
        at += source;
        i += text;
    }
    offset_place(tree, (uint32_t)((at < end ? at : end) - tree->bytes), ret_line, ret_column);
}
