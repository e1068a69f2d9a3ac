/* mcap_frame - the messages of our own schemas: a frame, a mark and an event as protobuf, and back.
 * Lossless for rows: what mcap_frame_decode gives is what went in, bit for bit. Pure values. */
#ifndef PROTO_MCAP_FRAME_H
#define PROTO_MCAP_FRAME_H
#include "proto/pbw.h"
#include "proto/recording.h"

#define MCAP_FRAME_SCHEMA "roadloop.CanFrame"
#define MCAP_MARK_SCHEMA "roadloop.Mark"
#define MCAP_EVENT_SCHEMA "roadloop.Event"
#define MCAP_FRAME_BYTES_MAX 160

/* FileDescriptorSet of the schema of that name. */
void mcap_frame_descriptor(struct pbw *w, const char *schema);

/* One RECORDING_FRAME item. Step stands where the row has a place; mono then only where it is not
 * stamp + offset, offset only where it is not 0. */
void mcap_frame_encode(struct pbw *w, const struct recording_item *item);
/* A RECORDING_CLOCK or RECORDING_GENERATION item. */
void mcap_mark_encode(struct pbw *w, const struct recording_item *item);
/* Times become mono + shift_ns: the file's log times. */
void mcap_event_encode(struct pbw *w, const struct clip_event *event, int64_t shift_ns);

/* Unknown fields are passed over, so that a later version may add some. The frame's source is the
 * caller's. Return 0, or -EBADMSG: torn, a wire type that the field cannot have, no frame at all
 * (frame_check), an unknown kind of mark. */
int mcap_frame_decode(const uint8_t *bytes, size_t size, struct recording_item *ret_item);
int mcap_mark_decode(const uint8_t *bytes, size_t size, struct recording_item *ret_item);

#endif
