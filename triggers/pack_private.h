/* pack_private - what the files that read a pack share: pack.c (head and sections), pack_rule.c (rules),
 * pack_fields.c (single fields). A wrong field is said at its place and has its fallback, so that the rest is
 * read too; the caller of pack_read looks at diags->errors. */
#ifndef TRIGGERS_PACK_PRIVATE_H
#define TRIGGERS_PACK_PRIVATE_H
#include "triggers/pack.h"

#define DURATION_MAX_NS (INT64_C(86400) * 1000000000)

/* pack_fields.c. A field_ function with `fallback` gives it where the key is absent or wrong. */
void *pack_no_memory(struct pack *pack); /* says so; NULL */
bool field_is_kind(struct pack *pack, const struct yaml_node *node, enum yaml_kind kind,
                   const char *what);
/* Refuses keys that are not in `known`; those in `later` by name. Both end with NULL. */
void field_check_keys(struct pack *pack, const struct yaml_node *map, const char *what,
                      const char *const *known, const char *const *later);
bool field_check_name(struct pack *pack, const char *text, uint32_t line, uint32_t column,
                      const char *what);
/* Names of signals and macros' arguments stand in expressions: identifiers. */
bool field_check_ident(struct pack *pack, const char *text, uint32_t line, uint32_t column,
                       const char *what);
const char *field_text(struct pack *pack, const struct yaml_node *map, const char *key);
bool field_bool(struct pack *pack, const struct yaml_node *map, const char *key, bool fallback);
int64_t field_bytes(struct pack *pack, const struct yaml_node *map, const char *key);
int64_t field_integer(struct pack *pack, const struct yaml_node *map, const char *key,
                      int64_t fallback, int64_t least, int64_t most);
int64_t field_duration(struct pack *pack, const struct yaml_node *map, const char *key,
                       int64_t fallback, int64_t most_ns);
/* One of `names` (ending with NULL) as its index. */
int field_choice(struct pack *pack, const struct yaml_node *map, const char *key, int fallback,
                 const char *const *names);
/* Parses the node's text; NULL after an error. */
struct ast *field_expression(struct pack *pack, const struct yaml_node *node, const char *what,
                             struct source_text *ret_text);
struct parse_config field_parser(struct pack *pack, const struct yaml_node *node);
void pack_note_label(void *context, const char *label); /* of struct parse_config */

/* pack_rule.c */
void pack_read_rules(struct pack *pack, const struct yaml_node *root, const struct rule *defaults);
/* The keys that `defaults` may hold too. */
void pack_read_shared(struct pack *pack, const struct yaml_node *map, struct rule *rule);

#endif
