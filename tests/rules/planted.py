#!/usr/bin/env python3
"""Faults planted in the rule engine, one at a time: the random cases must catch each of them.

    planted.py [NAME...]    B=build/release CASES=20000

A fault is a piece of triggers/*.c, which stands there exactly once, and what takes its place. The file is
compiled with it and linked in front of the library. Prints a line a fault; exit status 1 when one was not
caught or no longer fits the source.
"""
import glob
import os
import subprocess
import sys

B = os.environ.get("B", "build/release")
CASES = os.environ.get("CASES", "20000")
OUT = "build/planted"

FAULTS = {
    # three values
    "not_unknown_is_true": ("case NODE_NOT: return logic((uint8_t)(LOGIC_T - a->v));",
                            "case NODE_NOT: return truth(a->v != LOGIC_T);"),
    "unknown_poisons_or": ("case NODE_OR: return logic(a->v > b->v ? a->v : b->v);",
                           "case NODE_OR: return logic(a->v == LOGIC_U || b->v == LOGIC_U ? LOGIC_U "
                           ": a->v > b->v ? a->v : b->v);"),
    "maybe_is_must": ("case NODE_MAYBE: return truth(a->v != LOGIC_F);",
                      "case NODE_MAYBE: return truth(a->v == LOGIC_T);"),
    # signals
    "stale_a_nanosecond_late": ("timers_set(&e->timers, signal, e->slots[signal].sampled_ns + max_age);",
                                "timers_set(&e->timers, signal, e->slots[signal].sampled_ns + max_age + 1);"),
    "lost_stale_timer": ("        timers_set(&e->timers, signal, due);\n        return;",
                         "        return;"),
    "invalid_codes_are_values": ("if (s->invalid[i] == d->raw_signed)", "if (false)"),
    "short_frame_is_valid": ("if (!d->fits || d->quality != QUALITY_GOOD)",
                             "if (d->quality != QUALITY_GOOD)"),
    "late_rows_reach_rules": ("if (row->frame.flags & FRAME_LATE) {\n        e->stats.late++;\n        return;",
                              "if (row->frame.flags & FRAME_LATE) {\n        e->stats.late++;\n        "
                              "if (row->mono_ns < e->now_ns || timers_next(&e->timers) < row->mono_ns) return;"),
    "age_stops_at_bound": ("    int64_t due = signal->sampled_ns + n->k0.i;\n",
                           "    int64_t due = signal->sampled_ns + n->k0.i - 1;\n"),
    "bound_not_included": ("low = q.is_exact ? q.floor : q.floor + 1;", "low = q.floor + 1;"),
    # pulses and samples
    "edge_memory_lost_when_unknown": ("note_lost(e, m);\n        return logic(LOGIC_U);",
                                      "note_lost(e, m);\n        m->has_last = false;\n        "
                                      "return logic(LOGIC_U);"),
    "first_value_is_an_edge": ("fires = m->last.v != now->v && now->v ==",
                               "fires = m->last.v != now->v + 9 && now->v =="),
    "prev_counts_evaluations": ("if (e->is_sampled[index]) {\n        e->is_sampled[index] = false;",
                                "if (true) {\n        e->is_sampled[index] = false;"),
    # the life-cycle
    "for_a_nanosecond_short": ("life_arm(e, life, e->now_ns + for_ns);",
                               "life_arm(e, life, e->now_ns + for_ns - 1);"),
    "cooldown_includes_its_end": ("if (e->now_ns < l->state.cooldown_until_ns)\n        return REASON_COOLDOWN;",
                                  "if (e->now_ns <= l->state.cooldown_until_ns)\n        return REASON_COOLDOWN;"),
    "limit_off_by_one": ("run->trip_count >= rule->per_trip", "run->trip_count > rule->per_trip"),
    "unknown_exception_suppresses": ("if (e->cells[p->unless[i]].v == LOGIC_T) {",
                                     "if (e->cells[p->unless[i]].v != LOGIC_F) {"),
    "max_active_forgotten_while_lingering": ("life_arm(e, life, kept < cut ? kept : cut);",
                                             "life_arm(e, life, kept); (void)cut;"),
    "continued_edge_not_spent": ("    l->state.armed = LOGIC_T; /* its edge is part of the event: T,U,T behind "
                                 "it is none */\n", ""),
    "load_is_an_edge": ("(l->state.armed == LOGIC_U && rule->initial_fire)", "l->state.armed == LOGIC_U"),
    "attached_values_shared": ("run->attach_next++ % engine_attach_sets(e->graph)",
                               "0 * run->attach_next % engine_attach_sets(e->graph)"),
    "timer_before_condition": ("    l->state.root = now;\n",
                               "    if (e->by_timer && l->state.timer_ns <= e->now_ns)\n"
                               "        timer_due(e, life);\n    l->state.root = now;\n"),
    # operators with memory
    "held_forgets_its_bound_at_the_step": ("engine_sees(e, h->end_ns[v], n->k0.i)", "h->end_ns[v] > e->now_ns - n->k0.i"),
    "count_forgets_its_bound_at_the_step": ("!engine_sees(e, s->at_ns[s->first], n->k0.i)",
                                            "s->at_ns[s->first] <= e->now_ns - n->k0.i"),
    "held_forgets_unknown": ("    for (int i = 0; i < 3; i++) {\n        uint8_t v = (uint8_t)(n->op == NODE_HELD",
                             "    for (int i = 0; i < 3; i += 2) {\n        uint8_t v = (uint8_t)(n->op == NODE_HELD"),
    "latch_set_wins": ("    if (child(e, index, 1) == LOGIC_T)\n        f->memory = LOGIC_F;\n"
                       "    else if (child(e, index, 0) == LOGIC_T)\n        f->memory = LOGIC_T;",
                       "    if (child(e, index, 0) == LOGIC_T)\n        f->memory = LOGIC_T;\n"
                       "    else if (child(e, index, 1) == LOGIC_T)\n        f->memory = LOGIC_F;"),
    "then_takes_the_same_step": ("s->latest.instant == e->instant ? &s->before : &s->latest", "&s->latest"),
    "doubtful_absence_fires": ("value = s->is_doubtful ? LOGIC_U : LOGIC_T;", "value = LOGIC_T;"),
    "debounce_without_its_timer": ("        else\n            op_arm(e, index, due);\n    }\n    return op_logic(b->out);",
                                   "    }\n    return op_logic(b->out);"),
    "frozen_by_one_sample": ("op_logic(f->samples >= 2 ? LOGIC_T : LOGIC_F)", "op_logic(LOGIC_T)"),
    "half_a_window_is_no_bar": ("known < need ? op_logic(NUMBER_UNKNOWN) : is_exact",
                                "known < need / 2 ? op_logic(NUMBER_UNKNOWN) : is_exact"),
    "greatest_leaves_without_its_timer": ("    if (next < w->count)\n        sooner(due_ns, window_at(w, next)->t + n->k0.i);", ""),
    "slope_of_one_stamp": ("if (count < 3 || first_ns == last_ns)", "if (count < 3)"),
    # discontinuity, reload
    "timer_lost_on_reload": ("    life_arm(next, (uint32_t)to, b->state.timer_ns);\n",
                             "    b->state.timer_ns = TIMER_NEVER;\n"),
    "reload_is_an_evaluation": ("    engine_evaluate_marked(next);\n    engine_settle(next);",
                                "    engine_evaluate_all(next);\n    engine_settle(next);"),
    "ordinal_lost_on_reload": ("        b->ordinal = a->ordinal;\n", ""),
    "discontinuity_keeps_signals": ("        e->slots[i] = (struct signal_slot){ .state = SIGNAL_MISSING };\n    for (uint32_t",
                                    "        (void)i;\n    for (uint32_t"),
}


