"""dpflash.Ledger and dpflash.Accountant: budgets, reservations, receipts, damage, processes."""

import copy
import doctest
import multiprocessing
import pickle
import sqlite3

import pytest

import dpflash
from dpflash import accountant as accountant_module
from dpflash import ledger as ledger_module

SMALL = {"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": 8}}]}
MUCH = {"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": 0.2}}]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "budget.db"


def made(path, epsilon=2.0):
    return dpflash.Ledger.create(path, epsilon=epsilon, delta=1e-5)


def test_spends_add_up_as_the_accountant_says(path):
    ledger = made(path)
    first = ledger.spend(SMALL, run="a", layer="l0", head="1", steps=(0, 0))
    ledger.spend(SMALL, run="b")
    state = ledger.state()
    twice = {"events": [{**SMALL["events"][0], "count": 2}]}
    assert state.spent == dpflash.epsilon(twice, 1e-5, relative_width=1e-6)
    assert (state.epsilon, state.delta, state.adjacency) == (2.0, 1e-5, "add-or-remove-one")
    assert state.entries == 3
    entry = ledger.entries(2, 1)[0]
    assert entry["labels"] == {"run": "a", "layer": "l0", "head": "1", "steps": [0, 0]}
    assert ledger.verify([first]).sound


def test_over_budget_is_refused_and_not_recorded(path):
    ledger = made(path)
    with pytest.raises(dpflash.OverBudget, match="2 is allowed"):
        ledger.spend(MUCH)
    assert ledger.state().entries == 1


def test_reservations(path):
    ledger = made(path)
    reserved = ledger.reserve({"events": [{**SMALL["events"][0], "count": 5}]}, run="planned")
    ledger.commit(reserved.sequence, 2)
    assert ledger.state().open_reservations[0]["remaining"]["events"][0]["count"] == 3
    ledger.abort(reserved.sequence)
    assert ledger.state().claimed == ledger.state().spent
    with pytest.raises(dpflash.UnusableInput, match="reservation"):
        ledger.commit(reserved.sequence)


def test_report_as_dict_and_chart_and_given_up(path):
    ledger = made(path)
    for name in ("x", "y"):
        ledger.spend(SMALL, layer=name)
    report = ledger.report("layer")
    assert {share["layer"] for share in report["shares"]} == {"x", "y"}
    whole = report["spent"]["upper"]
    assert report["shares"][0]["marginal"] == pytest.approx(whole - report["shares"][0]["without"], rel=1e-9)
    assert ledger.report("layer", svg=True).startswith("<svg")
    seen = []
    ledger.report(progress=lambda done: seen.append(done))
    assert seen[0] == 0 and len(seen) == 2
    with pytest.raises(dpflash.Cancelled):
        ledger.report(progress=lambda done: False)

    def fails(done):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ledger.report(progress=fails)


def test_verify_finds_an_edit(path):
    ledger = made(path)
    receipt = ledger.spend(SMALL)
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER entries_are_not_changed")
        connection.execute("UPDATE entries SET time = '2020-01-01T00:00:00.000Z' WHERE sequence = 2")
    with dpflash.Ledger(path, read_only=True) as ledger:
        found = ledger.verify([receipt])
    assert not found.sound and found.faults


def test_unusable(path, tmp_path):
    ledger = made(path)
    with pytest.raises(dpflash.LedgerError, match="already"):
        made(path)
    with pytest.raises(dpflash.LedgerError):
        dpflash.Ledger(tmp_path / "missing.db")
    with pytest.raises(dpflash.UnusableInput, match="delta"):
        dpflash.Ledger.create(tmp_path / "x.db", epsilon=1, delta=2)
    for bad in ({"run": 3}, {"run": "a\0b"}, {"layer": "x" * 300}, {"steps": (4, 2)}, {"steps": (-1, 2)}):
        with pytest.raises(dpflash.UnusableInput):
            ledger.spend(SMALL, **bad)
    with pytest.raises(dpflash.UnusableInput, match="adjacency"):
        ledger.spend({**SMALL, "adjacency": "replace-one"})
    with pytest.raises(dpflash.LedgerError):
        dpflash.Ledger(path, read_only=True).spend(SMALL)
    with pytest.raises(TypeError):
        pickle.dumps(ledger)
    ledger.close()
    with pytest.raises(dpflash.UnusableInput, match="closed"):
        ledger.state()


def _spend(path, times):
    with dpflash.Ledger(path) as ledger:
        for _ in range(times):
            ledger.spend({"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": 100}}]})


def test_processes(path):
    made(path).close()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_spend, args=(str(path), 10)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    with dpflash.Ledger(path) as ledger:
        assert ledger.state().entries == 41
        assert ledger.verify().sound


def test_accountant_merges_copies_and_saves():
    accountant = dpflash.Accountant()
    assert accountant.epsilon(1e-5).upper == 0
    for _ in range(3):
        accountant.step(noise_multiplier=1.1, sampling_rate=0.01, count=100)
    accountant.compose(SMALL)
    assert len(accountant) == 301 and len(accountant.plan["events"]) == 2
    once = {
        "events": [
            {
                "mechanism": {"type": "gaussian", "noise_multiplier": 1.1},
                "sampling": {"type": "poisson", "rate": 0.01},
                "count": 300,
            },
            SMALL["events"][0],
        ]
    }
    assert accountant.epsilon(1e-5) == dpflash.epsilon(once, 1e-5)
    assert accountant.delta(1.0) == dpflash.delta(once, 1.0)
    for other in (copy.deepcopy(accountant), pickle.loads(pickle.dumps(accountant)), dpflash.Accountant.from_json(accountant.to_json())):
        assert other.epsilon(1e-5) == accountant.epsilon(1e-5)
    before = accountant.to_json()
    with pytest.raises(dpflash.UnusableInput):
        accountant.step(noise_multiplier=-1)
    with pytest.raises(dpflash.UnusableInput, match="adjacency"):
        accountant.compose({**SMALL, "adjacency": "replace-one"})
    twice = '{"events":[{"mechanism":{"type":"gaussian","noise_multiplier":4},"count":1000,"count":1}]}'
    with pytest.raises(dpflash.UnusableInput, match="count"):
        accountant.compose(twice)
    for bad in (twice, "[]", "{", '{"events":[{"mechanism":{"type":"gaussian","noise_multiplier":NaN}}]}'):
        with pytest.raises(dpflash.UnusableInput):
            dpflash.Accountant.from_json(bad)
    assert accountant.to_json() == before


@pytest.mark.parametrize("module", [ledger_module, accountant_module])
def test_docstrings(module):
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
