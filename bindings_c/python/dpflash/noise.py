"""Noise on sums of clipped contributions, on the host; arrays are NumPy's, or any with the buffer interface."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from . import _library as c
from ._plan import integer, number
from .accounting import Calibration, choice
from .errors import ReusedNoise, UnusableInput

_GENERATORS = {"philox": 0, "chacha12": 1, "chacha20": 2}
#: Format of a buffer, and the element it stands for.
_ELEMENTS = {"f": 2, "e": 1}
_MOST = 2**32 - 1


class NoiseSource:
    """Where random numbers come from: a key, and the record of what was drawn with it. Neither copied nor pickled.

    A forked child has a copy of both and would draw the same noise: it is refused there. One thread at a time.
    """

    def __init__(self, generator: str = "chacha20") -> None:
        """A fresh 256-bit key from the operating system. generator: "chacha20", "chacha12" or "philox"."""
        kind = choice(generator, "generator", _GENERATORS)
        self._handle = c.Handle("dpf_noise_source_free", c.library.dpf_noise_source_from_entropy, kind)
        self._process = os.getpid()

    @classmethod
    def reproducible(cls, seed: int, generator: str = "chacha20") -> "NoiseSource":
        """The same draws again for the same seed. Whoever knows the seed can subtract the noise: for tests alone."""
        self = cls.__new__(cls)
        kind = choice(generator, "generator", _GENERATORS)
        create = c.library.dpf_noise_source_reproducible
        self._handle = c.Handle("dpf_noise_source_free", create, kind, integer(seed, "seed", 0, 2**64 - 1))
        self._process = os.getpid()
        return self

    def _draws(self, stream: int, step: int) -> c.Draws:
        if self._process != os.getpid():
            raise ReusedNoise("source: it was made in another process, which draws the same noise; make one here")
        return c.Draws(
            source=self._handle.value,
            stream=integer(stream, "stream", 0, _MOST),
            step=integer(step, "step", 0, _MOST),
        )


def _buffer(array: Any, field: str, formats: str) -> tuple[Any, int, int]:
    """Address, number and element of a writable, contiguous array's elements."""
    try:
        view = memoryview(array)
    except TypeError:
        raise UnusableInput(f"{field}: {type(array).__name__} is not allowed; a float32 array") from None
    if view.format not in tuple(formats) or not view.c_contiguous or view.readonly:
        raise UnusableInput(
            f"{field}: format {view.format!r}{'' if view.c_contiguous else ', not contiguous'}"
            f"{', read-only' if view.readonly else ''} is not allowed; a writable contiguous float32 array"
            f"{' (or float16)' if 'e' in formats else ''}"
        )
    count = view.nbytes // view.itemsize
    if count == 0:
        raise UnusableInput(f"{field}: an array without elements is not allowed; at least one")
    pointer = (ctypes.c_char * view.nbytes).from_buffer(view.cast("B"))
    return pointer, count, _ELEMENTS[view.format]


def clip(contribution: Any, calibration: Calibration, clip_norm: float) -> None:
    """Scales one record's contribution (a float32 array) down to `clip_norm` in place: L2 for Gaussian noise, L1 for Laplace.

    Rounded towards zero; a contribution with a NaN or an infinity becomes zero.
    """
    pointer, count, _ = _buffer(contribution, "contribution", "f")
    c.check(c.library.dpf_clip(calibration.handle, number(clip_norm, "clip_norm"), pointer, count))


def privatise(
    total: Any, calibration: Calibration, clip_norm: float, source: NoiseSource, *, step: int, stream: int = 0
) -> None:
    """Adds the calibration's noise, scaled by `clip_norm`, in place to the sum of all clipped contributions.

    total: float32, or float16 with Gaussian noise. (stream, step) says which draws: each pair may be used once with a
    source (ReusedNoise). A call that fails has changed nothing. Not covered: the last bits of what is released.

    >>> import array
    >>> total = array.array("f", [1.0, 2.0, 3.0])
    >>> privatise(total, Calibration.gaussian_for(1, 1e-5), 1.0, NoiseSource(), step=0)
    >>> total[0] != 1.0
    True
    """
    if not isinstance(source, NoiseSource):
        raise UnusableInput(f"source: {type(source).__name__} is not allowed; a NoiseSource")
    pointer, count, element = _buffer(total, "total", "fe")
    draws = source._draws(stream, step)
    norm = number(clip_norm, "clip_norm")
    c.check(c.library.dpf_privatise(calibration.handle, norm, element, pointer, count, ctypes.byref(draws)))
