"""The custom op dpflash::attention: everything that must happen when the code runs, not when it is traced."""

from __future__ import annotations

import ctypes
from typing import Any, Optional, Sequence

import torch
from torch import Tensor

from .. import _library as c
from ..errors import UnusableInput
from .draws import keep_for_graphs, take
from .release import NoiseTable, Release, lengths_of, noise_key, tables
from .spec import Spec, arithmetic_of, spec_of
from .stats import log_with

_ELEMENTS = {torch.bfloat16: 0, torch.float16: 1, torch.float32: 2, torch.float64: 3}


def check_ends(ends: Tensor, name: str, total: int) -> None:
    numbers = ends.tolist()
    increasing = all(a <= b for a, b in zip(numbers, numbers[1:]))
    if not numbers or numbers[0] != 0 or numbers[-1] != total or not increasing:
        raise UnusableInput(f"{name}: other than 0 = first <= ... <= last = {total} is not allowed; sums of lengths")


def _table(release: Release, device: Optional[torch.device], capturing: bool) -> NoiseTable:
    if not capturing:
        return tables.get(release.spec, release.noise, device)
    table = tables.find(release.spec, release.noise, device)
    if table is None:
        raise RuntimeError(
            "dp_attention: noise is worked out and uploaded at a call's first use; run the call once before it is "
            "captured in a CUDA graph"
        )
    keep_for_graphs(table)
    return table


def _strides(tensor: Tensor, packed: bool) -> Any:
    strides = tensor.stride()
    return (ctypes.c_int64 * 3)(*((0, *strides[:2]) if packed else strides[:3]))


def _numbers(values: Sequence[float]) -> Any:
    return (ctypes.c_double * len(values))(*values)


def attention_struct(spec: Spec, lengths: list[tuple[int, int]]) -> tuple[c.Attention, Any]:
    """The struct of a call, and what it points to."""
    flat = (ctypes.c_int64 * max(1, 2 * len(lengths)))(*(n for pair in lengths for n in pair))
    clips = [list(clip) for clip in (spec.clip_q, spec.clip_k, spec.clip_v)]
    count = max(map(len, clips))
    arrays = [_numbers(clip * count if len(clip) == 1 else clip) for clip in clips]
    struct = c.Attention(
        lengths=flat,
        sequences=len(lengths),
        heads=spec.heads,
        kv_heads=spec.kv_heads,
        head_dim=spec.head_dim,
        causal=int(spec.causal),
        window_left=spec.window[0],
        window_right=spec.window[1],
        scale=spec.scale or 0.0,
        softcap=spec.softcap or 0.0,
        clip_q=arrays[0],
        clip_k=arrays[1],
        clip_v=arrays[2],
        clips=count,
    )
    return struct, (flat, arrays)


class _Outputs:
    """The tensors that a call writes. Those that nobody asked for have no elements."""

    def __init__(self, q: Tensor, packed: bool, want_lse: bool, want_clean: bool, lse_dtype: torch.dtype) -> None:
        heads = q.shape[1 if packed else 2]
        shape = (heads, q.shape[0]) if packed else (q.shape[0], heads, q.shape[1])
        self.out = q.new_empty(q.shape)
        self.lse = q.new_empty(shape if want_lse else (0,), dtype=lse_dtype)
        self.clean = q.new_empty(q.shape if want_clean else (0,))
        self.want_lse, self.want_clean, self.packed = want_lse, want_clean, packed

    def struct(self, q: Tensor, k: Tensor, v: Tensor) -> c.AttentionTensors:
        packed = self.packed
        return c.AttentionTensors(
            element=_ELEMENTS[q.dtype],
            packed=int(packed),
            q=q.data_ptr(),
            k=k.data_ptr(),
            v=v.data_ptr(),
            out=self.out.data_ptr(),
            clean=self.clean.data_ptr() if self.want_clean else None,
            lse=self.lse.data_ptr() if self.want_lse else None,
            q_strides=_strides(q, packed),
            k_strides=_strides(k, packed),
            v_strides=_strides(v, packed),
            out_strides=_strides(self.out, packed),
            clean_strides=_strides(self.clean, packed) if self.want_clean else (ctypes.c_int64 * 3)(),
        )


def _rows_contiguous(tensor: Tensor) -> Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _on_host(spec, lengths, q, k, v, outputs_of, noise, taken) -> _Outputs:
    # Binary64 throughout: what its rounding adds to the sensitivity is far below what is charged for it.
    wide = [_rows_contiguous(tensor.to(torch.float64)) for tensor in (q, k, v)]
    outputs = outputs_of(wide[0], torch.float64)
    attention, keep = attention_struct(spec, lengths)
    tensors = outputs.struct(*wide)
    c.check(
        c.library.dpf_attention_reference(
            ctypes.byref(attention), ctypes.byref(tensors), noise.handle.value, ctypes.byref(taken.draws)
        )
    )
    del keep
    outputs.out, outputs.clean = outputs.out.to(q.dtype), outputs.clean.to(q.dtype)
    outputs.lse = outputs.lse.to(torch.float32)
    return outputs


