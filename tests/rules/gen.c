#include "tests/rules/gen.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 4096
#define DEPTH_MAX 5

/* Scaled, signed, enum, float and 64-bit signals, multiplexed ones, on two buses. */
const char gen_dbc0[] =
    "VERSION \"\"\n\nNS_ :\n\nBS_:\n\nBU_: A\n\n"
    "BO_ 256 M: 8 A\n"
    " SG_ Count : 0|8@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Speed : 8|16@1+ (0.01,0) [0|0] \"km/h\" A\n"
    " SG_ Flag : 24|1@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Gear : 28|4@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Accel : 32|16@1- (0.001,0) [0|0] \"m/s^2\" A\n"
    " SG_ Odd : 48|8@1+ (-2,7) [0|0] \"foos\" A\n"
    "BO_ 768 Mux: 8 A\n"
    " SG_ Which M : 0|8@1+ (1,0) [0|0] \"\" A\n"
    " SG_ One m1 : 8|8@1- (1,0) [0|0] \"\" A\n"
    " SG_ Two m2 : 16|8@1+ (0.5,-10) [0|0] \"m/s^2\" A\n"
    "BA_DEF_ BO_ \"GenMsgCycleTime\" INT 0 65535;\n"
    "BA_DEF_DEF_ \"GenMsgCycleTime\" 0;\n"
    "BA_ \"GenMsgCycleTime\" BO_ 256 20;\n"
    "VAL_ 256 Gear 0 \"P\" 1 \"R\" 2 \"N\" 3 \"D\" 15 \"SNA\" 14 \"Error\";\n";

const char gen_dbc1[] =
    "VERSION \"\"\n\nNS_ :\n\nBS_:\n\nBU_: A\n\n"
    "BO_ 300 Wide: 8 A\n"
    " SG_ Big : 7|64@0+ (1,0) [0|0] \"\" A\n"
    "BO_ 301 Real: 8 A\n"
    " SG_ Dist : 0|32@1- (1,0) [0|0] \"m\" A\n"
    " SG_ Temp : 32|8@1+ (0.5,-40) [0|0] \"degC\" A\n"
    " SG_ Belt : 40|1@1+ (1,0) [0|0] \"\" A\n"
    "BO_ 302 Other: 5 A\n"
    " SG_ Speed : 7|16@0+ (0.05,-20) [0|0] \"km/h\" A\n"
    " SG_ Steps : 16|16@1- (1,0) [0|0] \"\" A\n"
    "BA_DEF_ BO_ \"GenMsgCycleTime\" INT 0 65535;\n"
    "BA_DEF_DEF_ \"GenMsgCycleTime\" 0;\n"
    "BA_ \"GenMsgCycleTime\" BO_ 302 10;\n";

/* --- chance --------------------------------------------------------------------------------- */

static uint64_t state;

static uint64_t chance(void) /* splitmix64 */
{
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(chance() % n);
}

static bool percent(uint32_t p)
{
    return below(100) < p;
}

static const char *one_of(const char *const *texts)
{
    uint32_t n = 0;

    while (texts[n])
        n++;
    return texts[below(n)];
}

/* --- forms of expressions ------------------------------------------------------------------- */

/* Types: b condition, s speed, a acceleration, i integer, u number without unit, g gear, m metres,
 * c degC, o the opaque unit. In a form, a letter between dots is an operand of that type, `.b.`;
 * '#' a literal number of the operand before it, '~' a relation, '@' a word of the list below. */
struct form {
    char type;
    const char *name;  /* the operator, then '_' and what tells its forms apart */
    const char *text;
    uint8_t weight;
    bool is_leaf;
    bool never_unknown;
};

