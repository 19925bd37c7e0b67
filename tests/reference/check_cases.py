"""Runs oracle cases through the `dpflash` command and prints those outside the certified bracket.

usage: check_cases.py DPFLASH CASES.json [RELATIVE_WIDTH]   exit 0 when all hold
"""
import json, subprocess, sys, time
from fractions import Fraction as F
exe, path = sys.argv[1:3]
width = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-4
ok = bad = skipped = wide = 0
slowest = 0.0
for c in json.load(open(path)):
    q = c["quantity"]
    if q not in ("epsilon", "delta"): skipped += 1; continue
    arg = ["epsilon", "--delta", repr(c["at"]["delta"])] if q == "epsilon" else ["delta", "--epsilon", repr(c["at"]["epsilon"])]
    t = time.time()
    r = subprocess.run([exe, *arg, "--events", "-", "--format", "json", "--relative-width", str(width)], input=json.dumps(c["plan"]), capture_output=True, text=True, timeout=120)
    slowest = max(slowest, time.time() - t)
    try:
        b = json.loads(r.stdout)[q]; lo, hi = b["lower"], b["upper"]
        hi = float("inf") if hi is None else hi
    except Exception:
        bad += 1; print("FAIL", c["id"], "rc", r.returncode, (r.stderr or r.stdout).strip()[:160]); continue
    tlo = F(c.get("value", c.get("lower"))); thi = F(c.get("value", c.get("upper")))
    tlo, thi = max(tlo, 0), max(thi, 0)
    # double input parameters carry 1 ulp: allow 1e-12 relative on the oracle's side only
    inside = lo <= float(thi) * (1 + 1e-12) + 1e-300 and hi >= float(tlo) * (1 - 1e-12)
    rel = (hi - lo) / hi if hi > 1e-40 else 0.0
    if not inside: bad += 1; print("FAIL", c["id"], f"[{lo!r}, {hi!r}] truth", c.get("value") or (c["lower"], c["upper"]))
    else:
        ok += 1
        if rel > width * 1.001: wide += 1; print("wide", c["id"], f"{rel:.2e}")
print(f"{ok} inside, {bad} failed, {wide} wider than {width}, {skipped} not asked, slowest {slowest:.2f} s")
sys.exit(bad > 0 or wide > 0)
