#include "proto/recording.h"

#include "proto/recording_file.h"
#include "proto/timeline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SNIFF_BYTES 64

/* All formats, in the order in which their sniffers are asked. */
static const struct recording_format *const formats[] = {
    &recording_rlc,
    &recording_candump,
    &recording_jsonl,
    &recording_csv,
    &recording_mcap,
};
#define FORMAT_COUNT (sizeof formats / sizeof formats[0])

struct recording {
    char path[ERR_FILE_MAX];
    const struct recording_format *format;
    struct recording_input input;
    struct recording_state state;
    void *context;
};

/* --- finding the format --- */

static const struct recording_format *format_named(const char *name, struct err *err)
{
    const char *names[FORMAT_COUNT];

    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        names[i] = formats[i]->name;
        if (!strcmp(name, names[i]))
            return formats[i];
    }
    const char *nearest = err_nearest(name, names, FORMAT_COUNT);
    (void)err_plain(err, -EINVAL, "no format '%s'%s%s%s", name, nearest ? "; did you mean '" : "",
                    nearest ? nearest : "", nearest ? "'?" : "");
    return NULL;
}

static bool ends_with(const char *text, size_t length, const char *end, size_t end_length)
{
    return length > end_length && !memcmp(text + length - end_length, end, end_length);
}

/* Whether one of the blank-separated extensions ends the name (".zst" put aside). */
static bool name_fits(const char *path, const char *extensions)
{
    size_t length = strlen(path);

    if (ends_with(path, length, ".zst", 4))
        length -= 4;
    while (*extensions) {
        size_t n = strcspn(extensions, " ");
        if (ends_with(path, length, extensions, n))
            return true;
        extensions += n + (extensions[n] == ' ');
    }
    return false;
}

static const struct recording_format *format_by_name(const char *path)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (name_fits(path, formats[i]->extensions))
            return formats[i];
    return NULL;
}

/* The bytes decide before the name: a clip called x.log is a clip. */
static const struct recording_format *format_by_bytes(FILE *file)
{
    uint8_t bytes[SNIFF_BYTES];
    size_t size = fread(bytes, 1, sizeof bytes, file);

    (void)fseeko(file, 0, SEEK_SET);
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (formats[i]->sniff && formats[i]->sniff(bytes, size))
            return formats[i];
    return NULL;
}

static const struct recording_format *find_format(const struct recording_config *config,
                                                  FILE *file, struct err *err)
{
    if (config->format && config->format[0])
        return format_named(config->format, err);
    const struct recording_format *format = format_by_bytes(file);
    if (!format)
        format = format_by_name(config->path);
    if (!format)
        (void)err_at(err, -EINVAL, config->path, 0, 0,
                     "neither its name nor its first bytes tell the format; say --in FORMAT");
    return format;
}

/* --- reading --- */

static int open_format(struct recording *r, const struct recording_config *config,
                       struct err *err)
{
    r->input.file = recording_file_read(config->path, err);
    if (!r->input.file)
        return -EIO;
    r->format = find_format(config, r->input.file, err);
    if (!r->format)
        return -EINVAL;
    if (!r->format->open)
        return err_at(err, -EINVAL, r->path, 0, 0, "format %s cannot be read", r->format->name);
    return r->format->open(&r->input, &r->state, &r->context, err);
}

int recording_open(const struct recording_config *config, struct recording **ret_recording,
                   struct err *err)
{
    struct recording *r = calloc(1, sizeof *r);

    if (!r)
        return err_plain(err, -ENOMEM, "no memory for a recording");
    (void)snprintf(r->path, sizeof r->path, "%s", strcmp(config->path, "-") ? config->path
                                                                            : "<stdin>");
    r->input.name = r->path;
    r->input.strict = config->strict;
    int rc = open_format(r, config, err);
    if (rc < 0) {
        recording_close(r);
        return rc;
    }
    *ret_recording = r;
    return 0;
}

void recording_close(struct recording *recording)
{
    if (!recording)
        return;
    if (recording->context)
        recording->format->close(recording->context);
    if (recording->input.file)
        (void)fclose(recording->input.file);
    free(recording);
}

int recording_next(struct recording *recording, struct recording_item *ret_item, struct err *err)
{
    return recording->format->next(recording->context, ret_item, err);
}

int recording_rewind(struct recording *recording, struct err *err)
{
    memset(&recording->state.skips, 0, sizeof recording->state.skips);
    recording->state.stamped = false;
    return recording->format->rewind(recording->context, err);
}

/* A row whose recorded place is what any reader would give it adds nothing to the hash, so that a
 * log and the clip made of all of it are the same recording. */
