"""usage: check_same_digits.py COMMAND RUNS PROGRAM

Holds an example's plan_epsilon (PROGRAM) to the command dpflash (COMMAND): on the plan of every published run of the folder
RUNS both ends of epsilon must be the same numbers, and a calibration must be the same. What is not a plan must be refused in
one line. Stops at the first difference, with exit status 1.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Text that ends a plan too early for who counts brackets inside strings, in a plan without a published run around it.
TRICKY_LABEL = 'a "plan": {"events": []}}, \\'
UNBOUNDED = {"events": [{"mechanism": {"type": "epsilon_delta", "epsilon": 1, "delta": 0.5}}]}
CALIBRATIONS = [(3.0, 1e-5, 20000, 0.004), (0.5, 1e-7, 300, 1.0)]


def run(*arguments, text=None):
    return subprocess.run([str(a) for a in arguments], input=text, capture_output=True, text=True, timeout=120)


def fail(message):
    sys.exit(f"FAILED: {message}")


def answer_of(*arguments, text=None):
    """Standard output of a program that must not fail."""
    done = run(*arguments, text=text)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, arguments))}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def json_of(*arguments, text=None):
    """An answer of the command, its numbers as text; null as "null"."""
    answer = json.loads(answer_of(*arguments, "--format", "json", text=text), parse_float=str, parse_int=str)
    bracket = answer["epsilon"]
    return answer, {end: "null" if bracket[end] is None else bracket[end] for end in ("lower", "upper")}


def compare(what, field, got, wanted):
    """Numbers are the same when their digits are, or when they are digits of the same double."""
    if got == wanted or ("null" not in (got, wanted) and float(got) == float(wanted)):
        return
    fail(f"{what}: {field} is {got} by the program, {wanted} by the command")


def lines_of(program, delta, files):
    """(name, lower, upper) for each file, in their order."""
    lines = [line.rsplit(" ", 2) for line in answer_of(program, delta, *files).splitlines()]
    names = [line[0] for line in lines]
    if names != [file.stem for file in files]:
        fail(f"the program answered for {names}, asked for {[file.stem for file in files]}")
    return lines


def check_plans(command, program, delta, plans):
    """plans: file -> the plan that the command is asked about."""
    for (name, lower, upper), plan in zip(lines_of(program, delta, plans), plans.values()):
        _, wanted = json_of(command, "epsilon", "--delta", delta, "--events", "-", text=json.dumps(plan))
        compare(name, "lower", lower, wanted["lower"])
        compare(name, "upper", upper, wanted["upper"])
        print(name, lower, upper)


def check_runs(command, program, runs):
    by_delta = {}
    for file in sorted(runs.glob("*.json")):
        published = json.loads(file.read_text(encoding="utf-8"))
        by_delta.setdefault(published["delta"], {})[file] = published["plan"]
    if not by_delta:
        fail(f"{runs} has no *.json")
    for delta, plans in by_delta.items():
        check_plans(command, program, delta, plans)


def check_documents(command, program, folder):
    """Plans that are no published run, and runs that are hard to take apart."""
    plan = {"events": [{"label": TRICKY_LABEL, "mechanism": {"type": "gaussian", "noise_multiplier": 2.0}}]}
    documents = {
        "plan": (plan, json.dumps(plan)),
        "indented": (plan, json.dumps(plan, indent=2) + "\n"),
        "tricky run": (plan, json.dumps({"note": TRICKY_LABEL, "inner": {"plan": 1}, "plan": plan, "end": [[], "}"]})),
        "tight run": (plan, json.dumps({"plan": plan}, separators=(",", ":"))),
        "long": ({"events": plan["events"] * 3000}, json.dumps({"plan": {"events": plan["events"] * 3000}})),
        "unbounded": (UNBOUNDED, json.dumps(UNBOUNDED)),
    }
    plans = {}
    for name, (document, text) in documents.items():
        file = folder / f"{name}.json"
        file.write_text(text, encoding="utf-8")
        plans[file] = document
    check_plans(command, program, 1e-5, plans)


def check_calibrations(command, program):
    for epsilon, delta, count, rate in CALIBRATIONS:
        what = f"--calibrate {epsilon} {delta} {count} {rate}"
        answer, wanted = json_of(command, "calibrate", "--target-epsilon", epsilon, "--delta", delta, "--solve",
                                 "noise-multiplier", "--steps", count, "--sampling-rate", rate)
        value, lower, upper = answer_of(program, "--calibrate", epsilon, delta, count, rate).split()
        compare(what, "noise multiplier", value, answer["value"])
        compare(what, "lower", lower, wanted["lower"])
        compare(what, "upper", upper, wanted["upper"])
        print(what, value, lower, upper)


def check_refusals(program, runs, folder):
    """Each must say why in one line, with something in it that names the cause, and answer for nothing else."""
    good = sorted(runs.glob("*.json"))[0]
    not_json, no_plan, cut = folder / "text.json", folder / "no_plan.json", folder / "cut.json"
    not_json.write_text("plan\n", encoding="utf-8")
    no_plan.write_text('{"name": "a run without a plan"}', encoding="utf-8")
    cut.write_text(good.read_text(encoding="utf-8").rstrip()[:-1], encoding="utf-8")
    cases = [((1e-5, file), 1, str(file)) for file in (not_json, no_plan, cut, folder / "absent.json", folder)]
    cases += [((2, good), 1, str(good)), (("--calibrate", -1, 1e-5, 1, 1), 1, "epsilon"),
              (("--calibrate", 1, 1e-5, 0, 1), 1, "count"), (("--calibrate", 1, 1e-5, 1.5, 1), 2, "COUNT"),
              (("--calibrate", 1, 1e-5, 1), 2, "usage"), ((), 2, "usage"), ((1e-5,), 2, "usage"),
              (("--calibrate", good), 2, "usage")]
    cases += [((text, good), 2, "DELTA") for text in ("", "x", "1e-5x", " 1", "nan", "inf", "0x1", "1e999", "1_0")]
    for arguments, status, named in cases:
        done = run(program, *arguments)
        said = done.stderr.splitlines()
        if done.returncode != status or done.stdout or len(said) != 1 or named not in said[0]:
            fail(f"arguments {[str(a) for a in arguments]}: exit status {done.returncode}, wanted {status} and one line "
                 f"with {named}; said {done.stdout + done.stderr!r}")
    done = run(program, 1e-5, not_json, good)
    if done.returncode != 1 or len(done.stdout.splitlines()) != 1 or len(done.stderr.splitlines()) != 1:
        fail(f"of two files, one of them unusable: {done.stdout + done.stderr!r}")


def main():
    if len(sys.argv) != 4:
        print(__doc__.splitlines()[0], file=sys.stderr)
        sys.exit(2)
    command, runs, program = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    check_runs(command, program, runs)
    with tempfile.TemporaryDirectory() as folder:
        check_documents(command, program, Path(folder))
        check_refusals(program, runs, Path(folder))
    check_calibrations(command, program)


main()
