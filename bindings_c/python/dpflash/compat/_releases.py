"""Releases as other libraries state them, merged into plans of libdpflash.so and answered by it.

Other libraries take values for which the library has no proof, such as a noise multiplier of 1e12. Such a value is
moved to the nearest one that has a proof, up for the upper end and down for the lower: the bracket is wider, and holds
the truth all the same. Where there is no such value the upper end is infinite (for delta: 1).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

from .. import accounting
from .._plan import integer, number
from ..accounting import Bracket
from ..errors import NotComputable, UnusableInput

# The plan format's ranges (dpflash/accounting/plan.hpp).
_LEAST_NOISE, _MOST_NOISE = 1e-3, 1e9
_LEAST_RATE = 1e-15
_MOST_EPSILON = 1e6
_MOST_COUNT, _MOST_TOTAL = 10**12, 10**15

# The largest number of releases that one field may state.
_MOST_STATED = 10**18

# More than the relative rounding error of the few operations on doubles that precede it.
_ROUNDING = 1e-14

#: Mechanism and sampling of the plan format, without a count.
Event = dict[str, Any]


def stated_number(value: Any, field: str, least: float = 0.0, most: float = math.inf) -> float:
    """A number in [least, most], infinity included; raises UnusableInput naming the field."""
    real = number(value, field)
    if not least <= real <= most:
        raise UnusableInput(f"{field}: {real!r} is not allowed; a number in [{least:g}, {most:g}]")
    return real


def stated_count(value: Any, field: str) -> int:
    """A whole number of releases or records, 0 included; raises UnusableInput naming the field."""
    return integer(value, field, 0, _MOST_STATED)


def poisson(event: Event, rate: float) -> Event:
    """The event with each record in it independently with probability `rate` in (0, 1]."""
    return event if rate == 1 else {**event, "sampling": {"type": "poisson", "rate": rate}}


class Releases:
    """Events merged by what they are, whatever their number and order. Picklable and copyable."""

    def __init__(self, adjacency: str) -> None:
        self._adjacency = adjacency
        self._counts: dict[str, int] = {}
        self._unbounded = False
        self._certainly_unbounded = False

    def add(self, event: Event, count: int) -> None:
        """`count` >= 0 more of an event; its noise, epsilon and rate may be any finite number above 0."""
        if count > 0:
            name = json.dumps(event, sort_keys=True, allow_nan=False)
            self._counts[name] = self._counts.get(name, 0) + count

    def add_unbounded(self, certain: bool) -> None:
        """A release without privacy. certain: no epsilon covers it at any delta below 1; otherwise none is known."""
        self._unbounded = True
        self._certainly_unbounded = self._certainly_unbounded or certain

    def epsilon(self, delta: float, relative_width: float) -> Bracket:
        """Bracket of the smallest epsilon >= 0 at `delta` in [0, 1]; upper is inf where no bound is known."""
        target = stated_number(delta, "delta", 0, 1)
        if self._unbounded:
            return Bracket(math.inf if self._certainly_unbounded and target < 1 else 0.0, math.inf, math.inf)
        if not self._counts or target == 1:
            return Bracket(0.0, 0.0, 0.0)
        if target == 0:
            return self._epsilon_at_zero()
        return self._ask(lambda plan: accounting.epsilon(plan, target, relative_width=relative_width), math.inf)

    def delta(self, epsilon: float, relative_width: float) -> Bracket:
        """Bracket of the smallest delta at `epsilon`, any number or infinity; upper is 1 where no bound is known."""
        target = stated_number(epsilon, "epsilon", -math.inf)
        if self._unbounded:
            return Bracket(1.0 if self._certainly_unbounded else 0.0, 1.0, 1.0)
        if target == -math.inf:
            return Bracket(1.0, 1.0, 1.0)
        if target == math.inf:
            return self._delta_at_infinity()
        return self._ask(lambda plan: accounting.delta(plan, target, relative_width=relative_width), 1.0)

    def _ask(self, question: Callable[[dict[str, Any]], Bracket], worst: float) -> Bracket:
        events = [(json.loads(name), count) for name, count in self._counts.items()]
        try:
            above = self._plan([_above(event, count) for event, count in events])
            below = self._plan([_below(event, count) for event, count in events])
            found = question(above)
            lower = found.lower if below == above else question(below).lower
        except _OutOfRange:
            return Bracket(0.0, worst, worst)
        except NotComputable as reason:
            warnings.warn(f"the upper end is {worst:g}: {reason}", RuntimeWarning, stacklevel=5)
            return Bracket(0.0, worst, worst)
        upper = min(found.upper, worst)
        lower = min(lower, upper)
        return Bracket(lower, min(max(found.estimate, lower), upper), upper)

    def _plan(self, counted: list[tuple[Event, int]]) -> dict[str, Any]:
        """The document of a plan; a count of more than the format takes is several events."""
        if sum(count for _, count in counted) > _MOST_TOTAL:
            raise _OutOfRange
        parts: list[Event] = []
        for event, count in counted:
            for first in range(0, count, _MOST_COUNT):
                parts.append({**event, "count": min(_MOST_COUNT, count - first)})
        return {"adjacency": self._adjacency, "events": parts}

    def _epsilon_at_zero(self) -> Bracket:
        """At delta = 0: the sum of the largest losses, which Gaussian noise has none of."""
        total = 0.0
        for name, count in self._counts.items():
            event = json.loads(name)
            if event["mechanism"]["type"] == "gaussian":
                return Bracket(math.inf, math.inf, math.inf)
            total += count * _largest_loss(event, self._adjacency)
        if math.isinf(total):
            return Bracket(0.0, math.inf, math.inf)
        rounding = _ROUNDING * (2 + len(self._counts))
        return Bracket(total * (1 - rounding), total, total * (1 + rounding))

    def _delta_at_infinity(self) -> Bracket:
        """What no epsilon covers: the deltas of (epsilon, delta) events. Noise leaves nothing."""
        log_covered, exact = 0.0, True
        for name, count in self._counts.items():
            event = json.loads(name)
            share = event["mechanism"].get("delta", 0.0) * event.get("sampling", {}).get("rate", 1.0)
            exact = exact and (share == 0 or "sampling" not in event)
            log_covered += count * math.log1p(-share) if share < 1 else -math.inf
        missing = -math.expm1(log_covered)
        rounding = _ROUNDING * (2 + len(self._counts))
        return Bracket(missing * (1 - rounding) if exact else 0.0, missing, min(1.0, missing * (1 + rounding)))


class _OutOfRange(Exception):
    """No value of the plan format's ranges bounds a stated one from above."""


