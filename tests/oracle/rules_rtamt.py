#!/usr/bin/env python3
"""The reference evaluator of the rule language against RTAMT 0.4.10 (discrete time, offline), on random
past-time formulas over two signals that are sampled every 10 ms.

Both can say: comparisons, not, and, or, once, historically (held), since, each with a bound and without.
What differs is laid out here: (1) dense time: a value holds until the next sample, so over [t - d, t] the
sample before t - d counts too where d is a whole number of samples (it left exactly at t - d, which is
inside at a step); with d half a sample less it does not. (2) Before the first sample RTAMT takes `once` as
false and `historically` as true, the rules take unknown: such steps are not compared, but where the rules
know the answer there it must be RTAMT's. (3) The rules' operators change between samples, by timer, which a sampled formula cannot see: so they
stand over plain conditions and are joined by not, and, or. (4) Robustness 0 says nothing: no sample equals a threshold.
"""
import os
import random
import subprocess
import sys
import tempfile

import rtamt

TOOL = "build/release/tests/random_rules"
STEPS = 160
MS = 1_000_000
CASES = int(os.environ.get("RTAMT_CASES", "60"))
PACK = """format: 1
package: rtamt
version: 1.0.0
signals:
  speed: {from: 'can0:M.Speed', max_age: none}
  accel: {from: 'can0:M.Accel', max_age: none}
rules:
"""


def bound(rng):
    """A window: as text of a rule, as bounds of RTAMT in samples."""
    k = rng.randrange(1, 12)
    if rng.random() < 0.5:
        return f"{k * 10}ms", k + 1
    return f"{k * 10 - 5}ms", k


def formula(rng, depth, plain=False):
    """The same condition in both languages."""
    kinds = ["<", "a>", "not", "and", "and", "or", "or"]
    kind = rng.choice(["<", ">", "a<", "a>"]) if depth <= 0 else rng.choice(
        kinds if plain else kinds + ["once", "once", "held", "held", "since", "since_d"])
    if kind in ("<", ">"):
        c = rng.randrange(5, 46, 5) + 0.5
        return f"(speed {kind} {c} km/h)", f"(speed {kind} {c})"
    if kind[0] == "a" and kind[1] in "<>":
        c = rng.randrange(-4, 4) + 0.25
        return f"(accel {kind[1]} {c} m/s^2)", f"(accel {kind[1]} {c})"
    plain = plain or kind not in kinds
    p, p2 = formula(rng, depth - 1, plain)
    if kind == "not":
        return f"(not {p})", f"(not {p2})"
    if kind in ("once", "held"):
        d, k = bound(rng)
        name = "once" if kind == "once" else "historically"
        return f"{kind}({p}, {d})", f"({name}[0,{k}] {p2})"
    q, q2 = formula(rng, depth - 1, plain)
    if kind in ("and", "or"):
        return f"({p} {kind} {q})", f"({p2} {kind} {q2})"
    if kind == "since":
        return f"since({p}, {q})", f"({p2} since {q2})"
    d, k = bound(rng)
    return f"since({p}, {q}, {d})", f"({p2} since[0,{k}] {q2})"


def run_rules(formulas, speed, accel):
    with tempfile.NamedTemporaryFile("w", suffix=".case", delete=False) as f:
        f.write("[pack]\n" + PACK)
        for i, (rule, _) in enumerate(formulas):
            f.write(f'  - {{name: r{i}, when: "{rule}"}}\n')
        f.write("[trace]\n")
        for i in range(STEPS):
            s, a = round(speed[i] * 100), round(accel[i] * 1000) & 0xFFFF
            data = bytes([0, s & 255, s >> 8, 0, a & 255, a >> 8, 0, 0])
            f.write(f"row {10**12 + i * 10 * MS} {i} 0 100 0 {data.hex()}\n")
    out = subprocess.run([TOOL, "--roots", f.name], capture_output=True, text=True, check=True).stdout.split()
    os.unlink(f.name)
    return out


def run_rtamt(text, speed, accel):
    spec = rtamt.StlDiscreteTimeSpecification()
    spec.declare_var("speed", "float")
    spec.declare_var("accel", "float")
    spec.spec = text
    spec.set_sampling_period(1, "s", 0.1)
    spec.parse()
    data = {"time": list(range(STEPS)), "speed": speed, "accel": accel}
    return [value > 0 for _, value in spec.evaluate(data)]


def walk(rng, low, high, step):
    """Stands still now and then, so that windows fill."""
    x, out = rng.randrange(low, high + 1, step), []
    for _ in range(STEPS):
        if rng.random() < 0.2:
            x = rng.randrange(low, high + 1, step)
        out.append(float(x))
    return out


def main():
    seed = int(os.environ.get("RTAMT_SEED", "5"))
    compared = unknown = true = 0
    used = dict.fromkeys(("once", "held", "since(", "not", "and", "or"), 0)
    for case in range(CASES):
        rng = random.Random(seed * 100000 + case)
        speed, accel = walk(rng, 0, 50, 5), walk(rng, -4, 4, 1)
        formulas = [formula(rng, rng.randrange(1, 5)) for _ in range(8)]
        ours = run_rules(formulas, speed, accel)
        for k, (rule, stl) in enumerate(formulas):
            theirs = run_rtamt(stl, speed, accel)
            for i in range(STEPS):
                if ours[i][k] == "U":
                    unknown += 1
                    continue
                compared += 1
                true += theirs[i]
                if (ours[i][k] == "T") != theirs[i]:
                    print(f"case {case}, step {i}: {rule} is {ours[i][k]}, RTAMT says {theirs[i]} of {stl}")
                    return 1
            for word in used:
                used[word] += word in rule
    print(f"{CASES * 8} formulas, {compared} values equal RTAMT's ({true} true), {unknown} unknown at the start; "
          + ", ".join(f"{n} with {w.strip('(')}" for w, n in used.items()))
    return 0 if compared > 20 * unknown and min(used.values()) > 20 else 1


sys.exit(main())
