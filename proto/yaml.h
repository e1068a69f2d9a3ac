/* yaml - the strict subset of YAML that packs and configurations are written in.
 * One document of maps, sequences and scalars; every scalar is text until its key says otherwise
 * (`off` is a name, `1e3` is three letters). Anchors, aliases, tags, merge keys, directives, a
 * second document and duplicate keys are refused, and so are control characters and line breaks
 * other than LF and CR LF. Columns count bytes from 1; inside a scalar yaml_place gives them also
 * for quoted, folded and block style.
 * A tree is immutable once read: any thread may look at it. Lookups are linear. */
#ifndef PROTO_YAML_H
#define PROTO_YAML_H
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define YAML_BYTES_MAX (1u << 20)
#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX 131072 /* scalars, maps and sequences */
#define YAML_KEYS_MAX 4096    /* of one map */
#define YAML_KEY_BYTES_MAX 256

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    uint32_t line, column;         /* where the value begins; of a quoted text the quote */
    const char *key;               /* of an entry of a map, else NULL */
    uint32_t key_line, key_column;
    const char *text;              /* YAML_TEXT: UTF-8, NUL-terminated, holds no NUL; "" when empty */
    uint32_t len;
    bool is_plain;                 /* YAML_TEXT: written without quotes and not as a block */
    uint32_t count;                /* of children */
    const struct yaml_node *first, *next; /* children and siblings in the order of the file */
    uint32_t begin, end;           /* bytes of the source; of a quoted text with its quotes */
};

struct yaml_tree;

/* Reads bytes[0..size), which may be dropped afterwards; `file` stands in messages. Returns 0, or
 * -EBADMSG (not YAML, or outside the subset), -ERANGE (a limit), -ENOMEM; then *err (NULL allowed)
 * says where and *ret_tree is untouched. An empty document is -EBADMSG. */
int yaml_open(const void *bytes, size_t size, const char *file, struct err *err,
              struct yaml_tree **ret_tree);
/* Reads a whole file; also a negative errno of reading it. */
int yaml_open_file(const char *path, struct err *err, struct yaml_tree **ret_tree);
void yaml_close(struct yaml_tree *tree); /* NULL is allowed */

const char *yaml_file(const struct yaml_tree *tree);
const struct yaml_node *yaml_root(const struct yaml_tree *tree);

/* The value of a key of a map, or NULL; NULL also when `map` is NULL or no map. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* Where byte `offset` of a scalar's text stands in the file (offset == len: just behind it). */
void yaml_place(const struct yaml_tree *tree, const struct yaml_node *node, uint32_t offset,
                uint32_t *ret_line, uint32_t *ret_column);

/* What a node is, for messages: "a map", "a list", "text". */
const char *yaml_kind_name(enum yaml_kind kind);

#endif
