/* filedrop - the transport into a folder that is carried to the sink: a stick, a depot's share.
 * In DIR, with CLIP the 32 hex digits of the clip id (docs/KAFKA.md, K60 to K66):
 *   CLIP.rlc       the bytes received, segments joined; there before CLIP.manifest is
 *   CLIP.manifest  the encoded manifest-final, or the latest question (which holds it)
 *   CLIP.gone      the encoded gone
 *   SHA.artifact   an encoded artifact, SHA the 64 hex digits of its key
 *   CLIP.receipt   written by the sink: an encoded receipt; the car reads and removes it
 * While a clip is sent its segments are CLIP-N.part. Every name appears whole: written under another
 * name, synced, renamed, folder synced. A report `done` means exactly that for manifest and
 * artifacts; chunks are synced when their manifest-final comes. */
#ifndef UPLOADER_FILEDROP_H
#define UPLOADER_FILEDROP_H
#include "uploader/transport.h"

/* DIR must exist. 0, or a negative errno with *err. */
int filedrop_open(const char *dir, struct err *err, struct transport *ret_transport);

#endif