def _folded(event: Event, count: int, rounding: float) -> tuple[Event, int]:
    """Very many releases of unsampled Gaussian noise as one with less noise, which reveals the same."""
    mechanism = event["mechanism"]
    if mechanism["type"] != "gaussian" or "sampling" in event or count <= _MOST_COUNT:
        return event, count
    noise = mechanism["noise_multiplier"] / math.sqrt(count) * (1 + rounding)
    return {"mechanism": {"type": "gaussian", "noise_multiplier": noise}}, 1


def _above(event: Event, count: int) -> tuple[Event, int]:
    """An event within the format's ranges that reveals at least as much."""
    event, count = _folded(event, count, -_ROUNDING)
    mechanism, sampling = event["mechanism"], event.get("sampling", {})
    noise = mechanism.get("noise_multiplier", 1.0)
    if noise < _LEAST_NOISE or mechanism.get("epsilon", 0.0) > _MOST_EPSILON:
        raise _OutOfRange
    if noise > _MOST_NOISE:
        event = {**event, "mechanism": {**mechanism, "noise_multiplier": _MOST_NOISE}}
    if sampling.get("rate", 1.0) < _LEAST_RATE:
        event = {**event, "sampling": {**sampling, "rate": _LEAST_RATE}}
    return event, count


def _below(event: Event, count: int) -> tuple[Event, int]:
    """An event within the format's ranges that reveals at most as much; with a count of 0 nothing."""
    event, count = _folded(event, count, _ROUNDING)
    noise = event["mechanism"].get("noise_multiplier", 1.0)
    rate = event.get("sampling", {}).get("rate", 1.0)
    return event, 0 if noise > _MOST_NOISE or rate < _LEAST_RATE else count


def _largest_loss(event: Event, adjacency: str) -> float:
    """The epsilon of one release at delta = 0; inf where none is known."""
    mechanism, sampling = event["mechanism"], event.get("sampling")
    kind = mechanism["type"]
    if kind == "laplace":
        loss = 1 / mechanism["noise_multiplier"]
    elif kind == "discrete_laplace":
        loss = mechanism["noise_parameter"] * mechanism["sensitivity"]
    elif kind == "epsilon_delta" and mechanism["delta"] == 0:
        loss = mechanism["epsilon"]
    else:
        return math.inf
    if sampling is None:
        return loss
    if sampling["type"] != "poisson" or adjacency == "replace-one":
        return math.inf
    if loss < 1:
        return math.log1p(sampling["rate"] * math.expm1(loss))
    return loss + math.log(sampling["rate"] + (1 - sampling["rate"]) * math.exp(-loss))