static const struct form forms[] = {
    /* conditions */
    { 'b', "and", "(.b. and .b.)", 14, false, false },
    { 'b', "or", "(.b. or .b.)", 16, false, false },
    { 'b', "and_3", "(.b. and .b. and .b.)", 3, false, false },
    { 'b', "not", "(not .b.)", 9, false, false },
    { 'b', "must", "must(.b.)", 5, false, true },
    { 'b', "maybe", "maybe(.b.)", 5, false, true },
    { 'b', "coal_b", "(.b. ?? .b.)", 5, false, false },
    { 'b', "if_b", "if(.b., .b., .b.)", 5, false, false },
    { 'b', "same_b", "(.b. == .b.)", 4, false, false },
    { 'b', "rise", "rise(.b.)", 8, false, false },
    { 'b', "fall", "fall(.b.)", 8, false, false },
    { 'b', "changed_b", "changed(.b.)", 4, false, false },
    { 'b', "changed_i", "changed(.i.)", 4, false, false },
    { 'b', "changed_from", "changed(gear, from: 'D', to: 'N')", 3, true, false },
    { 'b', "changed_to", "changed(count, to: #i)", 3, true, false },
    { 'b', "changed_scaled", "changed(speed, from: #q)", 3, true, false },
    { 'b', "prev_b", "prev(.b.)", 5, false, false },
    { 'b', "compare_s", "(.s. ~ #s)", 14, false, false },
    { 'b', "compare_a", "(.a. ~ #a)", 10, false, false },
    { 'b', "compare_i", "(.i. ~ #i)", 10, false, false },
    { 'b', "compare_u", "(.u. ~ #u)", 7, false, false },
    { 'b', "compare_m", "(.m. ~ #m)", 6, false, false },
    { 'b', "compare_c", "(temp ~ #c)", 5, true, false },
    { 'b', "compare_o", "(odd ~ #o)", 4, true, false },
    { 'b', "compare_big", "(big ~ 9007199254740993)", 4, true, false },
    { 'b', "compare_ss", "(.s. ~ .s.)", 5, false, false },
    { 'b', "compare_ii", "(.i. ~ .i.)", 5, false, false },
    { 'b', "equal_i", "(.i. == #i)", 4, false, false },
    { 'b', "differ_i", "(steps != #i)", 3, true, false },
    { 'b', "equal_scaled", "(speed == #q)", 4, true, false },
    { 'b', "chain", "(#s < .s. <= #s)", 5, false, false },
    { 'b', "inrange", "(.a. in [#a..#a))", 4, false, false },
    { 'b', "inrange_not", "(.i. not in (#i..#i])", 4, false, false },
    { 'b', "inset", "(.g. in {'D', 'R'})", 5, false, false },
    { 'b', "inset_not", "(.i. not in {#i, #i, #i})", 3, false, false },
    { 'b', "inlist", "(.g. in $forward)", 5, false, false },
    { 'b', "equal_g", "(.g. == 'D')", 6, false, false },
    { 'b', "raw", "(gear@raw >= #i)", 3, true, false },
    { 'b', "flag", "flag", 8, true, false },
    { 'b', "belt", "(belt == 1)", 6, true, false },
    { 'b', "bit", "bit(.i., #b)", 4, false, false },
    { 'b', "near_s", "near(.s., .s., tol: 5 km/h)", 3, false, false },
    { 'b', "near_c", "near(temp, 20 degC, tol: 10.5 K)", 3, true, false },
    { 'b', "is_signal", "(@signal is @state)", 8, true, true },
    { 'b', "is_not", "(@signal is not @state)", 5, true, true },
    { 'b', "is_known", "(.s. is known)", 3, false, true },
    { 'b', "is_unknown", "(.b. is unknown)", 3, false, true },
    { 'b', "age", "(age(@signal) @over #t)", 8, true, false },
    { 'b', "held", "held(.b., #t)", 9, false, false },
    { 'b', "once", "once(.b., #t)", 9, false, false },
    { 'b', "since", "since(.b., .b.)", 4, false, false },
    { 'b', "since_d", "since(.b., .b., #t)", 5, false, false },
    { 'b', "hyst", "hyst(.s., on: >30 km/h, off: <=15.003 km/h)", 4, false, false },
    { 'b', "hyst_down", "hyst(.i., on: <3, off: >=7)", 4, false, false },
    { 'b', "debounce", "debounce(.b., on: #t, off: #t)", 6, false, false },
    { 'b', "latch", "latch(set: .b., reset: .b.)", 6, false, true },
    { 'b', "frozen", "frozen(@signal, #t)", 6, true, false },
    { 'b', "period", "(period(@signal) > 0.0203 s)", 5, true, false },
    { 'b', "then", "(.b. then .b. within #t)", 6, false, false },
    { 'b', "then_chain", "(.b. then .b. within #t then .b. within #t)", 4, false, false },
    { 'b', "then_total", "(.b. then .b. then .b. total #t)", 4, false, false },
    { 'b', "thennot", "(.b. then not .b. within #t)", 7, false, true },
    { 'b', "thennot_chain", "(.b. then .b. within #t then not .b. within #t)", 3, false, true },
    { 'b', "count_over", "(count_over(.b., #t) >= #n)", 6, false, true },
    { 'b', "samples", "(samples(speed, #w) < #n)", 5, true, true },
    { 'b', "at_b", "at(.f., #w)", 4, false, false },
    { 'b', "at_compare", "(at(.w., #w) ~ #s)", 5, false, false },
    { 'b', "delta", "(delta(.w., #w) ~ #y)", 6, false, false },
    { 'b', "minover", "(min_over(.w., #w) ~ #s)", 6, false, false },
    { 'b', "maxover", "(max_over(.w., #w) ~ #s)", 6, false, false },
    { 'b', "maxover_cover", "(max_over(.w., #w, cover: 80 %) ~ #s)", 3, false, false },
    { 'b', "rangeover", "(range_over(.w., #w) ~ #y)", 6, false, false },
    { 'b', "inexact", "(.y. ~ #y)", 24, false, false },
    { 'b', "integral", "(integral(.w., #w) > #z)", 6, false, false },
    { 'b', "deriv", "(deriv(.w., #w) ~ #d)", 6, false, false },
    { 'b', "duty", "(duty(.f., #w) ~ 0.3217)", 6, false, false },
    /* windows of what comes as fast as it says: slower sources are coalesced */
    { 'w', "speed_w", "speed", 6, true, false },
    { 'w', "speed_w1", "speed1", 4, true, false },
    { 'w', "abs_w", "abs(speed)", 2, true, false },
    { 'w', "add_w", "(speed + speed1)", 2, true, false },
    { 'f', "flag_f", "flag", 2, true, false },
    { 'f', "compare_f", "(speed ~ #s)", 4, true, false },
    { 'f', "compare_fa", "(accel < #a)", 2, true, false },
    { 'y', "meanover", "mean_over(.w., #w)", 6, false, false },
    { 'y', "stdover", "std_over(.w., #w)", 6, false, false },
    { 'y', "sumover", "sum_over(.w., #w)", 5, false, false },
    { 'y', "meanover_cover", "mean_over(speed, #w, cover: 0.2)", 3, true, false },
    { 'b', "macro", "moving", 3, true, false },
    { 'b', "macro_call", "over(.s., #s)", 3, false, false },
    { 'b', "param", "(.a. < $limit)", 4, false, false },
    /* numbers */
    { 's', "speed", "speed", 12, true, false },
    { 's', "speed_ms", "speed_ms", 4, true, false },
    { 's', "speed_1", "speed1", 8, true, false },
    { 's', "path", "can1:Other.Speed", 2, true, false },
    { 's', "add", "(.s. + .s.)", 4, false, false },
    { 's', "sub", "(.s. - .s.)", 4, false, false },
    { 's', "mul", "(.u. * .s.)", 3, false, false },
    { 's', "prev_s", "prev(.s.)", 5, false, false },
    { 's', "min", "min(.s., .s.)", 4, false, false },
    { 's', "max", "max(.s., .s., .s.)", 9, false, false },
    { 's', "clamp", "clamp(.s., #s, #s)", 6, false, false },
    { 's', "abs", "abs(.s.)", 4, false, false },
    { 's', "negate", "(-.s.)", 3, false, false },
    { 's', "if_s", "if(.b., .s., .s.)", 5, false, false },
    { 's', "coal_s", "(.s. ?? #s)", 3, false, false },
    { 's', "mul_as", "(.a. * 2.5 s)", 3, false, false },
    { 's', "mod_s", "mod(.s., 7 km/h)", 5, false, false },
    { 'a', "accel", "accel", 10, true, false },
    { 'a', "two", "two", 6, true, false },
    { 'a', "divide", "(.s. / 3 s)", 4, false, false },
    { 'a', "divide_u", "(.a. / .u.)", 4, false, false },
    { 'a', "abs_a", "abs(.a.)", 3, false, false },
    { 'a', "sub_a", "(.a. - .a.)", 4, false, false },
    { 'a', "prev_a", "prev(.a.)", 3, false, false },
    { 'a', "coal_a", "(.a. ?? #a)", 2, false, false },
    { 'i', "count", "count", 10, true, false },
    { 'i', "which", "which", 5, true, false },
    { 'i', "one", "one", 6, true, false },
    { 'i', "steps", "steps", 6, true, false },
    { 'i', "add_i", "(.i. + .i.)", 4, false, false },
    { 'i', "sub_i", "(.i. - .i.)", 4, false, false },
    { 'i', "mul_i", "(.i. * .i.)", 3, false, false },
    { 'i', "negate_i", "(-.i.)", 4, false, false },
    { 'i', "abs_i", "abs(.i.)", 4, false, false },
    { 'i', "sign", "sign(.i.)", 9, false, false },
    { 'i', "mod", "mod(.i., #i)", 4, false, false },
    { 'i', "mod_ii", "mod(.i., .i.)", 4, false, false },
    { 'i', "min_i", "min(.i., .i.)", 3, false, false },
    { 'i', "if_i", "if(.b., .i., .i.)", 5, false, false },
    { 'i', "prev_i", "prev(.i.)", 4, false, false },
    { 'i', "coal_i", "(.i. ?? #i)", 3, false, false },
    { 'u', "literal", "#u", 2, true, false },
    { 'u', "divide_ss", "(.s. / .s.)", 4, false, false },
    { 'u', "sign_u", "sign(.a.)", 8, false, false },
    { 'u', "sqrt_i", "sqrt(.i. + 0.5)", 11, false, false },
    { 'u', "add_iu", "(.i. + #u)", 4, false, false },
    { 'm', "dist", "dist", 8, true, false },
    { 'm', "sqrt", "sqrt(.m. * .m.)", 7, false, false },
    { 'm', "mul_sm", "(.s. * 1.5 s)", 3, false, false },
    { 'g', "gear", "gear", 8, true, false },
    { 'g', "prev_g", "prev(.g.)", 4, false, false },
    { 'g', "coal_g", "(.g. ?? 'P')", 4, false, false },
    { 'g', "if_g", "if(.b., .g., .g.)", 3, false, false },
};
#define FORMS ((uint32_t)(sizeof forms / sizeof forms[0]))

