#!/usr/bin/env python3
"""roadloop backtest: its events are those of replay, its bytes those of the .rlc files, its interval
scipy's; --diff, --sweep, --fail-if and a corpus file do what they say. B=build/<variant>."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    from scipy import stats
except ImportError:  # the packages of tests/requirements.txt are in their own place
    os.execv("build/venv/bin/python", ["build/venv/bin/python", __file__])

B = os.environ.get("B", "build/release")
RAV4 = pathlib.Path("tests/data/rav4")
LOG = str(RAV4 / "can.log.zst")
PACK = "config/packs/rav4.yaml"
DBC = ["--dbc", f"can0={RAV4}/toyota_nodsu_pt_generated.dbc", "--dbc", f"can1={RAV4}/toyota_adas.dbc"]
checks = 0


def check(good, what):
    global checks
    checks += 1
    if not good:
        sys.exit(f"backtest.py: {what}")


def roadloop(*words, expect=0):
    done = subprocess.run([f"{B}/roadloop", *words], capture_output=True, text=True, timeout=120)
    check(done.returncode == expect, f"{words} ended with {done.returncode}, not {expect}:\n{done.stderr}")
    return done


def backtest(*words, expect=0):
    done = roadloop("backtest", *words, "--json", expect=expect)
    items = [json.loads(line) for line in done.stdout.splitlines()]
    return {kind: [i for i in items if i["item"] == kind] for kind in {i["item"] for i in items}}, done


def equals_replay(log, out):
    """Every event and every byte."""
    got, _ = backtest(PACK, log, *DBC, "--events")
    lines = roadloop("replay", log, "--rules", PACK, *DBC, "--json", "--out", out).stdout.splitlines()
    notes = [json.loads(line) for line in lines]
    fires = [(n["rule"], n["t"], n["start"], n["edge"]) for n in notes if n["event"] == "fire"]
    ours = [(e["rule"], e["t"], e["start"], e["edge"]) for e in got["event"]]
    check(fires and ours == fires, f"events differ from replay's:\n{ours}\n{fires}")
    held = sum(n["event"] == "suppressed" for n in notes)
    check(sum(r["suppressed"] for r in got["rule"]) == held, "suppressed fires differ from replay's")
    bytes_written = sum(p.stat().st_size for p in pathlib.Path(out).glob("*.rlc"))
    check(got["summary"][0]["bytes"] == bytes_written,
          f"{got['summary'][0]['bytes']} bytes, but the files have {bytes_written}")
    check(sum(r["bytes"] for r in got["rule"]) == bytes_written, "the rules' bytes are not all bytes")
    return got


def interval(got):
    for rule in got["rule"] + got["summary"]:
        n, hours = rule["events"], rule["hours"]
        low = stats.chi2.ppf(0.025, 2 * n) / 2 if n else 0
        high = stats.chi2.ppf(0.975, 2 * n + 2) / 2 if n else stats.chi2.ppf(0.95, 2) / 2
        check(abs(rule["low"] * hours - low) <= 1e-7 * max(low, 1), f"low of {n} events")
        check(abs(rule["high"] * hours - high) <= 1e-7 * high, f"high of {n} events")


def days(got, two):
    one, both = got["summary"][0], two["summary"][0]
    check(abs(one["mb_per_day"] - one["bytes"] / 1e6 / one["hours"] * 2) < 1e-6, "MB a day")
    check(abs(both["hours"] - 2 * one["hours"]) < 1e-9 and both["events"] == 2 * one["events"],
          "two drives are not twice one")
    check(abs(both["mb_per_day"] - one["mb_per_day"]) < 1e-6, "a rate that grows with the corpus")
    check(one["mb_p50"] <= one["mb_p99"], "percentiles")
    mean = one["mb_per_day"]
    check(0.9 * mean < one["mb_p50"] < 1.1 * mean, "half of the days are far from the mean")


def differences(work):
    text = pathlib.Path(PACK).read_text()
    tight = work / "tight.yaml"
    tight.write_text(text.replace("value: -2 m/s^2", "value: -8 m/s^2").replace("for: 100ms", "for: 300ms"))
    got, _ = backtest(PACK, LOG, *DBC, "--diff", str(tight), "--fail-if", "lost > 0")
    check([g["rule"] for g in got["gained"]] == ["rav4/hard_brake"], "gained events")
    check("lost" not in got and len(got["same"]) == 10, "the other events are the same")
    got, _ = backtest(str(tight), LOG, *DBC, "--diff", PACK, "--fail-if", "rav4/hard_brake:lost >= 1", expect=1)
    check([g["rule"] for g in got["lost"]] == ["rav4/hard_brake"], "lost events")
    late = work / "late.yaml"
    late.write_text(text.replace("for: 100ms", "for: 300ms"))
    got, _ = backtest(str(late), LOG, *DBC, "--diff", PACK)
    moved = [(m["rule"], float(m["t"]) - float(m["old_t"])) for m in got["moved"]]
    check(len(moved) == 1 and moved[0][0] == "rav4/hard_brake" and 0 < moved[0][1] <= 1, f"moved events {moved}")


def sweep():
    got, _ = backtest(PACK, LOG, *DBC, "--sweep", "hard_decel=-1:-4:0.5")
    events = [s["events"] for s in got["sweep"]]
    check([s["value"] for s in got["sweep"]] == ["-1.0", "-1.5", "-2.0", "-2.5", "-3.0", "-3.5", "-4.0"], "values")
    check(events == sorted(events, reverse=True) and events[0] > events[-1], f"events of the sweep {events}")
    plain, _ = backtest(PACK, LOG, *DBC)
    check(events[2] == plain["summary"][0]["events"], "the pack's own value gives the pack's own events")
    _, done = backtest(PACK, LOG, *DBC, "--sweep", "hard_decl=-1:-4:0.5", expect=2)
    check("did you mean 'hard_decel'" in done.stderr, done.stderr)
    _, done = backtest(PACK, LOG, *DBC, "--sweep", "hard_decel=-1:-20:1", expect=2)
    check("rav4.yaml:28:24: error E503" in done.stderr, done.stderr)


def conditions():
    backtest(PACK, LOG, *DBC, "--fail-if", "mb_per_day > 300", "--fail-if", "rav4/brake:events != 4")
    _, done = backtest(PACK, LOG, *DBC, "--fail-if", "mb_per_day > 3", expect=1)
    check("fails, since mb_per_day > 3: it is" in done.stderr, done.stderr)
    for words, text in [(["--fail-if", "mb_a_day > 3"], "did you mean 'mb_per_day'"),
                        (["--fail-if", "events => 3"], "there are < <= > >= == !="),
                        (["--fail-if", "rav4/brak:events > 3"], "did you mean 'rav4/brake'"),
                        (["--fail-if", "gained > 3"], "needs --diff"),
                        (["--sweep", "x=1:2"], "NAME=FROM:TO:STEP"), (["--sweep", "x=1:2:0"], "other than 0"),
                        (["--sweep", "x=0:1000:1"], "at most 256"), (["--jobs", "0"], "cannot take --jobs 0"),
                        (["--hours-per-day", "25"], "cannot take --hours-per-day"),
                        (["missing.log"], "missing.log")]:
        _, done = backtest(PACK, LOG, *DBC, *words, expect=2)
        check(text in done.stderr, f"{words} says:\n{done.stderr}")


def corpus(work, out):
    shutil.copy(LOG, work / "drive.log.zst")
    shutil.copy(RAV4 / "toyota_nodsu_pt_generated.dbc", work / "pt.dbc")
    shutil.copy(RAV4 / "toyota_adas.dbc", work / "adas.dbc")
    (work / "other.yaml").write_text(
        'format: 1\npackage: other\nrules:\n- {name: stop, when: "SPEED.SPEED < 1 km/h", clip: {pre: 1s, post: 1s}}\n')
    path = work / "corpus.yaml"
    path.write_text("""format: 1
