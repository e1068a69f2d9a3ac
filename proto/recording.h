/* recording - any file of frames, read or written, whatever its format.
 * Formats stand behind two tables (struct recording_format); adding one means a file in
 * proto/formats/ and a line in recording.c. Format "" is found by name, then by the first bytes.
 * Readers never wait for anything but their file. A pipe ("-") is spooled to an unnamed temporary
 * file, so that a recording can always be rewound. `.zst` around any text format is unpacked. */
#ifndef PROTO_RECORDING_H
#define PROTO_RECORDING_H
#include "proto/clip.h"
#include "proto/err.h"
#include "proto/frame.h"

#include <stdio.h>

#define RECORDING_LINE_MAX 32768 /* bytes of a text line; a longer one is counted as torn */

struct dbset;

/* Why a line (or record) was not taken, or was taken with a remark. */
enum recording_skip {
    RECORDING_SKIP_TORN,     /* cut off: no line end, a half byte, too long */
    RECORDING_SKIP_FOREIGN,  /* not a frame in this format */
    RECORDING_SKIP_RANGE,    /* a frame that cannot be: id, length or stamp out of range */
    RECORDING_SKIP_SOURCES,  /* more than SOURCES_MAX buses */
    RECORDING_NOTE_UNSORTED, /* kept: its stamp is more than 50 ms before the one before it */
};
#define RECORDING_SKIP_COUNT 5

struct recording_skips {
    uint64_t count[RECORDING_SKIP_COUNT];
    uint64_t first_line[RECORDING_SKIP_COUNT]; /* from 1; 0 when none */
};

enum recording_item_kind {
    RECORDING_FRAME,
    RECORDING_CLOCK,      /* from the next frame on offset_ns holds and mono is >= mono_ns */
    RECORDING_GENERATION, /* from the next frame on rows belong to `generation` */
};

struct recording_item {
    enum recording_item_kind kind;
    bool placed;      /* FRAME: the recording knows step, mono and offset of the row (.rlc) */
    struct row row;   /* FRAME: row.frame; the rest only when placed */
    int64_t offset_ns, mono_ns; /* CLOCK */
    uint32_t generation;        /* GENERATION */
};

/* The whole of a recording, from one pass over it. */
struct recording_scan {
    struct source_table sources;
    uint64_t frames;
    int64_t stamp_first_ns, stamp_last_ns; /* of the first and last frame, as stamped */
    uint8_t sha256[SHA256_BYTES]; /* of the decoded recording: docs/FORMAT.md section 7 */
    struct recording_skips skips;
};

struct recording_config {
    const char *path;   /* "-" is standard input */
    const char *format; /* "candump", "rlc", "jsonl", "csv", "mcap"; NULL or "": found */
    bool strict;        /* the first line that would be skipped or noted is an error */
};

struct recording;

/* Returns 0, or a negative errno with *err filled and *ret_recording untouched. */
int recording_open(const struct recording_config *config, struct recording **ret_recording,
                   struct err *err);
void recording_close(struct recording *recording);

/* Returns 1 with the next item, 0 at the end, or a negative errno with *err filled: -EBADMSG for a
 * recording that cannot go on (bad record of an .rlc; strict), -EIO. */
int recording_next(struct recording *recording, struct recording_item *ret_item, struct err *err);

/* Reads all of it and rewinds. After a scan recording_sources is complete from the start. */
int recording_scan(struct recording *recording, struct recording_scan *ret_scan, struct err *err);
/* Back to the first item; the sources found so far stay numbered as they are. */
int recording_rewind(struct recording *recording, struct err *err);

/* Numbered by first appearance; grows while reading unless scanned. Borrowed until close. */
const struct source_table *recording_sources(const struct recording *recording);
const struct recording_skips *recording_skips(const struct recording *recording);
const char *recording_skip_name(enum recording_skip skip);
const char *recording_format_name(const struct recording *recording);
const char *recording_path(const struct recording *recording);

