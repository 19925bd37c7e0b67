#!/usr/bin/env python3
"""This library beside other accountants: value, time and ratio, one thread each, alternating in one run.

usage: peers.py [--command PATH] [--benchmark PATH] [--rows NAME,...] [--peers NAME,...] [--repeats N]
                [--relative-width W] [--starts N] [--json FILE]
Peers: google-pld, google-rdp (PyPI dp-accounting), prv (PyPI prv-accountant). A missing one is said so in its rows.
"""
import os

for _v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_v] = "1"

import argparse
import functools
import importlib.metadata
import json
import math
import platform
import statistics
import subprocess
import time
import warnings

warnings.filterwarnings("ignore")


def sampled(sigma, rate, count):
    return {"mechanism": {"type": "gaussian", "noise_multiplier": sigma},
            "sampling": {"type": "poisson", "rate": rate}, "count": count}


def plain(kind, scale, count):
    return {"mechanism": {"type": kind, "noise_multiplier": scale}, "count": count}


PHASES = [sampled(round(0.8 + 0.05 * i, 2), round(0.002 + 0.0005 * i, 4), 1000) for i in range(24)]
CALIBRATION = {"epsilon": 3.0, "rate": 0.004, "steps": 20000}
ALL = ("google-pld", "google-rdp", "prv")


def row(name, what, events, delta, peers=ALL, prv_error=0.01, kind="epsilon"):
    return {"name": name, "what": what, "events": events, "delta": delta, "peers": peers, "prv_error": prv_error,
            "kind": kind}


ROWS = [
    row("dpsgd-1e3", "sigma 1, q 0.01, 1e3 steps, delta 1e-5", [sampled(1.0, 0.01, 1000)], 1e-5),
    row("dpsgd-1e4", "the same, 1e4 steps", [sampled(1.0, 0.01, 10000)], 1e-5),
    row("dpsgd-1e5", "the same, 1e5 steps", [sampled(1.0, 0.01, 100000)], 1e-5),
    row("phases", "24 phases of 1e3 steps", PHASES, 1e-5, prv_error=0.1),
    row("calibrate", "calibrate: eps 3, delta 1e-5, q 0.004, 20 000 steps", None, 1e-5, ("google-pld", "google-rdp"),
        kind="calibrate"),
    row("tiny-delta", "sigma 1, q 0.001, 1e3 steps, delta 1e-15", [sampled(1.0, 0.001, 1000)], 1e-15, prv_error=0.1),
    row("gauss-10", "Gaussian sigma 2 x 10, delta 1e-5", [plain("gaussian", 2.0, 10)], 1e-5,
        ALL + ("google-convolution",)),
    row("gauss-50", "Gaussian sigma 2 x 50, delta 1e-5", [plain("gaussian", 2.0, 50)], 1e-5,
        ALL + ("google-convolution",)),
    row("laplace", "Laplace 10 x 100, delta 1e-6", [plain("laplace", 10.0, 100)], 1e-6),
    row("growth-1e3", "sigma 1, q 0.01, 1e3 steps", [sampled(1.0, 0.01, 10 ** 3)], 1e-5, ()),
    row("growth-1e4", "1e4 steps", [sampled(1.0, 0.01, 10 ** 4)], 1e-5, ()),
    row("growth-1e5", "1e5 steps", [sampled(1.0, 0.01, 10 ** 5)], 1e-5, ()),
    row("growth-1e6", "1e6 steps", [sampled(1.0, 0.01, 10 ** 6)], 1e-5, ()),
    row("growth-1e7", "1e7 steps", [sampled(1.0, 0.01, 10 ** 7)], 1e-5, ()),
    row("growth-1e9", "1e9 steps", [sampled(1.0, 0.01, 10 ** 9)], 1e-5, ()),
] + [
    row("growth-shrinking-1e%d" % p, "sigma 1, q 0.01 sqrt(1e3/steps), 1e%d steps" % p,
        [sampled(1.0, 0.01 * math.sqrt(1e3 / 10 ** p), 10 ** p)], 1e-5, ()) for p in (3, 4, 5, 6, 7, 9)
]


