"""dp_attention: checks of what is public, and one call of the op."""

from __future__ import annotations

import math
from typing import Any, Iterable, Optional, Sequence, Union

import torch
from torch import Tensor

from .._plan import integer, number
from ..accounting import Calibration
from ..errors import UnusableInput
from . import op
from .draws import GENERATORS, GraphSteps
from .spec import arithmetic_of
from .stats import PrivacyStats, ReleaseLog

Clip = Union[float, Sequence[float]]
Noise = Union[float, Sequence[float], Tensor]

ALLOCATIONS = {"uniform": 0, "per-head": 1, "optimal": 2}
UNITS = ("token", "zero-out", "self-token", "sequence", "token-add-remove")


def _refuse(field: str, value: Any, allowed: str) -> UnusableInput:
    return UnusableInput(f"{field}: {value} is not allowed; {allowed}")


def _floats(value: Any, field: str) -> list[float]:
    """A number, or several."""
    if isinstance(value, Tensor):
        value = value.detach().reshape(-1).tolist()
    if isinstance(value, (int, float, str, bytes)) or not isinstance(value, Iterable):
        return [number(value, field)]
    return [number(one, field) for one in value]


def clips(value: Clip, field: str, kv_heads: int) -> list[float]:
    """A number, or one a kv head."""
    numbers = _floats(value, field)
    if len(numbers) not in (1, kv_heads) or not all(math.isfinite(clip) and clip > 0 for clip in numbers):
        raise _refuse(field, numbers, "a finite number above 0, or one a kv head")
    return numbers


def check_tensors(q: Tensor, k: Tensor, v: Tensor, packed: bool) -> None:
    """Shapes, types and devices; the library checks the rest."""
    rank = 3 if packed else 4
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        if not isinstance(tensor, Tensor):
            raise _refuse(name, type(tensor).__name__, "a tensor")
        if tensor.dim() != rank:
            layout = "[total, heads, head_dim]" if packed else "[batch, seqlen, heads, head_dim]"
            raise _refuse(f"{name}.shape", tuple(tensor.shape), layout)
        if tensor.device != q.device or tensor.dtype != q.dtype:
            raise _refuse(name, f"{tensor.dtype} on {tensor.device}", f"{q.dtype} on {q.device}, as q")
    if not q.is_cuda and q.device.type not in ("cpu", "meta"):
        raise _refuse("q.device", q.device, "cuda or cpu")
    allowed = (torch.bfloat16, torch.float16) if q.is_cuda else (torch.bfloat16, torch.float16, torch.float32, torch.float64)
    if q.dtype not in allowed:
        raise _refuse("q.dtype", q.dtype, "one of: " + ", ".join(map(str, allowed)))
    if q.shape[-1] == 0 or q.shape[-2] == 0:
        raise _refuse("q.shape", tuple(q.shape), "at least one head, and one element a head")
    if k.shape != v.shape:
        raise _refuse("v.shape", tuple(v.shape), f"{tuple(k.shape)}, as k")
    if k.shape[-1] != q.shape[-1] or q.shape[-2] % max(k.shape[-2], 1) != 0 or k.shape[-2] == 0:
        raise _refuse("k.shape", tuple(k.shape), "q's head_dim, and a number of heads that divides q's")
    if not packed and k.shape[0] != q.shape[0]:
        raise _refuse("k.shape", tuple(k.shape), "q's batch")
    # One record in every sequence would be released once a sequence; what a call costs is counted for one.
    for name, tensor in (("k", k), ("v", v)):
        if not packed and tensor.shape[0] > 1 and tensor.shape[1] > 0 and tensor.stride(0) == 0:
            allowed = "records of its own in every sequence: put the queries of all of them into one sequence"
            raise _refuse(f"{name}.stride", "0 from sequence to sequence", allowed)
    # The noisy answer is a release; a gradient through it would be another, of other things.
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        raise RuntimeError(
            "dp_attention has no backward: gradients of a noisy output would be releases of their own; "
            "call it under torch.no_grad()"
        )


