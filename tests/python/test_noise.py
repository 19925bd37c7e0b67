"""dpflash.clip, privatise, NoiseSource and compare."""

import array
import copy
import doctest
import math
import os
import pickle

import pytest

import dpflash
from dpflash import noise as noise_module

GAUSSIAN = dpflash.Calibration.gaussian_stated(2, 1e-5)
LAPLACE = dpflash.Calibration.laplace_stated(2, 1e-6)


def test_noise_has_the_calibrations_deviation():
    total = array.array("f", bytes(4 * 100_000))
    dpflash.privatise(total, GAUSSIAN, 3.0, dpflash.NoiseSource(), step=0)
    deviation = math.sqrt(sum(x * x for x in total) / len(total))
    assert abs(deviation - 6) < 0.1
    total = array.array("f", bytes(4 * 100_000))
    dpflash.privatise(total, LAPLACE, 3.0, dpflash.NoiseSource("philox"), step=0)
    assert abs(sum(map(abs, total)) / len(total) - 6) < 0.1


def test_draws_are_used_once_and_failures_change_nothing():
    source = dpflash.NoiseSource.reproducible(5)
    first, second = array.array("f", bytes(40)), array.array("f", bytes(40))
    dpflash.privatise(first, GAUSSIAN, 1, source, step=3)
    with pytest.raises(dpflash.ReusedNoise):
        dpflash.privatise(second, GAUSSIAN, 1, source, step=3)
    assert second.tolist() == [0] * 10
    dpflash.privatise(second, GAUSSIAN, 1, dpflash.NoiseSource.reproducible(5), step=3)
    assert first == second
    with pytest.raises(TypeError):
        copy.copy(source._handle)


def test_clip_by_the_norm_of_the_noise():
    record = array.array("f", [3, 4])
    dpflash.clip(record, GAUSSIAN, 1)
    assert record.tolist() == pytest.approx([0.6, 0.8]) and math.hypot(*record) <= 1
    record = array.array("f", [3, 4])
    dpflash.clip(record, LAPLACE, 1)
    assert sum(record) <= 1
    record = array.array("f", [math.nan, 4])
    dpflash.clip(record, GAUSSIAN, 1)
    assert record.tolist() == [0, 0]


@pytest.mark.parametrize("bad", [array.array("d", [1.0]), [1.0], b"\0\0\0\0", array.array("f"), 3])
def test_unusable_arrays(bad):
    with pytest.raises(dpflash.UnusableInput, match="total"):
        dpflash.privatise(bad, GAUSSIAN, 1, dpflash.NoiseSource(), step=0)


def test_numpy():
    numpy = pytest.importorskip("numpy")
    total = numpy.zeros((3, 4), numpy.float32)
    dpflash.privatise(total, GAUSSIAN, 1, dpflash.NoiseSource(), step=0)
    assert (total != 0).all()
    half = numpy.zeros(5, numpy.float16)
    dpflash.privatise(half, GAUSSIAN, 1, dpflash.NoiseSource(), step=0)
    assert (half != 0).all()
    for other in (numpy.zeros((4, 4), numpy.float32)[:, ::2], numpy.zeros(3), numpy.zeros(3, numpy.int32)):
        with pytest.raises(dpflash.UnusableInput):
            dpflash.privatise(other, GAUSSIAN, 1, dpflash.NoiseSource(), step=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_not_draw():
    source = dpflash.NoiseSource()
    child = os.fork()
    if child == 0:
        try:
            dpflash.privatise(array.array("f", [0.0]), GAUSSIAN, 1, source, step=0)
        except dpflash.ReusedNoise:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_calibrations_are_copied_with_their_family():
    for calibration in (GAUSSIAN, LAPLACE, dpflash.Calibration.laplace_for(1, 1e-6, count=3)):
        other = pickle.loads(pickle.dumps(calibration))
        assert other.certificate == calibration.certificate


def test_compare():
    table = dpflash.compare({"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": 1}}]}, 1e-5)
    assert list(table) == ["pld", "rdp", "rdp-classic", "basic"]
    assert table["pld"]["epsilon"].upper < table["rdp"]["epsilon"].upper
    assert table["rdp"]["order"] > 1


def test_docstrings():
    assert doctest.testmod(noise_module).failed == 0
