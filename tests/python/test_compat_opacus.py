"""dpflash.compat.opacus in Opacus: its accountant's cases, PrivacyEngine, checkpoints, calibration, the example."""

import copy
import importlib.util
import io
import math
import os
import re
import stat
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("opacus", reason="Opacus is not installed")

from opacus import PrivacyEngine
from opacus.accountants import (
    GaussianAccountant,
    IAccountant,
    PRVAccountant,
    RDPAccountant,
    create_accountant,
    registry,
)
from opacus.accountants.utils import get_noise_multiplier
from opacus.schedulers import ExponentialNoise
from torch.utils.data import DataLoader, TensorDataset

import dpflash
from dpflash.compat.opacus import DpflashAccountant, register

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "drop-ins.md"
EXAMPLE = ROOT / "examples" / "python" / "opacus_epochs.py"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def registered():
    register()


def after(*history):
    accountant = DpflashAccountant()
    accountant.history = list(history)
    return accountant


def plan_of(*history):
    events = []
    for noise, rate, steps in history:
        mechanism = {"type": "gaussian", "noise_multiplier": noise}
        events.append({"mechanism": mechanism, "sampling": {"type": "poisson", "rate": rate}, "count": steps})
    return {"events": events}


def test_register_once_or_more():
    register()
    assert isinstance(create_accountant("dpflash"), DpflashAccountant)
    assert DpflashAccountant.mechanism() == "dpflash" and issubclass(DpflashAccountant, IAccountant)


def test_a_name_that_another_class_has_is_left_to_it(monkeypatch):
    monkeypatch.setitem(registry._ACCOUNTANTS, "dpflash", RDPAccountant)
    with pytest.raises(ValueError, match="dpflash"):
        register()
    assert isinstance(create_accountant("dpflash"), RDPAccountant)


def test_the_history_is_that_of_the_peers():
    ours, theirs = DpflashAccountant(), RDPAccountant()
    for noise, rate in [(1.5, 0.04), (1.5, 0.04), (1.5, 0.02), (1.2, 0.02), (1.2, 0.02), (1.5, 0.04)]:
        ours.step(noise_multiplier=noise, sample_rate=rate)
        theirs.step(noise_multiplier=noise, sample_rate=rate)
    assert ours.history == theirs.history == [(1.5, 0.04, 2), (1.5, 0.02, 1), (1.2, 0.02, 2), (1.5, 0.04, 1)]
    assert len(ours) == len(theirs) == 4 and len(DpflashAccountant()) == 0


def test_epsilon_of_steps_one_by_one():
    accountant = DpflashAccountant()
    for _ in range(2250):
        accountant.step(noise_multiplier=1.5, sample_rate=0.04)
    bracket = accountant.get_epsilon_bracket(1e-5)
    assert bracket == dpflash.epsilon(plan_of((1.5, 0.04, 2250)), 1e-5)
    assert accountant.get_epsilon(1e-5) == accountant.get_epsilon(delta=1e-5) == bracket.upper
    assert bracket.upper == pytest.approx(6.7688, abs=1e-3)


@pytest.mark.parametrize(
    ("noise", "rate", "steps"),
    [
        (0.8, 0.001, 100),
        (3.0, 0.001, 1000),
        (1.5, 0.001, 20000),
        (0.8, 0.05, 1000),
        (1.5, 0.05, 100),
        (3.0, 0.05, 1000),
    ],
)
def test_the_peers_bounds_are_wider(noise, rate, steps):
    ours, prv, rdp = after((noise, rate, steps)), PRVAccountant(), RDPAccountant()
    prv.history = rdp.history = ours.history
    assert ours.get_epsilon(1e-6) < rdp.get_epsilon(1e-6)
    # PRVAccountant adds 0.01, its allowed error, and what its allowed error of delta / 1000 makes.
    assert 0.0099 < prv.get_epsilon(1e-6) - ours.get_epsilon(1e-6, relative_width=1e-6) < 0.0115


def test_gaussian_dp_underestimates_where_this_does_not():
    gdp = GaussianAccountant()
    gdp.history = [(1.5, 0.04, 2250)]
    assert gdp.get_epsilon(1e-5) < 6.7 < after((1.5, 0.04, 2250)).get_epsilon_bracket(1e-5).lower


