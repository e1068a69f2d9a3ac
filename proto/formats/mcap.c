/* .mcap as a recording: the messages of channels with schema roadloop.CanFrame in file order, each
 * with its place where it has one, and our marks between them; everything else is passed over.
 * What a clip carries comes from the attachments (proto/mcap_meta.h), found by the summary; a file
 * without one is read all the same, its sources in order of appearance.
 * Written: proto/export_mcap.h. */
#include "proto/export_mcap.h"
#include "proto/mcap_frame.h"
#include "proto/mcap_index.h"
#include "proto/mcap_meta.h"
#include "proto/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ATTACHMENTS_MAX 256
#define ATTACHMENT_BYTES_MAX 134217728 /* all of them */

enum channel_kind { CHANNEL_OTHER, CHANNEL_FRAME, CHANNEL_MARK };

struct channel {
    uint8_t kind; /* enum channel_kind */
    uint8_t source;
};

struct mcap_recording {
    struct recording_input *input;
    struct recording_state *state;
    struct mcap_input bytes;
    struct mcap_reader *reader;
    uint8_t *schemas;         /* MCAP_IDS: enum channel_kind of what uses them */
    struct channel *channels; /* MCAP_IDS */
    bool any_frames;          /* a channel of frames was seen */
    uint64_t messages;

    struct clip_header header;
    struct clip_manifest manifest;
    struct row *seed;
    uint32_t seed_count;
    struct recording_attachment attachments[ATTACHMENTS_MAX];
    uint32_t attachment_count;
    size_t attachment_bytes;
};

static void mcap_close(void *context)
{
    struct mcap_recording *r = context;

    mcap_reader_close(r->reader);
    clip_header_deinit(&r->header);
    clip_manifest_deinit(&r->manifest);
    free(r->seed);
    for (uint32_t i = 0; i < r->attachment_count; i++) {
        free((void *)(uintptr_t)r->attachments[i].name);
        free((void *)(uintptr_t)r->attachments[i].media_type);
        free((void *)(uintptr_t)r->attachments[i].bytes);
    }
    free(r->schemas);
    free(r->channels);
    free(r);
}

/* --- schemas and channels --- */

static void note_schema(struct mcap_recording *r, const struct mcap_schema *schema)
{
    bool protobuf = mcap_is(schema->encoding, "protobuf");

    r->schemas[schema->id] = !protobuf                                 ? CHANNEL_OTHER
                             : mcap_is(schema->name, MCAP_FRAME_SCHEMA) ? CHANNEL_FRAME
                             : mcap_is(schema->name, MCAP_MARK_SCHEMA)  ? CHANNEL_MARK
                                                                        : CHANNEL_OTHER;
}

static bool name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '.' || c == '-';
}

/* A bus name out of anything: bytes that a name cannot have become '_'. Returns its length. */
static size_t bus_name(struct mcap_bytes from, char name[SOURCE_NAME_MAX])
{
    size_t length = from.size < SOURCE_NAME_MAX - 1 ? from.size : SOURCE_NAME_MAX - 1;

    for (size_t i = 0; i < length; i++)
        name[i] = name_byte(from.at[i]) ? (char)from.at[i] : '_';
    if (!length)
        name[length++] = '_';
    return length;
}

/* Metadata "bus"; else what stands between "/can/" and "/raw"; else the topic. */
static struct mcap_bytes bus_of(const struct mcap_channel *channel)
{
    struct mcap_bytes bus = mcap_map_find(channel->metadata, "bus"), topic = channel->topic;

    if (bus.size)
        return bus;
    if (topic.size > 9 && !memcmp(topic.at, "/can/", 5) &&
        !memcmp(topic.at + topic.size - 4, "/raw", 4))
        return mcap_view(topic.at + 5, topic.size - 9);
    return topic;
}

/* A number of the channel's metadata; `otherwise` when there is none of at most `max`. */
static uint32_t number_of(const struct mcap_channel *channel, const char *key, uint32_t max,
                          uint32_t otherwise)
{
    struct mcap_bytes text = mcap_map_find(channel->metadata, key);
    uint64_t value = 0;

    if (!text.size || text.size > 10)
        return otherwise;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return otherwise;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
    }
    return value <= max ? (uint32_t)value : otherwise;
}

/* Gives a channel of frames its source. Past SOURCES_MAX buses its frames are skipped, counted. */
static int note_channel(struct mcap_recording *r, const struct mcap_channel *channel,
                        struct err *err)
{
    struct channel *c = &r->channels[channel->id];
    char name[SOURCE_NAME_MAX];

