"""Which draws an attention call takes: a fresh key and steps that never repeat, a seed, or the steps of a CUDA graph."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from dataclasses import dataclass
from typing import Any, Optional

import torch

from .. import _library as c
from .._plan import integer
from ..accounting import choice
from ..errors import UnusableInput

GENERATORS = {"philox": 0, "chacha12": 1, "chacha20": 2}


class _Source:
    """A key from the operating system and a counter of steps; of one thread of one process."""

    def __init__(self, generator: int) -> None:
        self.process = os.getpid()
        self.handle = c.Handle("dpf_noise_source_free", c.library.dpf_noise_source_from_entropy, generator)
        self._positions = itertools.count()

    def draws(self) -> c.Draws:
        position = next(self._positions)
        return c.Draws(source=self.handle.value, stream=position >> 32, step=position & 0xFFFFFFFF)


# One source a thread: no locks, and no two threads share a key.
_sources = threading.local()


def _forget_sources() -> None:
    global _sources
    _sources = threading.local()


# A forked child has its parent's keys: it must not draw with them.
os.register_at_fork(after_in_child=_forget_sources)


def _fresh(generator: int) -> c.Draws:
    by_generator = _sources.__dict__
    name = f"generator_{generator}"
    # Forks that Python did not make run none of its hooks.
    if name not in by_generator or by_generator[name].process != os.getpid():
        by_generator[name] = _Source(generator)
    return by_generator[name].draws()


_graph_steps: "weakref.WeakValueDictionary[int, GraphSteps]" = weakref.WeakValueDictionary()
_graph_ids = itertools.count(1)

# What captured graphs read must stay for as long as a graph may be replayed, which nobody tells.
_kept_for_graphs: list[Any] = []


def keep_for_graphs(thing: Any) -> None:
    _kept_for_graphs.append(thing)


@dataclass(frozen=True)
class Seeded:
    """Draws that anyone can make again: those of a seed at some offsets."""

    generator: int
    seed: int
    offsets: range


class Taken:
    """Draws of one call, with what must live until it returns. `steps`: how many releases a captured call stands for."""

    def __init__(self, draws: c.Draws, steps: int = 1, seeded: Optional[Seeded] = None, keep: Any = None) -> None:
        self.draws, self.steps, self.seeded, self._keep = draws, steps, seeded, keep


class GraphSteps:
    """Noise for one attention call inside a CUDA graph: each replay takes the next of `count` steps.

    Make it before the capture, pass it as `offset` of one call, run that call once outside the capture (which uses
    ordinary noise and none of these steps), then capture. Past the last step a replay gives NaN in place of data. Replays
    must not overlap in time. Small device memory, and the key, stay until the process ends.

    count: in [1, 2^24]. seed: None for a key from the operating system; an int in [0, 2^63) for reproducible research:
    whoever knows it can subtract the noise. generator: "chacha20", "chacha12" or "philox".
    """

    def __init__(
        self,
        count: int,
        *,
        seed: Optional[int] = None,
        generator: str = "chacha20",
        device: Optional[torch.device] = None,
    ) -> None:
        self.count = integer(count, "count", 1, 2**24)
        kind = choice(generator, "generator", GENERATORS)
        self.used = False
        if seed is None:
            self._seeded = None
            self._source = c.Handle("dpf_noise_source_free", c.library.dpf_noise_source_from_entropy, kind)
        else:
            self._seeded = Seeded(kind, integer(seed, "seed", 0, 2**63 - 1), range(self.count))
            self._source = seeded_source(kind, self._seeded.seed)
        where = torch.device("cuda" if device is None else device)
        self.device = torch.device("cuda", torch.cuda.current_device()) if where.index is None else where
        with torch.cuda.device(self.device):
            stream = torch.cuda.current_stream().cuda_stream
            create = c.library.dpf_graph_steps_create
            self._steps = c.Handle("dpf_graph_steps_free", create, 0, 0, self.count, 1, stream)
        #: Names the object in calls of the op.
        self.id = next(_graph_ids)
        _graph_steps[self.id] = self

    def take(self, device: torch.device) -> Taken:
        """For the one captured launch, on this device."""
        if device != self.device:
            raise UnusableInput(f"offset: a GraphSteps of {self.device} is not allowed; one of {device}, as q")
        if self.used:
            raise UnusableInput("offset: a GraphSteps captured before is not allowed; one of its own for each capture")
        self.used = True
        keep_for_graphs(self)
        draws = c.Draws(source=self._source.value, steps=self._steps.value)
        return Taken(draws, steps=self.count, seeded=self._seeded)


def seeded_source(generator: int, seed: int) -> c.Handle:
    return c.Handle("dpf_noise_source_free", c.library.dpf_noise_source_reproducible, generator, seed)


def take(generator: int, seed: Optional[int], offset: int, graph: int, capturing: Optional[torch.device]) -> Taken:
    """The draws of a call. `graph`: id of a GraphSteps, or 0. `capturing`: the device of a capture that is under way."""
    if capturing is not None:
        steps = _graph_steps.get(graph)
        if steps is None:
            raise RuntimeError(
                "dp_attention is being captured in a CUDA graph without a GraphSteps: every replay would have the same "
                "noise; pass offset=dpflash.torch.GraphSteps(count)"
            )
        return steps.take(capturing)
    if seed is None or graph:
        return Taken(_fresh(generator))
    source = seeded_source(generator, seed)
    draws = c.Draws(source=source.value, stream=offset >> 32, step=offset & 0xFFFFFFFF)
    return Taken(draws, seeded=Seeded(generator, seed, range(offset, offset + 1)), keep=source)