def test_steps_of_several_kinds():
    history = [(1.5, 0.04, 100), (1.0, 0.02, 50), (1.5, 0.04, 100)]
    assert after(*history).get_epsilon(1e-5) == dpflash.epsilon(plan_of((1.5, 0.04, 200), (1.0, 0.02, 50)), 1e-5).upper
    assert after([1.5, 0.04, 100], (1.5, 0.04, 100.0)).get_epsilon(1e-5) == after((1.5, 0.04, 200)).get_epsilon(1e-5)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], 0),
        ([(1.0, 0.1, 0)], 0),
        ([(1.0, 0.0, 10)], 0),
        ([(0.0, 0.0, 10)], 0),
        ([(math.inf, 0.1, 10)], 0),
        ([(0.0, 0.1, 1)], math.inf),
        ([(0.0, 1.0, 1)], math.inf),
        ([(1.0, 0.1, 10), (0.0, 0.1, 1)], math.inf),
        ([(1e-6, 0.1, 10)], math.inf),
    ],
)
def test_steps_without_noise_and_without_data(history, expected):
    assert after(*history).get_epsilon(1e-5) == expected


def test_a_step_with_all_records_is_not_sampled():
    assert after((1.0, 1.0, 1)).get_epsilon(1e-5) == pytest.approx(4.37717810, abs=1e-8)


def test_every_delta_has_an_answer():
    accountant = after((1.0, 0.1, 10))
    assert accountant.get_epsilon(0) == math.inf and accountant.get_epsilon(1) == 0
    assert accountant.get_epsilon(1e-300) > accountant.get_epsilon(1e-5) > accountant.get_epsilon(0.1)


def test_arguments_of_other_accountants_are_taken():
    accountant = after((1.0, 0.1, 10))
    epsilon = accountant.get_epsilon(1e-5)
    assert accountant.get_epsilon(1e-5, [2, 3, 4]) == accountant.get_epsilon(delta=1e-5, alphas=[2, 3, 4]) == epsilon
    assert accountant.get_epsilon(1e-5, eps_error=0.1, delta_error=1e-9, poisson=True) == epsilon
    narrow = accountant.get_epsilon_bracket(1e-5, relative_width=1e-6)
    assert accountant.get_epsilon(1e-5, relative_width=1e-6) == narrow.upper <= epsilon
    assert narrow.upper - narrow.lower < 1e-5
    with pytest.raises(dpflash.UnusableInput, match="poisson: False is not allowed"):
        accountant.get_epsilon(1e-5, poisson=False)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ((-1.0, 0.1, 1), "history[0].noise_multiplier: -1.0"),
        ((math.nan, 0.1, 1), "history[0].noise_multiplier: nan"),
        ((1.0, 1.5, 1), "history[0].sample_rate: 1.5"),
        ((1.0, -0.1, 1), "history[0].sample_rate: -0.1"),
        ((1.0, 0.1, -1), "history[0].steps: -1"),
        ((1.0, 0.1, 1.5), "history[0].steps: 1.5"),
        ((1.0, 0.1), "history[0]: (1.0, 0.1)"),
        (7, "history[0]: 7"),
    ],
)
def test_an_entry_that_no_step_makes_is_named(entry, named):
    with pytest.raises(dpflash.UnusableInput, match=re.escape(named)) as refused:
        after(entry).get_epsilon(1e-5)
    assert "\n" not in str(refused.value)
    with pytest.raises(dpflash.UnusableInput, match="delta"):
        after((1.0, 0.1, 1)).get_epsilon(1.5)


def test_state_dict_goes_round():
    accountant = after((1.5, 0.04, 1250))
    into = {"kept": 1}
    state = accountant.state_dict(into)
    assert state is into and state["kept"] == 1 and state["mechanism"] == "dpflash"
    assert state["history"] == accountant.history and state["history"] is not accountant.history
    stored = io.BytesIO()
    torch.save(accountant.state_dict(), stored)
    stored.seek(0)
    loaded = DpflashAccountant()
    loaded.load_state_dict(torch.load(stored))
    assert loaded.state_dict() == accountant.state_dict()
    for _ in range(1000):
        loaded.step(noise_multiplier=1.5, sample_rate=0.04)
    assert loaded.get_epsilon(1e-5) == after((1.5, 0.04, 2250)).get_epsilon(1e-5)
    assert copy.deepcopy(loaded).history == loaded.history


