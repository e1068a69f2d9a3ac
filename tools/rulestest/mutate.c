#include "tools/rulestest/mutate.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SNIPPET_MAX 60

struct search {
    const struct yaml_tree *tree;
    const char *bytes;
    size_t size;
    uint32_t left; /* mutants to pass over */
    struct mutant *found;
    int rc; /* 1: found is set */
};

/* Replaces text[at..at+length) of a scalar by `with` and writes the scalar in double quotes. */
static int rewrite(struct search *s, const struct yaml_node *node, uint32_t at, uint32_t length,
                   const char *with)
{
    struct mutant *m = s->found;
    size_t room = s->size + 2 * node->len + 2 * strlen(with) + 8, n = node->begin;

    m->bytes = malloc(room);
    if (!m->bytes)
        return -ENOMEM;
    memcpy(m->bytes, s->bytes, n);
    m->bytes[n++] = '"';
    for (uint32_t i = 0; i < node->len;) {
        const char *p = i == at ? with : node->text + i;
        size_t count = i == at ? strlen(with) : 1;

        for (size_t k = 0; k < count; k++) {
            char c = p[k] == '\n' ? ' ' : p[k];
            if (c == '"' || c == '\\')
                m->bytes[n++] = '\\';
            m->bytes[n++] = c;
        }
        i += i == at ? length : 1;
    }
    m->bytes[n++] = '"';
    memcpy(m->bytes + n, s->bytes + node->end, s->size - node->end);
    m->size = n + s->size - node->end;
    return 1;
}

/* One possible mutant. Returns whether the search is over. */
static bool offer(struct search *s, const struct yaml_node *node, uint32_t at, uint32_t length,
                  const char *with)
{
    if (s->left--)
        return false;
    s->left = 0;
    yaml_place(s->tree, node, at, &s->found->line, &s->found->column);
    (void)snprintf(s->found->what, sizeof s->found->what, "'%.*s' becomes '%s' in '%.*s%s'",
                   (int)length, node->text + at, with, SNIPPET_MAX, node->text,
                   node->len > SNIPPET_MAX ? "..." : "");
    s->rc = rewrite(s, node, at, length, with);
    return true;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Up and down by a tenth; whole numbers stay whole where a tenth is one or more. */
static bool offer_number(struct search *s, const struct yaml_node *node, uint32_t at,
                         uint32_t length)
{
    static const double factors[] = { 1.1, 0.9 };
    double value = strtod(node->text + at, NULL);
    char with[48];

    for (size_t i = 0; value != 0 && i < 2; i++) {
        (void)snprintf(with, sizeof with, "%.12g", value * factors[i]);
        if (offer(s, node, at, length, with))
            return true;
    }
    return false;
}

static uint32_t number_length(const char *p)
{
    uint32_t n = (uint32_t)strspn(p, "0123456789");

    if (p[n] == '.' && isdigit((unsigned char)p[n + 1]))
        n += 1 + (uint32_t)strspn(p + n + 1, "0123456789");
    return n;
}

static bool offer_relation(struct search *s, const struct yaml_node *node, uint32_t at)
{
    char with[2] = { node->text[at] == '<' ? '>' : '<', '\0' };

    return offer(s, node, at, 1, with);
}

/* Every place of an expression; labels in quotes and names are left alone. */
static bool in_expression(struct search *s, const struct yaml_node *node)
{
    const char *text = node ? node->text : NULL;

    for (uint32_t i = 0; text && i < node->len;) {
        uint32_t length = 1;

        if (text[i] == '\'' || text[i] == '`') {
            const char *end = strchr(text + i + 1, text[i]);
            length = end ? (uint32_t)(end - text) - i + 1 : node->len - i;
        } else if (isdigit((unsigned char)text[i])) {
            length = number_length(text + i);
            bool is_power = i && text[i - 1] == '^'; /* m/s^2 */
            if (!is_power && offer_number(s, node, i, length))
                return true;
        } else if (is_word(text[i]) || text[i] == '$') {
            while (i + length < node->len && (is_word(text[i + length]) || text[i + length] == '@'))
                length++;
            bool is_and = length == 3 && !strncmp(text + i, "and", 3);
            bool is_or = length == 2 && !strncmp(text + i, "or", 2);
            if ((is_and || is_or) && offer(s, node, i, length, is_and ? "or" : "and"))
                return true;
        } else if ((text[i] == '<' || text[i] == '>') && offer_relation(s, node, i)) {
            return true;
        }
        i += length;
    }
    return false;
}

static const struct yaml_node *text_of(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = yaml_get(map, key);

    return node && node->kind == YAML_TEXT ? node : NULL;
}

static bool in_rule(struct search *s, const struct yaml_node *rule)
{
    const struct yaml_node *wait = text_of(rule, "for"), *unless = yaml_get(rule, "unless");

    if (in_expression(s, text_of(rule, "when")))
        return true;
    if (wait && strcmp(wait->text, "0") != 0 && offer(s, wait, 0, wait->len, "0"))
        return true;
    for (const struct yaml_node *n = unless ? unless->first : NULL; n; n = n->next)
        if (in_expression(s, text_of(n, "if")))
            return true;
    return false;
}

static const struct yaml_node *first_of(const struct yaml_node *root, const char *key)
{
    const struct yaml_node *list = yaml_get(root, key);

    return list ? list->first : NULL;
}

int mutant_make(const struct yaml_tree *tree, const void *bytes, size_t size, uint32_t index,
                struct mutant *ret_mutant)
{
    const struct yaml_node *root = yaml_root(tree);
    struct search s = { tree, bytes, size, index, ret_mutant, 0 };

    memset(ret_mutant, 0, sizeof *ret_mutant);
    for (const struct yaml_node *n = first_of(root, "params"); n; n = n->next)
        if (in_expression(&s, text_of(n, "value")))
            return s.rc;
    for (const struct yaml_node *n = first_of(root, "macros"); n; n = n->next)
        if (n->kind == YAML_TEXT && in_expression(&s, n))
            return s.rc;
    for (const struct yaml_node *n = first_of(root, "rules"); n; n = n->next)
        if (in_rule(&s, n))
            return s.rc;
    return 0;
}

void mutant_deinit(struct mutant *mutant)
{
    free(mutant->bytes);
    mutant->bytes = NULL;
}
