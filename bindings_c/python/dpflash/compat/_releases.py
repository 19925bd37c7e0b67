"""Releases as other libraries state them, merged into plans of libdpflash.so and answered by it.

Other libraries take values for which the library has no proof: a noise multiplier of 1e-5, 1e16 steps, delta = 0. Such a
value is moved to the nearest one that has a proof, up for the upper end and down for the lower: the bracket gets wider, and
holds the truth all the same. Where there is no such value the upper end is infinite (for delta: 1).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any, Optional

from .. import accounting
from .._plan import integer, number
from ..accounting import Bracket
from ..errors import NotComputable, UnusableInput

# The plan format's ranges (dpflash/accounting/plan.hpp).
_LEAST_NOISE, _MOST_NOISE = 1e-3, 1e9
_LEAST_RATE = 1e-15
_MOST_EPSILON = 1e6
_MOST_COUNT, _MOST_TOTAL = 10**12, 10**15

#: Counts above this are not read as numbers of releases.
MOST_STATED = 10**18

# More than the rounding errors of the few operations on doubles below.
_ROUNDING = 1e-14

Event = dict[str, Any]


def stated_number(value: Any, field: str, least: float = 0.0, most: float = math.inf) -> float:
    """A number in [least, most], infinity included; raises UnusableInput naming the field."""
    real = number(value, field)
    if not least <= real <= most:
        raise UnusableInput(f"{field}: {real!r} is not allowed; a number in [{least:g}, {most:g}]")
    return real


def stated_count(value: Any, field: str) -> int:
    """A number of releases, 0 included; raises UnusableInput naming the field."""
    return integer(value, field, 0, MOST_STATED)


def sampled(event: Event, rate: float) -> Event:
    """The event with every record in it independently with probability `rate` in (0, 1]."""
    return event if rate == 1 else {**event, "sampling": {"type": "poisson", "rate": rate}}


class Releases:
    """Events merged by what they are, whatever their number and order. Picklable and copyable."""

    def __init__(self, adjacency: str) -> None:
        self._adjacency = adjacency
        self._counts: dict[str, int] = {}
        self._unbounded = False
        self._certainly_unbounded = False

    def add(self, event: Event, count: int) -> None:
        """`count` >= 0 more of an event of the plan format (its mechanism and sampling), of any noise and rate above 0."""
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
            return self._pure_epsilon()
        return self._ask(lambda plan: accounting.epsilon(plan, target, relative_width=relative_width), math.inf)

    def delta(self, epsilon: float, relative_width: float) -> Bracket:
        """Bracket of the smallest delta at `epsilon`, any number and infinities; upper is 1 where no bound is known."""
        target = stated_number(epsilon, "epsilon", -math.inf)
        if self._unbounded:
            return Bracket(1.0 if self._certainly_unbounded else 0.0, 1.0, 1.0)
        if target == -math.inf:
            return Bracket(1.0, 1.0, 1.0)
        if target == math.inf:
            return self._delta_at_infinity()
        return self._ask(lambda plan: accounting.delta(plan, target, relative_width=relative_width), 1.0)

    def _ask(self, question: Callable[[dict[str, Any]], Bracket], worst: float) -> Bracket:
        above, below = self._plan(_above), self._plan(_below)
        if above is None:
            return Bracket(self._lower(question, below), worst, worst)
        try:
            found = question(above)
        except NotComputable as reason:
            warnings.warn(f"no upper end below {worst:g}: {reason}", RuntimeWarning, stacklevel=5)
            return Bracket(0.0, worst, worst)
        lower = found.lower if below == above else self._lower(question, below)
        upper = min(found.upper, worst)
        return Bracket(min(lower, upper), min(max(found.estimate, lower), upper), upper)

    @staticmethod
    def _lower(question: Callable[[dict[str, Any]], Bracket], plan: Optional[dict[str, Any]]) -> float:
        try:
            return question(plan).lower if plan is not None else 0.0
        except NotComputable:
            return 0.0

    def _plan(self, moved: Callable[[Event, int], Optional[tuple[Event, int]]]) -> Optional[dict[str, Any]]:
        """The plan with every event moved into the format's ranges; None when one of them has no bound there."""
        events: list[Event] = []
        room = _MOST_TOTAL
        for name, stated in self._counts.items():
            pair = moved(json.loads(name), stated)
            if pair is None:
                return None
            event, count = pair
            if count > room and moved is _above:
                return None
            count = min(count, room)
            room -= count
            for first in range(0, count, _MOST_COUNT):
                events.append({**event, "count": min(_MOST_COUNT, count - first)})
        return {"adjacency": self._adjacency, "events": events}

    def _pure_epsilon(self) -> Bracket:
        """At delta = 0: the sum of the largest losses, infinite with Gaussian noise."""
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
        """What no epsilon covers: the deltas of (epsilon, delta) events; none for noise."""
        log_covered = 0.0
        for name, count in self._counts.items():
            event = json.loads(name)
            share = event.get("sampling", {}).get("rate", 1.0) * event["mechanism"].get("delta", 0.0)
            log_covered += count * math.log1p(-share) if share < 1 else -math.inf
        missing = -math.expm1(log_covered)
        rounding = _ROUNDING * (2 + len(self._counts))
        return Bracket(missing * (1 - rounding), missing, min(1.0, missing * (1 + rounding)))


