"""The code of docs/guide/attention-python.md runs, in its order. What needs a GPU is left out without one."""

import re
from pathlib import Path

import torch

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "attention-python.md"


def test_the_guide_runs(capsys):
    blocks = re.findall(r"(<!-- needs a GPU -->\n)?```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    names = {}
    for gpu, code in blocks:
        if not gpu or torch.cuda.is_available():
            exec(compile(code, str(GUIDE), "exec"), names)
    printed = capsys.readouterr().out.split()
    assert printed[0].startswith("2.689") and printed[1] == "token" and 2.99 < float(printed[3]) <= 3