    c->kind = channel->schema_id && mcap_is(channel->message_encoding, "protobuf")
                  ? r->schemas[channel->schema_id]
                  : CHANNEL_OTHER;
    if (c->kind != CHANNEL_FRAME)
        return 0;
    r->any_frames = true;
    uint32_t tick = number_of(channel, "tick_ns", NS_PER_S, 1), before = r->state->sources.count;
    int source = recording_source_index(&r->state->sources, name, bus_name(bus_of(channel), name),
                                        tick ? tick : 1);
    if (source < 0) {
        c->kind = CHANNEL_OTHER;
        return recording_skip_line(r->input, r->state, RECORDING_SKIP_SOURCES, r->messages + 1, 0,
                                   err, "channel %u is one bus too many", channel->id);
    }
    c->source = (uint8_t)source;
    if ((uint32_t)source == before)
        r->state->sources.items[source].origin =
            (enum stamp_origin)number_of(channel, "origin", STAMP_HARDWARE, STAMP_UNKNOWN);
    return 0;
}

/* --- what stands in the summary --- */

static char *copy_text(struct mcap_bytes view)
{
    char *text = malloc(view.size + 1);

    if (text) {
        memcpy(text, view.at, view.size);
        text[view.size] = '\0';
    }
    return text;
}

static int keep_attachment(struct mcap_recording *r, const struct mcap_attachment *attachment)
{
    struct recording_attachment *a = &r->attachments[r->attachment_count];

    if (r->attachment_count == ATTACHMENTS_MAX ||
        attachment->data.size > ATTACHMENT_BYTES_MAX - r->attachment_bytes)
        return -ERANGE;
    *a = (struct recording_attachment){ copy_text(attachment->name),
                                        copy_text(attachment->media_type),
                                        (uint8_t *)copy_text(attachment->data),
                                        attachment->data.size };
    r->attachment_count++; /* closed with the rest, whatever was allocated */
    r->attachment_bytes += a->size;
    return a->name && a->media_type && a->bytes ? 0 : -ENOMEM;
}

/* One record of the attached clip. */
static int take_clip_record(struct mcap_recording *r, const uint8_t *record, size_t size,
                            struct err *err)
{
    switch (load_le32(record)) {
    case RECORD_HEADER:
        return r->header.owned ? -EEXIST : clip_header_decode(record, size, &r->header, err);
    case RECORD_SEED:
        return r->seed ? -EEXIST : clip_seed_decode(record, size, &r->seed, &r->seed_count, err);
    case RECORD_MANIFEST:
        return r->manifest.owned ? -EEXIST
                                 : clip_manifest_decode(record, size, &r->manifest, err);
    default: return -ENOENT;
    }
}

static int take_clip(struct mcap_recording *r, struct mcap_bytes bytes, struct err *err)
{
    struct err why = { .text = "its records do not fit together" };

    while (bytes.size) {
        uint64_t size = RECORD_HEAD_BYTES + RECORD_TAIL_BYTES;
        if (bytes.size >= RECORD_HEAD_BYTES)
            size += load_le32(bytes.at + 4);
        int rc = size <= bytes.size ? take_clip_record(r, bytes.at, (size_t)size, &why) : -ENOENT;
        if (rc)
            return err_at(err, rc == -ENOMEM ? rc : -EBADMSG, r->input->name, 0, 0,
                          "attachment " MCAP_META_CLIP ": %.300s", why.text);
        bytes = mcap_view(bytes.at + size, bytes.size - (size_t)size);
    }
    if (!r->header.owned)
        return err_at(err, -EBADMSG, r->input->name, 0, 0,
                      "attachment " MCAP_META_CLIP ": it has no header");
    return 0;
}

static int take_attachments(struct mcap_recording *r, struct mcap_index *index, struct err *err)
{
    const struct mcap_attachment_index *entries;
    size_t count = mcap_index_attachments(index, &entries);
    struct mcap_attachment attachment;

    for (size_t i = 0; i < count; i++) {
        int rc = mcap_index_read_attachment(index, &entries[i], &attachment, err);
        if (rc)
            return rc;
        if (mcap_is(attachment.name, MCAP_META_CLIP))
            rc = take_clip(r, attachment.data, err);
        else if (keep_attachment(r, &attachment) == -ENOMEM)
            rc = err_at(err, -ENOMEM, r->input->name, 0, 0, "no memory for attachments");
        if (rc)
            return rc;
    }
    return 0;
}

