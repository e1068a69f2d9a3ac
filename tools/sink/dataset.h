/* dataset - the tree of files that labelling and training read, and how a clip gets in once, whole,
 * at any crash.
 *
 *   date=YYYY-MM-DD|unknown/vehicle=V/CLIP.rlc   the bytes received, segments joined
 *                                     CLIP.mcap  made from it, CLIP.rN.mcap when made again
 *                                     CLIP.json  written last: with it the clip is whole
 *   ids/xx/CLIP                   path and SHA-256, made by link(): who was first with which content
 *   partial/vehicle=V/CLIP.json   what is missing; CLIP.part the bytes, once the cache let go
 *   quarantine/vehicle=V/CLIP-<manifest>.rlc, .json   other content, or content that does not read
 *   artifacts/xx/SHA256           databases and packs, by content
 *   tmp/                          being written; swept when a day old
 *
 * Invariants: (1) a rename never replaces a stored file; (2) JSON follows .rlc and .mcap, each
 * synced with its folder; (3) ids/ decides between contents, before anything is placed; (4) names
 * are made of checked pseudonyms, hex and dates alone.
 * Every step may be the last one before a crash: doing it all again completes it. Several members
 * on one tree do no harm to each other. One thread. */
#ifndef TOOLS_SINK_DATASET_H
#define TOOLS_SINK_DATASET_H
#include "proto/err.h"
#include "tools/sink/files.h"
#include "tools/sink/record.h"

#define DATASET_DATE_MAX 16
#define DATASET_SWEEP_NS (INT64_C(86400) * 1000000000)

struct dataset;

struct dataset_config {
    const char *root;
    const struct files_faults *faults; /* NULL but in tests */
    uint64_t member;                   /* tells the temporary files of members apart: random */
    int64_t utc_now_ns;                /* for sweeping tmp/ */
};

int dataset_open(const struct dataset_config *config, struct err *err,
                 struct dataset **ret_dataset);
void dataset_close(struct dataset *dataset); /* takes NULL */
struct files *dataset_files(const struct dataset *dataset); /* borrowed */

/* Where a clip's files are: checked parts only. */
struct dataset_place {
    char date[DATASET_DATE_MAX]; /* "2018-07-27" or "unknown" */
    char vehicle[PSEUDONYM_MAX];
    char clip[CLIP_ID_HEX];
};
void dataset_place(const struct wire_about *about, struct dataset_place *ret_place);
/* "date=.../vehicle=.../CLIP<suffix>" */
void dataset_name(const struct dataset_place *place, const char *suffix,
                  char name[FILES_PATH_MAX]);

/* A stored clip. 1 with *ret_record and *ret_place, 0 when there is none, or a negative errno
 * (-EBADMSG: the JSON is broken). */
int dataset_find(struct dataset *dataset, const char *vehicle,
                 const uint8_t clip_id[CLIP_ID_BYTES], struct record *ret_record,
                 struct dataset_place *ret_place, struct err *err);
int dataset_find_partial(struct dataset *dataset, const char *vehicle,
                         const uint8_t clip_id[CLIP_ID_BYTES], struct record *ret_record,
                         struct err *err);
bool dataset_quarantined(struct dataset *dataset, const char *vehicle,
                         const uint8_t clip_id[CLIP_ID_BYTES],
                         const uint8_t final_sha256[SHA256_BYTES]);

/* A file being made. */
struct dataset_temp {
    char name[FILES_PATH_MAX];
    int64_t bytes;
    uint8_t sha256[SHA256_BYTES];
};
void dataset_temp(struct dataset *dataset, const char *suffix, struct dataset_temp *ret_temp);
void dataset_discard(struct dataset *dataset, const struct dataset_temp *temp);

/* One segment, read from an open descriptor at an offset. */
struct dataset_piece {
    int fd;
    int64_t offset, bytes;
    uint8_t sha256[SHA256_BYTES];
};
/* Copies the pieces into one synced file. -EBADMSG with *ret_bad when a piece has another SHA-256. */
int dataset_join(struct dataset *dataset, const struct dataset_piece *pieces, uint32_t count,
                 struct dataset_temp *ret_temp, uint32_t *ret_bad);

enum dataset_claim { DATASET_NEW, DATASET_LEFTOVER, DATASET_DONE, DATASET_OTHER };
/* Says in ids/ that this content is the clip. *place may come back with another date, that of the
 * first claim of the same content. Returns enum dataset_claim or a negative errno. */
int dataset_claim(struct dataset *dataset, struct dataset_place *place,
                  const uint8_t rlc_sha256[SHA256_BYTES], struct err *err);
/* Puts the files in their places, JSON last. `mcap` may be NULL. Temps are used up or, on failure,
 * left for the caller to discard. Returns 0, also when another member was faster. */
int dataset_finish(struct dataset *dataset, const struct dataset_place *place,
                   const struct dataset_temp *rlc, const struct dataset_temp *mcap,
                   const char *json);

/* Keeps a clip beside the dataset with its reason. 0; -EDQUOT when its bytes and the record would
 * bring what the car has in quarantine above bytes_max (a clip that is there already is not counted
 * twice), nothing is written then; or another negative errno. Members that quarantine at the same
 * moment may go beyond by a clip each. */
int dataset_quarantine(struct dataset *dataset, const char *vehicle, int64_t bytes_max,
                       const uint8_t clip_id[CLIP_ID_BYTES],
                       const uint8_t final_sha256[SHA256_BYTES], const struct dataset_temp *rlc,
                       const char *json);

/* Writes partial/.../CLIP.json, after CLIP.part when `part` is not NULL. */
int dataset_put_partial(struct dataset *dataset, const char *vehicle,
                        const uint8_t clip_id[CLIP_ID_BYTES], const struct dataset_temp *part,
                        const char *json);
void dataset_partial_name(const char *vehicle, const uint8_t clip_id[CLIP_ID_BYTES],
                          const char *suffix, char name[FILES_PATH_MAX]);
/* Removes both, JSON first. 0 also when there was nothing. */
int dataset_drop_partial(struct dataset *dataset, const char *vehicle,
                         const uint8_t clip_id[CLIP_ID_BYTES]);

/* Replaces CLIP.json of a stored clip (reexport: it names another MCAP). */
int dataset_update(struct dataset *dataset, const struct dataset_place *place, const char *json);

/* Renames a CLIP.json that does not read to CLIP.json.broken: the clip is then a leftover. */
int dataset_set_aside(struct dataset *dataset, const struct dataset_place *place);

#endif
