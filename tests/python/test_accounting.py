"""dpflash.epsilon, delta, calibrate and Calibration against known values, and what they refuse."""

import json
import math
import threading

import pytest

import dpflash

GAUSSIAN = {"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": 1}}]}
# Analytic Gaussian mechanism at delta = 1e-5.
ADD_OR_REMOVE = 4.377178095681225
REPLACE = 9.99725615


def holds(bracket, truth, relative=1e-8):
    return bracket.lower <= truth * (1 + relative) and truth * (1 - relative) <= bracket.upper


def test_gaussian_epsilon_is_the_analytic_one():
    bracket = dpflash.epsilon(GAUSSIAN, 1e-5)
    assert bracket.lower <= ADD_OR_REMOVE <= bracket.upper
    assert bracket.lower <= bracket.estimate <= bracket.upper
    assert bracket.upper - bracket.lower < 1e-4 * ADD_OR_REMOVE
    assert holds(dpflash.epsilon({**GAUSSIAN, "adjacency": "replace-one"}, 1e-5), REPLACE)


def test_plans_are_dicts_or_text():
    text = json.dumps(GAUSSIAN)
    assert dpflash.epsilon(text, 1e-5) == dpflash.epsilon(text.encode(), 1e-5) == dpflash.epsilon(GAUSSIAN, 1e-5)


def test_delta_is_the_other_way_round():
    bracket = dpflash.delta(GAUSSIAN, ADD_OR_REMOVE)
    assert holds(bracket, 1e-5)


@pytest.mark.parametrize("accountant", ["rdp", "basic"])
def test_other_accountants_bound_from_above(accountant):
    bracket = dpflash.epsilon(GAUSSIAN, 1e-5, accountant=accountant)
    assert bracket.lower == 0 and bracket.upper >= ADD_OR_REMOVE * (1 - 1e-12)


def test_infinity_is_infinity():
    plan = {"events": [{"mechanism": {"type": "epsilon_delta", "epsilon": 1, "delta": 0.5}}]}
    assert dpflash.epsilon(plan, 1e-5).upper == math.inf


def test_calibrate_meets_its_target():
    event = {"mechanism": {"type": "gaussian", "noise_multiplier": None}, "count": 20000}
    event["sampling"] = {"type": "poisson", "rate": 0.004}
    found = dpflash.calibrate({"events": [event]}, 3, 1e-5)
    assert found.solve == "noise-multiplier"
    assert found.value == pytest.approx(1.03337194, rel=1e-6)
    assert 2.999 < found.epsilon.lower <= found.epsilon.upper <= 3


def test_calibration_carries_its_certificate():
    calibration = dpflash.Calibration.gaussian_for(2, 1e-6, count=100)
    assert calibration.epsilon.upper <= 2
    assert calibration.certificate["noise_multiplier"] == calibration.noise_multiplier
    assert dpflash.epsilon(calibration.certificate["plan"], 1e-6).upper <= 2 * (1 + 1e-4)
    assert holds(dpflash.Calibration.gaussian_stated(1, 1e-5).epsilon, ADD_OR_REMOVE)


@pytest.mark.parametrize(
    ("plan", "delta", "named"),
    [
        (GAUSSIAN, 0, "delta"),
        (GAUSSIAN, math.nan, "delta"),
        (GAUSSIAN, 1, "delta"),
        (GAUSSIAN, "1e-5", "delta"),
        (GAUSSIAN, None, "delta"),
        (GAUSSIAN, True, "delta"),
        ("", 1e-5, "plan"),
        ("{", 1e-5, "plan"),
        (b"\xff\xfe", 1e-5, "plan"),
        ("\ud800", 1e-5, "plan"),
        (json.dumps(GAUSSIAN) + "\0", 1e-5, "plan"),
        (7, 1e-5, "plan"),
        ({"events": {1, 2}}, 1e-5, "plan"),
        ({"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": math.nan}}]}, 1e-5, "plan"),
        ({"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": -1}}]}, 1e-5, "noise_multiplier"),
        ({"events": [], "extra": 1}, 1e-5, "extra"),
    ],
)
def test_bad_input_is_named(plan, delta, named):
    with pytest.raises(dpflash.UnusableInput, match=named) as refused:
        dpflash.epsilon(plan, delta)
    assert isinstance(refused.value, ValueError)
    assert "\n" not in str(refused.value)


def test_bad_options_are_named():
    with pytest.raises(dpflash.UnusableInput, match="accountant: 'gdp'"):
        dpflash.epsilon(GAUSSIAN, 1e-5, accountant="gdp")
    with pytest.raises(dpflash.UnusableInput, match="relative"):
        dpflash.epsilon(GAUSSIAN, 1e-5, relative_width=0)
    with pytest.raises(dpflash.UnusableInput, match="count"):
        dpflash.Calibration.gaussian_for(1, 1e-5, count=1.5)
    with pytest.raises(dpflash.UnusableInput, match="adjacency"):
        dpflash.Calibration.gaussian_for(1, 1e-5, adjacency="none")
    with pytest.raises(dpflash.NotComputable):
        dpflash.Calibration.gaussian_for(1e-12, 1e-300, count=10**12)


def test_long_answers_and_errors_pass():
    event = {"label": "x" * 100, "mechanism": {"type": "gaussian", "noise_multiplier": 300}}
    assert dpflash.epsilon({"events": [event] * 500}, 1e-5).upper > 0
    with pytest.raises(dpflash.UnusableInput) as refused:
        dpflash.epsilon({"events": [{"ü" * 5000: 1}]}, 1e-5)
    assert len(str(refused.value)) < 1100


def test_threads_get_their_own_answers_and_errors():
    failures = []

    def ask(noise):
        plan = {"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": noise}}]}
        alone = dpflash.epsilon(plan, 1e-5)
        for _ in range(200):
            if dpflash.epsilon(plan, 1e-5) != alone:
                failures.append(noise)
            try:
                dpflash.epsilon(plan, 2 + noise)
            except dpflash.UnusableInput as error:
                if f"delta: {2 + noise:g} " not in str(error):
                    failures.append(str(error))

    threads = [threading.Thread(target=ask, args=(0.5 + n / 8,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_nothing_needs_torch():
    import subprocess
    import sys

    code = "import sys, dpflash; dpflash.has_cuda(); sys.exit('torch' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", code]) == 0