def _noise(
    calibration: Optional[Calibration], noise_std: Optional[Noise], heads: int, rows: int
) -> tuple[Optional[Tensor], Optional[list[float]], float]:
    """(table, one a head, noise multiplier) for the op: exactly one of them counts."""
    if (calibration is None) == (noise_std is None):
        raise _refuse("calibration", "both or neither of it and noise_std", "one of them")
    if calibration is not None:
        if not isinstance(calibration, Calibration):
            raise _refuse("calibration", type(calibration).__name__, "a dpflash.Calibration")
        if calibration.adjacency != "add-or-remove-one" or calibration.rate != 1:
            found = f"{calibration.adjacency} with rate {calibration.rate}"
            raise _refuse("calibration", found, "add-or-remove-one with rate 1: `unit` says what neighbours differ in")
        return None, None, calibration.noise_multiplier
    if isinstance(noise_std, Tensor) and noise_std.dim() == 2:
        if tuple(noise_std.shape) != (heads, rows):
            raise _refuse("noise_std.shape", tuple(noise_std.shape), f"[heads, rows] = [{heads}, {rows}]")
        if noise_std.layout != torch.strided or not noise_std.is_floating_point():
            raise _refuse("noise_std", f"{noise_std.dtype}, {noise_std.layout}", "a dense tensor of floats")
        return noise_std, None, 0.0
    per_head = _floats(noise_std, "noise_std")
    if len(per_head) not in (1, heads) or not all(2.0**-126 <= sigma < math.inf for sigma in per_head):
        raise _refuse("noise_std", per_head, f"a normal float above 0, one for each of {heads} heads, or [heads, rows]")
    return None, per_head, 0.0


def _draws(seed: Optional[int], offset: Union[int, GraphSteps]) -> tuple[int, int]:
    """(offset, id of the GraphSteps) for the op."""
    if isinstance(offset, GraphSteps):
        if seed is not None:
            raise _refuse("seed", "a seed beside a GraphSteps", "the GraphSteps' own: GraphSteps(count, seed=...)")
        return 0, offset.id
    if isinstance(offset, bool) or not isinstance(offset, int):
        found = type(offset).__name__
        raise _refuse("offset", found, "an int, or for CUDA graphs a GraphSteps, which counts on the device")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise _refuse("seed", type(seed).__name__, "None or an int")
    if seed is None and offset != 0:
        raise _refuse("offset", offset, "0 without a seed: fresh noise counts by itself")
    if seed is not None and not 0 <= seed < 2**63:
        raise _refuse("seed", seed, "an int in [0, 2^63)")
    if not 0 <= offset < 2**63:
        raise _refuse("offset", offset, "an int in [0, 2^63)")
    return offset, 0


def _window(window: Any) -> tuple[int, int]:
    if window is None:
        return -1, -1
    if not isinstance(window, (tuple, list)) or len(window) != 2:
        raise _refuse("window", window, "(left, right)")
    left, right = (integer(side, "window", -1, 2**62) for side in window)
    return left, right


def _cost_of(calibration: Optional[Calibration], delta: Optional[float], count: Optional[int]) -> tuple[Any, int]:
    """(delta, count) of the stats: what is given, else the calibration's."""
    if calibration is not None:
        delta = calibration.delta if delta is None else delta
        count = calibration.count if count is None else count
    if delta is not None and not 0 < number(delta, "delta") < 1:
        raise _refuse("delta", delta, "a number in (0, 1)")
    return delta, 1 if count is None else integer(count, "count", 1, 10**12)


def _packed_rows(q: Tensor, cu_q: Optional[Tensor], cu_k: Optional[Tensor], max_q: Optional[int]) -> int:
    """Rows of the longest sequence."""
    if (cu_q is None) != (cu_k is None):
        raise _refuse("cu_seqlens_q", "one of it and cu_seqlens_k", "both or neither")
    if cu_q is None or cu_k is None:
        return q.shape[1]
    for name, ends in (("cu_seqlens_q", cu_q), ("cu_seqlens_k", cu_k)):
        if not isinstance(ends, Tensor):
            raise _refuse(name, type(ends).__name__, "a tensor")
        if ends.dim() != 1 or ends.dtype not in (torch.int32, torch.int64) or ends.shape != cu_q.shape:
            raise _refuse(name, f"{ends.dtype} {tuple(ends.shape)}", "int32 or int64 of [sequences + 1], both alike")
    if max_q is None:
        raise _refuse("max_seqlen_q", None, "the most queries of any sequence")
    return integer(max_q, "max_seqlen_q", 0, 2**28)


