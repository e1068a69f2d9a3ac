/* inspect - prints the records of a clip as they come, for people or as one JSON object. */
#ifndef TOOLS_INSPECT_H
#define TOOLS_INSPECT_H
#include "proto/clip.h"

#include <stdio.h>

/* What the whole of the file turned out to be. */
struct inspect_result {
    struct clip_reader_stats stats;
    int rc;               /* 0 whole; -EPIPE torn; -EBADMSG damaged, or counts that differ */
    char text[ERR_TEXT_MAX]; /* why, when rc is not 0 */
};

/* "whole", "torn", "damaged". */
const char *inspect_state(const struct inspect_result *result);

struct inspect_printer {
    void (*begin)(FILE *to, const char *name);
    void (*header)(FILE *to, const struct clip_header *header, bool first);
    void (*seed)(FILE *to, uint32_t rows, bool first);
    void (*group)(FILE *to, const struct clip_item *item, const struct group_block *blocks,
                  bool first);
    void (*manifest)(FILE *to, const struct clip_manifest *manifest);
    void (*broken)(FILE *to); /* the segment breaks off without a manifest */
    void (*end)(FILE *to, const struct inspect_result *result);
};

extern const struct inspect_printer inspect_table, inspect_json;

#endif