@functools.lru_cache(None)
def google():
    import dp_accounting
    from dp_accounting import pld, rdp
    from dp_accounting.pld import privacy_loss_distribution
    return dp_accounting, pld, rdp, privacy_loss_distribution


def google_event(events):
    dp = google()[0]
    out = []
    for e in events:
        m = e["mechanism"]
        one = (dp.GaussianDpEvent if m["type"] == "gaussian" else dp.LaplaceDpEvent)(m["noise_multiplier"])
        if "sampling" in e:
            one = dp.PoissonSampledDpEvent(e["sampling"]["rate"], one)
        out.append(dp.SelfComposedDpEvent(one, e["count"]))
    return out[0] if len(out) == 1 else dp.ComposedDpEvent(out)


def google_accountant(name):
    _, pld, rdp, _ = google()
    return pld.PLDAccountant() if name == "google-pld" else rdp.RdpAccountant()


def google_value(r, name):
    dp = google()[0]
    if r["kind"] == "calibrate":
        c = CALIBRATION
        return dp.calibrate_dp_mechanism(lambda: google_accountant(name),
                                         lambda s: google_event([sampled(s, c["rate"], c["steps"])]), c["epsilon"],
                                         r["delta"], dp.LowerEndpointAndGuess(0.0, 1.0))
    accountant = google_accountant(name)
    accountant.compose(google_event(r["events"]))
    return accountant.get_epsilon(r["delta"])


def google_convolution(r, _):
    e = r["events"][0]
    one = google()[3].from_gaussian_mechanism(e["mechanism"]["noise_multiplier"])
    return one.self_compose(e["count"]).get_epsilon_for_delta(r["delta"])


def prv_value(r, _):
    import prv_accountant as prv
    laws = []
    for e in r["events"]:
        m = e["mechanism"]
        if m["type"] == "laplace":
            laws.append(prv.LaplaceMechanism(1 / m["noise_multiplier"]))
        elif "sampling" in e:
            laws.append(prv.PoissonSubsampledGaussianMechanism(sampling_probability=e["sampling"]["rate"],
                                                               noise_multiplier=m["noise_multiplier"]))
        else:
            laws.append(prv.GaussianMechanism(m["noise_multiplier"]))
    counts = [e["count"] for e in r["events"]]
    accountant = prv.PRVAccountant(prvs=laws, max_self_compositions=counts, eps_error=r["prv_error"],
                                   delta_error=r["delta"] / 1000)
    return [float(x) for x in accountant.compute_epsilon(r["delta"], counts)]


PEERS = {"google-pld": google_value, "google-rdp": google_value, "google-convolution": google_convolution,
         "prv": prv_value}


def ours(command, r, width):
    """One process: the answer, the seconds it says it took inside, and the wall time of the whole process."""
    shared = ["--delta", repr(r["delta"]), "--format", "json", "--relative-width", repr(width)]
    if r["kind"] == "calibrate":
        c = CALIBRATION
        args = [command, "calibrate", "--target-epsilon", repr(c["epsilon"]), "--solve", "noise-multiplier",
                "--sampling-rate", repr(c["rate"]), "--steps", str(c["steps"])] + shared
        text = None
    else:
        args = [command, "epsilon", "--events", "-"] + shared
        text = json.dumps({"adjacency": "add-or-remove-one", "events": r["events"]})
    start = time.perf_counter()
    done = subprocess.run(args, input=text, capture_output=True, text=True, timeout=600)
    wall = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError((done.stderr or "exit %d" % done.returncode).strip().splitlines()[0])
    answer = json.loads(done.stdout)
    if r["kind"] == "calibrate":
        return answer["value"], answer["seconds"], wall
    return [answer["epsilon"]["lower"], answer["epsilon"]["upper"]], answer["seconds"], wall


def steady(benchmark, r, width):
    """Seconds of one answer in a warm process, and its bracket or value, by the Google Benchmark executable."""
    name = "auto/%s/%g" % (r["name"], width)
    done = subprocess.run([benchmark, "--relative_width=%r" % width, "--benchmark_filter=^%s$" % name,
                           "--benchmark_format=json", "--benchmark_min_time=0.2"], capture_output=True, text=True,
                          timeout=600)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError("%s: %s" % (name, (done.stderr.strip() or "no such benchmark").splitlines()[-1]))
    b = json.loads(done.stdout)["benchmarks"][0]
    seconds = b["real_time"] * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}[b["time_unit"]]
    found = b["value"] if r["kind"] == "calibrate" else [b["lower"], b["upper"]]
    return found, seconds, {"relative width": b["relative_width"], "engine": b["label"], "peak MB": b["peak_MB"]}


