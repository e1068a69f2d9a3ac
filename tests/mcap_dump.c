/* mcap_dump FILE...: what our readers find in MCAP files, one JSON object a line, for
 * tests/oracle/mcap_python.py. Data of messages and attachments is summed as CRC-32. */
#include "proto/crc32.h"
#include "proto/json.h"
#include "proto/mcap_index.h"
#include "proto/mcap_read.h"

#include <stdlib.h>
#include <string.h>

struct topic {
    char name[256];
    uint64_t count;
    uint32_t crc;
};

struct dump {
    struct topic *topics; /* MCAP_IDS, by channel id */
    uint64_t messages, attachments, metadata, indexed;
    uint32_t indexed_crc;
    bool has_index;
    struct err err;
};

static void note(struct dump *d, const struct mcap_record *record)
{
    switch (record->opcode) {
    case MCAP_CHANNEL: {
        struct topic *topic = &d->topics[record->channel.id];
        (void)snprintf(topic->name, sizeof topic->name, "%.*s", (int)record->channel.topic.size,
                       (const char *)record->channel.topic.at);
        break;
    }
    case MCAP_MESSAGE: {
        struct topic *topic = &d->topics[record->message.channel_id];
        topic->count++;
        topic->crc = crc32_ieee(topic->crc, record->message.data.at, record->message.data.size);
        d->messages++;
        break;
    }
    case MCAP_ATTACHMENT: d->attachments++; break;
    case MCAP_METADATA: d->metadata++; break;
    default: break;
    }
}

static int stream(const char *path, const struct mcap_input *input, struct dump *d)
{
    const struct mcap_read_config config = { .name = path };
    struct mcap_reader *reader;
    struct mcap_record record;
    int rc = mcap_reader_open(&config, input, &reader);

    if (rc)
        return rc;
    while ((rc = mcap_reader_next(reader, &record, &d->err)) == 1)
        note(d, &record);
    mcap_reader_close(reader);
    return rc;
}

static int indexed(const char *path, const struct mcap_input *input, struct dump *d)
{
    struct mcap_message message;
    struct mcap_index *index;
    int rc = mcap_index_open(path, input, &index, &d->err);

    if (rc)
        return rc;
    rc = mcap_index_seek(index, 0, UINT64_MAX, &d->err);
    d->has_index = rc == 0;
    while (d->has_index && (rc = mcap_index_next(index, &message, &d->err)) == 1) {
        d->indexed++;
        d->indexed_crc = crc32_ieee(d->indexed_crc, message.data.at, message.data.size);
    }
    mcap_index_close(index);
    return d->has_index ? rc : 0;
}

static void print(const struct dump *d)
{
    static char bytes[1 << 20];
    struct json_text text = { .at = bytes, .size = sizeof bytes };

    json_printf(&text, "{\"messages\":%llu,\"attachments\":%llu,\"metadata\":%llu,\"topics\":[",
                (unsigned long long)d->messages, (unsigned long long)d->attachments,
                (unsigned long long)d->metadata);
    bool first = true;
    for (size_t id = 0; id < MCAP_IDS; id++) {
        if (!d->topics[id].count)
            continue;
        json_printf(&text, "%s[%zu,", first ? "" : ",", id);
        json_quote(&text, d->topics[id].name);
        json_printf(&text, ",%llu,%u]", (unsigned long long)d->topics[id].count,
                    d->topics[id].crc);
        first = false;
    }
    json_printf(&text, "]");
    if (d->has_index)
        json_printf(&text, ",\"indexed\":%llu,\"indexed_crc\":%u", (unsigned long long)d->indexed,
                    d->indexed_crc);
    json_printf(&text, "}");
    (void)puts(bytes);
}

static int dump(const char *path)
{
    struct dump d = { .topics = calloc(MCAP_IDS, sizeof *d.topics) };
    FILE *file = fopen(path, "rb");
    struct mcap_input input;
    int rc = -1;

    if (file && d.topics && mcap_input_stdio(file, &input) == 0) {
        rc = stream(path, &input, &d);
        if (!rc)
            rc = indexed(path, &input, &d);
    }
    if (rc)
        (void)fprintf(stderr, "%s: %s\n", path, d.err.text);
    else
        print(&d);
    if (file)
        (void)fclose(file);
    free(d.topics);
    return rc;
}

int main(int argc, char **argv)
{
    int bad = 0;

    for (int i = 1; i < argc; i++)
        bad |= dump(argv[i]) != 0;
    return bad;
}
