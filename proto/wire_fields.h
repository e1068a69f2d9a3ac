/* wire_fields - how the fields of proto/wire.h are written, read and judged. Private to wire*.c.
 * A writer that ran out of room stays `full`; a reader that ran out of bytes stays `failed`; both
 * are looked at once, by wire.c. Judging (wire_check_*) is one function a value for both ways. */
#ifndef PROTO_WIRE_FIELDS_H
#define PROTO_WIRE_FIELDS_H
#include "proto/bytes.h"
#include "proto/wire.h"

struct wire_writer {
    uint8_t *at, *end;
    bool full;
};

static inline uint8_t *wire_room(struct wire_writer *w, size_t size)
{
    if (w->full || (size_t)(w->end - w->at) < size) {
        w->full = true;
        return NULL;
    }
    uint8_t *p = w->at;
    w->at += size;
    return p;
}

static inline void wire_put(struct wire_writer *w, const void *bytes, size_t size)
{
    uint8_t *p = wire_room(w, size);
    if (p && size)
        memmove(p, bytes, size); /* a chunk's payload may already be in place */
}

static inline void wire_put_u8(struct wire_writer *w, uint8_t v) { wire_put(w, &v, 1); }

static inline void wire_put_u32(struct wire_writer *w, uint32_t v)
{
    uint8_t *p = wire_room(w, 4);
    if (p)
        store_le32(p, v);
}

static inline void wire_put_u64(struct wire_writer *w, uint64_t v)
{
    uint8_t *p = wire_room(w, 8);
    if (p)
        store_le64(p, v);
}

static inline void wire_put_text(struct wire_writer *w, const char *text)
{
    size_t size = strlen(text);
    wire_put_u8(w, (uint8_t)size);
    wire_put(w, text, size);
}

static inline void wire_get(struct bytes_reader *r, void *to, size_t size)
{
    const uint8_t *p = bytes_take(r, size);
    if (p)
        memcpy(to, p, size);
}

/* Text is a length byte and the bytes. Longer than fits `max` (with NUL): -ERANGE. */
int wire_get_text(struct bytes_reader *r, const char *field, size_t max, struct err *err,
                  char *ret_text);

/* 0 or -ERANGE with the field's name in *err. */
int wire_check_range(const char *field, uint64_t found, uint64_t least, uint64_t most,
                     struct err *err);
int wire_check_pseudonym(const char *text, struct err *err);
int wire_check_printable(const char *field, const char *text, struct err *err);

/* Bodies, one set a kind: put writes, get reads without judging values, check judges. */
void wire_put_about(struct wire_writer *w, const struct wire_about *about);
int wire_get_about(struct bytes_reader *r, struct err *err, struct wire_about *ret_about);
int wire_check_about(const struct wire_about *about, struct err *err);
void wire_put_final(struct wire_writer *w, const struct wire_final *final);
int wire_get_final(struct bytes_reader *r, struct err *err, struct wire_final *ret_final);
int wire_check_final(const struct wire_final *final, struct err *err);
void wire_put_chunk(struct wire_writer *w, const struct wire_chunk *chunk);
int wire_get_chunk(struct bytes_reader *r, struct err *err, struct wire_chunk *ret_chunk);
int wire_check_chunk(const struct wire_chunk *chunk, struct err *err);
void wire_put_gone(struct wire_writer *w, const struct wire_gone *gone);
int wire_get_gone(struct bytes_reader *r, struct err *err, struct wire_gone *ret_gone);
int wire_check_gone(const struct wire_gone *gone, struct err *err);
void wire_put_receipt(struct wire_writer *w, const struct wire_receipt *receipt);
int wire_get_receipt(struct bytes_reader *r, struct err *err, struct wire_receipt *ret_receipt);
int wire_check_receipt(const struct wire_receipt *receipt, struct err *err);
void wire_put_artifact(struct wire_writer *w, const struct wire_artifact *artifact);
int wire_get_artifact(struct bytes_reader *r, struct err *err,
                      struct wire_artifact *ret_artifact);
int wire_check_artifact(const struct wire_artifact *artifact, struct err *err);
void wire_put_status(struct wire_writer *w, const struct wire_status *status);
int wire_get_status(struct bytes_reader *r, struct err *err, struct wire_status *ret_status);
int wire_check_status(const struct wire_status *status, struct err *err);

#endif
