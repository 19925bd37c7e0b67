"""libdpflash.so through ctypes: where it is, its functions and structs, and its status codes as exceptions."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32
from ctypes import c_uint64, c_void_p
from pathlib import Path
from typing import Any, Optional

from . import errors

ABI_VERSION = 1

#: The library's file, before all other places.
LIBRARY_VARIABLE = "DPFLASH_LIBRARY"


class _Versioned(Structure):
    """A public struct of dpflash.h; begins with its size and ABI version."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), abi_version=ABI_VERSION, **fields)


_HEADER = [("struct_size", c_uint32), ("abi_version", c_uint32)]


class Options(_Versioned):
    _fields_ = _HEADER + [("accountant", c_int32), ("engine", c_int32), ("relative_width", c_double)]


class BracketStruct(_Versioned):
    _fields_ = _HEADER + [("lower", c_double), ("estimate", c_double), ("upper", c_double)]


class Releases(_Versioned):
    _fields_ = _HEADER + [("count", c_int64), ("rate", c_double), ("adjacency", c_int32), ("reserved", c_int32)]


class Attention(_Versioned):
    _fields_ = _HEADER + [
        ("lengths", POINTER(c_int64)),
        ("sequences", c_int64),
        ("heads", c_int32),
        ("kv_heads", c_int32),
        ("head_dim", c_int32),
        ("causal", c_int32),
        ("window_left", c_int64),
        ("window_right", c_int64),
        ("scale", c_double),
        ("softcap", c_double),
        ("clip_q", POINTER(c_double)),
        ("clip_k", POINTER(c_double)),
        ("clip_v", POINTER(c_double)),
        ("clips", c_int64),
    ]


_Strides = c_int64 * 3


class AttentionTensors(_Versioned):
    _fields_ = _HEADER + [
        ("element", c_int32),
        ("packed", c_int32),
        ("path", c_int32),
        ("reserved", c_int32),
        ("q", c_void_p),
        ("k", c_void_p),
        ("v", c_void_p),
        ("out", c_void_p),
        ("clean", c_void_p),
        ("lse", c_void_p),
        ("clipped", c_void_p),
        ("q_strides", _Strides),
        ("k_strides", _Strides),
        ("v_strides", _Strides),
        ("out_strides", _Strides),
        ("clean_strides", _Strides),
    ]


class Draws(_Versioned):
    _fields_ = _HEADER + [("source", c_void_p), ("steps", c_void_p), ("stream", c_uint32), ("step", c_uint32)]


class Labels(_Versioned):
    _fields_ = _HEADER + [
        ("run", c_char_p),
        ("layer", c_char_p),
        ("head", c_char_p),
        ("first_step", c_int64),
        ("last_step", c_int64),
    ]


class ReceiptStruct(_Versioned):
    _fields_ = _HEADER + [("sequence", c_int64), ("hash", ctypes.c_char * 72)]


#: dpf_progress.
Progress = ctypes.CFUNCTYPE(c_int, c_double, c_void_p)

_TEXT_OUT = [c_char_p, c_size_t, POINTER(c_size_t)]
_PLAN = [c_char_p, c_size_t]

