/* .rlc as a recording: reading in rlc_read.c, writing in rlc_write.c. */
#include "proto/formats/rlc.h"

const struct recording_format recording_rlc = {
    .name = "rlc", .extensions = ".rlc", .sniff = rlc_sniff, .open = rlc_open, .next = rlc_next,
    .rewind = rlc_rewind, .close = rlc_close, .write_open = rlc_write_open, .write_put = rlc_put,
    .write_finish = rlc_finish, .write_close = rlc_write_close,
};
