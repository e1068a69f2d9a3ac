/* limits - the hard bounds of wire, disk and memory that no option can raise.
 * A capacity that a configuration may lower names its ceiling here; a constant of a format stands
 * here so that reader and writer cannot disagree. */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

#define SOURCES_MAX 32             /* buses and sensors of one session; pseudo-sources excluded */
#define SOURCE_NAME_MAX 32         /* bytes with NUL: IFNAMSIZ is 16, sensors get room */
#define FRAME_DATA_MAX 64          /* CAN FD */
#define BLOCK_ROWS_MAX 131072      /* rows of one block */
#define BLOCK_BYTES_MAX 8388608    /* a block, encoded or not: bound for allocation while reading */
#define SEGMENT_BYTES_MAX 67108864 /* a sealed .rlc file */
#define SEGMENTS_MAX 2             /* segments of one clip (DESIGN.md 4: crash-class clips have two) */
#define CHUNK_BYTES_MIN 4096
#define CHUNK_BYTES_DEFAULT 131072
#define CHUNK_BYTES_MAX 524288
#define MANIFEST_BYTES_MAX 1048576 /* manifest inside a segment */
#define ENVELOPE_BYTES_MAX 512     /* manifest-open, manifest-final and questions on the wire */
#define ARTIFACT_BYTES_MAX 921600  /* 900 KiB: a DBC or pack, compressed, in one Kafka message */
#define ARTIFACT_RAW_BYTES_MAX 16777216 /* the same, inflated */
#define PSEUDONYM_MAX 64           /* vehicle pseudonym, bytes with NUL */
#define RULES_MAX 4096
#define RULE_NAME_MAX 128          /* "package/name", bytes with NUL */
#define CLIPS_OPEN_MAX 8
#define CLIP_EVENTS_MAX 256        /* events listed by one clip */
#define ATTACH_MAX 16              /* values stored with one event */
#define PRIORITY_MAX 9
#define PRIORITY_CRASH 9           /* crash class: two segments, reserved upload slot */

#endif
