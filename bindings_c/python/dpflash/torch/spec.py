"""The public numbers of an attention call, and what they cost."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence

import torch
from torch import Tensor

from .. import accounting

Floats = tuple[float, ...]


@dataclass(frozen=True)
class Spec:
    """One attention call, without its data. `lengths` are the distinct (queries, keys) of its sequences."""

    lengths: tuple[tuple[int, int], ...]
    heads: int
    kv_heads: int
    head_dim: int
    causal: bool
    window: tuple[int, int]
    scale: Optional[float]
    softcap: Optional[float]
    clip_q: Floats
    clip_k: Floats
    clip_v: Floats
    unit: str
    arithmetic: str  # "bf16", "fp16" or "host"

    def scale_in_force(self) -> float:
        return 1 / math.sqrt(self.head_dim) if self.scale is None else self.scale

    def document(self) -> dict[str, Any]:
        """As dpflash.sensitivity() takes it."""
        out: dict[str, Any] = {
            "unit": self.unit,
            "lengths": [list(pair) for pair in self.lengths],
            "H": self.heads,
            "H_kv": self.kv_heads,
            "D": self.head_dim,
            "causal": self.causal,
            "window": list(self.window),
            "C_q": list(self.clip_q),
            "C_k": list(self.clip_k),
            "C_v": list(self.clip_v),
            "finite_precision": self.arithmetic if self.arithmetic != "host" else self._host_precision(),
        }
        if self.scale is not None:
            out["scale"] = self.scale
        if self.softcap is not None:
            out["softcap"] = self.softcap
        return out

    def _host_precision(self) -> dict[str, float]:
        """The host computes in binary64, in plain loops: dot products of head_dim terms, sums of one term a key."""
        unit = 2.0**-53
        # Clips are one, or one a kv head, each by itself: the largest of both lists bounds every pair.
        largest = max(self.clip_q) * max(self.clip_k) * abs(self.scale_in_force())
        keys = max((keys for _, keys in self.lengths), default=0)
        return {
            "u_P": 8 * unit,
            "eps_s": (2 * self.head_dim + 32) * unit * max(largest, 1.0),
            "eta_over_Cv": (4 * keys + 64) * unit,
        }


def arithmetic_of(q: Tensor) -> str:
    """What a call on this tensor computes in."""
    if not q.is_cuda:
        return "host"
    return "bf16" if q.dtype == torch.bfloat16 else "fp16"


def spec_of(
    q_shape: Sequence[int],
    k_shape: Sequence[int],
    arithmetic: str,
    lengths: Sequence[tuple[int, int]],
    causal: bool,
    window: tuple[int, int],
    scale: Optional[float],
    softcap: Optional[float],
    clips: Sequence[Sequence[float]],
    unit: str,
) -> Spec:
    """The public numbers of a call on tensors of these shapes."""
    return Spec(
        lengths=tuple(sorted(set(lengths))),
        heads=int(q_shape[-2]),
        kv_heads=int(k_shape[-2]),
        head_dim=int(q_shape[-1]),
        causal=causal,
        window=window,
        scale=scale,
        softcap=softcap,
        clip_q=tuple(clips[0]),
        clip_k=tuple(clips[1]),
        clip_v=tuple(clips[2]),
        unit=unit,
        arithmetic=arithmetic,
    )


@functools.lru_cache(maxsize=1024)
def sensitivity_of(spec: Spec) -> dict[str, Any]:
    """dpflash.sensitivity() of a spec."""
    return accounting.sensitivity(spec.document())