drives:
  - {logs: [drive.log.zst], dbc: ["can0=pt.dbc"], rules: [other.yaml]}
  - {logs: [drive.log.zst], dbc: ["can0=pt.dbc"], rules: [other.yaml]}
""")
    got, _ = backtest("--corpus", str(path), PACK, LOG, *DBC, "--jobs", "3")
    hours = {r["rule"]: r["hours"] for r in got["rule"]}
    check(abs(hours["other/stop"] - 2 * hours["rav4/brake"]) < 1e-9, f"hours of each rule {hours}")
    for wrong, text in [("format: 2\ndrives: []", ":1:9:"), ("format: 1\ndrivs: []", "did you mean 'drives'"),
                        ("format: 1\ndrives: [{log: [a]}]", "did you mean 'logs'"),
                        ("format: 1\ndrives: [{dbc: [a]}]", "has no 'logs'"), ("format: 1\ndrives: 3", "must be a list")]:
        path.write_text(wrong)
        _, done = backtest("--corpus", str(path), PACK, *DBC, expect=2)
        check(text in done.stderr, f"{wrong!r} says:\n{done.stderr}")
    clips = sorted(str(p) for p in pathlib.Path(out).glob("*.rlc"))
    done = roadloop("backtest", PACK, *clips, *DBC)
    check("are clips, moments that some rule chose" in done.stdout, "no warning for clips")


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        out = str(work / "clips")
        got = equals_replay(LOG, out)
        two, _ = backtest(PACK, LOG, LOG, *DBC)
        interval(got)
        days(got, two)
        differences(work)
        sweep()
        conditions()
        corpus(work, out)
    print(f"backtest: {checks} checks, {len(got['event'])} events as replay, "
          f"{got['summary'][0]['bytes']} bytes as the .rlc files, intervals as scipy")


main()
