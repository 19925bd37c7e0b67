"""The plan of every example gives the same digits through the command and through Python, which is the C interface."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import dpflash

COMMAND = os.environ.get("DPFLASH_COMMAND")
RUNS = sorted((Path(__file__).parents[2] / "examples" / "runs").glob("*.json"))


def by_command(plan, delta):
    arguments = [COMMAND, "epsilon", "--delta", repr(delta), "--events", "-", "--format", "json"]
    done = subprocess.run(arguments, input=json.dumps(plan), capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)["epsilon"] if done.returncode == 0 else done.stderr


@pytest.mark.skipif(COMMAND is None, reason="DPFLASH_COMMAND is not set")
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_same_digits(path):
    run = json.loads(path.read_text())
    plan, delta = run["plan"], run["delta"]
    status, answer = by_command(plan, delta)
    if status != 0:
        with pytest.raises(dpflash.Error):
            dpflash.epsilon(plan, delta)
        return
    bracket = dpflash.epsilon(plan, delta)
    assert (bracket.lower, bracket.estimate, bracket.upper) == (answer["lower"], answer["estimate"], answer["upper"])


def test_there_are_examples():
    assert len(RUNS) >= 10