uint32_t gen_form_count(void)
{
    return FORMS;
}

const char *gen_form_name(uint32_t form)
{
    return forms[form].name;
}

uint32_t gen_form_operator(uint32_t form)
{
    size_t len = strcspn(forms[form].name, "_");
    uint32_t first = 0;

    while (strncmp(forms[first].name, forms[form].name, len) != 0 ||
           (forms[first].name[len] && forms[first].name[len] != '_'))
        first++;
    return first;
}

bool gen_form_can_be_unknown(uint32_t form)
{
    return !forms[form].never_unknown;
}

static void put(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(char *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, GEN_TEXT_MAX, format, args);
    va_end(args);
}

/* Values that the traces hold, their neighbours, and some that no raw value gives. */
static void put_literal(char *text, char type)
{
    static const char *const seconds[] = { "10ms", "20ms", "50ms", "100ms", "200ms", "500ms", "1s",
                                           NULL };
    int tens = (int)below(11) * 5;

    switch (type) {
    case 's':
        if (percent(15))
            put(text, "%d.5 m/s", tens / 5);
        else
            put(text, "%d%s km/h", tens, percent(20) ? ".01" : percent(10) ? ".003" : "");
        break;
    case 'q': put(text, "%d.%02d km/h", tens, (int)below(2)); break;
    case 'a':
        if (percent(20))
            put(text, "-%d.0005 m/s^2", (int)below(6));
        else
            put(text, "%d.5 m/s^2", (int)below(9) - 4);
        break;
    case 'i': put(text, "%d", (int)below(12) - (percent(20) ? 6 : 0)); break;
    case 'u': put(text, "%d.%d", (int)below(5), (int)below(10)); break;
    case 'm': put(text, "%d.25 m", (int)below(40) - 10); break;
    case 'c': put(text, "%d.%d degC", (int)below(60) - 20, (int)below(2) * 5); break;
    case 'o': put(text, "%d", (int)below(30) - 20); break;
    case 'b': put(text, "%d", (int)below(8)); break;
    case 'w': put(text, "%s", one_of(seconds + 3)); break; /* long enough for its samples */
    case 'n': put(text, "%d", 1 + (int)below(4)); break;
    case 'y': put(text, "%d.137 km/h", (int)below(40) - 5); break;
    case 'z': put(text, "%d.1371 m", (int)below(6)); break;
    case 'd': put(text, "%d.1373 m/s^2", (int)below(60) - 30); break;
    default: put(text, "%s", one_of(seconds)); break;
    }
}

