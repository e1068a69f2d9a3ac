/* dbc_index - how a finished database is searched; private to proto/dbc_index.c. */
#ifndef PROTO_DBC_INDEX_H
#define PROTO_DBC_INDEX_H
#include "proto/dbc_store.h"

#define DBC_STANDARD_IDS 2048u

struct dbc_index {
    uint32_t standard[DBC_STANDARD_IDS]; /* message number + 1; 0: none */
    struct dbc_ids extended, pgns;
    struct dbc_names names;
};

#endif