/* Channels of frames in the order of the sources that they were written from. */
static int take_channels(struct mcap_recording *r, struct mcap_index *index, struct err *err)
{
    const struct mcap_schema *schemas;
    const struct mcap_channel *channels;
    size_t schema_count = mcap_index_schemas(index, &schemas);
    size_t count = mcap_index_channels(index, &channels);
    int rc = 0;

    for (size_t i = 0; i < schema_count; i++)
        note_schema(r, &schemas[i]);
    for (uint32_t source = 0; source <= SOURCES_MAX; source++) /* the last: those that say none */
        for (size_t i = 0; i < count && !rc; i++)
            if (number_of(&channels[i], "source", SOURCES_MAX - 1, SOURCES_MAX) == source)
                rc = note_channel(r, &channels[i], err);
    return rc;
}

static void tell_clip(struct mcap_recording *r)
{
    r->state->has_clip = true;
    r->state->clip = (struct recording_clip){
        .header = &r->header,
        .manifest = r->manifest.owned ? &r->manifest : NULL,
        .seed = r->seed,
        .seed_count = r->seed_count,
        .attachments = r->attachments,
        .attachment_count = r->attachment_count,
    };
}

static int read_summary(struct mcap_recording *r, struct err *err)
{
    struct mcap_index *index;
    int rc = mcap_index_open(r->input->name, &r->bytes, &index, err);

    if (rc)
        return rc == -ENOENT ? 0 : rc;
    rc = take_attachments(r, index, err);
    if (!rc && r->header.owned) {
        r->state->sources = r->header.sources;
        tell_clip(r);
    }
    if (!rc)
        rc = take_channels(r, index, err);
    mcap_index_close(index);
    return rc;
}

/* --- reading --- */

static int start_reader(struct mcap_recording *r, struct err *err)
{
    const struct mcap_read_config config = { .name = r->input->name };

    mcap_reader_close(r->reader);
    r->reader = NULL;
    r->messages = 0;
    if (mcap_reader_open(&config, &r->bytes, &r->reader))
        return err_at(err, -ENOMEM, r->input->name, 0, 0, "no memory for a reader");
    return 0;
}

static int mcap_open(struct recording_input *input, struct recording_state *state,
                     void **ret_context, struct err *err)
{
    struct mcap_recording *r = calloc(1, sizeof *r);
    int rc = -ENOMEM;

    if (!r)
        return err_plain(err, -ENOMEM, "no memory for a reader");
    r->input = input;
    r->state = state;
    r->schemas = calloc(MCAP_IDS, sizeof *r->schemas);
    r->channels = calloc(MCAP_IDS, sizeof *r->channels);
    if (!r->schemas || !r->channels)
        (void)err_plain(err, rc, "no memory for a reader");
    else if ((rc = mcap_input_stdio(input->file, &r->bytes)))
        (void)err_at(err, rc, input->name, 0, 0, "an .mcap is read by position; unpack it first");
    if (!rc)
        rc = read_summary(r, err);
    if (!rc)
        rc = start_reader(r, err);
    if (rc) {
        mcap_close(r);
        return rc;
    }
    *ret_context = r;
    return 0;
}

/* 1 with an item, 0 when the message gives none, or an error. */
static int take_message(struct mcap_recording *r, const struct mcap_message *message,
                        struct recording_item *ret_item, struct err *err)
{
    const struct channel *channel = &r->channels[message->channel_id];

    r->messages++;
    if (channel->kind == CHANNEL_OTHER)
        return 0;
    int rc = channel->kind == CHANNEL_FRAME
                 ? mcap_frame_decode(message->data.at, message->data.size, ret_item)
                 : mcap_mark_decode(message->data.at, message->data.size, ret_item);
    if (rc)
        return recording_skip_line(r->input, r->state, RECORDING_SKIP_FOREIGN, r->messages, 0, err,
                                   "message %u of channel %u is no %s", message->sequence,
                                   message->channel_id,
                                   channel->kind == CHANNEL_FRAME ? "frame" : "mark");
    if (channel->kind == CHANNEL_FRAME) {
        ret_item->row.frame.source = channel->source;
        if (!ret_item->placed)
            rc = recording_note_stamp(r->input, r->state, ret_item->row.frame.stamp_ns,
                                      r->messages, err);
    }
    return rc < 0 ? rc : 1;
}