static void hash_item(struct sha256 *sha, struct timeline *timeline,
                      const struct recording_item *item)
{
    uint8_t bytes[24 + ROWBUF_HEAD_BYTES + FRAME_DATA_MAX];
    struct timeline plain = *timeline;
    struct row row;
    size_t at = 0;

    (void)timeline_put(&plain, &item->row.frame, &row);
    bool own = item->placed && (row.step != item->row.step || row.mono_ns != item->row.mono_ns ||
                                row.offset_ns != item->row.offset_ns);
    if (own) {
        store_le64(bytes, item->row.step);
        store_le64(bytes + 8, (uint64_t)item->row.mono_ns);
        store_le64(bytes + 16, (uint64_t)item->row.offset_ns);
        at = 24;
        (void)timeline_obey(timeline, &item->row);
    } else {
        *timeline = plain;
    }
    at += plain_from_frame(&item->row.frame, bytes + at);
    sha256_put(sha, bytes, at);
}

static void note_frame(struct recording_scan *scan, const struct frame *frame)
{
    if (!scan->frames)
        scan->stamp_first_ns = frame->stamp_ns;
    scan->stamp_last_ns = frame->stamp_ns;
    scan->frames++;
}

static void hash_sources(struct sha256 *sha, const struct source_table *sources)
{
    for (uint32_t i = 0; i < sources->count; i++)
        sha256_put(sha, sources->items[i].name, strlen(sources->items[i].name) + 1);
}

int recording_scan(struct recording *recording, struct recording_scan *ret_scan, struct err *err)
{
    struct recording_scan scan = { 0 };
    struct recording_item item;
    struct timeline timeline;
    struct sha256 *sha = sha256_open();
    int rc;

    if (!sha)
        return err_plain(err, -ENOMEM, "no memory for a hash");
    timeline_init(&timeline);
    while ((rc = recording_next(recording, &item, err)) == 1)
        if (item.kind == RECORDING_FRAME) {
            note_frame(&scan, &item.row.frame);
            hash_item(sha, &timeline, &item);
        }
    scan.sources = recording->state.sources;
    scan.skips = recording->state.skips;
    hash_sources(sha, &scan.sources);
    sha256_take(sha, scan.sha256);
    sha256_close(sha);
    if (rc == 0)
        rc = recording_rewind(recording, err);
    if (rc == 0)
        *ret_scan = scan;
    return rc;
}

const struct source_table *recording_sources(const struct recording *recording)
{
    return &recording->state.sources;
}

const struct recording_skips *recording_skips(const struct recording *recording)
{
    return &recording->state.skips;
}

const char *recording_skip_name(enum recording_skip skip)
{
    static const char *const names[RECORDING_SKIP_COUNT] = { "torn", "foreign", "out of range",
                                                             "too many buses", "unsorted" };
    return (unsigned)skip < RECORDING_SKIP_COUNT ? names[skip] : "unknown";
}

const char *recording_format_name(const struct recording *recording)
{
    return recording->format->name;
}

const char *recording_path(const struct recording *recording) { return recording->path; }

const struct recording_clip *recording_clip(const struct recording *recording)
{
    return recording->state.has_clip ? &recording->state.clip : NULL;
}

/* --- for readers of formats --- */

int recording_source_index(struct source_table *table, const char *name, size_t length,
                           uint32_t tick_ns)
{
    for (uint32_t i = 0; i < table->count; i++) {
        struct source *source = &table->items[i];
        if (strlen(source->name) == length && !memcmp(source->name, name, length)) {
            /* The finest stamp of a bus says what its clock resolves. */
            if (tick_ns < source->tick_ns)
                source->tick_ns = tick_ns;
            return (int)i;
        }
    }
    if (table->count == SOURCES_MAX)
        return -ENOSPC;
    struct source *source = &table->items[table->count];
    memset(source, 0, sizeof *source);
    memcpy(source->name, name, length);
    source->tick_ns = tick_ns;
    return (int)table->count++;
}

int recording_skip_line(const struct recording_input *input, struct recording_state *state,
                        enum recording_skip skip, uint64_t line, uint32_t column, struct err *err,
                        const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    if (!state->skips.count[skip]++)
        state->skips.first_line[skip] = line;
    if (!input->strict)
        return 0;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_at(err, -EBADMSG, input->name, (uint32_t)line, column, "%s line: %.400s",
                  recording_skip_name(skip), text);
}

