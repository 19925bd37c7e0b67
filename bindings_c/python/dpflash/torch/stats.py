"""What a release of attention outputs costs."""

from __future__ import annotations

import secrets
import threading
import weakref
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Optional, Sequence

from torch import Tensor

from .. import accounting
from ..accounting import Bracket
from ..errors import ReusedNoise, UnusableInput
from .draws import Seeded
from .release import Release, event_of, lengths_of, noise_key
from .spec import sensitivity_of, spec_of


@dataclass(frozen=True, eq=False)
class PrivacyStats:
    """What one call costs. Worked out when it is asked for, from public numbers alone.

    unit: what neighbours differ in, in one sequence of the batch. delta, count: at which, and for how many such releases
    with noise of their own, `epsilon` is.
    """

    unit: str
    delta: Optional[float]
    count: int
    q_shape: tuple[int, ...]
    k_shape: tuple[int, ...]
    arithmetic: str
    cu_seqlens_q: Optional[Tensor]
    cu_seqlens_k: Optional[Tensor]
    causal: bool
    window: tuple[int, int]
    scale: Optional[float]
    softcap: Optional[float]
    clips: tuple[Sequence[float], ...]
    noise_table: Optional[Tensor]
    noise_std: Optional[Sequence[float]]
    noise_multiplier: float
    allocation: int

    @property
    def release(self) -> Release:
        lengths = lengths_of(self.q_shape, self.k_shape, self.cu_seqlens_q, self.cu_seqlens_k)
        numbers = (self.causal, self.window, self.scale, self.softcap, self.clips, self.unit)
        spec = spec_of(self.q_shape, self.k_shape, self.arithmetic, lengths, *numbers)
        noise = (self.noise_table, self.noise_std, self.noise_multiplier, self.allocation)
        return Release(spec, noise_key(spec.heads, *noise))

    @property
    def sensitivity(self) -> tuple[float, ...]:
        """L2 distance that one record can move the output of each query head, rounded up."""
        return tuple(sensitivity_of(self.release.spec)["delta_per_head"])

    @property
    def sigma(self) -> tuple[float, ...]:
        """Standard deviation of the noise on each query head; the least of its rows where they differ."""
        return tuple(self.sigma_table.min(dim=1).values.tolist())

    @property
    def sigma_table(self) -> Tensor:
        """The same for every row: float32 [heads, rows], or [heads, 1] where the rows of a head are alike."""
        return self.release.sigma()

    @property
    def mu(self) -> float:
        """The release is a Gaussian mechanism of sensitivity mu and noise 1, all heads together; rounded up."""
        return self.release.mu()

    def event(self, label: str = "") -> Optional[dict[str, Any]]:
        """An event for a plan: Gaussian of noise multiplier 1 / mu, `count` times. None when mu is 0."""
        return event_of(self.mu, self.count, label)

    @property
    def epsilon(self) -> Optional[Bracket]:
        """Certified bracket of epsilon at `delta` of `count` such releases; None without a delta."""
        if self.delta is None:
            return None
        event = self.event()
        return accounting.epsilon({"events": [] if event is None else [event]}, self.delta)


_logs: "weakref.WeakValueDictionary[int, ReleaseLog]" = weakref.WeakValueDictionary()


class ReleaseLog:
    """Counts what was released, as the op runs: compiled code and threads are counted too. A captured launch counts as
    all the steps of its GraphSteps. Calls with a seed are counted once: the same seed and offset again is refused.

    A log counts for its process. A copy, pickled or not, and a forked child go on by themselves from what was counted so
    far; what they release adds to what the first one releases."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Release] = Counter()
        self._seeded: defaultdict[tuple[int, int], list[range]] = defaultdict(list)
        #: Names the log in calls of the op. Random: a program that was saved with it finds no other log in its place.
        self.id = secrets.randbits(62) | 1
        _logs[self.id] = self

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            return _log_of, (dict(self._counts), {key: list(used) for key, used in self._seeded.items()})

    def record(self, release: Release, count: int, seeded: Optional[Seeded] = None) -> None:
        """Counts releases. `seeded`: their draws, when a seed gives them; refused when they were counted before."""
        with self._lock:
            if seeded is not None:
                self._claim(seeded)
            self._counts[release] += count

    def _claim(self, seeded: Seeded) -> None:
        used, new = self._seeded[seeded.generator, seeded.seed], seeded.offsets
        if any(one.start < new.stop and new.start < one.stop for one in used):
            raise ReusedNoise(
                f"seed {seeded.seed} with offset {new.start} was counted in this log before: two releases with the same "
                "noise give away their difference; an offset of its own for each call"
            )
        if used and used[-1].stop == new.start:
            used[-1] = range(used[-1].start, new.stop)
        else:
            used.append(new)

    def clear(self) -> None:
        """Forgets what was counted, for data that nobody is in any more. Later replays of graphs that were captured before
        are not counted again."""
        with self._lock:
            self._counts.clear()

    def releases(self) -> dict[Release, int]:
        with self._lock:
            return dict(self._counts)

    @property
    def count(self) -> int:
        return sum(self.releases().values())

    def events(self, label: str = "") -> list[dict[str, Any]]:
        """Events of a plan, one for each kind of call."""
        events = (event_of(release.mu(), count, label) for release, count in self.releases().items())
        return [event for event in events if event is not None]


def _log_of(counts: dict[Release, int], seeded: dict[tuple[int, int], list[range]]) -> ReleaseLog:
    log = ReleaseLog()
    log._counts.update(counts)
    log._seeded.update(seeded)
    return log


def log_with(log_id: int) -> Optional[ReleaseLog]:
    """The log of this id; None for 0. A release whose log is gone must not go uncounted."""
    if log_id == 0:
        return None
    log = _logs.get(log_id)
    if log is None:
        raise UnusableInput(f"log: {log_id} is not allowed; the id of a ReleaseLog of this process, or 0")
    return log

