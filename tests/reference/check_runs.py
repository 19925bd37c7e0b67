"""Prints every published run of examples/runs beside two accountants of other origin, as a Markdown table.

usage: check_runs.py [DIR]
Needs the PyPI packages dp-accounting and numpy. "classic" and "improved" are Renyi DP on orders 1.1 to 63, computed here
by quadrature at exact real orders; "PLD" is the dp-accounting package at its default grid.
"""
import glob
import json
import math
import os
import sys
import warnings

import dp_accounting
import numpy as np
from dp_accounting import pld

warnings.filterwarnings("ignore")
ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))
HERE = os.path.dirname(os.path.abspath(__file__))


def renyi(sigma, rate, order):
    if rate is None:
        return order / (2 * sigma ** 2)
    x = np.linspace(-15 * sigma, max(30 * sigma, order + 15 * sigma), 40001)
    ratio = np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * x - 1) / (2 * sigma ** 2))
    f = order * ratio - x * x / (2 * sigma ** 2)
    top = f.max()
    total = top + math.log(np.exp(f - top).sum() * (x[1] - x[0])) - math.log(sigma * math.sqrt(2 * math.pi))
    return total / (order - 1)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "examples", "runs")
    print("| run | delta | published | classic RDP | improved RDP | PLD | published value |")
    print("|---|---|---|---|---|---|---|")
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        run = json.load(open(path))
        delta, steps, events = run["delta"], [], []
        for e in run["plan"]["events"]:
            sigma, rate = e["mechanism"]["noise_multiplier"], e.get("sampling", {}).get("rate")
            steps.append((sigma, rate, e.get("count", 1)))
            one = dp_accounting.GaussianDpEvent(sigma)
            one = one if rate is None else dp_accounting.PoissonSampledDpEvent(rate, one)
            events.append(dp_accounting.SelfComposedDpEvent(one, e.get("count", 1)))
        rho = [(a, sum(k * renyi(s, q, a) for s, q, k in steps)) for a in ORDERS]
        classic = min(r + math.log(1 / delta) / (a - 1) for a, r in rho)
        improved = min(r + math.log1p(-1 / a) - (math.log(delta) + math.log(a)) / (a - 1) for a, r in rho)
        accountant = pld.PLDAccountant()
        accountant.compose(dp_accounting.ComposedDpEvent(events))
        exact = accountant.get_epsilon(delta)
        p = run["published"]
        hit = [n for n, v in (("classic", classic), ("improved", improved), ("PLD", exact))
               if abs(v - p["epsilon"]) <= p["tolerance"]]
        print("| %s | %g | %g | %.4f | %.4f | %.4f | %s |" % (
            os.path.basename(path)[:-5], delta, p["epsilon"], classic, improved, exact,
            "is " + " and ".join(hit) if hit else "does not reproduce"), flush=True)


if __name__ == "__main__":
    main()
