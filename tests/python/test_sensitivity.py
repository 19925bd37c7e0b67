"""dpflash.sensitivity against formulas, and what it refuses."""

import math

import pytest

import dpflash

FULL = {"unit": "token", "lengths": [[4, 4]], "causal": False, "H": 1, "D": 1, "scale": 1, "C_q": 1, "C_k": 1, "C_v": 1}


def test_token_full_mask():
    found = dpflash.sensitivity({**FULL, "sigma": 2})
    delta = 4 / (1 + 3 * math.exp(-2))
    assert found["delta_total"] == pytest.approx(delta, rel=1e-11)
    assert found["delta_total"] >= delta * (1 - 1e-15)
    assert found["mu"] == pytest.approx(delta / 2, rel=1e-11)
    assert found["rows_moved"] == 4


def test_causal_worst_position_is_the_first():
    found = dpflash.sensitivity({**FULL, "causal": True})
    delta = 2 * math.sqrt(sum((1 + n * math.exp(-2)) ** -2 for n in range(4)))
    assert found["delta_total"] == pytest.approx(delta, rel=1e-11)
    assert found["worst_j"] == 0


@pytest.mark.parametrize(("field", "value"), [("unit", "word"), ("C_v", -1), ("lengths", [[1]]), ("D", 0), ("window", 3)])
def test_bad_input_is_named(field, value):
    with pytest.raises(dpflash.UnusableInput, match=field):
        dpflash.sensitivity({**FULL, field: value})


def test_missing_and_unknown_fields_are_named():
    with pytest.raises(dpflash.UnusableInput, match="C_v"):
        dpflash.sensitivity({field: value for field, value in FULL.items() if field != "C_v"})
    with pytest.raises(dpflash.UnusableInput, match="clip"):
        dpflash.sensitivity({**FULL, "clip": 1})