int recording_note_stamp(const struct recording_input *input, struct recording_state *state,
                         int64_t stamp_ns, uint64_t line, struct err *err)
{
    int64_t before = state->stamp_before_ns;
    bool back = state->stamped && stamp_ns < before &&
                (uint64_t)before - (uint64_t)stamp_ns > (uint64_t)TIMELINE_CLAMP_NS;

    state->stamp_before_ns = stamp_ns;
    state->stamped = true;
    if (!back)
        return 0;
    return recording_skip_line(input, state, RECORDING_NOTE_UNSORTED, line, 1, err,
                               "its time is more than 50 ms before that of the frame before it");
}

/* --- writing --- */

struct recording_writer {
    const struct recording_format *format;
    char path[ERR_FILE_MAX], temporary[ERR_FILE_MAX + 8];
    FILE *file;   /* on disk */
    FILE *stream; /* what the format writes to: file, or the packer on it */
    void *context;
    bool committed;
};

static int name_temporary(struct recording_writer *w, const char *path, struct err *err)
{
    if (strlen(path) >= sizeof w->path)
        return err_at(err, -ENAMETOOLONG, path, 0, 0, "the path is too long");
    (void)snprintf(w->path, sizeof w->path, "%s", path);
    (void)snprintf(w->temporary, sizeof w->temporary, "%s.part", path);
    return 0;
}

static int open_output(struct recording_writer *w, const char *path, struct err *err)
{
    struct stat info;

    if (!strcmp(path, "-")) {
        w->file = stdout;
    } else if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        w->file = fopen(path, "wb"); /* a pipe or device keeps its name */
        if (!w->file)
            return err_at(err, -errno, path, 0, 0, "cannot be written: %s", strerror(errno));
    } else {
        int rc = name_temporary(w, path, err);
        if (rc < 0)
            return rc;
        w->file = fopen(w->temporary, "wb");
        if (!w->file)
            return err_at(err, -errno, path, 0, 0, "cannot be written: %s", strerror(errno));
    }
    w->stream = w->file;
    if (ends_with(path, strlen(path), ".zst", 4))
        w->stream = recording_file_pack(w->file, err);
    return w->stream ? 0 : -ENOMEM;
}

static int open_writer(struct recording_writer *w, const struct recording_writer_config *config,
                       struct err *err)
{
    bool named = config->format && config->format[0];

    w->format = named ? format_named(config->format, err) : format_by_name(config->path);
    if (!w->format)
        return named ? -EINVAL
                     : err_at(err, -EINVAL, config->path, 0, 0,
                              "its name does not tell the format; say --out candump, rlc, jsonl, csv "
                              "or mcap");
    if (!w->format->write_open)
        return err_at(err, -EINVAL, config->path, 0, 0, "format %s cannot be written",
                      w->format->name);
    int rc = open_output(w, config->path, err);
    return rc < 0 ? rc : w->format->write_open(w->stream, config, &w->context, err);
}

int recording_writer_open(const struct recording_writer_config *config,
                          struct recording_writer **ret_writer, struct err *err)
{
    struct recording_writer *w = calloc(1, sizeof *w);

    if (!w)
        return err_plain(err, -ENOMEM, "no memory for a writer");
    int rc = open_writer(w, config, err);
    if (rc < 0) {
        recording_writer_close(w);
        return rc;
    }
    *ret_writer = w;
    return 0;
}

int recording_writer_put(struct recording_writer *writer, const struct recording_item *item,
                         struct err *err)
{
    return writer->format->write_put(writer->context, item, err);
}

/* Ends the packer's frame, if there is one. */
static int close_stream(struct recording_writer *w)
{
    FILE *stream = w->stream;

    w->stream = NULL;
    return stream && stream != w->file ? fclose(stream) : 0;
}

int recording_writer_commit(struct recording_writer *writer, struct err *err)
{
    struct recording_writer *w = writer;
    int rc = w->format->write_finish(w->context, err);

    if (rc < 0)
        return rc;
    if (close_stream(w) < 0 || fflush(w->file) < 0 || ferror(w->file))
        return err_at(err, -EIO, w->path, 0, 0, "write failed: %s", strerror(errno));
    w->committed = true;
    if (w->file == stdout)
        return 0;
    FILE *file = w->file;
    w->file = NULL;
    if (fclose(file) < 0 || (w->temporary[0] && rename(w->temporary, w->path) < 0)) {
        w->committed = false;
        return err_at(err, -EIO, w->path, 0, 0, "write failed: %s", strerror(errno));
    }
    return 0;
}

void recording_writer_close(struct recording_writer *writer)
{
    if (!writer)
        return;
    if (writer->context)
        writer->format->write_close(writer->context);
    (void)close_stream(writer);
    if (writer->file && writer->file != stdout)
        (void)fclose(writer->file);
    if (!writer->committed && writer->temporary[0])
        (void)remove(writer->temporary);
    free(writer);
}
