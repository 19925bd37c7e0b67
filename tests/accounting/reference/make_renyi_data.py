"""Writes tests/data/renyi_moments.csv: Rényi divergences of one sampled step at 25 digits.

    python3 tests/accounting/reference/make_renyi_data.py > tests/data/renyi_moments.csv

Direct quadrature (Gauss-Legendre panels, mpmath) of E_Q[(P/Q)^order] - 1 at 40 digits: no formula of the library is used.
"""
import random
from mpmath import mp, mpf, exp, log, sqrt, pi, quad, log1p

mp.dps = 40


def gaussian(sigma, q, order, pair):
    s, q, a = mpf(sigma), mpf(q), mpf(order)

    def density(x, mean):
        return exp(-((x - mean) / s) ** 2 / 2) / (s * sqrt(2 * pi))

    def laws(x):
        zero, one = density(x, 0), (1 - q) * density(x, 0) + q * density(x, 1)
        if pair == "remove-one":
            return one, zero
        if pair == "add-one":
            return zero, one
        return one, (1 - q) * density(x, 0) + q * density(x, -1)

    def integrand(x):
        p, b = laws(x)
        return p ** a * b ** (1 - a)

    reach = 22 * s
    low, high = -reach - a / 1, reach + 2 * a + 1
    if pair == "remove-one":
        low, high = -reach, reach + a
    if pair == "add-one":
        low, high = -reach - min(a, 12 * s * log(1 + a)), reach + 1
    width = min(2 * s, 2 * s * s + s / 4)
    n = int((high - low) / width) + 1
    points = [low + (high - low) * i / n for i in range(n + 1)]
    return log(quad(integrand, points, maxdegree=5)) / (a - 1)


def laplace(scale, q, order, pair):
    b, q, a = mpf(scale), mpf(q), mpf(order)

    def power(loss):
        ratio = 1 - q + q * exp(loss)
        return ratio ** a if pair == "remove-one" else ratio ** (1 - a)

    middle = quad(lambda x: exp(-x / b) / (2 * b) * power((2 * x - 1) / b), [mpf(i) / 8 for i in range(9)], maxdegree=6)
    return log(power(-1 / b) / 2 + exp(-1 / b) / 2 * power(1 / b) + middle) / (a - 1)


random.seed(7)
print("noise,mechanism,rate,adjacency,order,divergence")
fixed = [(1.0, 0.01, 1.000001, "remove-one"), (1.0, 0.01, 1.000001, "add-one"), (4.0, 1e-6, 1.5, "remove-one"), (4.0, 1e-6, 1.5, "add-one"),
         (4.0, 1e-6, 1.5, "replace-one"), (0.3, 0.001, 1.2, "remove-one"), (0.3, 0.2, 3.0, "replace-one"), (1.0, 0.9, 40.0, "add-one"),
         (100.0, 1e-4, 20.0, "remove-one"), (100.0, 1e-4, 20.0, "replace-one"), (1.0, 0.01, 13.0, "remove-one"), (1.0, 0.01, 60.0, "remove-one")]
for i in range(27):
    fixed.append((round(10 ** random.uniform(-0.4, 1.2), 3), float("%.3g" % 10 ** random.uniform(-5, -0.05)),
                  round(1 + 10 ** random.uniform(-3, 1.4), 4), ["remove-one", "add-one", "replace-one"][i % 3]))
for sigma, q, order, pair in fixed:
    print("%r,gaussian,%r,%s,%r,%s" % (sigma, q, pair, order, mp.nstr(gaussian(sigma, q, order, pair), 25)), flush=True)
for scale, q, order, pair in [(2.0, 0.1, 3.5, "remove-one"), (2.0, 0.1, 3.5, "add-one"), (0.1, 0.01, 7.25, "remove-one"), (0.1, 0.3, 25.0, "add-one"),
                              (20.0, 1e-5, 1.001, "remove-one"), (20.0, 1e-5, 200.5, "add-one"), (1.0, 0.5, 300.0, "remove-one")]:
    print("%r,laplace,%r,%s,%r,%s" % (scale, q, pair, order, mp.nstr(laplace(scale, q, order, pair), 25)), flush=True)