def run(*words):
    return subprocess.run(words, capture_output=True, text=True)


def plant(name):
    old, new = FAULTS[name]
    places = [f for f in glob.glob("triggers/*.c") for _ in range(open(f).read().count(old))]
    if len(places) != 1:
        return f"stands {len(places)} times in triggers/*.c: fit it to the source"
    source, copy = places[0], f"{OUT}/{name}.c"
    with open(copy, "w") as f:
        f.write(open(source).read().replace(old, new))
    flags = ["-std=c11", "-D_GNU_SOURCE", "-ffp-contract=off", "-pthread", "-I.", f"-I{B}/gen", "-O1", "-w"]
    objects = sorted(glob.glob(f"{B}/tests/rules/*.o"))
    made = run("gcc", *flags, copy, *objects, f"{B}/libroadloop.a", "-lrdkafka", "-lsqlite3", "-lyaml", "-lz", "-lzstd",
               "-lprotobuf-c", "-ljansson", "-lxxhash", "-lcrypto", "-lm", "-o", f"{OUT}/{name}")
    if made.returncode:
        return "does not build: " + made.stderr[-400:]
    os.environ["CASE_OUT"], os.environ["CASE_AS_IS"] = f"{OUT}/{name}.case", "1"
    kept = run("timeout", "60", f"{OUT}/{name}", "--case", *sorted(glob.glob("tests/rules/cases/*.case")))
    found = run("timeout", "300", f"{OUT}/{name}", CASES, "7")
    os.remove(f"{OUT}/{name}")
    if found.returncode == 0:
        return "caught by a kept case" if kept.returncode == 1 else "NOT CAUGHT"
    said = [line for line in found.stdout.splitlines() if line.startswith("seed ") and ":" in line]
    if said or found.returncode < 0:
        also = " and by a kept case" if kept.returncode else ""
        return f"caught at {said[0].split(':')[0] if said else f'a crash, {found.returncode}'}{also}"
    return "NOT CAUGHT: " + (found.stdout + found.stderr)[-200:]


def main():
    os.makedirs(OUT, exist_ok=True)
    missed = 0
    for name in sys.argv[1:] or FAULTS:
        verdict = plant(name)
        missed += not verdict.startswith("caught")
        print(f"{name:40} {verdict}", flush=True)
    print(f"{len(sys.argv[1:] or FAULTS) - missed} planted faults are caught, {missed} are not")
    return missed != 0


sys.exit(main())