@pytest.mark.parametrize("state", [None, {}, {"history": []}, {"mechanism": "dpflash"}, {"other": 1}])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(ValueError):
        DpflashAccountant().load_state_dict(state)


def test_a_state_of_another_accountant_needs_to_be_renamed():
    rdp = RDPAccountant()
    for _ in range(100):
        rdp.step(noise_multiplier=1.5, sample_rate=0.04)
    ours = DpflashAccountant()
    with pytest.raises(ValueError, match="rdp"):
        ours.load_state_dict(rdp.state_dict())
    with pytest.raises(ValueError, match="dpflash"):
        rdp.load_state_dict(ours.state_dict())
    ours.load_state_dict({**rdp.state_dict(), "mechanism": "dpflash"})
    assert ours.history == [(1.5, 0.04, 100)] and 0 < ours.get_epsilon(1e-5) < rdp.get_epsilon(1e-5)


@pytest.mark.parametrize("length", [{"epochs": 90}, {"steps": 2250}])
def test_noise_for_a_target(length):
    target = {"target_epsilon": 8, "target_delta": 1e-5, "sample_rate": 0.04, **length}
    noise = get_noise_multiplier(**target, accountant="dpflash")
    assert noise == pytest.approx(1.346, abs=2e-3)
    assert 8 - 0.01 <= after((noise, 0.04, 2250)).get_epsilon(1e-5) <= 8
    assert noise < get_noise_multiplier(**target, accountant="prv") < get_noise_multiplier(**target, accountant="rdp")
    narrow = get_noise_multiplier(**target, accountant="dpflash", epsilon_tolerance=1e-6, relative_width=1e-9)
    assert 8 - 1e-6 <= after((narrow, 0.04, 2250)).get_epsilon(1e-5, relative_width=1e-9) <= 8


@pytest.mark.parametrize("epsilon", [1.0, 3.7, 10.0])
@pytest.mark.parametrize(("rate", "epochs"), [(1e-4, 10), (1e-2, 100), (0.1, 33)])
def test_noise_does_not_overshoot(epsilon, rate, epochs):
    noise = get_noise_multiplier(
        target_epsilon=epsilon, target_delta=1e-6, sample_rate=rate, epochs=epochs, accountant="dpflash"
    )
    assert after((noise, rate, int(epochs / rate))).get_epsilon(1e-6) < epsilon


class Training:
    """A tiny private training with a given accountant."""

    def __init__(self, engine, **options):
        torch.manual_seed(0)
        data = TensorDataset(torch.randn(64, 4), torch.randint(0, 2, (64,)))
        model = torch.nn.Linear(4, 2)
        parts = {
            "module": model,
            "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
            "data_loader": DataLoader(data, batch_size=16),
            "max_grad_norm": 1.0,
        }
        make = engine.make_private_with_epsilon if "target_epsilon" in options else engine.make_private
        self.engine = engine
        self.model, self.optimizer, self.loader = make(**parts, **options)

    def epochs(self, count):
        for _ in range(count):
            for features, labels in self.loader:
                self.optimizer.zero_grad()
                output = self.model(features)
                (torch.nn.functional.cross_entropy(output, labels) if len(labels) else output.sum()).backward()
                self.optimizer.step()
        return self.engine.get_epsilon(1e-3)


def test_privacy_engine_counts_its_steps():
    training = Training(PrivacyEngine(accountant="dpflash"), noise_multiplier=1.1)
    assert isinstance(training.engine.accountant, DpflashAccountant)
    assert training.epochs(2) == dpflash.epsilon(plan_of((1.1, 0.25, 8)), 1e-3).upper
    assert training.engine.accountant.history == [(1.1, 0.25, 8)]