/* What a clip carries beside its rows. Borrowed until close; NULL where the format has none. */
struct recording_clip {
    const struct clip_header *header;     /* of the first segment */
    const struct clip_manifest *manifest; /* of the last segment; NULL when torn */
    const struct row *seed;
    uint32_t seed_count;
    /* attachments of an .mcap: bytes of its pack and DBCs */
    const struct recording_attachment *attachments;
    uint32_t attachment_count;
};
struct recording_attachment {
    const char *name, *media_type;
    const uint8_t *bytes;
    size_t size;
};
/* NULL when the recording is not a clip. */
const struct recording_clip *recording_clip(const struct recording *recording);

/* --- writing --- */

struct recording_writer_config {
    const char *path;   /* "-" is standard output; else a temporary name until commit */
    const char *format; /* NULL or "": by the name */
    uint8_t codec;      /* enum codec_id, for .rlc */
    const struct dbset *dbset; /* for signals in .jsonl and messages in .mcap; NULL: none */
    const struct source_table *sources; /* complete, of the recording that is written */
    const uint8_t *recording_sha256;    /* decoded source recording, or NULL */
    const struct recording_clip *clip;  /* the clip that is copied, or NULL */
    const struct recording_skips *skips; /* for the manifest; read at commit; or NULL */
    const struct recording_attachment *attachments; /* packs, for .mcap; may be none */
    uint32_t attachment_count;
};

struct recording_writer;

int recording_writer_open(const struct recording_writer_config *config,
                          struct recording_writer **ret_writer, struct err *err);
/* Any item that recording_next gives; text formats leave marks out. Returns 0 or an errno. */
int recording_writer_put(struct recording_writer *writer, const struct recording_item *item,
                         struct err *err);
/* Finishes the file and gives it its name. The writer is still to be closed. */
int recording_writer_commit(struct recording_writer *writer, struct err *err);
/* Without a commit the temporary file is removed. Takes NULL. */
void recording_writer_close(struct recording_writer *writer);

/* --- what a format is: implemented in proto/formats/<name>.c --- */

/* A file that can be rewound, decompressed where it was `.zst`. */
struct recording_input {
    FILE *file;
    const char *name; /* for errors */
    bool strict;
};

/* What a reader tells beside its items; it lives as long as the reader. */
struct recording_state {
    struct source_table sources;
    struct recording_skips skips;
    struct recording_clip clip;
    bool has_clip;
    int64_t stamp_before_ns; /* for recording_note_stamp */
    bool stamped;
};

struct recording_format {
    const char *name;       /* "candump" */
    const char *extensions; /* ".log .candump", tried on the file name */
    /* 1 when the first bytes look like it, else 0. NULL: never found by its bytes. */
    int (*sniff)(const uint8_t *bytes, size_t size);
    /* Reader; NULL functions when the format cannot be read. The context is the format's. */
    int (*open)(struct recording_input *input, struct recording_state *state, void **ret_context,
                struct err *err);
    int (*next)(void *context, struct recording_item *ret_item, struct err *err);
    int (*rewind)(void *context, struct err *err);
    void (*close)(void *context);
    /* Writer. `finish` ends the file; the caller flushes, syncs and renames. */
    int (*write_open)(FILE *file, const struct recording_writer_config *config,
                      void **ret_context, struct err *err);
    int (*write_put)(void *context, const struct recording_item *item, struct err *err);
    int (*write_finish)(void *context, struct err *err);
    void (*write_close)(void *context);
};

extern const struct recording_format recording_candump, recording_rlc, recording_jsonl,
    recording_csv, recording_mcap;

/* For readers: the index of that bus in the table, added when new; -ENOSPC when it is full. */
int recording_source_index(struct source_table *table, const char *name, size_t length,
                           uint32_t tick_ns);
/* For readers: counts a skip; returns 0, or -EBADMSG with *err filled when strict. */
int recording_skip_line(const struct recording_input *input, struct recording_state *state,
                        enum recording_skip skip, uint64_t line, uint32_t column, struct err *err,
                        const char *format, ...) __attribute__((format(printf, 7, 8)));
/* For readers: counts a frame whose stamp lies more than 50 ms before that of the frame before it;
 * returns 0, or -EBADMSG with *err filled when strict. */
int recording_note_stamp(const struct recording_input *input, struct recording_state *state,
                         int64_t stamp_ns, uint64_t line, struct err *err);

#endif
