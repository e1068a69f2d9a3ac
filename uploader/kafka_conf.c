#include "uploader/kafka_conf.h"

#include "proto/cert.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_SUFFIX ".file"
#define ENV_SUFFIX ".env"
#define SETTING_KEY_MAX 128
#define SECRET_MAX 4096

/* Keys that the contract rests on (docs/KAFKA.md, K30), or that load code. */
static const char *const refused[] = {
    "acks", "request.required.acks", "enable.idempotence", "transactional.id", "partitioner",
    "enable.auto.commit", "enable.auto.offset.store", "partition.assignment.strategy",
    "auto.offset.reset", "enable.partition.eof", "group.id", "bootstrap.servers",
    "metadata.broker.list", "client.id", "plugin.library.paths", "log.queue", "group.instance.id",
};

/* Length of a key without ".file" or ".env", which say where its value is. */
static size_t base_of(const char *key)
{
    static const char *const suffixes[] = { FILE_SUFFIX, ENV_SUFFIX };
    size_t size = strlen(key);

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t more = strlen(suffixes[i]);
        if (size > more && strcmp(key + size - more, suffixes[i]) == 0)
            return size - more;
    }
    return size;
}

static int check_settings(const struct kafka_config *config, struct err *err)
{
    if (config->setting_count > KAFKA_SETTINGS_MAX)
        return err_plain(err, -ERANGE, "kafka: %u settings, at most %d", config->setting_count,
                         KAFKA_SETTINGS_MAX);
    for (uint32_t i = 0; i < config->setting_count; i++)
        for (size_t k = 0; k < sizeof refused / sizeof refused[0]; k++)
            if (base_of(config->settings[i].key) == strlen(refused[k]) &&
                strncmp(config->settings[i].key, refused[k], strlen(refused[k])) == 0)
                return err_plain(err, -EINVAL, "kafka: '%s' is fixed by the contract "
                                 "(docs/KAFKA.md, K30) and cannot be set", refused[k]);
    return 0;
}

static int set(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *err)
{
    char reason[KAFKA_REASON_MAX];
    rd_kafka_conf_res_t rc = rd_kafka_conf_set(conf, key, value, reason, sizeof reason);

    if (rc == RD_KAFKA_CONF_OK)
        return 0;
    return err_plain(err, -EINVAL, "kafka: %s", reason);
}

/* The first line of a file. Errors name the file, never what is in it. */
static int read_secret(const struct kafka_setting *from, char secret[SECRET_MAX], struct err *err)
{
    FILE *file = fopen(from->value, "re");

    if (!file)
        return err_plain(err, -errno, "kafka: %s: %s: %s", from->key, from->value, strerror(errno));
    char *got = fgets(secret, SECRET_MAX, file);
    (void)fclose(file);
    if (got)
        secret[strcspn(secret, "\r\n")] = '\0';
    if (!got || !secret[0])
        return err_plain(err, -ENODATA, "kafka: %s: %s: its first line is empty", from->key,
                         from->value);
    return 0;
}

static int set_from(rd_kafka_conf_t *conf, const struct kafka_setting *from, struct err *err)
{
    char key[SETTING_KEY_MAX], secret[SECRET_MAX], reason[KAFKA_REASON_MAX];
    size_t base = base_of(from->key);
    const char *value = secret;

    if (!from->key[base])
        return set(conf, from->key, from->value, err);
    if (base >= sizeof key)
        return err_plain(err, -EINVAL, "kafka: '%s' is no setting", from->key);
    (void)snprintf(key, sizeof key, "%.*s", (int)base, from->key);
    if (strcmp(from->key + base, FILE_SUFFIX) == 0) {
        int rc = read_secret(from, secret, err);
        if (rc)
            return rc;
    } else if (!(value = getenv(from->value))) {
        return err_plain(err, -ENODATA, "kafka: %s: there is no variable %s", from->key, from->value);
    }
    rd_kafka_conf_res_t rc = rd_kafka_conf_set(conf, key, value, reason, sizeof reason);
    explicit_bzero(secret, sizeof secret);
    if (rc == RD_KAFKA_CONF_OK)
        return 0;
    /* librdkafka's reason would quote the value. */
    return err_plain(err, -EINVAL, "kafka: %s: %s", from->key,
                     rc == RD_KAFKA_CONF_UNKNOWN ? "there is no such setting"
                                                 : "the value found there is refused");
}

/* Before log.queue takes over: remarks on settings that only the other kind of handle uses. */
static void be_quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

