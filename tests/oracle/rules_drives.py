#!/usr/bin/env python3
"""Rules on real drives: cantools decodes, numpy says where each rule must fire, and `roadloop replay
--json` must say the same: instant, frame and number of the fires.

Drives: the RAV4 minute of tests/data; with DRIVES=DIR (a directory with motec_subaru/, css_car_3BA199E2/
and dbc/css/) the Subaru and the GNSS car too, where they are there.
The definitions here are written on the columns of a drive: a value holds from its frame on until the next
frame of its message; rules without max_age, so nothing becomes stale. A fire by timer belongs to the last
frame at or before its instant.
"""
import json
import os
import subprocess
import sys
import tempfile

import cantools
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROADLOOP = os.path.join(ROOT, os.environ.get("B", "build/release"), "roadloop")
DRIVES = os.environ.get("DRIVES", "")
RAV4 = os.path.join(ROOT, "tests/data/rav4")
S = 1_000_000_000


class Drive:
    def __init__(self, log, databases):
        self.log, self.databases = log, databases
        self.t, self.frames = [], {}
        for step, line in enumerate(open(log)):
            stamp, bus, frame = line.split()[:3]
            whole, part = stamp.strip("()").split(".")
            self.t.append(int(whole) * S + int(part.ljust(9, "0")))
            identifier, _, data = frame.partition("#")
            self.frames.setdefault((bus, int(identifier, 16)), []).append((step, data))
        self.t = np.maximum.accumulate(np.array(self.t, dtype=np.int64))  # small backward steps are clamped
        self.loaded = {bus: cantools.database.load_file(path, strict=False) for bus, path in databases.items()}

    def signal(self, bus, message, name):
        """Steps and values of the samples of a signal."""
        m = self.loaded[bus].get_message_by_name(message)
        steps, values = [], []
        for step, data in self.frames.get((bus, m.frame_id), []):
            steps.append(step)
            values.append(m.decode(bytes.fromhex(data), decode_choices=False)[name])
        return Signal(self, np.array(steps), np.array(values, dtype=float))


class Signal:
    def __init__(self, drive, steps, values):
        self.drive, self.steps, self.values = drive, steps, values
        self.t = drive.t[steps]

    def by_step(self):
        """The value that holds after every step of the drive; NaN before the first sample."""
        last = np.searchsorted(self.steps, np.arange(len(self.drive.t)), side="right") - 1
        return np.where(last < 0, np.nan, self.values[np.maximum(last, 0)])


def rising(condition, known):
    """Steps at which a condition becomes true that was known false before."""
    edges, before = [], None
    for step in np.flatnonzero(known):
        if condition[step] and before is False:
            edges.append(int(step))
        before = bool(condition[step])
    return edges


def at_step(drive, steps):
    return [(int(drive.t[s]), s) for s in steps]


def by_timer(drive, instants):
    """The last step at or before each instant; instants behind the last frame never come."""
    return [(t, int(np.searchsorted(drive.t, t, side="right")) - 1) for t in instants if t <= drive.t[-1]]


def held_for(drive, condition, known, d):
    """Rises that stay true for d, its end included: fires by timer."""
    instants = []
    for step in rising(condition, known):
        later = np.flatnonzero(~condition[step:])
        if not len(later) or drive.t[step + later[0]] > drive.t[step] + d:
            instants.append(int(drive.t[step]) + d)
    return by_timer(drive, instants)


def then(drive, a, b, d):
    """Steps of b behind a strictly earlier a at most d ago."""
    return at_step(drive, [y for y in b if any(x < y and drive.t[y] - drive.t[x] <= d for x in a)])


def then_not(drive, a, b, d):
    """The first a waits; b within the wait ends it; else it fires d later."""
    instants, free_from = [], -1
    for x in a:
        if x < free_from:
            continue
        answer = [y for y in b if y > x and drive.t[y] <= drive.t[x] + d]
        if answer:
            free_from = answer[0]
        else:
            instants.append(int(drive.t[x]) + d)
            free_from = int(np.searchsorted(drive.t, drive.t[x] + d, side="right"))
    return by_timer(drive, instants)


