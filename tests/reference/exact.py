"""Closed forms and one-dimensional integrals, in ball arithmetic: one or two steps, and (epsilon, delta) guarantees."""
import itertools

from flint import arb, ctx

ctx.prec = 256


def upper_tail(x):
    return (x / arb(2).sqrt()).erfc() / 2


def gaussian(mu, epsilon):
    """H of N(mu, 1) against N(0, 1)."""
    return upper_tail(epsilon / mu - mu / 2) - epsilon.exp() * upper_tail(epsilon / mu + mu / 2)


class SampledGaussian:
    """One Poisson-sampled Gaussian step; remove: P is the mixture; add: P is N(0, sigma^2)."""

    def __init__(self, sigma, rate, direction):
        self.s, self.q, self.direction = sigma, rate, direction

    def ratio(self, x):
        return 1 - self.q + self.q * ((2 * x - 1) / (2 * self.s ** 2)).exp()

    def loss(self, x):
        r = self.ratio(x).log()
        return r if self.direction == "remove" else -r

    def point(self, log_ratio):
        """x at which ln ratio(x) has this value; needs log_ratio > ln(1 - q)."""
        return self.s ** 2 * ((log_ratio.exp() - 1 + self.q) / self.q).log() + arb(1) / 2

    def base(self, x, upper):
        t = upper_tail(x / self.s)
        return t if upper else upper_tail(-x / self.s)

    def mixed(self, x, upper):
        sign = 1 if upper else -1
        return (1 - self.q) * upper_tail(sign * x / self.s) + self.q * upper_tail(sign * (x - 1) / self.s)

    def density(self, x):
        b = (-(x ** 2) / (2 * self.s ** 2)).exp() / (self.s * (2 * arb.pi()).sqrt())
        return b * self.ratio(x) if self.direction == "remove" else b

    def delta(self, epsilon):
        edge = (1 - self.q).log()
        if self.direction == "remove":
            if epsilon <= edge:
                return 1 - epsilon.exp()
            x = self.point(epsilon)
            return self.mixed(x, True) - epsilon.exp() * self.base(x, True)
        if -epsilon <= edge:
            return arb(0)
        x = self.point(-epsilon)
        return self.base(x, False) - epsilon.exp() * self.mixed(x, False)


def two_steps(first, second, epsilon, refine=1):
    """E over the first step's output of the second step's delta(epsilon - loss); the loss of the second step stops
    at ln(1 - q), which puts a kink at x0; x = x0 - sigma e^s makes the trapezoidal rule converge exponentially."""
    edge = (1 - second.q).log()
    if first.direction == "remove":
        x0 = first.point(epsilon - edge)
        beyond = first.mixed(x0, True) - epsilon.exp() * first.base(x0, True)
    else:
        if -epsilon - edge <= (1 - first.q).log():
            return arb(0)
        x0 = first.point(-epsilon - edge)
        beyond = arb(0)
    h = arb(1) / (96 * refine)
    total = arb(0)
    for j in range(-110 * 96 * refine, 6 * 96 * refine):
        step = first.s * (h * j).exp()
        x = x0 - step
        total += step * first.density(x) * second.delta(epsilon - first.loss(x))
    return beyond + total * h


def replace_one_sampled_gaussian(sigma, rate, epsilon):
    """P = (1-q) N(0, s^2) + q N(1, s^2) against the mirror image; the loss is odd and increasing in x."""
    up = lambda x: rate * (x / sigma ** 2).exp()
    c = (1 - rate) * (1 / (2 * sigma ** 2)).exp()
    e = epsilon.exp()
    # (c + q u) / (c + q / u) = e^eps with u = e^(x / s^2): q u^2 - c (e - 1) u - q e = 0
    b = c * (e - 1)
    u = (b + (b * b + 4 * rate * rate * e).sqrt()) / (2 * rate)
    x = sigma ** 2 * u.log()
    mass = lambda m: (1 - rate) * upper_tail(x / sigma) + rate * upper_tail((x - m) / sigma)
    return mass(1) - e * mass(-1)


def sampled_laplace(scale, rate, epsilon, direction):
    """One Poisson-sampled Laplace step, epsilon >= 0."""
    e = epsilon.exp()

    def laplace(level):
        # H at e^level of Lap(1, b) against Lap(0, b)
        if level >= 1 / scale:
            return arb(0)
        return 1 - ((level - 1 / scale) / 2).exp()

    if direction == "remove":
        return rate * laplace((1 + (e - 1) / rate).log())
    # H_e(Q || (1-q) Q + q P) with Q, P mirror images: (1 - e (1 - q)) H at e q / (1 - e (1 - q))
    rest = 1 - e * (1 - rate)
    if rest <= 0:
        return arb(0)
    return rest * laplace((e * rate / rest).log())


def epsilon_delta(guarantees, epsilon):
    """Optimal composition: independent randomised responses, each preceded by a catastrophe of probability delta."""
    survive = arb(1)
    for _, d, k in guarantees:
        survive *= (1 - d) ** k
    total = arb(0)
    for counts in itertools.product(*[range(k + 1) for _, _, k in guarantees]):
        loss, p = arb(0), arb(1)
        for (e, _, k), j in zip(guarantees, counts):
            loss += (2 * j - k) * e
            p *= arb.bin_uiui(k, j) * (e * j).exp() / (1 + e.exp()) ** k
        if loss > epsilon:
            total += p * (1 - (epsilon - loss).exp())
    return 1 - survive * (1 - total)
