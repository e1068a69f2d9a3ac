/* samples - the notation in which a test of a rule writes the samples of a signal, after promtool's:
 *   80            one sample              80x3        four of them (one, then three more)
 *   80-1.2x40     80, then 40 more, each 1.2 less     'OPEN'x2    a label
 *   _  _x5        no sample, once or five times       true false  1 and 0
 *   stale         none until the signal's max_age has passed
 *   unk           a sample that the signal calls invalid
 * Parts are separated by blanks. Pure. */
#ifndef TOOLS_RULESTEST_SAMPLES_H
#define TOOLS_RULESTEST_SAMPLES_H
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLES_MAX 100000 /* of one signal in one case */
#define SAMPLE_LABEL_MAX 128

enum sample_kind { SAMPLE_NUMBER, SAMPLE_LABEL, SAMPLE_NONE, SAMPLE_STALE, SAMPLE_INVALID };

struct samples_part {
    enum sample_kind kind;
    double number, step;
    uint32_t count; /* of samples, at least 1 */
    char label[SAMPLE_LABEL_MAX];
    uint32_t offset; /* of the part in the text, bytes */
};

/* Reads the next part at text[*at], moves *at behind it. Returns 1, 0 at the end, or -EINVAL with
 * *ret_part->offset and *ret_why set. */
int samples_next(const char *text, uint32_t *at, struct samples_part *ret_part,
                 const char **ret_why);

#endif
