"""What one call releases: its public numbers, its noise, and the mu that the library verified for them."""

from __future__ import annotations

import ctypes
import functools
import json
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Union

import torch
from torch import Tensor

from .. import _library as c
from ..accounting import Calibration
from .spec import Spec


@dataclass(frozen=True)
class Stated:
    """Floats as stated, one a query head or [heads, rows], as bytes."""

    content: bytes


@dataclass(frozen=True)
class Calibrated:
    """What a noise multiplier asks for. `allocation` as in dpflash.h."""

    noise_multiplier: float
    allocation: int


NoiseKey = Union[Stated, Calibrated]


def lengths_of(
    q_shape: Sequence[int], k_shape: Sequence[int], cu_q: Optional[Tensor], cu_k: Optional[Tensor]
) -> list[tuple[int, int]]:
    """(queries, keys) of every sequence. Cumulative lengths on a GPU are waited for."""
    if cu_q is None or cu_k is None:
        return [(int(q_shape[1]), int(k_shape[1]))] * int(q_shape[0])
    ends_q, ends_k = cu_q.tolist(), cu_k.tolist()
    pairs = zip(zip(ends_q, ends_q[1:]), zip(ends_k, ends_k[1:]))
    return [(end_q - start_q, end_k - start_k) for (start_q, end_q), (start_k, end_k) in pairs]


def noise_key(
    heads: int, table: Optional[Tensor], per_head: Optional[Sequence[float]], noise_multiplier: float, allocation: int
) -> NoiseKey:
    """The noise of a call, from the op's parameters. Numbers become the floats that are drawn with."""
    if table is not None:
        host = table.detach().to("cpu", torch.float32).contiguous()
        return Stated(ctypes.string_at(host.data_ptr(), host.numel() * 4))
    if per_head is not None:
        numbers = list(per_head) * (heads if len(per_head) == 1 else 1)
        return Stated(bytes((ctypes.c_float * len(numbers))(*numbers)))
    return Calibrated(noise_multiplier, allocation)


class NoiseTable:
    """Noise of the library for one shape: mu, and the floats on the host or on a device."""

    def __init__(self, spec: Spec, key: NoiseKey, device: Optional[torch.device]) -> None:
        shape = json.dumps(spec.document()).encode()
        if isinstance(key, Stated):
            numbers = (ctypes.c_float * (len(key.content) // 4)).from_buffer_copy(key.content)
            arguments = (c.library.dpf_attention_noise_stated, shape, len(shape), numbers, len(numbers))
        else:
            # A table holds what the noise multiplier alone asks for, whatever delta its price is stated at.
            calibration = Calibration.gaussian_stated(key.noise_multiplier, 1e-5)
            create = c.library.dpf_attention_noise_calibrated
            arguments = (create, shape, len(shape), calibration.handle, key.allocation)
        self.handle = c.Handle("dpf_attention_noise_free", *arguments)
        if device is not None:
            stream = torch.cuda.current_stream(device).cuda_stream
            c.check(c.library.dpf_attention_noise_upload(self.handle.value, stream))

    def mu(self) -> float:
        value = ctypes.c_double()
        c.check(c.library.dpf_attention_noise_mu(self.handle.value, ctypes.byref(value)))
        return value.value

    def sigma(self, heads: int) -> Tensor:
        """[heads, 1] or [heads, rows], float32."""
        count = ctypes.c_size_t()
        c.check(c.library.dpf_attention_noise_sigma(self.handle.value, None, 0, ctypes.byref(count)))
        out = torch.empty(count.value, dtype=torch.float32)
        numbers = ctypes.cast(out.data_ptr(), ctypes.POINTER(ctypes.c_float))
        c.check(c.library.dpf_attention_noise_sigma(self.handle.value, numbers, count.value, ctypes.byref(count)))
        return out.view(heads, -1)


class TableCache:
    """The tables used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._tables: OrderedDict[Any, NoiseTable] = OrderedDict()

    def find(self, spec: Spec, key: NoiseKey, device: Optional[torch.device]) -> Optional[NoiseTable]:
        with self._lock:
            found = self._tables.get((spec, key, device))
            if found is not None:
                self._tables.move_to_end((spec, key, device))
            return found

    def get(self, spec: Spec, key: NoiseKey, device: Optional[torch.device]) -> NoiseTable:
        found = self.find(spec, key, device)
        if found is None:
            # Made without the lock: it may take a second. Two threads that do it at once get equal tables.
            found = NoiseTable(spec, key, device)
            with self._lock:
                self._tables[(spec, key, device)] = found
                if len(self._tables) > self._size:
                    self._tables.popitem(last=False)
        return found


tables = TableCache(64)


@functools.lru_cache(maxsize=4096)
def mu_of(spec: Spec, key: NoiseKey) -> float:
    """mu of one release, all heads together; rounded up."""
    return tables.get(spec, key, None).mu()


@dataclass(frozen=True)
class Release:
    """A call's public numbers and its noise."""

    spec: Spec
    noise: NoiseKey

    def mu(self) -> float:
        return mu_of(self.spec, self.noise)

    def sigma(self) -> Tensor:
        return tables.get(self.spec, self.noise, None).sigma(self.spec.heads)


def event_of(mu: float, count: int, label: str = "") -> Optional[dict[str, Any]]:
    """The accountant's event for `count` releases of mu; None where nothing can be told from the output.

    The plan's adjacency is add-or-remove-one: mu already bounds what the unit's neighbours differ in.
    """
    if mu == 0 or count == 0:
        return None
    multiplier = min(math.nextafter(1 / mu, 0.0), 1e9)
    event = {"mechanism": {"type": "gaussian", "noise_multiplier": multiplier}, "count": count}
    return {"label": label, **event} if label else event
