"""Hockey-stick divergences of composed mechanisms in ball arithmetic, independent of the library.

delta(eps) = 1/(2 pi i) * integral over Re z = theta of  exp(K(z) - z eps) / (z (z + 1)) dz,  theta > 0,
where K is the sum of the steps' log moment generating functions of the privacy loss under P. Every step's
moment generating function is a sum over nodes x_j (trapezoidal rule for analytic densities, Gauss-Legendre between
the kinks of a Laplace density, exact atoms for discrete laws), or a closed form for an unsampled Gaussian.
"""
import math

import numpy as np
from flint import acb, acb_mat, arb, ctx

ctx.prec = 256
PI = arb.pi()


def log_normal(x, mean, sigma):
    return -((x - mean) ** 2) / (2 * sigma * sigma) - (sigma * (2 * PI).sqrt()).log()


class Gaussian:
    """Unsampled Gaussian releases that add up to a shift of mu standard deviations: K(z) = mu^2 (z^2 + z) / 2."""

    def __init__(self, mu_squared, count=1):
        self.mu_squared = mu_squared * count
        self.count = 1

    def pilot(self, z):
        m = float(self.mu_squared)
        return m * (z * z + z) / 2

    def exact(self, z):
        return (self.mu_squared * (z * z + z) / 2).exp()


class Atoms:
    """A discrete law of the loss: probabilities and losses."""

    def __init__(self, pairs, count):
        self.pairs, self.count = pairs, count
        self._w = np.array([math.log(float(p)) for p, _ in pairs])
        self._l = np.array([float(l) for _, l in pairs])

    def nodes(self, theta, t_max, refine):
        return self.pairs


class Mixture:
    """P against Q, both Gaussian mixtures of one standard deviation: lists of (weight, mean)."""

    def __init__(self, p, q, sigma, count):
        self.p, self.q, self.sigma, self.count = p, q, sigma, count
        self._p = [(float(w), float(m)) for w, m in p]
        self._q = [(float(w), float(m)) for w, m in q]
        self._s = float(sigma)
        means = [m for _, m in self._p + self._q]
        spread = max(means) - min(means)
        two_point = len(p) <= 2 and len(q) <= 2
        # no zero of a mixture closer to the real axis than this
        self._strip = (0.97 * math.pi if two_point else 0.49 * math.pi) * self._s ** 2 / max(
            spread if not two_point else 1.0, 1e-300)
        rarest = min(w for w, _ in self._p + self._q)
        # a second mode, every step a hit, opens where the tilt makes up for the rarity
        reach = 40 * self._s + 80 + 2.2 * self._s ** 2 * math.log(1 / rarest)
        x = np.linspace(min(means) - reach, max(means) + reach, 12001)
        self._x, p, q = x, self._log_mix(self._p, x + 0j).real, self._log_mix(self._q, x + 0j).real
        self._w, self._l = p + math.log(x[1] - x[0]), p - q

    def _log_mix(self, mix, x):
        terms = [math.log(w) - (x - m) ** 2 / (2 * self._s ** 2) for w, m in mix]
        top = terms[0].real
        for t in terms[1:]:
            top = np.maximum(top, t.real)
        # a common real scale and the phase of the first term keep the logarithm on its principal branch
        phase = 1j * np.asarray(terms[0]).imag
        return top + phase + np.log(sum(np.exp(t - top - phase) for t in terms)) - math.log(
            self._s * math.sqrt(2 * math.pi))

    def _log_integrand(self, x, z):
        p, q = self._log_mix(self._p, x), self._log_mix(self._q, x)
        return p + z * (p - q)

    def _grid(self, theta):
        """The x range in which the tilted density at Re z = theta exceeds e^-115 of its top."""
        f = self._w + theta * self._l
        keep = np.nonzero(f > f.max() - 115)[0]
        if keep[0] == 0 or keep[-1] == len(f) - 1:
            raise ValueError("the tilted density leaves the scanned range")
        return self._x[keep[0] - 1], self._x[keep[-1] + 1]

    def nodes(self, theta, t_max, refine):
        lo, hi = self._grid(theta)
        x = np.linspace(lo, hi, 4001)
        base = log_sum(self._log_integrand(x + 0j, theta)).real
        best = 0.0
        for d in np.geomspace(1e-4, 1, 60) * self._strip:
            worst = max(log_sum(self._log_integrand(x + 1j * s * d, theta + 1j * t_max).real).real for s in (-1, 1))
            best = max(best, 2 * math.pi * d / (95 + max(0.0, worst - base)))
        n = int(math.ceil((hi - lo) / (best * refine)))
        h = (arb(hi) - arb(lo)) / n
        out = []
        for j in range(n + 1):
            xj = arb(lo) + h * j
            p = sum(w * (-((xj - m) ** 2) / (2 * self.sigma ** 2)).exp() for w, m in self.p)
            q = sum(w * (-((xj - m) ** 2) / (2 * self.sigma ** 2)).exp() for w, m in self.q)
            out.append((h * p / (self.sigma * (2 * PI).sqrt()), (p / q).log()))
        return out


