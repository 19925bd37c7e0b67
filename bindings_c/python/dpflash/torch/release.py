"""What one call releases: its public numbers, and its noise as the library takes it."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence

import torch
from torch import Tensor

from .spec import Floats, Spec, as_float32, calibrated_sigma, sensitivity_of


@dataclass(frozen=True)
class Release:
    """A call's public numbers and its noise: one sigma a head, or for row tables the least sigma of each head."""

    spec: Spec
    sigma: Floats

    def mu(self) -> float:
        return float(sensitivity_of(self.spec, self.sigma)["mu"])


def event_of(mu: float, count: int, label: str = "") -> Optional[dict[str, Any]]:
    """The accountant's event for `count` releases of mu; None where nothing can be told from the output.

    The plan's adjacency is add-or-remove-one: mu already bounds what the unit's neighbours differ in.
    """
    if mu == 0 or count == 0:
        return None
    multiplier = min(math.nextafter(1 / mu, 0.0), 1e9)
    event = {"mechanism": {"type": "gaussian", "noise_multiplier": multiplier}, "count": count}
    return {"label": label, **event} if label else event


def lengths_of(
    q_shape: Sequence[int], k_shape: Sequence[int], cu_q: Optional[Tensor], cu_k: Optional[Tensor]
) -> list[tuple[int, int]]:
    """(queries, keys) of every sequence. Cumulative lengths on a GPU are waited for."""
    if cu_q is None or cu_k is None:
        return [(int(q_shape[1]), int(k_shape[1]))] * int(q_shape[0])
    ends_q, ends_k = cu_q.tolist(), cu_k.tolist()
    pairs = zip(zip(ends_q, ends_q[1:]), zip(ends_k, ends_k[1:]))
    return [(end_q - start_q, end_k - start_k) for (start_q, end_q), (start_k, end_k) in pairs]


def table_bytes(table: Tensor) -> bytes:
    """A [heads, rows] float32 tensor on the host as bytes."""
    host = table.detach().to("cpu", torch.float32).contiguous()
    return ctypes.string_at(host.data_ptr(), host.numel() * 4)


def least_of_heads(content: bytes, heads: int, rows: int) -> Floats:
    numbers = (ctypes.c_float * (heads * rows)).from_buffer_copy(content)
    return tuple(min(numbers[h * rows : (h + 1) * rows]) for h in range(heads))


def release_and_noise(
    spec: Spec, table: Optional[Tensor], noise_std: Optional[Sequence[float]], noise_multiplier: float
) -> tuple[Release, bytes, int]:
    """What is released, and its sigma as bytes with the rows of the table (0: one a head)."""
    if table is not None:
        content, rows = table_bytes(table), int(table.shape[1])
        return Release(spec, least_of_heads(content, spec.heads, rows)), content, rows
    stated = None if noise_std is None else tuple(as_float32(sigma) for sigma in noise_std)
    if stated is not None and len(stated) == 1:
        stated *= spec.heads
    release = Release(spec, calibrated_sigma(spec, noise_multiplier) if stated is None else stated)
    return release, bytes((ctypes.c_float * spec.heads)(*release.sigma)), 0