static void put_word(char *text, const char *word)
{
    static const char *const signals[] = { "speed", "accel", "one", "two", "gear", "dist", "speed1",
                                           "big", NULL };
    static const char *const states[] = { "known", "unknown", "stale", "missing", "invalid", NULL };
    static const char *const overs[] = { ">", ">=", "<", "<=", NULL };

    if (strncmp(word, "signal", 6) == 0)
        put(text, "%s", one_of(signals));
    else if (strncmp(word, "state", 5) == 0)
        put(text, "%s", one_of(states));
    else
        put(text, "%s", one_of(overs));
}

static bool absent[FORMS]; /* that the engine does not have */

static uint32_t pick_form(char type, int depth)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < FORMS; i++)
        if (!absent[i] && forms[i].type == type && (depth > 0 || forms[i].is_leaf))
            total += forms[i].weight;
    uint32_t at = below(total);
    for (uint32_t i = 0; i < FORMS; i++) {
        if (absent[i] || forms[i].type != type || (depth <= 0 && !forms[i].is_leaf))
            continue;
        if (at < forms[i].weight)
            return i;
        at -= forms[i].weight;
    }
    abort();
}

static struct gen_node *make_node(struct gen_case *c, char type, int depth)
{
    static const char *const relations[] = { "<", "<=", ">", ">=", NULL };
    struct gen_node *n = &c->nodes[c->node_count++];
    uint32_t kids = 0, texts = 0;

    if (c->node_count >= NODES_MAX)
        abort();
    memset(n, 0, sizeof *n);
    n->form = pick_form(type, depth);
    for (const char *at = forms[n->form].text; *at; at++) {
        if (at[0] == '.' && at[1] >= 'a' && at[1] <= 'z' && at[2] == '.') {
            n->kids[kids++] = make_node(c, at[1], depth - 1 - (int)below(2));
            at += 2;
        } else if (*at == '#') {
            put_literal(n->text[texts++], at[1]);
            at++;
        } else if (*at == '~') {
            put(n->text[texts++], "%s", one_of(relations));
        } else if (*at == '@' && strncmp(at, "@raw", 4) != 0) {
            put_word(n->text[texts++], at + 1);
        }
    }
    return n;
}

struct text {
    char *at;
    size_t left;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(t->at, t->left, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= t->left)
        abort();
    t->at += len;
    t->left -= (size_t)len;
}

static void add_node(struct text *t, const struct gen_node *n)
{
    uint32_t kids = 0, texts = 0;

    for (const char *at = forms[n->form].text; *at; at++) {
        if (at[0] == '.' && at[1] >= 'a' && at[1] <= 'z' && at[2] == '.') {
            add_node(t, n->kids[kids++]);
            at += 2;
        } else if (*at == '#') {
            add(t, "%s", n->text[texts++]);
            at++;
        } else if (*at == '@' && strncmp(at, "@raw", 4) != 0) {
            add(t, "%s", n->text[texts++]);
            while (at[1] >= 'a' && at[1] <= 'z')
                at++;
        } else if (*at == '~') {
            add(t, "%s", n->text[texts++]);
        } else {
            add(t, "%c", *at);
        }
    }
}

/* --- packs ---------------------------------------------------------------------------------- */

static void make_signals(struct gen_case *c)
{
    static const struct { const char *name, *from, *more; } signals[] = {
        { "count", "can0:M.Count", "" },
        { "speed", "can0:M.Speed", "" },
        { "speed_ms", "can0:M.Speed", ", unit: m/s" },
        { "flag", "can0:M.Flag", "" },
        { "gear", "can0:M.Gear", "" },
        { "accel", "can0:M.Accel", ", valid: '[-4.5..4 m/s^2)'" },
        { "odd", "can0:M.Odd", "" },
        { "which", "can0:Mux.Which", ", valid: '[0..9]'" },
        { "one", "can0:Mux.One", "" },
        { "two", "can0:Mux.Two", "" },
        { "big", "can1:Wide.Big", "" },
        { "dist", "can1:Real.Dist", ", valid: '(-20 m..30]'" },
        { "temp", "can1:Real.Temp", "" },
        { "belt", "can1:Real.Belt", "" },
        { "speed1", "can1:Other.Speed", "" },
        { "steps", "can1:Other.Steps", "" },
    };
    static const char *const ages[] = { "20ms", "50ms", "100ms", "200ms", "500ms", "1s", "none",
                                        NULL };
    struct text t = { c->signals, sizeof c->signals };

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        add(&t, "  %s: {from: '%s'%s", signals[i].name, signals[i].from, signals[i].more);
        if (percent(75))
            add(&t, ", max_age: %s", one_of(ages));
        add(&t, "}\n");
    }
}

