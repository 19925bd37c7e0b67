"""An accountant that a trainer carries along: what was released so far, and what it costs."""

from __future__ import annotations

import json
from typing import Any

from . import accounting
from ._plan import Document, document, integer, number
from .accounting import Bracket
from .errors import UnusableInput

_MOST = 10**12


class Accountant:
    """Collects releases and answers for all of them together. Equal events are merged: a million steps are one event.

    Picklable and copyable; `to_json` and `from_json` keep it in a checkpoint. One thread at a time.

    >>> accountant = Accountant()
    >>> accountant.step(noise_multiplier=1.1, sampling_rate=0.004, count=20000)
    >>> accountant.epsilon(1e-5).upper
    2.689...
    """

    def __init__(self, adjacency: str = "add-or-remove-one") -> None:
        """adjacency: which data sets are neighbours, as in a plan."""
        accounting.adjacency_number(adjacency)
        self.adjacency = adjacency
        self._counts: dict[str, int] = {}

    def step(self, *, noise_multiplier: float, sampling_rate: float = 1.0, count: int = 1, label: str = "") -> None:
        """`count` releases of Gaussian noise, Poisson-sampled at sampling_rate in (0, 1]; 1: every record takes part."""
        rate = number(sampling_rate, "sampling_rate")
        noise = number(noise_multiplier, "noise_multiplier")
        event: dict[str, Any] = {"mechanism": {"type": "gaussian", "noise_multiplier": noise}}
        if rate != 1:
            event["sampling"] = {"type": "poisson", "rate": rate}
        if label:
            event["label"] = label
        event["count"] = integer(count, "count", 1, _MOST)
        self.compose({"adjacency": self.adjacency, "events": [event]})

    def compose(self, plan: Document) -> None:
        """Adds the events of a plan; its adjacency must be the accountant's. Raises UnusableInput, NotComputable for a
        plan without a sound answer, and adds nothing then."""
        text = document(plan, "plan")
        # The text itself is checked by the library: a field that stands there twice, which json takes for once, is refused.
        accounting.epsilon(text, 1e-5, relative_width=1e-2)
        parsed = json.loads(text)
        given = parsed.get("adjacency", "add-or-remove-one")
        if given != self.adjacency:
            raise UnusableInput(f"plan.adjacency: {given!r} is not allowed; the accountant's: {self.adjacency!r}")
        added = dict(self._counts)
        for event in parsed["events"]:
            rest = {key: value for key, value in event.items() if key != "count"}
            name = json.dumps(rest, sort_keys=True)
            added[name] = added.get(name, 0) + int(event.get("count", 1))
        self._counts = added

    @property
    def plan(self) -> dict[str, Any]:
        """Everything so far, as a plan."""
        events = []
        for name, count in self._counts.items():
            for first in range(0, count, _MOST):
                events.append({**json.loads(name), "count": min(_MOST, count - first)})
        return {"adjacency": self.adjacency, "events": events}

    def epsilon(self, delta: float, *, relative_width: float = 1e-4) -> Bracket:
        """The smallest epsilon at `delta` for everything so far, as a certified bracket; 0 before anything."""
        return accounting.epsilon(self.plan, delta, relative_width=relative_width)

    def delta(self, epsilon: float, *, relative_width: float = 1e-4) -> Bracket:
        """The smallest delta at `epsilon` for everything so far, as a certified bracket."""
        return accounting.delta(self.plan, epsilon, relative_width=relative_width)

    def __len__(self) -> int:
        """Releases so far."""
        return sum(self._counts.values())

    def to_json(self) -> str:
        """Everything so far as JSON text: a plan, which `dpflash epsilon --events` takes too."""
        return json.dumps(self.plan)

    @classmethod
    def from_json(cls, text: str) -> "Accountant":
        """The accountant that to_json() wrote, or one that starts from a plan."""
        plan = document(text, "text")
        accounting.epsilon(plan, 1e-5, relative_width=1e-2)
        self = cls(json.loads(plan).get("adjacency", "add-or-remove-one"))
        self.compose(plan)
        return self
