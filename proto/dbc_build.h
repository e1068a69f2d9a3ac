/* dbc_build - a database while it is being read; private to proto/dbc*.c.
 * Reading has three passes, because the sections of a DBC come in any order:
 *   dbc_parse  bytes -> messages, signals and rows that speak about them (dbc_parse.c, dbc_rows.c)
 *   dbc_link   applies the rows, resolves multiplexors, compiles plans   (dbc_link.c, dbc_mux.c)
 *   dbc_index  what is left becomes the immutable database               (dbc_index.c)
 * Doubt about one message or signal is a `refused` reason there; only `status` stops everything. */
#ifndef PROTO_DBC_BUILD_H
#define PROTO_DBC_BUILD_H
#include "proto/dbc.h"
#include "proto/dbc_lex.h"
#include "proto/dbc_store.h"

#define DBC_ROWS_MAX 2097152
#define DBC_TABLES_MAX 65536
#define DBC_FORMATS_MAX 64 /* values of the VFrameFormat enumeration */
#define DBC_ORPHANS_ID UINT32_C(0xc0000000)

struct dbc_place {
    uint32_t line, column;
};

struct dbc_row;

struct build_signal {
    struct dbc_signal s; /* multiplexor and same_name: positions before refused ones are left out */
    bool is_muxed;      /* "m<n>" or "m<n>M" */
    uint64_t mux_value; /* n */
    struct dbc_row *mux_row; /* its SG_MUL_VAL_ row, or NULL */
    const char *refused; /* why it will not be in the database; NULL when it will */
};

struct build_message {
    struct dbc_message m;
    uint32_t first_signal;
    const struct dbc_row *format_row, *cycle_row; /* or NULL: the defaults hold */
    const char *refused;
};

enum dbc_row_kind {
    ROW_LABELS,       /* VAL_: labels [first, count), or the table named `text` */
    ROW_TYPE,         /* SIG_VALTYPE_: number */
    ROW_MUX,          /* SG_MUL_VAL_: multiplexor `text`, ranges [first, count) */
    ROW_DAMAGED,      /* a row that touches decoding could not be read: refuses its message */
    ROW_MESSAGE_NAME, /* text */
    ROW_SIGNAL_NAME,
    ROW_CYCLE,
    ROW_FORMAT,       /* text of an enumeration, or number (then text is NULL) */
    ROW_SPN,
    ROW_START,
};

struct dbc_row {
    enum dbc_row_kind kind;
    struct dbc_place place;
    uint32_t id;
    bool extended;
    const char *signal; /* short name; NULL: the row speaks of the message */
    const char *text;
    double number;
    uint32_t first, count;
    const struct dbc_range *shared; /* ROW_MUX: its ranges in order, once a signal has them */
    uint32_t shared_count;
};

struct dbc_table {
    const char *name;
    uint32_t first, count;
    const struct dbc_label *sorted; /* made when a VAL_ row first names the table */
    uint32_t sorted_count;
};

struct dbc_build {
    /* input */
    const char *name;
    bool strict, is_utf8;
    struct diags *diags;
    struct err *err;
    struct dbc_lex lex;
    struct dbc_token token; /* the current one, not yet taken */
    const char *expected;   /* why the last failing parse step failed */
    struct dbc_token found;

    /* result */
    int status;     /* not 0: stop, the file is refused */
    bool complained; /* something was worth a warning: `strict` refuses */
    bool has_section;
    struct arena arena;
    struct build_message *messages;
    uint32_t message_count, message_capacity;
    struct build_signal *signals;
    uint32_t signal_count, signal_capacity;
    struct dbc_row *rows;
    uint32_t row_count, row_capacity;
    struct dbc_label *labels;
    uint32_t label_count, label_capacity;
    struct dbc_range *ranges;
    uint32_t range_count, range_capacity;
    struct dbc_table *tables;
    uint32_t table_count, table_capacity;
    struct dbc_refused *refused;
    uint32_t refused_count, refused_capacity;

    /* SG_ rows that follow belong to */
    enum { SIGNALS_NOWHERE, SIGNALS_TO_MESSAGE, SIGNALS_DROPPED } current;

    /* attributes that matter */
    uint32_t cycle_default;
    const char *formats[DBC_FORMATS_MAX];
    uint32_t format_count;
    bool format_defined, format_is_enum;
    const char *format_default;
    double format_default_number;
};

/* --- complaints (dbc_build.c) --- */