static int some_ms(uint32_t p)
{
    static const int ms[] = { 10, 20, 30, 50, 60, 100, 200, 500, 1000 };

    return percent(p) ? ms[below(9)] : 0;
}

static bool absent_type(char type)
{
    for (uint32_t i = 0; i < FORMS; i++)
        if (forms[i].type == type && !absent[i])
            return false;
    return true;
}

static void make_rule(struct gen_case *c, struct gen_rule *r)
{
    static const char attached[] = "bsaiumgy";
    uint32_t kind = below(100);

    memset(r, 0, sizeof *r);
    r->in_a = r->in_b = true;
    r->when = make_node(c, 'b', 1 + (int)below(DEPTH_MAX));
    r->trigger = kind < 15 ? 1 : kind < 35 ? 2 : kind < 50 ? 3 : 0;
    r->for_ms = some_ms(30);
    r->keep_ms = some_ms(40);
    r->cooldown_ms = some_ms(35);
    r->max_active_ms = some_ms(20);
    r->per_trip = percent(15) ? 1 + (int)below(4) : 0;
    r->per_hour = percent(10) ? 1 + (int)below(3) : 0;
    if (r->trigger == 3) {
        r->cooldown_ms = r->cooldown_ms ? r->cooldown_ms : 50;
        r->per_hour = r->per_hour ? r->per_hour : 50;
    }
    r->initial_fire = percent(15);
    r->shadow = percent(6);
    r->disabled = percent(1);
    r->unless = percent(15) ? make_node(c, 'b', (int)below(3)) : NULL;
    r->attach_age = percent(15);
    for (uint32_t i = 0; i < 3; i++)
        r->attach[i] = percent(30) ? make_node(c, attached[absent_type('y') ? below(7) : below(8)], (int)below(4)) : NULL;
}

static void add_rule(struct text *t, const struct gen_rule *r, uint32_t index, bool second)
{
    static const char *const triggers[] = { "", ", trigger: falling", ", trigger: both",
                                            ", trigger: level" };

    add(t, "  - {name: r%u, when: \"", index);
    add_node(t, r->when);
    add(t, "\"%s", triggers[r->trigger]);
    if (r->for_ms)
        add(t, ", for: %dms", r->for_ms);
    if (r->keep_ms)
        add(t, ", keep: %dms", r->keep_ms);
    if (r->cooldown_ms)
        add(t, ", cooldown: %dms", r->cooldown_ms);
    if (r->max_active_ms)
        add(t, ", max_active: %dms", r->max_active_ms);
    if (r->per_trip || r->per_hour) {
        add(t, ", limits: {");
        if (r->per_trip)
            add(t, "per_trip: %d%s", r->per_trip, r->per_hour ? ", " : "");
        if (r->per_hour)
            add(t, "per_hour: %d", r->per_hour);
        add(t, "}");
    }
    add(t, "%s%s%s", r->initial_fire ? ", initial: fire" : "", r->shadow ? ", status: shadow" : "",
        r->disabled ? ", enabled: false" : "");
    if (second && r->b_differs)
        add(t, ", priority: 7");
    if (r->unless) {
        add(t, ", unless: [{name: quiet, if: \"");
        add_node(t, r->unless);
        add(t, "\"}]");
    }
    bool open = false;
    for (uint32_t i = 0; i < 3; i++) {
        if (!r->attach[i])
            continue;
        add(t, "%sx%u: \"", open ? ", " : ", attach: {", i);
        add_node(t, r->attach[i]);
        add(t, "\"");
        open = true;
    }
    if (r->attach_age)
        add(t, "%sage: \"age(one)\"", open ? ", " : ", attach: {");
    add(t, "%s}\n", open || r->attach_age ? "}" : "");
}

static void add_head(struct text *t, const struct gen_case *c)
{
    add(t, "format: 1\npackage: random\nversion: 1.0.0\nsignals:\n%s"
           "params: {limit: {value: -1.5 m/s^2, min: -9 m/s^2, max: 9 m/s^2}}\n"
           "lists: {forward: ['D', 'N']}\n"
           "macros: {moving: \"speed > 5 km/h\", \"over(x, y)\": \"x - 1 km/h > y\"}\nrules:\n",
        c->signals);
}

void gen_pack(const struct gen_case *c, bool second, char *text)
{
    struct text t = { text, GEN_PACK_BYTES };

    add_head(&t, c);
    for (uint32_t i = 0; i < c->rule_count; i++)
        if (second ? c->rules[i].in_b : c->rules[i].in_a)
            add_rule(&t, &c->rules[i], i, second);
}

static void mark_forms(const struct gen_node *n, bool *seen)
{
    seen[n->form] = true;
    for (uint32_t i = 0; i < GEN_KIDS_MAX && n->kids[i]; i++)
        mark_forms(n->kids[i], seen);
}