def test_privacy_engine_without_noise():
    assert Training(PrivacyEngine(accountant="dpflash"), noise_multiplier=0.0).epochs(1) == math.inf


def test_noise_that_changes_is_accounted_as_it_was():
    training = Training(PrivacyEngine(accountant="dpflash"), noise_multiplier=2.0)
    schedule = ExponentialNoise(training.optimizer, gamma=0.5)
    training.epochs(1)
    schedule.step()
    assert training.epochs(1) == dpflash.epsilon(plan_of((2.0, 0.25, 4), (1.0, 0.25, 4)), 1e-3).upper


def test_privacy_engine_meets_a_target():
    engine = PrivacyEngine(accountant="dpflash")
    training = Training(engine, target_epsilon=2.0, target_delta=1e-3, epochs=3)
    assert 2 - 0.01 <= training.epochs(3) <= 2


def test_checkpoints_go_on(tmp_path):
    options = {"noise_multiplier": 1.1}
    first = Training(PrivacyEngine(accountant="dpflash"), **options)
    first.epochs(1)
    path = tmp_path / "checkpoint.pt"
    first.engine.save_checkpoint(path=path, module=first.model, optimizer=first.optimizer)
    second = Training(PrivacyEngine(accountant="dpflash"), **options)
    second.engine.load_checkpoint(path=path, module=second.model, optimizer=second.optimizer)
    assert second.engine.accountant.state_dict() == first.engine.accountant.state_dict()
    assert second.epochs(1) == dpflash.epsilon(plan_of((1.1, 0.25, 8)), 1e-3).upper
    other = Training(PrivacyEngine(accountant="rdp"), **options)
    with pytest.raises(ValueError, match="dpflash"):
        other.engine.load_checkpoint(path=path, module=other.model, optimizer=other.optimizer)


@pytest.fixture(scope="module")
def example():
    specification = importlib.util.spec_from_file_location("opacus_epochs", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def command_of(path, answer):
    """A stand-in for the dpflash command, which answers what the Python expression `answer` says."""
    path.write_text(
        f"#!{sys.executable}\n"
        "import dpflash, json, sys\n"
        "given = dict(zip(sys.argv[2::2], sys.argv[3::2]))\n"
        'noise, rate = float(given["--noise-multiplier"]), float(given["--sampling-rate"])\n'
        'event = {"mechanism": {"type": "gaussian", "noise_multiplier": noise}, "count": int(given["--steps"])}\n'
        'event["sampling"] = {"type": "poisson", "rate": rate}\n'
        'upper = dpflash.epsilon({"events": [event]}, float(given["--delta"])).upper\n'
        f'print(json.dumps({{"epsilon": {{"upper": {answer}}}}}))\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_example_learns_and_checks_itself(example, tmp_path, capsys):
    command = command_of(tmp_path / "command", "upper")
    assert example.main(["--epochs", "2", "--check", command]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line[:1].isdigit() and len(line.split()) == 5]
    assert [row[1] for row in rows] == ["32", "64"] and float(rows[-1][3]) > 0.85
    assert float(rows[-1][4]) == dpflash.epsilon(plan_of((1.0, 1 / 32, 64)), 1e-5).upper
    assert "checked: the same" in printed


def test_the_example_fails_on_another_answer(example, tmp_path, capsys):
    command = command_of(tmp_path / "command", "upper * (1 + 2**-52)")
    assert example.main(["--epochs", "1", "--records", "500", "--check", command]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_the_example_agrees_with_the_command(example, capsys):
    """With the command that was built beside the library."""
    library = os.environ.get("DPFLASH_LIBRARY", "")
    command = Path(os.environ.get("DPFLASH_COMMAND", Path(library).resolve().parents[1] / "cli" / "dpflash"))
    if not command.is_file():
        pytest.skip(f"no command dpflash at {command}; DPFLASH_COMMAND names it")
    assert example.main(["--epochs", "2", "--records", "1000", "--check", str(command)]) == 0
    assert "checked: the same" in capsys.readouterr().out


def test_the_guide_runs():
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    blocks = [code for code in blocks if "opacus" in code]
    assert blocks
    names = {}
    for code in blocks:
        exec(compile(code, str(GUIDE), "exec"), names)