class SampledLaplace:
    """P = (1 - q) Lap(0, b) + q Lap(1, b) against Lap(0, b), or the reverse (direction add)."""

    def __init__(self, scale, rate, direction, count):
        self.b, self.q, self.direction, self.count = scale, rate, direction, count
        pairs = self.nodes(0.0, 0.0, 1.0)
        self._w = np.array([math.log(float(p)) for p, _ in pairs])
        self._l = np.array([float(l) for _, l in pairs])

    def _loss(self, x):
        ratio = 1 - self.q + self.q * ((2 * x - 1) / self.b).exp()
        return ratio

    def nodes(self, theta, t_max, refine):
        n = int((120 + 3 * t_max / float(self.b)) / refine)
        half = arb(1) / 2
        base = [(half, arb(0)), (half * (-1 / self.b).exp(), arb(1))]
        for node in range(n):
            x, w = arb.legendre_p_root(n, node, weight=True)
            x = (x + 1) / 2
            base.append((w / 2 * (-x / self.b).exp() / (2 * self.b), x))
        out = []
        for mass, x in base:
            ratio = self._loss(x)
            out.append((mass * ratio, ratio.log()) if self.direction == "remove" else (mass, -ratio.log()))
        return out


def log_sum(a):
    top = np.max(np.real(a))
    return top + np.log(np.sum(np.exp(a - top)))


def log_mgf(steps, z):
    """Double precision K(z), for choosing contour, range and spacing only."""
    return sum(s.pilot(z) if isinstance(s, Gaussian) else s.count * log_sum(s._w + z * s._l) for s in steps)


def derivatives(steps, theta):
    """K, K' and K'' at a real theta, double precision."""
    out = np.zeros(3)
    for s in steps:
        if isinstance(s, Gaussian):
            m = float(s.mu_squared)
            out += [s.pilot(theta), m * (theta + 0.5), m]
            continue
        f = s._w + theta * s._l
        top = f.max()
        p = np.exp(f - top)
        total = p.sum()
        p /= total
        mean = p @ s._l
        out += s.count * np.array([top + math.log(total), mean, p @ (s._l - mean) ** 2])
    return out


def saddle(steps, epsilon):
    """theta > 0 that minimises K(theta) - theta eps - ln(theta (theta + 1))."""
    lo, hi = 1e-6, 1.0
    g = lambda t: derivatives(steps, t)[1] - epsilon - 1 / t - 1 / (t + 1)
    while g(hi) < 0 and hi < 1e5:
        hi *= 2
    for _ in range(60):
        mid = math.sqrt(lo * hi)
        lo, hi = (mid, hi) if g(mid) < 0 else (lo, mid)
    return hi


def pilot_delta(steps, epsilon):
    t = saddle(steps, epsilon)
    k, _, k2 = derivatives(steps, t)
    curvature = k2 + 1 / t ** 2 + 1 / (t + 1) ** 2
    return math.exp(k - t * epsilon) / (t * (t + 1) * math.sqrt(2 * math.pi * curvature)), t


def pilot_epsilon(steps, delta):
    lo, hi = -1.0, 1.0
    while pilot_delta(steps, hi)[0] > delta:
        lo, hi = hi, hi * 2 + 1
    lo = max(lo, 0.0)
    for _ in range(40):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if pilot_delta(steps, mid)[0] > delta else (lo, mid)
    return hi


