"""Writes tests/data/compositions.json: privacy profiles of composed mechanisms to at least ten digits.

usage: generate_compositions.py [--only SUBSTRING] [--output FILE]
Needs the PyPI packages numpy and python-flint (256-bit ball arithmetic); about ten minutes on one core.
Parameters are the IEEE doubles that the printed decimals stand for.
"""
import argparse
import json
import os
import time

from flint import arb

import exact
import inversion as inv
from cases import CASES

HERE = os.path.dirname(os.path.abspath(__file__))
METHODS = {
    "inversion": "contour integral of exp(K(z) - z eps)/(z(z+1)), 256-bit balls; error: distance to a second contour "
                 "with finer nodes, longer range and larger period, plus both ball radii",
    "closed form": "one step, monotone loss: tails by erfc or exp, 256-bit balls; error: ball radius",
    "two steps": "one-dimensional integral of a step against the other's closed form, trapezoidal in ln distance to "
                 "the kink; error: distance to twice the nodes plus ball radii",
    "binomial": "optimal composition of (eps, delta) guarantees, exact finite sum; error: ball radius",
}


def laplace_steps(b, count, direction, rate=None):
    if rate is not None:
        return inv.SampledLaplace(b, rate, direction, count)
    return inv.SampledLaplace(b, arb(1), "remove", count)


def discrete_laplace(a, sensitivity):
    """Atoms of the loss of DLap(a) shifted by an integer; the tails beyond the shift are summed exactly."""
    norm = (1 - (-a).exp()) / (1 + (-a).exp())
    out = []
    low = norm * (-a * sensitivity).exp() / (1 - (-a).exp())
    high = norm / (1 - (-a).exp())
    out.append((low, -a * sensitivity))
    out.append((high, a * sensitivity))
    for x in range(1, sensitivity):
        # x between the centres 0 (Q) and sensitivity (P)
        out.append((norm * (-a * (sensitivity - x)).exp(), a * (2 * x - sensitivity)))
    return out


def step_of(event, direction, adjacency):
    """The pair (P, Q) of one event in this direction as a step of the inversion."""
    m, s, k = event["mechanism"], event.get("sampling"), event.get("count", 1)
    kind = m["type"]
    if kind == "gaussian":
        sigma = arb(m["noise_multiplier"])
        if s is None:
            shift = 2 if adjacency == "replace-one" else 1
            return inv.Gaussian((arb(shift) / sigma) ** 2, k)
        q = arb(s["rate"])
        if adjacency == "replace-one":
            return inv.Mixture([(1 - q, arb(0)), (q, arb(1))], [(1 - q, arb(0)), (q, arb(-1))], sigma, k)
        mixed, base = [(1 - q, arb(0)), (q, arb(1))], [(arb(1), arb(0))]
        return inv.Mixture(mixed, base, sigma, k) if direction == "remove" else inv.Mixture(base, mixed, sigma, k)
    if kind == "laplace":
        return laplace_steps(arb(m["noise_multiplier"]), k, direction, None if s is None else arb(s["rate"]))
    if kind == "discrete_laplace":
        return inv.Atoms(discrete_laplace(arb(m["noise_parameter"]), m.get("sensitivity", 1)), k)
    if kind == "randomized_response":
        p, n = arb(m["noise_parameter"]), m["num_buckets"]
        keep, other = 1 - p + p / n, p / n
        loss = (keep / other).log()
        pairs = [(keep, loss), (other, -loss)] + ([((n - 2) * other, arb(0))] if n > 2 else [])
        return inv.Atoms(pairs, k)
    if kind == "mixture_of_gaussians":
        weights = [arb(p) for p in m["sampling_probabilities"]]
        mixed = list(zip(weights, [arb(x) for x in m["sensitivities"]]))
        base, sigma = [(arb(1), arb(0))], arb(m["standard_deviation"])
        return inv.Mixture(mixed, base, sigma, k) if direction == "remove" else inv.Mixture(base, mixed, sigma, k)
    if kind == "discrete_gaussian":
        variance, shift = arb(m["sigma"]) ** 2, m.get("sensitivity", 1)
        reach = int(22 * m["sigma"]) + shift
        mass = lambda x: (-arb(x * x) / (2 * variance)).exp()
        total = sum((mass(x) for x in range(-reach, reach + 1)), arb(0))
        return inv.Atoms([(mass(x) / total, shift * (2 * x + shift) / (2 * variance))
                          for x in range(-reach, reach + 1)], k)
    if kind == "custom":
        pairs = [(arb(p), arb(l)) for p, l in zip(m["probabilities"], m["losses"])]
        return inv.Atoms(pairs, k)
    raise ValueError(kind)


