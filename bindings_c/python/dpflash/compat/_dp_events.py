"""Events of Google dp_accounting as events of the plan format: which have a name there, which the library answers."""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional, Union

import attr
from dp_accounting import dp_event
from dp_accounting.dp_event import DpEvent
from dp_accounting.privacy_accountant import NeighboringRelation

from .. import accounting
from ..errors import NotComputable, Unsupported, UnusableInput
from ._releases import Event, poisson, stated_count, stated_number

ADJACENCIES = {
    NeighboringRelation.ADD_OR_REMOVE_ONE: "add-or-remove-one",
    NeighboringRelation.REPLACE_ONE: "replace-one",
    NeighboringRelation.REPLACE_SPECIAL: "replace-special",
}


@dataclass(frozen=True)
class Nothing:
    """An event that reveals nothing."""


@dataclass(frozen=True)
class Everything:
    """An event without privacy. certain: it has no epsilon at any delta below 1; otherwise none is claimed for it."""

    certain: bool


@dataclass(frozen=True)
class Refused:
    """Why an event has no answer; one line."""

    reason: str


Leaf = Union[Nothing, Everything, Event, Refused]


def _noisy(kind: str, noise_multiplier: Any) -> Leaf:
    noise = stated_number(noise_multiplier, "noise_multiplier")
    if noise == 0:
        return Everything(certain=True)
    if noise == math.inf:
        return Nothing()
    return {"mechanism": {"type": kind, "noise_multiplier": noise}}


def _gaussian(noise_multiplier: Any) -> Leaf:
    return _noisy("gaussian", noise_multiplier)


def _laplace(noise_multiplier: Any) -> Leaf:
    return _noisy("laplace", noise_multiplier)


def _discrete_gaussian(sigma: Any, sensitivity: Any = 1.0, dimension: Optional[int] = 1) -> Leaf:
    if dimension != 1:
        return Refused(f"A discrete Gaussian of dimension {dimension} has no name in the plan format; dimension 1 has.")
    scale, moved = stated_number(sigma, "sigma"), stated_number(sensitivity, "sensitivity")
    if scale == 0:
        return Everything(certain=True)
    return {"mechanism": {"type": "discrete_gaussian", "sigma": scale, "sensitivity": moved}}


def _discrete_laplace(noise_parameter: Any, sensitivity: Any) -> Leaf:
    parameter, moved = stated_number(noise_parameter, "noise_parameter"), stated_count(sensitivity, "sensitivity")
    if parameter == 0:
        return Everything(certain=False)  # no distribution has this parameter
    return {"mechanism": {"type": "discrete_laplace", "noise_parameter": parameter, "sensitivity": moved}}


def _randomized_response(noise_parameter: Any, num_buckets: Any) -> Leaf:
    parameter = stated_number(noise_parameter, "noise_parameter", 0, 1)
    buckets = stated_count(num_buckets, "num_buckets")
    if buckets == 1:
        return Nothing()
    if parameter == 0:
        return Everything(certain=True)
    return {"mechanism": {"type": "randomized_response", "noise_parameter": parameter, "num_buckets": buckets}}


def _epsilon_delta(epsilon: Any, delta: Any = 0.0) -> Leaf:
    most, missing = stated_number(epsilon, "epsilon"), stated_number(delta, "delta", 0, 1)
    if most == math.inf:
        return Everything(certain=False)
    return {"mechanism": {"type": "epsilon_delta", "epsilon": most, "delta": missing}}


def _zcdp(rho: Any, xi: Any = 0.0) -> Leaf:
    return {"mechanism": {"type": "zcdp", "rho": stated_number(rho, "rho"), "xi": stated_number(xi, "xi")}}


def _exponential(epsilon: Any) -> Leaf:
    return {"mechanism": {"type": "exponential", "epsilon": stated_number(epsilon, "epsilon")}}


def _permute_and_flip(epsilon: Any) -> Leaf:
    return {"mechanism": {"type": "permute_and_flip", "epsilon": stated_number(epsilon, "epsilon")}}