def _on_device(spec, lengths, q, k, v, outputs_of, noise, taken) -> _Outputs:
    q, k, v = (_rows_contiguous(tensor) for tensor in (q, k, v))
    outputs = outputs_of(q, torch.float32)
    attention, keep = attention_struct(spec, lengths)
    tensors = outputs.struct(q, k, v)
    size = ctypes.c_size_t()
    c.check(c.library.dpf_attention_workspace(ctypes.byref(attention), ctypes.byref(tensors), ctypes.byref(size)))
    workspace = torch.empty(size.value, dtype=torch.uint8, device=q.device)
    c.check(
        c.library.dpf_attention_forward(
            ctypes.byref(attention),
            ctypes.byref(tensors),
            noise.handle.value,
            ctypes.byref(taken.draws),
            workspace.data_ptr() if size.value else None,
            size.value,
            torch.cuda.current_stream().cuda_stream,
        )
    )
    del keep
    return outputs


# Equal calls have different noise: they are not merged. Inductor's own CUDA graphs must leave the call out, where the
# version of PyTorch knows the tag; where it does not, the capture is refused below.
_TAGS = [torch.Tag.nondeterministic_seeded]
if hasattr(torch.Tag, "cudagraph_unsafe"):
    _TAGS.append(torch.Tag.cudagraph_unsafe)


@torch.library.custom_op("dpflash::attention", mutates_args=(), tags=tuple(_TAGS))
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    noise_table: Optional[Tensor],
    noise_std: Optional[Sequence[float]],
    noise_multiplier: float,
    allocation: int,
    clip_q: Sequence[float],
    clip_k: Sequence[float],
    clip_v: Sequence[float],
    causal: bool,
    window_left: int,
    window_right: int,
    scale: Optional[float],
    softcap: Optional[float],
    unit: str,
    generator: int,
    seed: Optional[int],
    offset: int,
    graph: int,
    log: int,
    cu_seqlens_q: Optional[Tensor],
    cu_seqlens_k: Optional[Tensor],
    max_seqlen_q: int,
    want_lse: bool,
    want_clean: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """(out, lse, clean); lse and clean without elements unless wanted. See dp_attention() for the parameters."""
    packed = cu_seqlens_q is not None
    with torch.cuda.device_of(q):
        capturing = q.is_cuda and torch.cuda.is_current_stream_capturing()
    if packed:
        if capturing and (cu_seqlens_q.is_cuda or cu_seqlens_k.is_cuda):
            raise RuntimeError("dp_attention: cumulative lengths must be on the host while a CUDA graph is captured")
        check_ends(cu_seqlens_q, "cu_seqlens_q", q.shape[0])
        check_ends(cu_seqlens_k, "cu_seqlens_k", k.shape[0])
    lengths = lengths_of(q.shape, k.shape, cu_seqlens_q, cu_seqlens_k)
    if packed and any(queries > max_seqlen_q for queries, _ in lengths):
        raise UnusableInput(f"max_seqlen_q: {max_seqlen_q} is not allowed; the most queries of any sequence, or more")
    window = (window_left, window_right)
    clips = (clip_q, clip_k, clip_v)
    spec = spec_of(q.shape, k.shape, arithmetic_of(q), lengths, causal, window, scale, softcap, clips, unit)
    release = Release(spec, noise_key(spec.heads, noise_table, noise_std, noise_multiplier, allocation))

    def outputs_of(like: Tensor, lse_dtype: torch.dtype) -> _Outputs:
        return _Outputs(like, packed, want_lse, want_clean, lse_dtype)

    with torch.cuda.device_of(q):
        noise = _table(release, q.device if q.is_cuda else None, capturing)
        release_log = log_with(log)
        taken = take(generator, seed, offset, graph, q.device if capturing else None)
        # Counted before it is made: a release that failed half-way is one.
        if release_log is not None:
            release_log.record(release, taken.steps, taken.seeded)
        outputs = (_on_device if q.is_cuda else _on_host)(spec, lengths, q, k, v, outputs_of, noise, taken)
    return outputs.out, outputs.lse, outputs.clean


@attention.register_fake
def _(q, k, v, noise_table, noise_std, noise_multiplier, allocation, clip_q, clip_k, clip_v, causal, window_left,
      window_right, scale, softcap, unit, generator, seed, offset, graph, log, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, want_lse, want_clean):
    outputs = _Outputs(q, cu_seqlens_q is not None, want_lse, want_clean, torch.float32)
    return outputs.out, outputs.lse, outputs.clean