def dp_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    clip_q: Clip,
    clip_k: Clip,
    clip_v: Clip,
    calibration: Optional[Calibration] = None,
    noise_std: Optional[Noise] = None,
    allocation: str = "optimal",
    causal: bool = False,
    window: Optional[tuple[int, int]] = None,
    scale: Optional[float] = None,
    softcap: Optional[float] = None,
    unit: str = "token",
    seed: Optional[int] = None,
    offset: Union[int, GraphSteps] = 0,
    generator: str = "chacha20",
    return_lse: bool = False,
    return_clean: bool = False,
    cu_seqlens_q: Optional[Tensor] = None,
    cu_seqlens_k: Optional[Tensor] = None,
    max_seqlen_q: Optional[int] = None,
    max_seqlen_k: Optional[int] = None,
    delta: Optional[float] = None,
    count: Optional[int] = None,
    log: Optional[ReleaseLog] = None,
) -> tuple[Any, ...]:
    """Attention over clipped queries, keys and values, with Gaussian noise added to its output.

    q: [batch, queries, heads, head_dim], k and v: [batch, keys, kv_heads, head_dim]; bf16 or fp16 on a CUDA device, where
    one fused kernel runs on the current stream; any float type on the CPU, in plain loops (slow, for trying things out).
    With cu_seqlens_q and cu_seqlens_k (sums of lengths, [sequences + 1], best kept on the host) and max_seqlen_q the
    tensors are packed: [total, heads, head_dim]. max_seqlen_k is taken for likeness with other interfaces, and not needed.

    clip_q, clip_k, clip_v: L2 norms that rows are clipped to, public; a number or one a kv head. Noise: `calibration`, a
    dpflash.Calibration of the releases (mu is then at most 1 / its noise multiplier), or noise_std as stated: a number,
    one a query head, or a [heads, rows] tensor for row i of every sequence. allocation: how a calibration's noise is
    shared out at the same mu: "uniform", "per-head", or "optimal", one sigma for each row and head with the least total
    variance (worked out at the first call of a shape, up to a second for sliding windows, and kept). causal, window (left, right; -1: no limit) are
    aligned to the bottom-right corner. unit: what neighbours differ in: "token" (one key and value replaced), "zero-out",
    "self-token", "sequence" or "token-add-remove".

    seed None: a key from the operating system and a step that never repeats. A seed with an offset gives the same noise
    again: whoever knows it can subtract the noise. In a CUDA graph `offset` must be a GraphSteps.

    Every sequence of a batch has records of its own: the stats bound what one record of one sequence can change. A record
    that is in m sequences, or in m calls, was released m times (mu sqrt(m)).

    Returns (out, PrivacyStats), then lse and clean where asked for: those are PRIVATE, never to be released. delta and
    count, at least 1, are for stats.epsilon; each is the calibration's when left out, else None and 1. log: a ReleaseLog
    that counts the call, and refuses a seed with an offset that it has counted before.

    Raises UnusableInput, ReusedNoise, RuntimeError when a gradient is required, Unsupported without the CUDA parts, DeviceError.
    """
    packed = cu_seqlens_q is not None
    check_tensors(q, k, v, packed)
    if unit not in UNITS:
        raise _refuse("unit", unit, "one of: " + ", ".join(UNITS))
    if not isinstance(generator, str) or generator not in GENERATORS:
        raise _refuse("generator", generator, "one of: " + ", ".join(GENERATORS))
    if scale is not None and (number(scale, "scale") == 0 or not math.isfinite(scale)):
        raise _refuse("scale", scale, "a finite number other than 0")
    if softcap is not None and not (number(softcap, "softcap") > 0 and math.isfinite(softcap)):
        raise _refuse("softcap", softcap, "a finite number above 0")
    if not isinstance(allocation, str) or allocation not in ALLOCATIONS:
        raise _refuse("allocation", allocation, "one of: " + ", ".join(ALLOCATIONS))
    if log is not None and not isinstance(log, ReleaseLog):
        raise _refuse("log", type(log).__name__, "None or a ReleaseLog")
    rows = _packed_rows(q, cu_seqlens_q, cu_seqlens_k, max_seqlen_q)
    heads = q.shape[-2]
    table, per_head, multiplier = _noise(calibration, noise_std, heads, rows)
    delta, count = _cost_of(calibration, delta, count)
    start, graph = _draws(seed, offset)
    left, right = _window(window)
    kv_heads = k.shape[-2]
    all_clips = (clips(clip_q, "clip_q", kv_heads), clips(clip_k, "clip_k", kv_heads), clips(clip_v, "clip_v", kv_heads))
    # The stats are read later: what the caller changes in the meantime must not change what they say.
    table, cu_seqlens_q, cu_seqlens_k = (
        None if tensor is None else tensor.detach().clone() for tensor in (table, cu_seqlens_q, cu_seqlens_k)
    )
    out, lse, clean = op.attention(
        q, k, v, table, per_head, multiplier, ALLOCATIONS[allocation], *all_clips, causal, left, right, scale, softcap,
        unit, GENERATORS[generator], seed, start, graph, 0 if log is None else log.id, cu_seqlens_q, cu_seqlens_k, rows,
        return_lse, return_clean,
    )
    stats = PrivacyStats(
        unit, delta, count, tuple(q.shape), tuple(k.shape), arithmetic_of(q), cu_seqlens_q, cu_seqlens_k, causal,
        (left, right), scale, softcap, all_clips, table, per_head, multiplier, ALLOCATIONS[allocation],
    )
    return (out, stats, *((lse,) if return_lse else ()), *((clean,) if return_clean else ()))
