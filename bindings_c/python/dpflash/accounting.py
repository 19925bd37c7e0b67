"""Certified epsilon and delta of plans, and noise that meets a target."""

from __future__ import annotations

import ctypes
import json
import math
from dataclasses import dataclass
from typing import Any, Union

from . import _library as c
from ._plan import Document, document, integer, number
from .errors import UnusableInput

_ACCOUNTANTS = {"pld": 0, "rdp": 1, "basic": 2}
_ENGINES = {"auto": 0, "lattice": 1, "inversion": 2}
_ADJACENCIES = {"add-or-remove-one": 0, "replace-one": 1, "replace-special": 2, "add-one": 3, "remove-one": 4}


@dataclass(frozen=True)
class Bracket:
    """A certified interval: lower <= truth <= upper. `upper` is the end to publish, `estimate` is not certified."""

    lower: float
    estimate: float
    upper: float


@dataclass(frozen=True)
class Calibrated:
    """What `calibrate` found: `value` of the field that `solve` names, and the plan's epsilon at exactly this value."""

    solve: str
    value: Union[int, float]
    epsilon: Bracket
    delta: float


def choice(value: Any, field: str, choices: dict[str, int]) -> int:
    if not isinstance(value, str) or value not in choices:
        raise UnusableInput(f"{field}: {value!r} is not allowed; one of: {', '.join(choices)}")
    return choices[value]


def _options(accountant: str, engine: str, relative_width: float) -> Any:
    return ctypes.byref(
        c.Options(
            accountant=choice(accountant, "accountant", _ACCOUNTANTS),
            engine=choice(engine, "engine", _ENGINES),
            relative_width=number(relative_width, "relative_width"),
        )
    )


def adjacency_number(adjacency: str) -> int:
    return choice(adjacency, "adjacency", _ADJACENCIES)


def bracket_of(answer: dict[str, Any]) -> Bracket:
    ends = (math.inf if answer[end] is None else answer[end] for end in ("lower", "estimate", "upper"))
    return Bracket(*(float(end) for end in ends))


def epsilon(
    plan: Document,
    delta: float,
    *,
    accountant: str = "pld",
    engine: str = "auto",
    relative_width: float = 1e-4,
) -> Bracket:
    """The smallest epsilon for which the plan is (epsilon, delta)-DP, as a certified bracket.

    plan: {"adjacency": ..., "events": [...]} as a dict or as JSON text. delta: in (0, 1). accountant: "pld" (certified
    from both sides), "rdp" or "basic" (lower is 0). relative_width: (upper - lower) / upper asked of pld. lower is
    rounded down, upper up; upper is math.inf when no epsilon will do. Raises UnusableInput, NotComputable. Threads may
    call it at once. Cost: 0.1 ms, up to about 2 s for the hardest plans.

    >>> epsilon({"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": 1}}]}, 1e-5).upper
    4.377178095...
    """
    text = document(plan, "plan")
    answer = c.text_answer(
        c.library.dpf_epsilon_json, text, len(text), number(delta, "delta"), _options(accountant, engine, relative_width)
    )
    return bracket_of(json.loads(answer)["epsilon"])


def delta(
    plan: Document,
    epsilon: float,
    *,
    accountant: str = "pld",
    engine: str = "auto",
    relative_width: float = 1e-4,
) -> Bracket:
    """The smallest delta for which the plan is (epsilon, delta)-DP; epsilon any finite number, otherwise as epsilon()."""
    text = document(plan, "plan")
    answer = c.text_answer(
        c.library.dpf_delta_json, text, len(text), number(epsilon, "epsilon"), _options(accountant, engine, relative_width)
    )
    return bracket_of(json.loads(answer)["delta"])


def compare(plan: Document, delta: float, *, relative_width: float = 1e-4) -> dict[str, dict[str, Any]]:
    """Epsilon by every accountant side by side: {"pld": {"epsilon": Bracket, "seconds": ...}, "rdp": ..., ...}.

    rdp and rdp-classic add "order", pld "engine"; one that cannot answer has upper = math.inf and a "note".
    """
    text = document(plan, "plan")
    options = _options("pld", "auto", relative_width)
    answer = json.loads(c.text_answer(c.library.dpf_compare_json, text, len(text), number(delta, "delta"), options))
    return {
        row.pop("accountant"): {**row, "epsilon": bracket_of(row["epsilon"])} for row in answer["results"]
    }


def calibrate(
    plan: Document,
    target_epsilon: float,
    delta: float,
    *,
    engine: str = "auto",
    relative_width: float = 1e-4,
) -> Calibrated:
    """The least noise multiplier, most steps or highest sampling rate with which a plan stays within a target.

    plan: as in epsilon(), with None in exactly one noise_multiplier, count or rate: the field to be solved for. The value
    is on the safe side: epsilon.upper at exactly this value is at most target_epsilon. Raises UnusableInput,
    NotComputable when no value meets the target, or all do.
    """
    text = document(plan, "plan")
    answer = json.loads(
        c.text_answer(
            c.library.dpf_calibrate_json,
            text,
            len(text),
            number(target_epsilon, "target_epsilon"),
            number(delta, "delta"),
            _options("pld", engine, relative_width),
        )
    )
    return Calibrated(answer["solve"], answer["value"], bracket_of(answer["epsilon"]), float(answer["delta"]))