def merged(drive, points):
    """Fires of a condition that is looked at at (instant, is timer, value) in order."""
    fires, before = [], None
    for t, step, is_timer, value in points:
        if value is None:
            continue
        if value and before is False:
            fires += by_timer(drive, [t]) if is_timer else at_step(drive, [step])
        before = value
    return fires


def window_points(signal, d):
    """Where a window over a signal changes: its samples, and d behind each (by timer)."""
    last = int(signal.drive.t[-1])
    points = [(int(t), 0, int(s)) for t, s in zip(signal.t, signal.steps)]
    points += [(int(t) + d, 1, 1 << 60) for t in signal.t if int(t) + d <= last]
    return sorted(points, key=lambda p: (p[0], p[1], p[2]))


def max_over(signal, d, above):
    """A value counts until d after the next sample took its place."""
    def value(t, is_timer, step):
        now = int(np.searchsorted(signal.steps, step, side="right")) if not is_timer else \
            int(np.searchsorted(signal.t, t, side="right"))
        if t - signal.t[0] < d / 2:
            return None
        end = np.append(signal.t[1:now], np.int64(1) << 62)
        inside = end > t - d if is_timer else end >= t - d
        return bool(signal.values[:now][inside].max() > above)
    return merged(signal.drive, [(t, step, kind == 1, value(t, kind == 1, step))
                                 for t, kind, step in window_points(signal, d)])


def delta_below(signal, d, below):
    """x now less x as it was after everything at or before t - d."""
    def value(t, is_timer, step):
        now = int(np.searchsorted(signal.steps, step, side="right")) if not is_timer else \
            int(np.searchsorted(signal.t, t, side="right"))
        then_ = int(np.searchsorted(signal.t, t - d, side="right"))
        if then_ == 0:
            return None
        return bool(signal.values[now - 1] - signal.values[then_ - 1] < below)
    return merged(signal.drive, [(t, step, kind == 1, value(t, kind == 1, step))
                                 for t, kind, step in window_points(signal, d)])


def mean_above(signal, d, above):
    """Time-weighted mean over [t - d, t], looked at at the samples; known from d / 2 on."""
    points = []
    for i in range(len(signal.t)):
        t = int(signal.t[i])
        ends, starts = signal.t[1:i + 1], np.maximum(signal.t[:i], t - d)
        weights = np.maximum(ends - starts, 0)
        known = int(weights.sum())
        value = None if known * 2 < d else bool((weights * signal.values[:i]).sum() / known > above)
        points.append((t, int(signal.steps[i]), False, value))
    return merged(signal.drive, points)