static int mcap_next(void *context, struct recording_item *ret_item, struct err *err)
{
    struct mcap_recording *r = context;
    struct mcap_record record;
    struct recording_item item;
    int rc;

    while ((rc = mcap_reader_next(r->reader, &record, err)) == 1) {
        switch (record.opcode) {
        case MCAP_SCHEMA: note_schema(r, &record.schema); break;
        case MCAP_CHANNEL: rc = note_channel(r, &record.channel, err); break;
        case MCAP_MESSAGE: rc = take_message(r, &record.message, &item, err); break;
        default: continue;
        }
        if (rc < 0)
            return rc;
        if (record.opcode == MCAP_MESSAGE && rc == 1) {
            *ret_item = item;
            return 1;
        }
    }
    if (rc == 0 && !r->any_frames)
        return err_at(err, -EBADMSG, r->input->name, 0, 0,
                      "no topic has frames: a channel with schema " MCAP_FRAME_SCHEMA
                      " in protobuf is expected");
    return rc;
}

static int mcap_rewind(void *context, struct err *err) { return start_reader(context, err); }

static int mcap_sniff(const uint8_t *bytes, size_t size)
{
    return size >= MCAP_MAGIC_BYTES && !memcmp(bytes, mcap_magic, MCAP_MAGIC_BYTES);
}

/* --- writing --- */

struct mcap_recorder {
    struct export_mcap *export;
    struct export_mcap_generation generation;
    struct recording_attachment attachments[ATTACHMENTS_MAX];
};

/* What the writer makes anew is not copied from the clip that it came in: manifest, and databases
 * and packs where others are given. */
static bool is_copied(const struct recording_attachment *a,
                      const struct recording_writer_config *config)
{
    char bus[SOURCE_NAME_MAX];
    const char *file;

    if (!strcmp(a->name, MCAP_META_MANIFEST))
        return false;
    if (config->attachment_count && !strcmp(a->media_type, MCAP_META_PACK_TYPE))
        return false;
    return !(config->dbset && mcap_meta_dbc_name(a->name, bus, &file));
}

static uint32_t copy_attachments(struct mcap_recorder *w,
                                 const struct recording_writer_config *config)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < config->attachment_count && count < ATTACHMENTS_MAX; i++)
        w->attachments[count++] = config->attachments[i];
    for (uint32_t i = 0; config->clip && i < config->clip->attachment_count; i++)
        if (count < ATTACHMENTS_MAX && is_copied(&config->clip->attachments[i], config))
            w->attachments[count++] = config->clip->attachments[i];
    return count;
}

static int mcap_write_open(FILE *file, const struct recording_writer_config *config,
                           void **ret_context, struct err *err)
{
    struct mcap_recorder *w = calloc(1, sizeof *w);
    const struct mcap_sink sink = mcap_sink_stdio(file);

    if (!w)
        return err_plain(err, -ENOMEM, "no memory for a writer");
    w->generation = (struct export_mcap_generation){ 0, config->dbset };
    const struct export_mcap_config export = {
        .sources = config->sources,
        .generations = &w->generation,
        .generation_count = config->dbset ? 1 : 0,
        .clip = config->clip,
        .attachments = w->attachments,
        .attachment_count = copy_attachments(w, config),
        .recording_sha256 = config->recording_sha256,
        .skips = config->skips,
    };
    int rc = export_mcap_open(&export, &sink, &w->export, err);
    if (rc) {
        free(w);
        return rc;
    }
    *ret_context = w;
    return 0;
}

static int mcap_put(void *context, const struct recording_item *item, struct err *err)
{
    struct mcap_recorder *w = context;

    return export_mcap_put(w->export, item, err);
}

static int mcap_finish(void *context, struct err *err)
{
    struct mcap_recorder *w = context;

    return export_mcap_finish(w->export, err);
}

static void mcap_write_close(void *context)
{
    struct mcap_recorder *w = context;

    export_mcap_close(w->export);
    free(w);
}

const struct recording_format recording_mcap = {
    .name = "mcap",
    .extensions = ".mcap",
    .sniff = mcap_sniff,
    .open = mcap_open,
    .next = mcap_next,
    .rewind = mcap_rewind,
    .close = mcap_close,
    .write_open = mcap_write_open,
    .write_put = mcap_put,
    .write_finish = mcap_finish,
    .write_close = mcap_write_close,
};