/* Something is odd and was understood or left out: a warning; an error when strict. */
void dbc_warn(struct dbc_build *b, const char *code, struct dbc_place place, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

/* The file is refused with `status`; the first call decides. */
void dbc_fail(struct dbc_build *b, int status, struct dbc_place place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "expected X, found Y" of the last failing parse step, then `consequence`. */
void dbc_warn_expected(struct dbc_build *b, const char *code, const char *consequence);

/* Lists what was left out, for dbc.refused. */
void dbc_refuse(struct dbc_build *b, const char *message, const char *signal, const char *reason,
                struct dbc_place place);

/* Makes room for one more in a growing array; sets status and returns false when it cannot. */
bool dbc_room(struct dbc_build *b, void **items, uint32_t *capacity, uint32_t count, size_t size,
              uint32_t max, const char *what);

/* --- parse steps (dbc_take.c): each returns whether it took what it names --- */

struct dbc_number {
    double value;
    const char *text;
    bool integral;
    int64_t integer; /* when integral; at most 2^62 in magnitude */
};

void dbc_advance(struct dbc_build *b);
struct dbc_place dbc_here(const struct dbc_build *b);
bool dbc_fault(struct dbc_build *b, const char *expected); /* always false */
bool dbc_take(struct dbc_build *b, const char *text, const char *expected);
bool dbc_take_word(struct dbc_build *b, const char **ret_word, const char *expected);
bool dbc_take_string(struct dbc_build *b, const char **ret_text, const char *expected);
bool dbc_take_unsigned(struct dbc_build *b, uint64_t max, uint64_t *ret_value,
                       const char *expected);
bool dbc_take_number(struct dbc_build *b, struct dbc_number *ret_number, const char *expected);
bool dbc_take_id(struct dbc_build *b, uint32_t *ret_file_id);
bool dbc_take_end(struct dbc_build *b); /* ';'; its absence before a new section is a warning */
bool dbc_at_section(const struct dbc_build *b); /* a section's keyword, first on its line, or END */
void dbc_skip_row(struct dbc_build *b);         /* to behind ';' or to a section */
bool dbc_is_keyword(const struct dbc_token *token);

/* The arbitration id that a file's id means; returns whether it is plain (no doubtful bits). */
bool dbc_split_id(uint32_t file_id, uint32_t *ret_id, bool *ret_extended);

/* --- rows (dbc_rows.c) --- */
bool dbc_left_out(struct dbc_build *b); /* warns that the row is left out; always false */
void dbc_keep_row(struct dbc_build *b, const struct dbc_row *row);
bool dbc_take_target_id(struct dbc_build *b, struct dbc_row *row);
bool dbc_take_target_signal(struct dbc_build *b, struct dbc_row *row);
bool dbc_take_value(struct dbc_build *b, struct dbc_number *number, const char **text);
bool dbc_take_shape(struct dbc_build *b, const char *shape);   /* letters: see dbc_rows.c */
bool dbc_row_of_shape(struct dbc_build *b, const char *shape); /* then ';' */

/* dbc_attributes.c */
bool dbc_parse_definition(struct dbc_build *b);
bool dbc_parse_default(struct dbc_build *b);
bool dbc_parse_attribute(struct dbc_build *b);
bool dbc_parse_relation(struct dbc_build *b);
bool dbc_parse_relation_definition(struct dbc_build *b);

/* Does one of the row's ranges hold the value? */
bool dbc_row_holds(const struct dbc_build *b, const struct dbc_row *row, uint64_t value);

/* --- passes --- */
void dbc_parse(struct dbc_build *b);
bool dbc_parse_row(struct dbc_build *b, bool *ret_known); /* dbc_rows.c: all but BO_ and SG_ */
void dbc_link(struct dbc_build *b);
void dbc_link_multiplexors(struct dbc_build *b, struct build_message *message); /* dbc_mux.c */
void dbc_link_names(struct dbc_build *b);                                       /* dbc_mux.c */
void dbc_refuse_signal(struct dbc_build *b, const struct build_message *message,
                       struct build_signal *signal, const char *code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
int dbc_index_build(struct dbc_build *b, struct dbc **ret_dbc);

/* A cycle time as whole milliseconds; 0 for none. */
static inline uint32_t dbc_milliseconds(double value)
{
    if (!(value >= 1.0))
        return 0;
    return value > (double)UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static inline struct build_signal *build_signals(const struct dbc_build *b,
                                                 const struct build_message *message)
{
    return b->signals ? b->signals + message->first_signal : NULL; /* NULL: the file has none */
}

#endif