def by_inversion(plan, direction, epsilon, target, nats):
    steps = [step_of(e, direction, plan["adjacency"]) for e in plan["events"]]
    merged, mu = [], arb(0)
    for s in steps:
        if isinstance(s, inv.Gaussian):
            mu += s.mu_squared
        else:
            merged.append(s)
    if mu > 0:
        merged.append(inv.Gaussian(mu))
    if epsilon is None:
        epsilon = float("%.4g" % inv.pilot_epsilon(merged, target))
    value, error, info = inv.divergence(merged, arb(epsilon), nats)
    for e in plan["events"]:
        m = e["mechanism"]
        if m["type"] == "custom" and m.get("infinity_mass", 0):
            # the finite part already carries total mass 1 - infinity_mass per step
            value = value + 1 - (1 - arb(m["infinity_mass"])) ** e.get("count", 1)
    return epsilon, value, error, info


def directly(case, direction):
    plan, epsilon, method = case["plan"], arb(case["epsilon"]), case["method"]
    events = plan["events"]
    if method == "binomial":
        return exact.epsilon_delta([(arb(e["mechanism"]["epsilon"]), arb(e["mechanism"].get("delta", 0)),
                                     e.get("count", 1)) for e in events], epsilon), arb(0)
    first = events[0]["mechanism"]
    q = arb(events[0]["sampling"]["rate"])
    if method == "closed form":
        if first["type"] == "laplace":
            return exact.sampled_laplace(arb(first["noise_multiplier"]), q, epsilon, direction), arb(0)
        sigma = arb(first["noise_multiplier"])
        if plan["adjacency"] == "replace-one":
            return exact.replace_one_sampled_gaussian(sigma, q, epsilon), arb(0)
        return exact.SampledGaussian(sigma, q, direction).delta(epsilon), arb(0)
    steps = []
    for e in events:
        step = exact.SampledGaussian(arb(e["mechanism"]["noise_multiplier"]), arb(e["sampling"]["rate"]), direction)
        steps += [step] * e.get("count", 1)
    coarse = exact.two_steps(steps[0], steps[1], epsilon)
    fine = exact.two_steps(steps[0], steps[1], epsilon, 2)
    return fine, abs(fine - coarse)


def directions_of(plan):
    return {"add-one": ["add"], "remove-one": ["remove"], "replace-one": ["remove"]}.get(
        plan["adjacency"], ["remove", "add"])


def ends(x):
    return x.str(30, radius=False, more=False)


def solve(case):
    best = None
    epsilon = case.get("epsilon")
    sides = {}
    for d in directions_of(case["plan"]):
        if case["method"] == "inversion":
            epsilon, value, error, _ = by_inversion(case["plan"], d, epsilon, case.get("target"), case.get("nats", 60.0))
        else:
            value, error = directly(case, d)
        error = error + value.rad()
        value = value.mid()
        sides[d] = ends(value)
        if best is None or value > best[0]:
            best = (value, error)
    value, error = best
    relative = float((abs(error) / value).mid()) + float((abs(error) / value).rad())
    out = {"id": case["id"], "plan": case["plan"], "quantity": "delta", "at": {"epsilon": epsilon},
           "value": ends(value), "relative_error": float("%.1e" % max(relative, 1e-30)), "method": case["method"]}
    if len(sides) > 1:
        out["directions"] = sides
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--output", default=os.path.join(HERE, "..", "data", "compositions.json"))
    args = parser.parse_args()
    done = []
    for case in CASES:
        if args.only not in case["id"]:
            continue
        start = time.time()
        try:
            r = solve(case)
        except (ValueError, ZeroDivisionError, OverflowError, MemoryError) as e:
            print("FAIL %-44s %s" % (case["id"], e), flush=True)
            continue
        ok = r["relative_error"] <= 1e-10
        print("%s %-44s eps %-10.6g delta %s rel %.1e  %.1f s" % (
            "    " if ok else "LOOSE", r["id"], r["at"]["epsilon"], r["value"][:24], r["relative_error"],
            time.time() - start), flush=True)
        if ok:
            done.append(r)
    for r in done:
        r["method"] = METHODS[r["method"]]
    with open(args.output, "w") as f:
        f.write("[\n" + ",\n".join(" " + json.dumps(r) for r in done) + "\n]\n")
    print(len(done), "cases")


if __name__ == "__main__":
    main()
