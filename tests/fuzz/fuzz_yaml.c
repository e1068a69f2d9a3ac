/* fuzz_yaml - any bytes: refused with a place inside the file, or a tree whose places are inside it. */
#include "proto/yaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct yaml_tree *tree, const struct yaml_node *node, unsigned depth)
{
    uint32_t line, column;

    if (depth > YAML_DEPTH_MAX)
        abort();
    for (uint32_t i = 0; node->kind == YAML_TEXT && i <= node->len && i < 300; i++) {
        yaml_place(tree, node, i, &line, &column);
        if (line < node->line)
            abort();
    }
    for (const struct yaml_node *n = node->first; n; n = n->next)
        walk(tree, n, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml_tree *tree;
    struct err err = { 0 };

    if (yaml_open(data, size, "fuzz", &err, &tree)) {
        if (!err.text[0])
            abort();
        return 0;
    }
    walk(tree, yaml_root(tree), 0);
    yaml_close(tree);
    return 0;
}