def agree(a, b):
    """The command and the benchmark must have answered the same question."""
    a, b = (x if isinstance(x, list) else [x, x] for x in (a, b))
    return all(abs(x - y) <= 1e-9 * abs(y) for x, y in zip(a, b))


def start_times(command, runs):
    """Wall time of whole processes that answer noise 1, rate 0.01, 1000 steps at the default width, sorted."""
    args = [command, "epsilon", "--delta", "1e-5", "--noise-multiplier", "1", "--sampling-rate", "0.01", "--steps",
            "1000"]
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(args, capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return sorted(times)


def import_peers():
    """Outside every timing."""
    for load in (google, lambda: __import__("prv_accountant")):
        try:
            load()
        except ImportError:
            pass


def finite(value):
    """JSON has no infinity."""
    if isinstance(value, list):
        return [finite(v) for v in value]
    return value if value is None or abs(value) < float("inf") else None


def reason(error):
    if isinstance(error, ImportError):
        return "not installed"
    return ("%s: %s" % (type(error).__name__, error)).splitlines()[0][:90]


STEADY = "ours, steady"


def wanted_peers(r, args):
    return [p for p in r["peers"] if ("google-pld" if p == "google-convolution" else p) in args.peers]


def measure_once(r, name, args, m):
    """Adds one timing of `name` to m["runs"]; a peer that raises is a result."""
    try:
        if name == "ours":
            m["values"][name], inside, wall = ours(args.command, r, args.relative_width)
            m["runs"].setdefault(name, []).append(inside)
            m["runs"].setdefault("ours, whole process", []).append(wall)
            return
        if name == STEADY:
            found, took, m["ours"] = steady(args.benchmark, r, args.relative_width)
            if not agree(found, m["values"]["ours"]):
                raise SystemExit("%s: the benchmark answers %r, the command %r" %
                                 (r["name"], found, m["values"]["ours"]))
        else:
            start = time.perf_counter()
            m["values"][name] = PEERS[name](r, name)
            took = time.perf_counter() - start
        m["runs"].setdefault(name, []).append(took)
    except Exception as error:
        m["failed"][name] = reason(error)


def measure(r, args):
    """Alternates ours and each peer, so that a change of clock or load meets all of them."""
    m = {"row": r["name"], "what": r["what"], "width asked": args.relative_width, "values": {}, "failed": {},
         "runs": {}}
    names = ["ours"] + [STEADY] * bool(args.benchmark) + wanted_peers(r, args)
    for repeat in range(args.repeats):
        for name in names:
            over_budget = repeat and not name.startswith("ours") and sum(m["runs"].get(name, [])) > args.budget
            if name not in m["failed"] and not over_budget:
                measure_once(r, name, args, m)
    m["seconds"] = {n: statistics.median(t) for n, t in m["runs"].items()}
    m["repeats"] = {n: len(t) for n, t in m.pop("runs").items()}
    m["ratio"] = {to: {n: t / m["seconds"][to] for n, t in m["seconds"].items() if not n.startswith("ours")}
                  for to in ("ours", STEADY) if to in m["seconds"]}
    return m


def shown(value):
    if isinstance(value, list):
        return "[%s]" % ", ".join("-" if v is None else "%.9g" % v for v in (value[0], value[-1]))
    return "%.9g" % value


def milliseconds(seconds):
    return "%.3g ms" % (1e3 * seconds)


def our_time(m):
    took = "first call %s (process %s)" % tuple(milliseconds(m["seconds"][n]) for n in ("ours", "ours, whole process"))
    if STEADY in m["seconds"]:
        took = "**%s**, " % milliseconds(m["seconds"][STEADY]) + took
    elif STEADY in m["failed"]:
        took = m["failed"][STEADY] + ", " + took
    return took


def print_row(m):
    first = m["what"]
    for name in ["ours"] + [n for n in PEERS if n in m["values"] or n in m["failed"]]:
        if name in m["failed"]:
            cells = [m["failed"][name], "-", "-", "-"]
        elif name == "ours":
            value = shown(m["values"][name])
            if "ours" in m:
                width = m["ours"]["relative width"]
                value += ", width %.2e%s, %s" % (width, " (wider than asked)" * (width > m["width asked"]),
                                                 m["ours"]["engine"])
            cells = [value, our_time(m), "1", "1"]
        else:
            ratios = [m["ratio"].get(to, {}).get(name) for to in (STEADY, "ours")]
            cells = [shown(m["values"][name]), milliseconds(m["seconds"][name])]
            cells += ["-" if x is None else "%.3g" % x for x in ratios]
        print("| %s | %s | %s |" % (first, name, " | ".join(cells)), flush=True)
        first = ""


def print_growth(measured):
    for which, who in ((STEADY, "steady time"), ("ours", "first call")):
        took = {m["row"]: m["seconds"][which] for m in measured if which in m["seconds"]}
        for series, what in (("growth", "q 0.01"), ("growth-shrinking", "q 0.01 sqrt(1e3/steps)")):
            least, most = series + "-1e3", series + "-1e7"
            if least in took and most in took:
                print("- from 1e3 to 1e7 steps, %s, our %s grows by %.2f" % (what, who, took[most] / took[least]))


def versions():
    out = {"python": platform.python_version()}
    for package in ("dp-accounting", "prv-accountant", "numpy", "scipy"):
        try:
            out[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            out[package] = None
    try:
        with open("/proc/cpuinfo") as f:
            out["processor"] = next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        out["processor"] = platform.processor()
    return out


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default=os.path.join(here, "..", "build", "release", "cli", "dpflash"))
    parser.add_argument("--benchmark", default="", help="the executable accounting_benchmark: also time a warm process")
    parser.add_argument("--starts", type=int, default=50, help="processes started to time the command as a whole")
    parser.add_argument("--rows", default="", help="names, comma separated; all by default: " +
                        ", ".join(r["name"] for r in ROWS))
    parser.add_argument("--peers", default=",".join(ALL), help="comma separated; empty for ours alone")
    parser.add_argument("--repeats", type=int, default=3, help="the median is printed")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds after which a peer is not repeated")
    parser.add_argument("--relative-width", type=float, default=1e-6)
    parser.add_argument("--json", default="", help="also write everything measured to this file")
    args = parser.parse_args()
    args.peers = tuple(p for p in args.peers.split(",") if p)
    wanted = [w for w in args.rows.split(",") if w]
    unknown = set(wanted) - {r["name"] for r in ROWS} | set(args.peers) - set(ALL)
    if unknown or args.repeats < 1:
        parser.error("unknown rows or peers: %s" % ", ".join(sorted(unknown)) if unknown else "--repeats: at least 1")
    import_peers()
    about = versions()
    print("  ".join("%s %s" % (k, v or "not installed") for k, v in about.items()))
    print("\none thread each; relative width asked %g; medians of %d alternating repeats; ratio: the peer's time over ours\n"
          % (args.relative_width, args.repeats))
    print("| work | who | epsilon or noise | time | ratio to steady | ratio to first call |\n|---|---|---|---|---|---|")
    measured = []
    for r in ROWS:
        if not wanted or r["name"] in wanted:
            measured.append(measure(r, args))
            print_row(measured[-1])
    print()
    print_growth(measured)
    peak = [(m["ours"]["peak MB"], m["row"]) for m in measured if "ours" in m]
    if peak:
        print("- our largest resident memory: %.0f MB (%s)" % max(peak))
    if args.starts > 0:
        starts = start_times(args.command, args.starts)
        print("- process start to answer, sigma 1, q 0.01, 1e3 steps, %d processes: median %s, slowest %s" %
              (len(starts), milliseconds(statistics.median(starts)), milliseconds(starts[-1])))
    if args.json:
        for m in measured:
            m["values"] = {n: finite(v) for n, v in m["values"].items()}
        with open(args.json, "w") as f:
            json.dump({"about": about, "relative_width": args.relative_width, "rows": measured}, f, indent=1)


if __name__ == "__main__":
    main()