def frequency_range(steps, theta, nats):
    """t beyond which |phi(theta + it) / phi(theta)| stays below e^-nats (double precision scan)."""
    base = float(np.real(log_mgf(steps, theta)))
    sd = math.sqrt(derivatives(steps, theta)[2])
    t, last = 0.1 / sd, 0.1 / sd
    quiet = 0
    while quiet < 8 and t < 1e7 / sd:
        drop = float(np.real(log_mgf(steps, theta + 1j * t))) - base
        if drop > -nats:
            last, quiet = t, 0
        else:
            quiet += 1
        t *= 1.12
    return last * 1.12


def period(steps, theta, epsilon, delta, nats):
    """Length of the aliasing period: both neighbours' contributions below e^-nats of delta."""
    k0 = derivatives(steps, theta)[0]
    first = (nats - math.log(delta)) / theta
    first = max(first, 0.0)
    second = math.inf
    log_a = math.log(delta) - k0 + theta * epsilon
    for s in np.geomspace(1e-4, 50, 80) * max(theta, 0.05):
        try:
            k = derivatives(steps, theta + s)[0]
        except (ValueError, OverflowError):
            continue
        second = min(second, (k - k0 - log_a + nats) / s - epsilon)
    return max(first, second)


def transform(steps, theta, spacing, n, refine, t_max):
    """phi(theta + i m spacing) / phi(theta) for m < n, and phi(theta)."""
    rows = int(math.ceil(math.sqrt(n)))
    cols = (n + rows - 1) // rows
    product, scale = [acb(1)] * (rows * cols), arb(1)
    for s in steps:
        if isinstance(s, Gaussian):
            at = s.exact(arb(theta))
            values = [s.exact(acb(arb(theta), spacing * m)) / at for m in range(rows * cols)]
            scale *= at
            product = [a * b for a, b in zip(product, values)]
            continue
        pairs = s.nodes(theta, t_max, refine)
        weights = [p * (l * arb(theta)).exp() for p, l in pairs]
        total = sum(weights, arb(0))
        block = max(1, 400000 // rows)
        acc = None
        for j0 in range(0, len(pairs), block):
            part = range(j0, min(j0 + block, len(pairs)))
            unit = [acb(0, spacing * pairs[j][1]).exp() for j in part]
            stride = [u ** rows for u in unit]
            left, cur = [], [acb(weights[j] / total) for j in part]
            for _ in range(rows):
                left.append(cur)
                cur = [a * b for a, b in zip(cur, unit)]
            right, cur = [], [acb(1)] * len(unit)
            for _ in range(cols):
                right.append(cur)
                cur = [a * b for a, b in zip(cur, stride)]
            m = acb_mat(left) * acb_mat(right).transpose()
            acc = m if acc is None else acc + m
        values = [acc[a, b] ** s.count for b in range(cols) for a in range(rows)]
        scale *= total ** s.count
        product = [a * b for a, b in zip(product, values)]
    return product[:n], scale


def invert(steps, epsilon, theta, nats, refine=1.0):
    """delta as a ball (rounding only), with the sizes used."""
    delta, _ = pilot_delta(steps, float(epsilon))
    t_max = frequency_range(steps, theta, nats) / math.sqrt(refine)
    length = period(steps, theta, float(epsilon), max(delta, 1e-300), nats) / refine
    n = int(math.ceil(t_max * length / (2 * math.pi))) + 2
    if n > 1200000:
        raise ValueError("too many nodes: %d" % n)
    spacing = 2 * PI / arb(length)
    values, scale = transform(steps, theta, spacing, n, refine, t_max)
    total = arb(0)
    for m, f in enumerate(values):
        z = acb(arb(theta), spacing * m)
        term = (f * acb(0, -spacing * m * epsilon).exp() / (z * (z + 1))).real
        total += term if m == 0 else 2 * term
    result = total * spacing / (2 * PI) * scale * (-arb(theta) * epsilon).exp()
    return result, {"frequencies": n, "theta": theta}


def divergence(steps, epsilon, nats=60.0):
    """delta(eps), and the difference to a second contour with finer nodes everywhere."""
    _, theta = pilot_delta(steps, float(epsilon))
    sd = math.sqrt(derivatives(steps, theta)[2])
    theta = max(theta, 1.5 / sd)
    coarse, _ = invert(steps, epsilon, theta, nats)
    fine, info = invert(steps, epsilon, theta + 0.5 / math.sqrt(sd ** 2 + 1 / theta ** 2), nats + 6, 0.7)
    error = abs(fine.mid() - coarse.mid()) + fine.rad() + coarse.rad()
    return fine.mid(), arb(error.mid() + error.rad()), info
