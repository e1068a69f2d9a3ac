/* cuts - clips of real drives in memory, dealt out as if each simulated vehicle had cut them itself:
 * header and manifest get the vehicle's name, session and ordinal (and so a clip id of its own), the
 * rows stay as the engine wrote them. Out come the pieces that the recorder would give.
 * Handle; owner: the caller's thread. Memory: the bytes of the clips, and one header and manifest. */
#ifndef TOOLS_SIM_CUTS_H
#define TOOLS_SIM_CUTS_H
#include "storage/recorder.h"

#define CUTS_MAX 1024
#define CUTS_BYTES_MAX (INT64_C(256) * 1048576) /* of all clips together */

struct cuts;

struct cuts_identity {
    const char *vehicle; /* pseudonym */
    uint8_t session_id[SESSION_ID_BYTES];
    uint64_t ordinal;
};

/* Reads clips (.rlc): whole ones, or the files of their segments one after the other. Every byte is
 * checked. 0; -EBADMSG, -ERANGE (limits above), -ENOMEM or that of reading, with *err. */
int cuts_load(const char *const *paths, uint32_t count, struct err *err, struct cuts **ret_cuts);
void cuts_close(struct cuts *cuts); /* takes NULL */

uint32_t cuts_count(const struct cuts *cuts);
uint64_t cuts_bytes(const struct cuts *cuts, uint32_t index); /* as it was read */

/* Gives the pieces of clip `index` under that identity to `put`, in order, until it returns other
 * than 0, which is returned then. Pieces hold during the call. 0, -ENOMEM, -ERANGE (a name too long). */
int cuts_deal(struct cuts *cuts, uint32_t index, const struct cuts_identity *identity,
              int (*put)(void *context, const struct recorder_piece *piece), void *context);

#endif