void gen_count_forms(const struct gen_case *c, uint32_t rule, bool *seen)
{
    mark_forms(c->rules[rule].when, seen);
}

/* --- traces --------------------------------------------------------------------------------- */

static void put_bits(uint8_t *data, uint32_t at, uint32_t bits, uint64_t value)
{
    for (uint32_t i = 0; i < bits; i++)
        if (value >> i & 1)
            data[(at + i) / 8] |= (uint8_t)(1u << (at + i) % 8);
}

static uint16_t speed_raw(uint32_t per_kmh, uint32_t zero)
{
    uint32_t raw = zero + below(11) * 5 * per_kmh;

    return (uint16_t)(raw + (percent(20) ? 1 : 0));
}

static void fill_real(uint8_t *data)
{
    static const float odd[] = { -20.0f, 30.0f, 30.25f, -9.75f };
    float dist = (float)below(160) / 4.0f - 10.0f;
    uint32_t bits;

    if (percent(10))
        dist = odd[below(4)];
    memcpy(&bits, &dist, sizeof bits);
    if (percent(3))
        bits = 0x7fc00000u; /* NaN */
    put_bits(data, 0, 32, bits);
    put_bits(data, 32, 8, 40 + below(120));
    put_bits(data, 40, 1, below(2));
}

static void fill_m(uint8_t *data)
{
    static const uint8_t gears[] = { 0, 1, 2, 3, 3, 2, 3, 7, 14, 15 };

    put_bits(data, 0, 8, below(12));
    put_bits(data, 8, 16, speed_raw(100, 0));
    put_bits(data, 24, 1, below(2));
    put_bits(data, 28, 4, gears[below(10)]);
    put_bits(data, 32, 16, (uint64_t)((int64_t)below(19) * 500 - 4500 - (percent(20) ? 1 : 0)));
    put_bits(data, 48, 8, below(20));
}

/* Data of a message of the databases; returns its length. */
static uint8_t fill(uint32_t id, uint8_t *data)
{
    uint16_t speed = speed_raw(20, 400);

    switch (id) {
    case 256: fill_m(data); return 8;
    case 768:
        put_bits(data, 0, 8, percent(90) ? below(4) : below(12));
        put_bits(data, 8, 8, below(12) - (percent(20) ? 6 : 0));
        put_bits(data, 16, 8, below(30));
        return 8;
    case 300: /* 2^53 + 1 and its neighbours, big-endian */
        data[1] = 0x20;
        data[7] = (uint8_t)below(4);
        data[0] = percent(10) ? 0x80 : 0;
        return 8;
    case 301: fill_real(data); return 8;
    default:
        data[0] = (uint8_t)(speed >> 8);
        data[1] = (uint8_t)speed;
        put_bits(data, 16, 16, (uint64_t)((int64_t)below(12) - (percent(30) ? 6 : 0)));
        return 5;
    }
}

static void make_row(struct row *row, const struct trace *trace)
{
    static const struct { uint32_t id; uint8_t source; } messages[] = {
        { 256, 0 }, { 256, 0 }, { 256, 0 }, { 768, 0 }, { 768, 0 }, { 300, 1 }, { 301, 1 },
        { 302, 1 }, { 302, 1 },
    };
    uint32_t which = below(9);
    struct frame *f = &row->frame;

    f->id = messages[which].id;
    f->source = messages[which].source;
    /* Now and then the data of the row before of this id: no change. */
    f->len = fill(f->id, f->data);
    for (uint32_t i = trace->count; percent(25) && i > 0; i--)
        if (trace->items[i - 1].kind == HAPPENS_ROW && trace->items[i - 1].row.frame.id == f->id) {
            memcpy(f->data, trace->items[i - 1].row.frame.data, sizeof f->data);
            break;
        }
    if (percent(3)) /* the other bus: its own database knows nothing of it */
        f->source ^= 1;
    if (percent(3)) { /* short */
        f->len = (uint8_t)below(f->len);
        memset(f->data + f->len, 0, sizeof f->data - f->len);
    }
    f->flags = percent(2) ? FRAME_LATE : percent(1) ? FRAME_RTR : percent(1) ? FRAME_EFF : 0;
    f->dlc = f->len;
}

static int64_t some_gap(void)
{
    uint32_t k = below(100);

    if (k < 12)
        return 0;
    if (k < 60)
        return 10 * NS_PER_MS;
    if (k < 80)
        return (int64_t)(1 + below(5)) * 10 * NS_PER_MS;
    if (k < 88)
        return (int64_t)(1 + below(10)) * 50 * NS_PER_MS;
    if (k < 95)
        return 1 + (int64_t)below(20000000);
    return k < 98 ? NS_PER_S * (1 + below(2)) : NS_PER_S * (5 + below(4)) + below(3) * NS_PER_MS;
}

static void make_trace(struct gen_case *c)
{
    struct trace *trace = &c->trace;
    uint32_t rows = percent(80) ? 20 + below(60) : 60 + below(140);
    uint32_t reload_at = c->has_reload ? 5 + below(rows - 6) : UINT32_MAX;
    uint32_t break_at = percent(12) ? 5 + below(rows - 6) : UINT32_MAX;
    int64_t t = 1000 * NS_PER_S;

    for (uint32_t i = 0; i < rows; i++) {
        struct trace_item *item = &trace->items[trace->count];
        t += some_gap();
        if (i == reload_at || i == break_at) {
            memset(item, 0, sizeof *item);
            item->kind = i == reload_at ? HAPPENS_RELOAD : HAPPENS_DISCONTINUITY;
            item->row.mono_ns = t;
            trace->count++;
            item++;
            t += percent(50) ? 0 : some_gap();
        }
        memset(item, 0, sizeof *item);
        item->row.mono_ns = item->row.frame.stamp_ns = t;
        item->row.step = i;
        make_row(&item->row, trace);
        if (i == 0 || i == reload_at || i == break_at)
            item->row.frame.flags &= (uint16_t)~FRAME_LATE;
        trace->count++;
    }
}