def _mixture_of_gaussians(standard_deviation: Any, sensitivities: Any, sampling_probs: Any) -> Leaf:
    deviation = stated_number(standard_deviation, "standard_deviation")
    moved = [stated_number(value, "sensitivities", -math.inf) for value in sensitivities]
    if not any(moved):
        return Nothing()
    if deviation == 0:
        return Everything(certain=False)
    mechanism = {"type": "mixture_of_gaussians", "standard_deviation": deviation, "sensitivities": moved}
    mechanism["sampling_probabilities"] = [stated_number(value, "sampling_probs", 0, 1) for value in sampling_probs]
    return {"mechanism": mechanism}


def _truncated_gaussian(
    dataset_size: Any, sampling_probability: Any, truncated_batch_size: Any, noise_multiplier: Any
) -> Leaf:
    rate = stated_number(sampling_probability, "sampling_probability", 0, 1)
    records = stated_count(dataset_size, "dataset_size")
    most = stated_count(truncated_batch_size, "truncated_batch_size")
    found = _gaussian(noise_multiplier)
    if rate == 0 or records == 0 or most == 0:
        return Nothing()
    sampling = {"type": "truncated_poisson", "dataset_size": records, "rate": rate, "max_batch_size": most}
    return _sampled(found, lambda event: {**event, "sampling": sampling})


def _poisson_sampled(sampling_probability: Any, event: DpEvent) -> Leaf:
    rate = stated_number(sampling_probability, "sampling_probability", 0, 1)
    found = _mechanism(event, "PoissonSampledDpEvent")
    if rate == 0 and not isinstance(found, Refused):
        return Nothing()
    return found if rate == 1 else _sampled(found, lambda inner: poisson(inner, rate))


def _without_replacement(source_dataset_size: Any, sample_size: Any, event: DpEvent) -> Leaf:
    return _batch("without_replacement", "SampledWithoutReplacementDpEvent", source_dataset_size, sample_size, event)


def _with_replacement(source_dataset_size: Any, sample_size: Any, event: DpEvent) -> Leaf:
    return _batch("with_replacement", "SampledWithReplacementDpEvent", source_dataset_size, sample_size, event)


def _batch(kind: str, name: str, dataset_size: Any, sample_size: Any, event: DpEvent) -> Leaf:
    records, drawn = stated_count(dataset_size, "source_dataset_size"), stated_count(sample_size, "sample_size")
    sampling = {"type": kind, "dataset_size": records, "sample_size": drawn}
    return _sampled(_mechanism(event, name), lambda inner: {**inner, "sampling": sampling})


def _sampled(found: Leaf, sampling: Callable[[Event], Event]) -> Leaf:
    if isinstance(found, Everything):
        return Everything(certain=False)  # only what the sample holds is revealed
    return sampling(found) if isinstance(found, dict) else found


def _mechanism(event: DpEvent, sampled_by: str) -> Leaf:
    """The event inside a sampling: one mechanism with a name, without further sampling or composition."""
    name = _name_of(event)
    if name is None or name in _SAMPLED:
        return Refused(f"Subevent of `{sampled_by}` must be one mechanism of the plan format. Found {event}.")
    return _translated(event, name)


_SAMPLED: dict[str, Callable[..., Leaf]] = {
    "PoissonSampledDpEvent": _poisson_sampled,
    "SampledWithoutReplacementDpEvent": _without_replacement,
    "SampledWithReplacementDpEvent": _with_replacement,
    "TruncatedSubsampledGaussianDpEvent": _truncated_gaussian,
}
_MECHANISMS: dict[str, Callable[..., Leaf]] = {
    "GaussianDpEvent": _gaussian,
    "LaplaceDpEvent": _laplace,
    "DiscreteGaussianDpEvent": _discrete_gaussian,
    "DiscreteLaplaceDpEvent": _discrete_laplace,
    "RandomizedResponseDpEvent": _randomized_response,
    "EpsilonDeltaDpEvent": _epsilon_delta,
    "ZCDpEvent": _zcdp,
    "ExponentialMechanismDpEvent": _exponential,
    "PermuteAndFlipDpEvent": _permute_and_flip,
    "MixtureOfGaussiansDpEvent": _mixture_of_gaussians,
}
_NAMED = {**_MECHANISMS, **_SAMPLED}