int kafka_conf_make(const struct kafka_config *config, const struct kafka_conf_pair *pairs,
                    size_t count, struct err *err, struct rd_kafka_conf_s **ret_conf)
{
    const struct kafka_conf_pair common[] = {
        { "bootstrap.servers", config->bootstrap },
        { "client.id", config->client_id },
        { "socket.keepalive.enable", "true" },
        { "connections.max.idle.ms", "240000" }, /* below the usual NAT time-out of 5 minutes */
        { "reconnect.backoff.max.ms", "60000" },
        { "log.connection.close", "false" },
        { "log.queue", "true" }, /* log lines arrive as events, in the owner's thread */
    };
    int rc = check_settings(config, err);
    if (rc)
        return rc;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!conf)
        return err_plain(err, -ENOMEM, "kafka: no memory");
    rd_kafka_conf_set_log_cb(conf, be_quiet);
    for (size_t i = 0; !rc && i < sizeof common / sizeof common[0]; i++)
        rc = set(conf, common[i].key, common[i].value, err);
    for (size_t i = 0; !rc && i < count; i++)
        rc = set(conf, pairs[i].key, pairs[i].value, err);
    for (uint32_t i = 0; !rc && i < config->setting_count; i++)
        rc = set_from(conf, &config->settings[i], err);
    if (rc) {
        rd_kafka_conf_destroy(conf);
        return rc;
    }
    *ret_conf = conf;
    return 0;
}

static const char *keep(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *kept = memcpy(*at, text, size);

    *at += size;
    return kept;
}

int kafka_conf_keep(const struct kafka_config *config, struct kafka_conf_copy *ret_copy)
{
    size_t size = strlen(config->bootstrap) + strlen(config->client_id) + 2;

    if (config->setting_count > KAFKA_SETTINGS_MAX)
        return -ERANGE;
    for (uint32_t i = 0; i < config->setting_count; i++)
        size += strlen(config->settings[i].key) + strlen(config->settings[i].value) + 2;
    char *at = malloc(size);
    if (!at)
        return -ENOMEM;
    *ret_copy = (struct kafka_conf_copy){ .text = at };
    ret_copy->config.bootstrap = keep(&at, config->bootstrap);
    ret_copy->config.client_id = keep(&at, config->client_id);
    for (uint32_t i = 0; i < config->setting_count; i++) {
        ret_copy->settings[i].key = keep(&at, config->settings[i].key);
        ret_copy->settings[i].value = keep(&at, config->settings[i].value);
    }
    ret_copy->config.settings = ret_copy->settings;
    ret_copy->config.setting_count = config->setting_count;
    return 0;
}

static bool names_file(const char *key)
{
    size_t size = strlen(key);

    return strcmp(key + base_of(key), FILE_SUFFIX) == 0 ||
           (size > 9 && strcmp(key + size - 9, ".location") == 0);
}

uint64_t kafka_conf_files(const struct kafka_conf_copy *copy)
{
    uint64_t sum = 0;
    struct stat info;

    for (uint32_t i = 0; i < copy->config.setting_count; i++) {
        if (!names_file(copy->settings[i].key) || stat(copy->settings[i].value, &info) < 0)
            continue;
        const uint64_t parts[] = { (uint64_t)info.st_ino, (uint64_t)info.st_size,
                                   (uint64_t)info.st_mtim.tv_sec, (uint64_t)info.st_mtim.tv_nsec };
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++)
            sum = (sum ^ parts[k]) * UINT64_C(1099511628211);
    }
    return sum;
}

void kafka_conf_explain(const struct kafka_conf_copy *copy, char reason[KAFKA_REASON_MAX])
{
    char end[CERT_TIME_MAX];

    if (!strstr(reason, "certificate"))
        return;
    for (uint32_t i = 0; i < copy->config.setting_count; i++)
        if (!strcmp(copy->settings[i].key, "ssl.certificate.location") &&
            cert_expired(copy->settings[i].value, end) == 1)
            (void)snprintf(reason, KAFKA_REASON_MAX, "our certificate %.120s ended %s",
                           copy->settings[i].value, end);
}

void kafka_conf_release(struct kafka_conf_copy *copy)
{
    free(copy->text);
    copy->text = NULL;
}

int kafka_conf_partitions(struct rd_kafka_s *rk, const char *topic, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);

    if (!handle)
        return -EIO;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, handle, &metadata, timeout_ms);
    rd_kafka_topic_destroy(handle);
    if (code)
        return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT
                   ? -ETIMEDOUT
                   : -EIO;
    bool found = metadata->topic_cnt == 1;
    code = found ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_NO_ERROR;
    int count = found && !code ? metadata->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(metadata);
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return -EACCES;
    return count > 0 ? count : -ENOENT;
}