/* --- cases ---------------------------------------------------------------------------------- */

static bool has_form(const struct gen_node *n, const char *name)
{
    if (strncmp(forms[n->form].name, name, strlen(name)) == 0)
        return true;
    for (uint32_t i = 0; i < GEN_KIDS_MAX && n->kids[i]; i++)
        if (has_form(n->kids[i], name))
            return true;
    return false;
}

/* Has it memory of its own? A rule that comes with a reload begins its memory there, unless an equal
 * expression stood in the pack before: the evaluator does not know that. */
static bool has_memory(const struct gen_node *n)
{
    static const char *const names[] = { "rise", "fall", "changed", "prev", "path", "held",
        "once", "since", "hyst", "debounce", "latch", "frozen", "period", "then", "count_over",
        "samples", "at", "delta", "minover", "maxover", "rangeover", "inexact", "integral", "deriv",
        "duty", "meanover", "stdover", "sumover" };

    for (size_t i = 0; n && i < sizeof names / sizeof names[0]; i++)
        if (has_form(n, names[i]))
            return true;
    return false;
}

static bool is_stateless(const struct gen_rule *r)
{
    return !has_memory(r->when) && !has_memory(r->unless) && !has_memory(r->attach[0]) &&
           !has_memory(r->attach[1]) && !has_memory(r->attach[2]);
}

static void spread(struct gen_case *c)
{
    for (uint32_t i = 0; c->has_reload && i < c->rule_count; i++) {
        struct gen_rule *r = &c->rules[i];
        uint32_t k = below(4);
        r->in_b = k != 1;
        r->b_differs = k == 2;
        r->in_a = k != 3 || !is_stateless(r);
    }
    for (uint32_t second = 0; second < 2; second++) { /* a pack has a rule */
        bool any = false;
        for (uint32_t i = 0; i < c->rule_count; i++)
            any = any || (second ? c->rules[i].in_b : c->rules[i].in_a);
        if (!any)
            *(second ? &c->rules[0].in_b : &c->rules[0].in_a) = true;
    }
    for (uint32_t i = 0; i < c->rule_count; i++)
        if (!c->rules[i].in_a && !is_stateless(&c->rules[i]))
            c->rules[i].in_a = true;
}

static bool is_accepted(struct gen_case *c, gen_accepts *accepts, void *context)
{
    static char text[GEN_PACK_BYTES];
    struct text t = { text, sizeof text };

    add_head(&t, c);
    add_rule(&t, &c->rules[c->rule_count], c->rule_count, false);
    return accepts(context, text);
}

/* A pack with one rule of one form, on the plainest operands. */
static struct gen_node *plain_node(struct gen_case *c, uint32_t form)
{
    struct gen_node *n = &c->nodes[c->node_count++];
    uint32_t kids = 0, texts = 0;

    memset(n, 0, sizeof *n);
    n->form = form;
    for (const char *at = forms[form].text; *at; at++) {
        if (at[0] == '.' && at[1] >= 'a' && at[1] <= 'z' && at[2] == '.') {
            uint32_t leaf = 0;
            while (forms[leaf].type != at[1] || !forms[leaf].is_leaf)
                leaf++;
            n->kids[kids++] = plain_node(c, leaf);
            at += 2;
        } else if (*at == '#') {
            put_literal(n->text[texts++], at[1]);
        } else if (*at == '~') {
            put(n->text[texts++], ">");
        } else if (*at == '@' && strncmp(at, "@raw", 4) != 0) {
            put(n->text[texts++], "%s", at[2] == 'i' ? "speed" : at[2] == 't' ? "known" : ">");
        }
    }
    return n;
}

uint32_t gen_probe(gen_accepts *accepts, void *context)
{
    static char text[GEN_PACK_BYTES];
    static struct gen_case c;
    uint32_t count = 0;

    state = 1;
    c.nodes = calloc(NODES_MAX, sizeof *c.nodes);
    if (!c.nodes)
        abort();
    make_signals(&c);
    for (uint32_t i = 0; i < FORMS; i++) {
        if (strcmp(forms[i].name, "inexact") == 0 || forms[i].type == 'u')
            continue; /* of operands that are looked at themselves */
        absent[i] = true;
        for (int attempt = 0; absent[i] && attempt < 16; attempt++) {
            struct text t = { text, sizeof text };
            c.node_count = 0;
            add_head(&t, &c);
            add(&t, "  - {name: r0, when: \"flag\", attach: {x0: \"");
            add_node(&t, plain_node(&c, i));
            add(&t, "\"}}\n");
            absent[i] = !accepts(context, text);
        }
        count += absent[i];
    }
    for (uint32_t i = 0; i < FORMS; i++)
        if (strcmp(forms[i].name, "inexact") == 0)
            absent[i] = absent_type('y');
    gen_free(&c);
    return count;
}

