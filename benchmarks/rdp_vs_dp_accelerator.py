"""Rényi epsilon, ours against PyPI's dp-accelerator (Rust), side by side in one run, one thread.

    python3 benchmarks/rdp_vs_dp_accelerator.py BENCH_RDP

BENCH_RDP is the executable benchmarks/rdp_epsilon.cpp (build with -DDPFLASH_BUILD_BENCHMARKS=ON); needs the Python
packages dp-accelerator and numpy. Times are the best of several interleaved repeats, each a median of many calls; theirs
is called through its own accountant class, at the orders it comes with. It has no composition of different phases (its
only compiled function takes one phase), so that row times its one-phase calls, one per phase, and shows no epsilon.
"""
import json
import statistics
import subprocess
import sys
import time

from dp_accelerator import DPSGDAccountant, _core

DELTA = 1e-5


def phases_of(name):
    if name == "phases":
        return [(0.8 + 0.05 * i, 0.002 + 0.0005 * i, 1000) for i in range(24)]
    return [(1.0, 0.01, int(name))]


def theirs(phases):
    orders = DPSGDAccountant(1.0, 1, 100).orders
    if len(phases) == 1:
        sigma, rate, steps = phases[0]
        accountant = DPSGDAccountant(sigma, int(round(rate * 10**6)), 10**6)
        return lambda: accountant.get_epsilon(steps, DELTA)

    def run():
        for sigma, rate, steps in phases:
            _core.compute_epsilon_batch(rate, sigma, [steps], orders, DELTA)
        return float("nan")

    return run


def median_seconds(run, calls):
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    ours = sys.argv[1]
    print(f"{'plan':>8} {'ours':>14} {'theirs':>14} {'ours us':>9} {'theirs us':>10} {'ratio':>7}")
    for name in ["1000", "10000", "100000", "phases"]:
        phases = phases_of(name)
        run = theirs(phases)
        epsilon = run()
        best_theirs = best_ours = float("inf")
        for _ in range(5):
            best_theirs = min(best_theirs, median_seconds(run, 60 if len(phases) == 1 else 15))
            request = "\n".join(" ".join(map(repr, phase)) for phase in phases)
            answer = json.loads(subprocess.run([ours, repr(DELTA)], input=request, capture_output=True, text=True, check=True).stdout)
            best_ours = min(best_ours, answer["seconds"])
        print(f"{name:>8} {answer['epsilon']:14.9f} {epsilon:14.9f} {best_ours * 1e6:9.1f} {best_theirs * 1e6:10.1f} "
              f"{best_theirs / best_ours:7.1f}")


if __name__ == "__main__":
    main()
