/* yaml_map - what files of tests (tools/rulestest/) and of drives (tools/backtest/corpus.c) share: the
 * keys that a map may have, and paths that stand beside the file. */
#ifndef TOOLS_YAML_MAP_H
#define TOOLS_YAML_MAP_H
#include "proto/arena.h"
#include "proto/yaml.h"

/* Returns 0, or -EBADMSG with *err at the first key that is not in known[0..count), the nearest named. */
int yaml_map_check(const struct yaml_tree *tree, const struct yaml_node *map,
                   const char *const *known, size_t count, struct err *err);

/* `item` as a path from here: a relative one is relative to the file's folder. With has_bus it may begin with
 * "BUS=", which stays in front. In the arena; NULL when memory is short. */
const char *yaml_map_path(struct arena *arena, const struct yaml_tree *tree, const char *item,
                          bool has_bus);

#endif
