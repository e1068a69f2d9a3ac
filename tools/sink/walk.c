#include "tools/sink/walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct walk {
    struct dataset *dataset;
    const struct walk_ops *ops;
    void *context;
    struct err *err;
};

typedef int level(struct walk *walk, struct dataset_place *place, const char *name);

/* Calls `each` for the entries of a folder, sorted by name. */
static int each_entry(struct walk *walk, const char *folder, struct dataset_place *place,
                      level *each)
{
    char path[FILES_ROOT_MAX + FILES_PATH_MAX];
    struct dirent **entries = NULL;
    int rc = files_path(dataset_files(walk->dataset), folder, path, sizeof path);
    int count = rc ? -1 : scandir(path, &entries, NULL, alphasort);

    if (count < 0)
        return err_at(walk->err, rc ? rc : -errno, path, 0, 0, "%s", strerror(rc ? -rc : errno));
    for (int i = 0; i < count; i++) {
        if (!rc)
            rc = each(walk, place, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static int visit_clip(struct walk *walk, struct dataset_place *place, const char *name)
{
    uint8_t id[CLIP_ID_BYTES];
    char path[FILES_PATH_MAX], *json;
    size_t size;

    if (strlen(name) != 2 * CLIP_ID_BYTES + 5 || strcmp(name + 2 * CLIP_ID_BYTES, ".json"))
        return 0;
    (void)snprintf(place->clip, sizeof place->clip, "%.32s", name);
    if (hex_to(place->clip, CLIP_ID_BYTES, id))
        return 0;
    dataset_name(place, ".json", path);
    int rc = files_read(dataset_files(walk->dataset), path, RECORD_BYTES_MAX, &json, &size);
    if (rc) {
        if (walk->ops->broken)
            walk->ops->broken(walk->context, path, strerror(-rc));
        return 0;
    }
    rc = walk->ops->clip(walk->context, place, json, size);
    free(json);
    return rc;
}

static int visit_vehicle(struct walk *walk, struct dataset_place *place, const char *name)
{
    char folder[FILES_PATH_MAX];

    if (strncmp(name, "vehicle=", 8) || !assembler_pseudonym_ok(name + 8, strlen(name + 8)))
        return 0;
    (void)snprintf(place->vehicle, sizeof place->vehicle, "%s", name + 8);
    (void)snprintf(folder, sizeof folder, "date=%s/vehicle=%s", place->date, place->vehicle);
    return each_entry(walk, folder, place, visit_clip);
}

static int visit_date(struct walk *walk, struct dataset_place *place, const char *name)
{
    char folder[FILES_PATH_MAX];

    if (strncmp(name, "date=", 5) || strlen(name) >= DATASET_DATE_MAX)
        return 0;
    (void)snprintf(place->date, sizeof place->date, "%s", name + 5);
    (void)snprintf(folder, sizeof folder, "date=%s", place->date);
    return each_entry(walk, folder, place, visit_vehicle);
}

int walk_dataset(struct dataset *dataset, const struct walk_ops *ops, void *context,
                 struct err *err)
{
    struct walk walk = { dataset, ops, context, err };
    struct dataset_place place;

    memset(&place, 0, sizeof place);
    return each_entry(&walk, ".", &place, visit_date);
}
