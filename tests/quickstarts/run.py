"""usage: run.py README LANGUAGE [COMPILER ARGUMENT...]; runs the README's blocks of a language: Python ones here, C and C++
ones compiled with the command given. Each must end with exit status 0 and say something."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

readme, language, *compiler = sys.argv[1:]
blocks = re.findall(rf"^```{re.escape(language)}\n(.*?)^```", Path(readme).read_text(encoding="utf-8"), re.M | re.S)
# Blocks that are whole programs; the others are parts that the text explains.
whole = [block for block in blocks if language == "python" or "int main(" in block]
if not whole:
    sys.exit(f"{readme} has no {language} program")
with tempfile.TemporaryDirectory() as folder:
    for number, block in enumerate(whole):
        if language == "python":
            command = [sys.executable, "-c", block]
        else:
            source = Path(folder, f"block{number}.{language}")
            source.write_text(block, encoding="utf-8")
            program = Path(folder, f"block{number}")
            subprocess.run([compiler[0], str(source), "-o", str(program), *compiler[1:]], check=True)
            command = [str(program)]
        out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout
        print(out, end="")
        if not out.strip():
            sys.exit(f"block {number} of {language} says nothing")
