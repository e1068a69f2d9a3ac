/* walk - every stored clip of a dataset, in the order of their paths: date, vehicle, clip. */
#ifndef TOOLS_SINK_WALK_H
#define TOOLS_SINK_WALK_H
#include "tools/sink/dataset.h"

struct walk_ops {
    /* A CLIP.json; not 0 ends the walk with that value. */
    int (*clip)(void *context, const struct dataset_place *place, const char *json, size_t size);
    /* A file that should be one and is not readable. NULL: left out. */
    void (*broken)(void *context, const char *name, const char *reason);
};

/* 0, what `clip` returned, or a negative errno with *err when the folder cannot be read. */
int walk_dataset(struct dataset *dataset, const struct walk_ops *ops, void *context,
                 struct err *err);

#endif