class Calibration:
    """A noise multiplier with the certificate of what it costs. Made by gaussian_for() and gaussian_stated() alone."""

    def __init__(self, handle: c.Handle, count: int, rate: float, adjacency: str) -> None:
        self._handle = handle
        multiplier = ctypes.c_double()
        c.check(c.library.dpf_calibration_noise_multiplier(handle.value, ctypes.byref(multiplier)))
        bracket = c.BracketStruct()
        c.check(c.library.dpf_calibration_epsilon(handle.value, ctypes.byref(bracket)))
        #: Standard deviation of the noise over one record's clipping norm (or sensitivity).
        self.noise_multiplier: float = multiplier.value
        #: Bracket of epsilon of all releases at `delta`.
        self.epsilon = Bracket(bracket.lower, bracket.estimate, bracket.upper)
        self.count, self.rate, self.adjacency = count, rate, adjacency
        self.delta: float = self.certificate["delta"]

    @classmethod
    def _made(cls, create: Any, at: float, delta: float, count: int, rate: float, adjacency: str) -> "Calibration":
        releases = c.Releases(
            count=integer(count, "count", 1, 10**12),
            rate=number(rate, "rate"),
            adjacency=adjacency_number(adjacency),
        )
        handle = c.Handle("dpf_calibration_free", create, at, number(delta, "delta"), ctypes.byref(releases))
        return cls(handle, releases.count, releases.rate, adjacency)

    @classmethod
    def gaussian_for(
        cls,
        target_epsilon: float,
        delta: float,
        *,
        count: int = 1,
        rate: float = 1.0,
        adjacency: str = "add-or-remove-one",
    ) -> "Calibration":
        """Least Gaussian noise for (target_epsilon, delta) over `count` releases, Poisson-sampled at `rate`."""
        create = c.library.dpf_calibration_gaussian_for
        return cls._made(create, number(target_epsilon, "target_epsilon"), delta, count, rate, adjacency)

    @classmethod
    def gaussian_stated(
        cls,
        noise_multiplier: float,
        delta: float,
        *,
        count: int = 1,
        rate: float = 1.0,
        adjacency: str = "add-or-remove-one",
    ) -> "Calibration":
        """Gaussian noise as stated, with what it costs at `delta`."""
        create = c.library.dpf_calibration_gaussian_stated
        return cls._made(create, number(noise_multiplier, "noise_multiplier"), delta, count, rate, adjacency)

    @classmethod
    def laplace_for(
        cls,
        target_epsilon: float,
        delta: float,
        *,
        count: int = 1,
        rate: float = 1.0,
        adjacency: str = "add-or-remove-one",
    ) -> "Calibration":
        """Least Laplace noise, on vectors of bounded L1 norm, otherwise as gaussian_for."""
        create = c.library.dpf_calibration_laplace_for
        return cls._made(create, number(target_epsilon, "target_epsilon"), delta, count, rate, adjacency)

    @classmethod
    def laplace_stated(
        cls,
        noise_multiplier: float,
        delta: float,
        *,
        count: int = 1,
        rate: float = 1.0,
        adjacency: str = "add-or-remove-one",
    ) -> "Calibration":
        """Laplace noise as stated, with what it costs at `delta`."""
        create = c.library.dpf_calibration_laplace_stated
        return cls._made(create, number(noise_multiplier, "noise_multiplier"), delta, count, rate, adjacency)

    @property
    def handle(self) -> Any:
        """dpf_calibration*, for calls of the C interface; valid as long as this object is."""
        return self._handle.value

    @property
    def certificate(self) -> dict[str, Any]:
        """family, noise_multiplier, accountant, engine, delta, epsilon {lower, upper}, event, plan."""
        text = c.text_answer(c.library.dpf_calibration_certificate_json, self._handle.value)
        return json.loads(text)

    def __reduce__(self) -> tuple[Any, ...]:
        family = self.certificate["family"]
        arguments = (family, self.noise_multiplier, self.delta, self.count, self.rate, self.adjacency)
        return (_stated_again, arguments)

    def __repr__(self) -> str:
        return f"Calibration(noise_multiplier={self.noise_multiplier}, epsilon={self.epsilon}, delta={self.delta})"


def _stated_again(
    family: str, noise_multiplier: float, delta: float, count: int, rate: float, adjacency: str
) -> Calibration:
    """A copy: the same noise, accounted again."""
    stated = Calibration.laplace_stated if family == "laplace" else Calibration.gaussian_stated
    return stated(noise_multiplier, delta, count=count, rate=rate, adjacency=adjacency)


def sensitivity(shape: Document) -> dict[str, Any]:
    """How far one record can move the output of clipped softmax attention.

    shape: unit ("token", "zero-out", "self-token", "sequence" or "token-add-remove"), lengths [[queries, keys], ...],
    causal, H, D, C_q, C_k, C_v (a number or one a kv head), and where wanted block_m, window [left, right], softcap, H_kv,
    scale, sigma (a number or one a query head), finite_precision ({u_P, eps_s, eta_over_Cv}, "bf16" or "fp16"); a dict or
    JSON text. Returns unit, B_effective, worst_sequence, worst_j (None when it is a whole sequence), rows_moved,
    delta_per_head, delta_total, with sigma mu, and with finite_precision its numbers. Bounds are rounded up. Raises
    UnusableInput.
    """
    text = document(shape, "shape")
    return json.loads(c.text_answer(c.library.dpf_sensitivity_json, text, len(text)))