# Where the peer's definition of an event speaks of one kind of neighbours only.
_NOISE_ON_A_SUM = (NeighboringRelation.ADD_OR_REMOVE_ONE, NeighboringRelation.REPLACE_SPECIAL)
_RELATIONS = {
    "LaplaceDpEvent": _NOISE_ON_A_SUM,
    "DiscreteLaplaceDpEvent": _NOISE_ON_A_SUM,
    "MixtureOfGaussiansDpEvent": _NOISE_ON_A_SUM,
    "RandomizedResponseDpEvent": (NeighboringRelation.REPLACE_ONE, NeighboringRelation.REPLACE_SPECIAL),
}


def _name_of(event: DpEvent) -> Optional[str]:
    """The event's class among those with a name in the plan format, as far as the installed peer has them."""
    for name in _NAMED:
        known = getattr(dp_event, name, None)
        if known is not None and isinstance(event, known):
            return name
    return None


def _translated(event: DpEvent, name: str) -> Leaf:
    translate = _NAMED[name]
    fields = {field.name: getattr(event, field.name) for field in attr.fields(type(event))}
    unknown = fields.keys() - inspect.signature(translate).parameters.keys()
    if unknown:
        return Refused(f"Field {', '.join(sorted(unknown))} of `{name}` is not known here.")
    try:
        return translate(**fields)
    except UnusableInput as error:
        raise UnusableInput(f"{name}.{error}") from None


def _wrong_relation(event: DpEvent, name: str, relation: NeighboringRelation) -> Optional[str]:
    subject, innermost = f"`{name}`", name
    if name in _SAMPLED and hasattr(event, "event"):
        innermost = _name_of(event.event) or ""
        subject = f"`{name}` of a `{innermost}`"
    allowed = _RELATIONS.get(innermost)
    if allowed is None or relation in allowed:
        return None
    names = " or ".join(f"`{one.name}`" for one in allowed)
    return f"neighboring_relation must be {names} for {subject}. Found {relation}."


@functools.lru_cache(maxsize=4096)
def _library_refuses(document: str) -> Optional[str]:
    """Why the library has no answer for a plan of one event; None when it has one. Raises UnusableInput."""
    try:
        accounting.epsilon(document, 1e-5, relative_width=1e-2)
    except (NotComputable, Unsupported) as error:
        return _without_path(error)
    except UnusableInput as error:
        raise UnusableInput(_without_path(error)) from None
    return None


def _without_path(error: Exception) -> str:
    """A message without the place in a plan that the caller never saw."""
    return str(error).replace("events[0].", "").replace("events[0]: ", "")


def _typical(event: Event) -> Event:
    """An event of the same kind that is cheap to ask about. Noise and rate do not decide what the library has."""
    mechanism, sampling = event["mechanism"], event.get("sampling", {})
    if "noise_multiplier" in mechanism:
        event = {**event, "mechanism": {**mechanism, "noise_multiplier": 1.0}}
    if mechanism["type"] == "epsilon_delta":
        event = {**event, "mechanism": {**mechanism, "epsilon": 1.0, "delta": 0.0}}
    if sampling.get("type") == "poisson":
        event = {**event, "sampling": {**sampling, "rate": 0.5}}
    return event


def leaf_of(event: DpEvent, relation: NeighboringRelation) -> Leaf:
    """What an event other than a composition is. Raises UnusableInput for a value that no mechanism has."""
    if isinstance(event, dp_event.NoOpDpEvent):
        return Nothing()
    if isinstance(event, dp_event.NonPrivateDpEvent):
        return Everything(certain=True)
    name = _name_of(event)
    if name is None:
        return Refused("Unsupported event: it has no name in the plan format.")
    wrong = _wrong_relation(event, name, relation)
    if wrong is not None:
        return Refused(wrong)
    leaf = _translated(event, name)
    if isinstance(leaf, dict):
        plan = {"adjacency": ADJACENCIES[relation], "events": [_typical(leaf)]}
        reason = _library_refuses(json.dumps(plan, sort_keys=True))
        if reason is not None:
            return Refused(reason)
    return leaf
