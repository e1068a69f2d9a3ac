/* clocks - the last status of each session, as status.v1 brought it, kept in
 * DATASET/status/vehicle=V/SESSION.json: the catalogue takes the clock pairs from there to give wall
 * times to clips that were sealed before the car knew the time. */
#ifndef TOOLS_SINK_CLOCKS_H
#define TOOLS_SINK_CLOCKS_H
#include "proto/wire.h"
#include "tools/sink/files.h"

#define CLOCKS_BYTES_MAX 65536

/* Writes the file when it is new or another. 1 when written, 0, or a negative errno. */
int clocks_put(struct files *dataset, const struct wire_status *status);

#endif
