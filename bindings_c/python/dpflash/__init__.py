"""Certified differential privacy: accounting, noise and attention. A thin layer over the C interface of libdpflash.so.

`dpflash.torch` holds private attention for PyTorch; it is imported when first used, and nothing else needs PyTorch.
"""

from __future__ import annotations

import importlib
from typing import Any

from . import _library
from .accountant import Accountant
from .accounting import Bracket, Calibrated, Calibration, calibrate, compare, delta, epsilon, sensitivity
from .errors import (
    Cancelled,
    DeviceError,
    Error,
    InternalError,
    LedgerError,
    NotComputable,
    OutOfMemory,
    OverBudget,
    ReusedNoise,
    SystemRefused,
    Unsupported,
    UnusableInput,
)
from .ledger import Ledger, Receipt, State, Verification
from .noise import NoiseSource, clip, privatise

__version__: str = _library.library.dpf_version().decode()

__all__ = [
    "Accountant",
    "Bracket",
    "Calibrated",
    "Calibration",
    "Cancelled",
    "DeviceError",
    "Error",
    "InternalError",
    "Ledger",
    "LedgerError",
    "NoiseSource",
    "NotComputable",
    "OutOfMemory",
    "OverBudget",
    "Receipt",
    "ReusedNoise",
    "State",
    "SystemRefused",
    "Unsupported",
    "UnusableInput",
    "Verification",
    "calibrate",
    "clip",
    "compare",
    "delta",
    "epsilon",
    "has_cuda",
    "privatise",
    "sensitivity",
    "torch",
]


def has_cuda() -> bool:
    """Whether the library was built with its CUDA parts. Says nothing about devices."""
    return bool(_library.library.dpf_has_cuda())


def __getattr__(name: str) -> Any:
    if name == "torch":
        return importlib.import_module(".torch", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
