"""usage: run.py README LANGUAGE [COMPILER ARGUMENT...]; runs the README's programs of a language: c, cpp, python, or opacus
(Python behind the comment <!-- opacus -->). C and C++ are compiled with the command given. Each must end with exit status 0
and say something. Exits with 77 (skipped) when a package is not installed."""

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

readme, language, *compiler = sys.argv[1:]
if language == "opacus" and importlib.util.find_spec("opacus") is None:
    print(f"SKIPPED: {sys.executable} has no opacus")
    sys.exit(77)
is_python = language in ("python", "opacus")
found = re.findall(r"^(<!-- opacus -->\n)?```(\w+)\n(.*?)^```", Path(readme).read_text(encoding="utf-8"), re.M | re.S)
kinds = [("opacus" if marked else fence, block) for marked, fence, block in found]
# Blocks that are whole programs; the others are parts that the text explains.
programs = [block for kind, block in kinds if kind == language and (is_python or "int main(" in block)]
if not programs:
    sys.exit(f"{readme} has no {language} program")
with tempfile.TemporaryDirectory() as folder:
    for number, block in enumerate(programs):
        if is_python:
            command = [sys.executable, "-W", "ignore", "-c", block]
        else:
            source = Path(folder, f"block{number}.{language}")
            source.write_text(block, encoding="utf-8")
            program = Path(folder, f"block{number}")
            subprocess.run([compiler[0], str(source), "-o", str(program), *compiler[1:]], check=True)
            command = [str(program)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder).stdout
        print(out, end="")
        if not out.strip():
            sys.exit(f"block {number} of {language} says nothing")
