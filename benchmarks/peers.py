#!/usr/bin/env python3
"""This library beside other accountants: value, time and ratio, one thread each, alternating in one run.

usage: peers.py [--command PATH] [--rows NAME,...] [--peers NAME,...] [--repeats N] [--relative-width W] [--json FILE]
Peers: google-pld, google-rdp (PyPI dp-accounting), prv (PyPI prv-accountant). A missing one is said so in its rows.
"""
import os

for _v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_v] = "1"

import argparse
import functools
import importlib.metadata
import json
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


def measure(r, args):
    """Alternates ours and each peer, so that a change of clock or load meets all of them."""
    runs, values, failed = {}, {}, {}
    names = ["ours"] + [p for p in r["peers"] if p in args.peers or (p, "google-pld" in args.peers) ==
                        ("google-convolution", True)]
    for repeat in range(args.repeats):
        for name in names:
            if name in failed or (repeat and name != "ours" and sum(runs[name]) > args.budget):
                continue
            try:
                if name == "ours":
                    values[name], inside, wall = ours(args.command, r, args.relative_width)
                    runs.setdefault(name, []).append(inside)
                    runs.setdefault("ours, whole process", []).append(wall)
                    continue
                start = time.perf_counter()
                values[name] = PEERS[name](r, name)
                runs.setdefault(name, []).append(time.perf_counter() - start)
            except Exception as error:  # a peer that raises is a result
                failed[name] = reason(error)
    seconds = {n: statistics.median(t) for n, t in runs.items()}
    return {"row": r["name"], "what": r["what"], "values": values, "seconds": seconds, "failed": failed,
            "repeats": {n: len(t) for n, t in runs.items()},
            "ratio": {n: seconds[n] / seconds["ours"] for n in seconds
                      if seconds.get("ours") and not n.startswith("ours")}}


def shown(value):
    if isinstance(value, list):
        return "[%s]" % ", ".join("-" if v is None else "%.9g" % v for v in (value[0], value[-1]))
    return "%.9g" % value


def print_row(m):
    first = m["what"]
    for name in ["ours"] + [n for n in PEERS if n in m["values"] or n in m["failed"]]:
        if name in m["failed"]:
            cells = [m["failed"][name], "-", "-"]
        else:
            took = "%.3g ms" % (1e3 * m["seconds"][name])
            if name == "ours":
                took += " (process %.3g ms)" % (1e3 * m["seconds"]["ours, whole process"])
            ratio = "%.3g" % m["ratio"][name] if name in m["ratio"] else "1" if name == "ours" else "-"
            cells = [shown(m["values"][name]), took, ratio]
        print("| %s | %s | %s |" % (first, name, " | ".join(cells)), flush=True)
        first = ""


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
    print("one thread each; relative width %g; ratio: the peer's time over our in-process time\n" % args.relative_width)
    print("| work | who | epsilon or noise | median time | ratio |\n|---|---|---|---|---|")
    measured = []
    for r in ROWS:
        if not wanted or r["name"] in wanted:
            measured.append(measure(r, args))
            print_row(measured[-1])
    growth = {m["row"]: m["seconds"]["ours"] for m in measured if m["row"].startswith("growth") and "ours" in m["seconds"]}
    if {"growth-1e3", "growth-1e7"} <= growth.keys():
        print("\nour time from 1e3 to 1e7 steps grows by %.2f" % (growth["growth-1e7"] / growth["growth-1e3"]))
    if args.json:
        for m in measured:
            m["values"] = {n: finite(v) for n, v in m["values"].items()}
        with open(args.json, "w") as f:
            json.dump({"about": about, "relative_width": args.relative_width, "rows": measured}, f, indent=1)


if __name__ == "__main__":
    main()
