/* rlc - the functions of struct recording_format for .rlc; for proto/formats/rlc*.c only. */
#ifndef PROTO_FORMATS_RLC_H
#define PROTO_FORMATS_RLC_H
#include "proto/recording.h"

int rlc_sniff(const uint8_t *bytes, size_t size);
int rlc_open(struct recording_input *input, struct recording_state *state, void **ret_context,
             struct err *err);
int rlc_next(void *context, struct recording_item *ret_item, struct err *err);
int rlc_rewind(void *context, struct err *err);
void rlc_close(void *context);

int rlc_write_open(FILE *file, const struct recording_writer_config *config, void **ret_context,
                   struct err *err);
int rlc_put(void *context, const struct recording_item *item, struct err *err);
int rlc_finish(void *context, struct err *err);
void rlc_write_close(void *context);

#endif
