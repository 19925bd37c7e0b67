"""usage: run.py MODULE... FILE; runs a file of tests by pytest. Exits with 77 (skipped) when a module is not installed."""

import importlib.util
import subprocess
import sys

*modules, file = sys.argv[1:]
missing = [name for name in modules if importlib.util.find_spec(name) is None]
if missing:
    print(f"SKIPPED: {sys.executable} has no {' and no '.join(missing)}")
    sys.exit(77)
sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]))