#: Argument types of every function that returns a status.
_FUNCTIONS = {
    "dpf_epsilon_json": [*_PLAN, c_double, POINTER(Options), *_TEXT_OUT],
    "dpf_delta_json": [*_PLAN, c_double, POINTER(Options), *_TEXT_OUT],
    "dpf_compare_json": [*_PLAN, c_double, POINTER(Options), *_TEXT_OUT],
    "dpf_calibration_laplace_for": [c_double, c_double, POINTER(Releases), POINTER(c_void_p)],
    "dpf_calibration_laplace_stated": [c_double, c_double, POINTER(Releases), POINTER(c_void_p)],
    "dpf_clip": [c_void_p, c_double, c_void_p, c_size_t],
    "dpf_privatise": [c_void_p, c_double, c_int32, c_void_p, c_size_t, POINTER(Draws)],
    "dpf_privatise_device": [c_void_p, c_double, c_int32, c_void_p, c_size_t, POINTER(Draws), c_void_p],
    "dpf_calibrate_json": [*_PLAN, c_double, c_double, POINTER(Options), *_TEXT_OUT],
    "dpf_calibration_gaussian_for": [c_double, c_double, POINTER(Releases), POINTER(c_void_p)],
    "dpf_calibration_gaussian_stated": [c_double, c_double, POINTER(Releases), POINTER(c_void_p)],
    "dpf_calibration_noise_multiplier": [c_void_p, POINTER(c_double)],
    "dpf_calibration_epsilon": [c_void_p, POINTER(BracketStruct)],
    "dpf_calibration_certificate_json": [c_void_p, *_TEXT_OUT],
    "dpf_noise_source_from_entropy": [c_int32, POINTER(c_void_p)],
    "dpf_noise_source_reproducible": [c_int32, c_uint64, POINTER(c_void_p)],
    "dpf_graph_steps_create": [c_uint32, c_uint32, c_uint32, c_uint32, c_void_p, POINTER(c_void_p)],
    "dpf_sensitivity_json": [*_PLAN, *_TEXT_OUT],
    "dpf_attention_noise_calibrated": [*_PLAN, c_void_p, c_int32, POINTER(c_void_p)],
    "dpf_attention_noise_stated": [*_PLAN, POINTER(c_float), c_size_t, POINTER(c_void_p)],
    "dpf_attention_noise_mu": [c_void_p, POINTER(c_double)],
    "dpf_attention_noise_sigma": [c_void_p, POINTER(c_float), c_size_t, POINTER(c_size_t)],
    "dpf_attention_noise_upload": [c_void_p, c_void_p],
    "dpf_attention_workspace": [POINTER(Attention), POINTER(AttentionTensors), POINTER(c_size_t)],
    "dpf_attention_forward": [
        POINTER(Attention),
        POINTER(AttentionTensors),
        c_void_p,
        POINTER(Draws),
        c_void_p,
        c_size_t,
        c_void_p,
    ],
    "dpf_ledger_create": [c_char_p, c_double, c_double, c_int32, POINTER(c_void_p)],
    "dpf_ledger_open": [c_char_p, c_int32, POINTER(c_void_p)],
    "dpf_ledger_set_patience": [c_void_p, c_double],
    "dpf_ledger_spend": [c_void_p, *_PLAN, POINTER(Labels), POINTER(ReceiptStruct)],
    "dpf_ledger_reserve": [c_void_p, *_PLAN, POINTER(Labels), POINTER(ReceiptStruct)],
    "dpf_ledger_commit": [c_void_p, c_int64, c_int64, POINTER(ReceiptStruct)],
    "dpf_ledger_abort": [c_void_p, c_int64, POINTER(ReceiptStruct)],
    "dpf_ledger_state_json": [c_void_p, *_TEXT_OUT],
    "dpf_ledger_entries_json": [c_void_p, c_int64, c_int64, *_TEXT_OUT],
    "dpf_ledger_report": [c_void_p, c_char_p, c_int32, Progress, c_void_p, *_TEXT_OUT],
    "dpf_ledger_verify_json": [c_void_p, POINTER(ReceiptStruct), c_size_t, *_TEXT_OUT],
    "dpf_attention_reference": [POINTER(Attention), POINTER(AttentionTensors), c_void_p, POINTER(Draws)],
}
_FREES = ("dpf_calibration_free", "dpf_noise_source_free", "dpf_graph_steps_free", "dpf_attention_noise_free", "dpf_ledger_free")


def _candidates() -> list[str]:
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return [named]
    beside = Path(__file__).with_name("libdpflash.so")
    return [str(beside), "libdpflash.so.0"] if beside.exists() else ["libdpflash.so.0", "libdpflash.so"]


def _load() -> ctypes.CDLL:
    reasons = []
    for name in _candidates():
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            reasons.append(str(error))
    raise ImportError(f"libdpflash.so was not found ({'; '.join(reasons)}); set {LIBRARY_VARIABLE} to its path")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    library.dpf_last_error.restype = c_char_p
    library.dpf_status_text.restype = c_char_p
    library.dpf_status_text.argtypes = [c_int]
    library.dpf_version.restype = c_char_p
    library.dpf_abi_version.restype = c_uint32
    if library.dpf_abi_version() < ABI_VERSION:
        raise ImportError(f"libdpflash.so has ABI version {library.dpf_abi_version()}; this package needs {ABI_VERSION}")
    for name, arguments in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = c_int
        function.argtypes = arguments
    for name in _FREES:
        function = getattr(library, name)
        function.restype = None
        function.argtypes = [c_void_p]
    return library


library = _declared(_load())


def check(status: int) -> None:
    """Raises the exception of a status other than DPF_OK, with the library's reason."""
    if status != 0:
        reason = library.dpf_last_error().decode("utf-8", "replace")
        raise errors.BY_STATUS.get(status, errors.InternalError)(reason)


_TOO_SMALL = 8


def text_answer(function: Any, *arguments: Any) -> str:
    """What a function writes to a buffer, which is made larger when it has to be."""
    capacity = 4096
    while True:
        buffer = ctypes.create_string_buffer(capacity)
        size = c_size_t(0)
        status = function(*arguments, buffer, capacity, byref(size))
        if status != _TOO_SMALL:
            check(status)
            return buffer.value.decode("utf-8")
        # Times are part of some answers, so that the next one may be a few digits longer.
        capacity = size.value + 64


class Handle:
    """An opaque handle, freed with the object. Not to be copied: each copy would free it."""

    def __init__(self, free: str, create: Any, *arguments: Any) -> None:
        self._free = getattr(library, free)
        self.value: Optional[int] = None
        value = c_void_p()
        check(create(*arguments, byref(value)))
        self.value = value.value

    def __reduce__(self) -> Any:
        raise TypeError("a handle of libdpflash.so is neither copied nor pickled")

    def __del__(self) -> None:
        value, self.value = getattr(self, "value", None), None
        if value is not None:
            self._free(value)