bool gen_form_is_absent(uint32_t form)
{
    return absent[form];
}

void gen_make(struct gen_case *c, uint64_t seed, gen_accepts *accepts, void *context,
              uint64_t *refused)
{
    memset(c, 0, sizeof *c);
    c->seed = state = seed;
    c->nodes = calloc(NODES_MAX, sizeof *c->nodes);
    if (!c->nodes)
        abort();
    make_signals(c);
    uint32_t rules = 2 + below(GEN_RULES_MAX - 1);
    while (c->rule_count < rules) {
        uint32_t mark = c->node_count;
        make_rule(c, &c->rules[c->rule_count]);
        if (is_accepted(c, accepts, context)) {
            c->rule_count++;
            continue;
        }
        c->node_count = mark;
        (*refused)++;
    }
    c->has_reload = percent(15);
    spread(c);
    make_trace(c);
}

void gen_free(struct gen_case *c)
{
    free(c->nodes);
    c->nodes = NULL;
}

/* --- shrinking ------------------------------------------------------------------------------ */

static bool try_trace(struct gen_case *c, gen_fails *fails, void *context)
{
    static struct trace before;
    bool better = false;

    for (uint32_t size = c->trace.count / 2; size > 0; size /= 2)
        for (uint32_t at = 0; at + size <= c->trace.count;) {
            before = c->trace;
            memmove(c->trace.items + at, c->trace.items + at + size,
                    (c->trace.count - at - size) * sizeof c->trace.items[0]);
            c->trace.count -= size;
            bool ok = c->trace.count > 0 && c->trace.items[0].kind == HAPPENS_ROW &&
                      c->trace.items[c->trace.count - 1].kind == HAPPENS_ROW;
            if (ok && fails(context, c)) {
                better = true;
                continue;
            }
            c->trace = before;
            at += size;
        }
    return better;
}

static bool try_rules(struct gen_case *c, gen_fails *fails, void *context)
{
    bool better = false;

    for (uint32_t i = 0; i < c->rule_count && c->rule_count > 1; i++) {
        struct gen_rule before[GEN_RULES_MAX];
        memcpy(before, c->rules, sizeof before);
        memmove(c->rules + i, c->rules + i + 1, (c->rule_count - i - 1) * sizeof c->rules[0]);
        c->rule_count--;
        if (fails(context, c)) {
            better = true;
            i--;
            continue;
        }
        memcpy(c->rules, before, sizeof before);
        c->rule_count++;
    }
    return better;
}

static bool try_knob(struct gen_case *c, int *knob, gen_fails *fails, void *context)
{
    int before = *knob;

    *knob = 0;
    if (before && fails(context, c))
        return true;
    *knob = before;
    return false;
}

/* Puts a part of the same type, or a plain leaf, in the place of an expression. */
static bool try_parts(struct gen_case *c, struct gen_node **place, struct gen_node *part,
                      gen_fails *fails, void *context)
{
    struct gen_node *before = *place;

    for (uint32_t i = 0; i < GEN_KIDS_MAX && part->kids[i]; i++) {
        if (forms[part->kids[i]->form].type == forms[before->form].type) {
            *place = part->kids[i];
            if (fails(context, c))
                return true;
            *place = before;
        }
        if (try_parts(c, place, part->kids[i], fails, context))
            return true;
    }
    return false;
}

static bool try_node(struct gen_case *c, struct gen_node **place, gen_fails *fails, void *context)
{
    bool better = false;

    while (try_parts(c, place, *place, fails, context))
        better = true;
    for (uint32_t i = 0; i < GEN_KIDS_MAX && (*place)->kids[i]; i++)
        better = try_node(c, &(*place)->kids[i], fails, context) || better;
    return better;
}

static bool try_optional(struct gen_case *c, struct gen_node **place, gen_fails *fails,
                         void *context)
{
    struct gen_node *before = *place;

    if (!before)
        return false;
    *place = NULL;
    if (fails(context, c))
        return true;
    *place = before;
    return try_node(c, place, fails, context);
}

static bool try_rule(struct gen_case *c, struct gen_rule *r, gen_fails *fails, void *context)
{
    int *knobs[] = { &r->trigger, &r->for_ms, &r->keep_ms, &r->cooldown_ms, &r->max_active_ms,
                     &r->per_trip, &r->per_hour };
    bool *flags[] = { &r->initial_fire, &r->shadow, &r->disabled, &r->b_differs,
                      &r->attach_age };
    bool better = false;

    for (size_t i = 0; i < sizeof knobs / sizeof knobs[0]; i++)
        better = try_knob(c, knobs[i], fails, context) || better;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool before = *flags[i];
        *flags[i] = false;
        if (before && fails(context, c))
            better = true;
        else
            *flags[i] = before;
    }
    for (uint32_t i = 0; i < 3; i++)
        better = try_optional(c, &r->attach[i], fails, context) || better;
    better = try_optional(c, &r->unless, fails, context) || better;
    return try_node(c, &r->when, fails, context) || better;
}

void gen_shrink(struct gen_case *c, gen_fails *fails, void *context)
{
    for (int round = 0; round < 8; round++) {
        bool better = try_rules(c, fails, context);
        better = try_trace(c, fails, context) || better;
        for (uint32_t i = 0; i < c->rule_count; i++)
            better = try_rule(c, &c->rules[i], fails, context) || better;
        if (!better)
            return;
    }
}