def _folded(event: Event, count: int, rounding: float) -> tuple[Event, int]:
    """Many releases of unsampled Gaussian noise as one with less noise, which is the same."""
    mechanism = event["mechanism"]
    if mechanism["type"] != "gaussian" or "sampling" in event or count <= _MOST_COUNT:
        return event, count
    noise = mechanism["noise_multiplier"] / math.sqrt(count) * (1 + rounding)
    return {"mechanism": {"type": "gaussian", "noise_multiplier": noise}}, 1


def _with(event: Event, part: str, field: str, value: float) -> Event:
    return {**event, part: {**event[part], field: value}}


def _above(event: Event, count: int) -> Optional[tuple[Event, int]]:
    """An event of the format's ranges that is at least as revealing; None without one."""
    event, count = _folded(event, count, -_ROUNDING)
    mechanism, sampling = event["mechanism"], event.get("sampling", {})
    noise = mechanism.get("noise_multiplier", 1.0)
    if noise < _LEAST_NOISE or mechanism.get("epsilon", 0.0) > _MOST_EPSILON:
        return None
    if noise > _MOST_NOISE:
        event = _with(event, "mechanism", "noise_multiplier", _MOST_NOISE)
    if sampling.get("rate", 1.0) < _LEAST_RATE:
        event = _with(event, "sampling", "rate", _LEAST_RATE)
    return event, count


def _below(event: Event, count: int) -> tuple[Event, int]:
    """An event of the format's ranges that is at most as revealing; a count of 0 is none at all."""
    event, count = _folded(event, count, _ROUNDING)
    mechanism, sampling = event["mechanism"], event.get("sampling", {})
    noise = mechanism.get("noise_multiplier", 1.0)
    if noise > _MOST_NOISE or sampling.get("rate", 1.0) < _LEAST_RATE:
        return event, 0
    if noise < _LEAST_NOISE:
        event = _with(event, "mechanism", "noise_multiplier", _LEAST_NOISE)
    if mechanism.get("epsilon", 0.0) > _MOST_EPSILON:
        event = _with(event, "mechanism", "epsilon", _MOST_EPSILON)
    return event, count


def _largest_loss(event: Event, adjacency: str) -> float:
    """The epsilon of one release at delta = 0; inf where none is known."""
    mechanism = event["mechanism"]
    kind = mechanism["type"]
    if kind == "laplace":
        loss = 1 / mechanism["noise_multiplier"]
    elif kind == "discrete_laplace":
        loss = mechanism["noise_parameter"] * mechanism["sensitivity"]
    elif kind == "epsilon_delta" and mechanism["delta"] == 0:
        loss = mechanism["epsilon"]
    else:
        return math.inf
    if "sampling" not in event:
        return loss
    rate = event["sampling"].get("rate", 1.0)
    if event["sampling"]["type"] != "poisson" or adjacency == "replace-one":
        return math.inf
    if loss < 1:
        return math.log1p(rate * math.expm1(loss))
    return loss + math.log(rate + (1 - rate) * math.exp(-loss))
