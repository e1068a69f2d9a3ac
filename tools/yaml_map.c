#include "tools/yaml_map.h"

#include <errno.h>
#include <string.h>

int yaml_map_check(const struct yaml_tree *tree, const struct yaml_node *map,
                   const char *const *known, size_t count, struct err *err)
{
    for (const struct yaml_node *n = map->first; n; n = n->next) {
        size_t i = 0;
        while (i < count && strcmp(known[i], n->key) != 0)
            i++;
        if (i < count)
            continue;
        const char *near = err_nearest(n->key, known, count);
        return err_at(err, -EBADMSG, yaml_file(tree), n->key_line, n->key_column,
                      "unknown key '%s'%s%s%s", n->key, near ? "; did you mean '" : "",
                      near ? near : "", near ? "'?" : "");
    }
    return 0;
}

const char *yaml_map_path(struct arena *arena, const struct yaml_tree *tree, const char *item,
                          bool has_bus)
{
    const char *file = yaml_file(tree), *slash = strrchr(file, '/');
    const char *equals = has_bus ? strchr(item, '=') : NULL;
    size_t bus = equals ? (size_t)(equals - item) + 1 : 0;
    size_t folder = slash && item[bus] != '/' ? (size_t)(slash - file) + 1 : 0;
    char *path = arena_alloc(arena, bus + folder + strlen(item + bus) + 1);

    if (!path)
        return NULL;
    memcpy(path, item, bus);
    memcpy(path + bus, file, folder);
    memcpy(path + bus + folder, item + bus, strlen(item + bus) + 1);
    return path;
}