def rav4():
    log = os.path.join(tempfile.gettempdir(), f"rules_drives_{os.getpid()}.log")
    with open(log, "wb") as f:
        subprocess.run(["zstd", "-dcq", os.path.join(RAV4, "can.log.zst")], stdout=f, check=True)
    drive = Drive(log, {"can0": os.path.join(RAV4, "toyota_nodsu_pt_generated.dbc"),
                        "can1": os.path.join(RAV4, "toyota_adas.dbc")})
    os.unlink(log)
    speed = drive.signal("can0", "SPEED", "SPEED")
    decel = drive.signal("can0", "VSC1S29", "DVS0PCS")
    brake = drive.signal("can0", "VSC1S07", "BRKON")
    angle = drive.signal("can0", "STEER_ANGLE_SENSOR", "STEER_ANGLE")
    v, a, b, s = speed.by_step(), decel.by_step(), brake.by_step(), angle.by_step()
    kv, ka, kb, ks = (~np.isnan(x) for x in (v, a, b, s))
    rules = {
        "overspeed": ("speed > 70 km/h", "for: 2s", held_for(drive, v > 70, kv, 2 * S)),
        "hard_brake": ("decel < -1 m/s^2 and speed > 15 km/h", "",
                       at_step(drive, rising((a < -1) & (v > 15), (ka & kv) | (ka & (a >= -1)) | (kv & (v <= 15))))),
        "lane_change": ("(angle > 1 deg then angle < -1 deg within 5s)", "",
                        then(drive, rising(s > 1, ks), rising(s < -1, ks), 5 * S)),
        "sequence": ("(brake == 1 then decel < -0.5 m/s^2 within 1500ms)", "",
                     then(drive, rising(b == 1, kb), rising(a < -0.5, ka), 3 * S // 2)),
        "absence": ("(brake == 1 then not decel < -1.5 m/s^2 within 1s)", "",
                    then_not(drive, rising(b == 1, kb), rising(a < -1.5, ka), S)),
        "window_max": ("max_over(decel, 500ms) > 0.5 m/s^2", "", max_over(decel, S // 2, 0.5)),
        "window_mean": ("mean_over(speed, 1s) > 65.0037 km/h", "", mean_above(speed, S, 65.0037)),
        "slowing": ("delta(speed, 1s) < -1.505 km/h", "", delta_below(speed, S, -1.505)),
    }
    signals = {"speed": "can0:SPEED.SPEED", "decel": "can0:VSC1S29.DVS0PCS", "brake": "can0:VSC1S07.BRKON",
               "angle": "can0:STEER_ANGLE_SENSOR.STEER_ANGLE"}
    return drive, signals, rules


def subaru():
    folder = os.path.join(DRIVES, "motec_subaru")
    drive = Drive(os.path.join(folder, "can_sample.log"), {"can0": os.path.join(folder, "sample_can_spec.dbc")})
    speed = drive.signal("can0", "ID_D1", "SPEED")
    throttle = drive.signal("can0", "ID_140", "THROTTLE")
    steer = drive.signal("can0", "ID_D0", "STEER_ANGLE")
    brake = drive.signal("can0", "ID_D1", "BRAKE")
    accel = drive.signal("can0", "ID_D0", "ACCEL_LONG")
    v, p, s, b, a = (x.by_step() for x in (speed, throttle, steer, brake, accel))
    kv, kp, ks, kb, ka = (~np.isnan(x) for x in (v, p, s, b, a))
    rules = {
        "throttle": ("throttle > 60 %", "", at_step(drive, rising(p > 60, kp))),
        "overspeed": ("speed > 30 m/s", "for: 1s", held_for(drive, v > 30, kv, S)),
        "standstill": ("speed < 0.1 m/s", "for: 500ms", held_for(drive, v < 0.1, kv, S // 2)),
        "wrong_sign": ("accel < -3 m/s^2", "", at_step(drive, rising(a < -3, ka))),
        "lane_change": ("(steer > 20 deg then steer < -20 deg within 4s)", "",
                        then(drive, rising(s > 20, ks), rising(s < -20, ks), 4 * S)),
        "sequence": ("(throttle > 60 % then brake > 5 % within 1min)", "",
                     then(drive, rising(p > 60, kp), rising(b > 5, kb), 60 * S)),
        "absence": ("(throttle > 60 % then not brake > 5 % within 2s)", "",
                    then_not(drive, rising(p > 60, kp), rising(b > 5, kb), 2 * S)),
        "window_mean": ("mean_over(throttle, 500ms) > 40.0371 %", "", mean_above(throttle, S // 2, 40.0371)),
    }
    signals = {"speed": "ID_D1.SPEED", "throttle": "ID_140.THROTTLE", "steer": "ID_D0.STEER_ANGLE",
               "brake": "ID_D1.BRAKE", "accel": "ID_D0.ACCEL_LONG"}
    return drive, signals, rules


def gnss_car():
    folder = os.path.join(DRIVES, "css_car_3BA199E2")
    drive = Drive(os.path.join(folder, "00000164_00000004_cut360-600.log"),
                  {"can2": os.path.join(DRIVES, "dbc/css/canmod-gps.dbc")})
    speed = drive.signal("can2", "gnss_speed", "Speed")
    imu_x = drive.signal("can2", "gnss_imu", "AccelerationX")
    turn = drive.signal("can2", "gnss_imu", "AngularRateZ")
    v, x, w = speed.by_step(), imu_x.by_step(), turn.by_step()
    kv, kx, kw = (~np.isnan(y) for y in (v, x, w))
    rules = {
        "overspeed": ("speed > 16 m/s", "for: 3s", held_for(drive, v > 16, kv, 3 * S)),
        "standstill": ("speed < 5 m/s", "for: 2s", held_for(drive, v < 5, kv, 2 * S)),
        "hard_brake": ("delta(speed, 2s, exact: true) < -4.0005 m/s", "", delta_below(speed, 2 * S, -4.0005)),
        "bump": ("imu_x > 11 m/s^2", "", at_step(drive, rising(x > 11, kx))),
        "swerve": ("(turn > 2 deg/s then turn < -2 deg/s within 5s)", "",
                   then(drive, rising(w > 2, kw), rising(w < -2, kw), 5 * S)),
        "absence": ("(turn > 3 deg/s then not turn < -1 deg/s within 3s)", "",
                    then_not(drive, rising(w > 3, kw), rising(w < -1, kw), 3 * S)),
        "window": ("max_over(imu_x, 200ms) > 12 m/s^2", "", max_over(imu_x, S // 5, 12)),
    }
    signals = {"speed": "can2:gnss_speed.Speed", "imu_x": "can2:gnss_imu.AccelerationX",
               "turn": "can2:gnss_imu.AngularRateZ"}
    return drive, signals, rules


def replay(drive, signals, rules, log):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as pack:
        pack.write("format: 1\npackage: drives\nversion: 1.0.0\nsignals:\n")
        for name, path in signals.items():
            pack.write(f"  {name}: {{from: '{path}', max_age: none}}\n")
        pack.write("rules:\n")
        for name, (when, more, _) in rules.items():
            pack.write(f'  - {{name: {name}, when: "{when}"{", " + more if more else ""}}}\n')
    databases = [w for bus, path in drive.databases.items() for w in ("--dbc", f"{bus}={path}")]
    out = subprocess.run([ROADLOOP, "replay", log, "--rules", pack.name, "--json", *databases],
                         capture_output=True, text=True)
    os.unlink(pack.name)
    if out.returncode:
        sys.exit(f"replay: {out.stderr[-2000:]}")
    fires = {name: [] for name in rules}
    for line in out.stdout.splitlines():
        event = json.loads(line)
        if event["event"] == "fire":
            whole, part = event["t"].split(".")
            fires[event["rule"].split("/")[1]].append((int(whole) * S + int(part), event["step"]))
    return fires


def main():
    wrong = total = 0
    drives = [("rav4", rav4)]
    if os.path.exists(os.path.join(DRIVES, "motec_subaru/can_sample.log")):
        drives.append(("subaru", subaru))
    if os.path.exists(os.path.join(DRIVES, "css_car_3BA199E2/00000164_00000004_cut360-600.log")):
        drives.append(("gnss car", gnss_car))
    for name, make in drives:
        drive, signals, rules = make()
        log = drive.log
        if name == "rav4":
            with open(log, "wb") as f:
                subprocess.run(["zstd", "-dcq", os.path.join(RAV4, "can.log.zst")], stdout=f, check=True)
        fires = replay(drive, signals, rules, log)
        if name == "rav4":
            os.unlink(log)
        for rule, (when, _, expected) in rules.items():
            same = fires[rule] == expected
            wrong += not same
            total += len(expected)
            print(f"{name:9} {rule:12} {len(expected):4} fires {'' if same else 'DIFFER'}")
            if not same:
                print(f"  {when}\n  expected {expected[:6]}\n  replay   {fires[rule][:6]}")
    print(f"{total} fires of {len(drives)} drives are where cantools and numpy put them" if not wrong
          else f"{wrong} rules differ")
    return wrong != 0


sys.exit(main())
