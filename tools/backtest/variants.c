#include "tools/backtest/variants.h"

#include "proto/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct text {
    struct text *next;
    const char *path;          /* borrowed */
    char value[SWEEP_TEXT_MAX]; /* of the sweep; "" as in the file */
    bool swept;
    char *bytes;
    size_t size;
    struct yaml_tree *tree; /* of the file's own text */
};

struct texts {
    struct text *first;
};

/* --- the sweep --- */

static int decimals(double value)
{
    for (int digits = 0; digits < 9; digits++) {
        double scaled = value * pow(10, digits);

        if (fabs(scaled - round(scaled)) < 1e-6)
            return digits;
    }
    return 9;
}

int sweep_parse(const char *text, struct sweep *ret_sweep, struct err *err)
{
    struct sweep s = { .count = 0 };
    int used = 0;

    if (sscanf(text, "%63[a-zA-Z0-9_]=%lf:%lf:%lf%n", s.name, &s.from, &s.to, &s.step, &used) != 4 ||
        text[used])
        return err_plain(err, -EINVAL,
                         "--sweep %s: a sweep is NAME=FROM:TO:STEP, as in brake_g=-4:-8:0.5", text);
    s.step = s.to < s.from ? -fabs(s.step) : fabs(s.step);
    if (!isfinite(s.from) || !isfinite(s.to) || !isfinite(s.step) || fabs(s.step) < 1e-9)
        return err_plain(err, -EINVAL, "--sweep %s: the step must be a number other than 0", text);
    double count = floor((s.to - s.from) / s.step + 1e-9) + 1;
    if (count > SWEEP_VALUES_MAX)
        return err_plain(err, -EINVAL, "--sweep %s: has %.0f values; at most %d are run", text,
                         count, SWEEP_VALUES_MAX);
    s.count = (uint32_t)count;
    *ret_sweep = s;
    return 0;
}

void sweep_value(const struct sweep *sweep, uint32_t index, char text[SWEEP_TEXT_MAX])
{
    int from = decimals(sweep->from), step = decimals(sweep->step);

    (void)snprintf(text, SWEEP_TEXT_MAX, "%.*f", from > step ? from : step,
                   sweep->from + index * sweep->step);
}

/* --- files --- */

int texts_open(struct texts **ret_texts)
{
    *ret_texts = calloc(1, sizeof **ret_texts);
    return *ret_texts ? 0 : -ENOMEM;
}

static void free_text(struct text *text)
{
    yaml_close(text->tree);
    free(text->bytes);
    free(text);
}

void texts_close(struct texts *texts)
{
    if (!texts)
        return;
    for (struct text *t = texts->first, *next; t; t = next) {
        next = t->next;
        free_text(t);
    }
    free(texts);
}

static int read_whole(struct text *text, struct err *err)
{
    FILE *file = fopen(text->path, "rb");
    int rc = 0;

    if (!file)
        return err_at(err, -errno, text->path, 0, 0, "cannot be read: %s", strerror(errno));
    text->bytes = malloc(YAML_BYTES_MAX + 1);
    if (!text->bytes)
        rc = err_plain(err, -ENOMEM, "no memory");
    else
        text->size = fread(text->bytes, 1, YAML_BYTES_MAX + 1, file);
    if (!rc && ferror(file))
        rc = err_at(err, -EIO, text->path, 0, 0, "cannot be read: %s", strerror(errno));
    (void)fclose(file);
    return rc;
}

static struct text *find(const struct texts *texts, const char *path, const char *value)
{
    for (struct text *t = texts->first; t; t = t->next)
        if (!strcmp(t->path, path) && !strcmp(t->value, value))
            return t;
    return NULL;
}

/* The file as it is; a text that is no YAML has no tree, and the loader will say why. */
static int as_file(struct texts *texts, const char *path, struct text **ret_text, struct err *err)
{
    struct text *text = find(texts, path, "");
    int rc = 0;

    if (!text) {
        text = calloc(1, sizeof *text);
        if (!text)
            return err_plain(err, -ENOMEM, "no memory");
        text->path = path;
        rc = read_whole(text, err);
        if (rc) {
            free_text(text);
            return rc;
        }
        if (text->size <= YAML_BYTES_MAX)
            (void)yaml_open(text->bytes, text->size, path, NULL, &text->tree);
        text->next = texts->first;
        texts->first = text;
    }
    *ret_text = text;
    return 0;
}

static const struct yaml_node *param_value(const struct text *text, const char *name)
{
    const struct yaml_node *root = text->tree ? yaml_root(text->tree) : NULL;

    return yaml_get(yaml_get(yaml_get(root, "params"), name), "value");
}

/* What follows the number: its unit. */
static const char *unit_of(const char *value)
{
    char *end;

    (void)strtod(value, &end);
    return end;
}

static int with_value(struct texts *texts, const struct text *file, const struct yaml_node *node,
                      const char *value, struct text **ret_text)
{
    struct text *text = calloc(1, sizeof *text);
    char written[SWEEP_TEXT_MAX + 64];

    if (!text)
        return -ENOMEM;
    int length = snprintf(written, sizeof written, "\"%s%.60s\"", value, unit_of(node->text));
    text->path = file->path;
    text->swept = true;
    (void)snprintf(text->value, sizeof text->value, "%s", value);
    text->size = file->size - (node->end - node->begin) + (size_t)length;
    text->bytes = malloc(text->size);
    if (!text->bytes) {
        free_text(text);
        return -ENOMEM;
    }
    memcpy(text->bytes, file->bytes, node->begin);
    memcpy(text->bytes + node->begin, written, (size_t)length);
    memcpy(text->bytes + node->begin + length, file->bytes + node->end, file->size - node->end);
    text->next = texts->first;
    texts->first = text;
    *ret_text = text;
    return 0;
}

static int one_pack(struct texts *texts, const char *path, const struct sweep *sweep,
                    const char *value, struct text **ret_text, struct err *err)
{
    struct text *file = NULL;
    int rc = as_file(texts, path, &file, err);

    if (rc || !file)
        return rc;
    *ret_text = sweep ? find(texts, path, value) : file;
    if (*ret_text)
        return 0;
    const struct yaml_node *node = param_value(file, sweep->name);
    *ret_text = file;
    if (node && with_value(texts, file, node, value, ret_text))
        return err_plain(err, -ENOMEM, "no memory");
    return 0;
}

int texts_packs(struct texts *texts, const char *const *paths, uint32_t count,
                const struct sweep *sweep, uint32_t index, struct ruleset_pack *ret_packs,
                uint32_t *ret_swept, struct err *err)
{
    char value[SWEEP_TEXT_MAX] = "";
    uint32_t swept = 0;

    if (sweep)
        sweep_value(sweep, index, value);
    for (uint32_t i = 0; i < count; i++) {
        struct text *text = NULL;
        int rc = one_pack(texts, paths[i], sweep, value, &text, err);
        if (rc || !text)
            return rc;
        swept += text->swept;
        ret_packs[i] = (struct ruleset_pack){ text->path, text->bytes, text->size };
    }
    if (ret_swept)
        *ret_swept = swept;
    return 0;
}

uint32_t texts_params(struct texts *texts, const char *const *paths, uint32_t count,
                      const char **ret_names, uint32_t room)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct text *text = find(texts, paths[i], "");
        const struct yaml_node *root = text && text->tree ? yaml_root(text->tree) : NULL;
        const struct yaml_node *params = yaml_get(root, "params");

        for (const struct yaml_node *n = params ? params->first : NULL; n && found < room;
             n = n->next)
            if (n->key)
                ret_names[found++] = n->key;
    }
    return found;
}
