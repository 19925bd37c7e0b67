"""Polynomials of gpu/src/draw/grid_normal.hpp and their errors: `python3 tests/reference/grid_normal.py` prints the
coefficients, and for each polynomial the largest relative error of its rounded coefficients and a bound of its round-off,
in u = 2^-53; then the errors of the probabilities that follow. Needs mpmath."""
from mpmath import cos, erfc, exp, expm1, fabs, log, log1p, mp, mpf, npdf, pi, sqrt

mp.dps = 45
U = mpf(2) ** -53


def quantile(w):
    """z > 0 with 4 Q(z) (1 - Q(z)) = exp(-w), and x = 1 - 2 Q(z)."""
    x = sqrt(-expm1(-w))
    p = exp(-w) / (2 * (1 + x))
    z = sqrt(2 * w) if w > 1 else sqrt(pi / 2) * x
    for _ in range(80):
        q = erfc(z / sqrt(2)) / 2
        step = (log(q) - log(p)) * q / npdf(z)
        z += step
        if fabs(step) < mpf(10) ** -40 * z:
            return z, x
    raise ArithmeticError(w)


def central(w):
    if w < mpf(10) ** -30:
        return sqrt(pi / 2)
    z, x = quantile(w)
    return z / x


def tail(s):
    z, x = quantile(s * s)
    return z / x


def minus_log1p(r):
    return -log1p(r) / r if r != 0 else mpf(-1)


def shifted(coefficients, h):
    """The polynomial t -> p(t + h)."""
    out = [mpf(0)] * len(coefficients)
    for c in reversed(coefficients):
        out = [(out[i - 1] if i else mpf(0)) + h * out[i] for i in range(len(out))]
        out[0] += c
    return out


def fit(f, low, high, degree, centre):
    """Coefficients in t = argument - centre of the interpolant at Chebyshev's points, rounded to double, low first."""
    n = degree + 1
    middle, half = (low + high) / 2, (high - low) / 2
    points = [cos(pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    values = [f(middle + half * t) for t in points]
    cheb = [2 / mpf(n) * sum(v * cos(pi * j * (2 * k + 1) / (2 * n)) for k, v in enumerate(values)) for j in range(n)]
    cheb[0] /= 2
    total, before, current = [mpf(0)] * n, [mpf(1)], [mpf(0), 1 / half]
    for j in range(n):
        poly = before if j == 0 else current
        if j >= 2:
            doubled = [mpf(0)] + [2 / half * c for c in current]
            poly = [a - (before[i] if i < len(before) else 0) for i, a in enumerate(doubled)]
            before, current = current, poly
        for i, c in enumerate(poly):
            total[i] += cheb[j] * c
    return [mpf(float(c)) for c in shifted(total, centre - middle)]


def horner(coefficients, t):
    """Value, and the bound of the round-off of an fma chain to first order in U."""
    value, error = mpf(0), mpf(0)
    for c in reversed(coefficients):
        value = value * t + c
        error = error * fabs(t) + U * fabs(value)
    return value, error


def study(f, low, high, coefficients, centre, points=2000):
    worst, worst_round = mpf(0), mpf(0)
    for k in range(points + 1):
        a = low + (high - low) * (1 - cos(pi * k / points)) / 2
        value, error = horner(coefficients, a - centre)
        truth = f(a)
        worst = max(worst, fabs(value / truth - 1))
        worst_round = max(worst_round, error / fabs(truth))
    return worst, worst_round


FITS = [
    ("minus_log1p", minus_log1p, -mpf(1) / 3 - mpf(2) ** -18, mpf(1) / 3 + mpf(2) ** -18, 20, mpf(0)),
    ("central", central, mpf(0), mpf("6.25"), 23, mpf("1.5")),
    ("tail 2.5..4", tail, mpf("2.5"), mpf(4), 20, mpf("3.25")),
    ("tail 4..6.5", tail, mpf(4), mpf("6.5"), 21, mpf("5.25")),
    ("tail 6.5..11.75", tail, mpf("6.5"), mpf("11.75"), 20, mpf(9)),
]

KAPPA = 6 * U / (1 - 6 * U)


def cell_bounds(bits, points=4000):
    """Largest relative error of a probability up to 14 standard deviations, and its root mean square: the bound of
    docs/math/grid-mechanism.md, section 4, both in units of 2^(bits - 16)."""
    scale, largest, second = mpf(2) ** bits, mpf(0), mpf(0)
    for i in range(1, points + 1):
        z = mpf(14) * i / points
        outer = z + 1 / scale
        unit = mpf(2) ** -64 if z <= mpf("4.7641") else mpf(2) ** -191
        e = scale * KAPPA * (z * exp(z / scale + z * z * KAPPA) + outer) + unit * scale / npdf(outer)
        largest = max(largest, e)
        second += e * e * 2 * npdf(z - mpf(14) / points) * 14 / points
    return largest * mpf(2) ** (16 - bits), sqrt(second) * mpf(2) ** (16 - bits)


if __name__ == "__main__":
    for name, f, low, high, degree, centre in FITS:
        coefficients = fit(f, low, high, degree, centre)
        approximation, rounding = study(f, low, high, coefficients, centre)
        print(f"{name}: centre {float(centre)} approximation {float(approximation / U):.3f} u, "
              f"round-off {float(rounding / U):.3f} u")
        for c in reversed(coefficients):
            print("  ", float(c).hex())
    for bits in (8, 12, 16):
        largest, root = cell_bounds(bits)
        print(f"bits {bits}: largest error of a probability {float(largest):.3e}, root mean square {float(root):.3e}")
    print(f"beyond 14 standard deviations: {float(erfc(14 / sqrt(mpf(2)))):.3e}")
