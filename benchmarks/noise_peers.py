"""PyTorch's noise and clipping beside this library's kernels, on one GPU in one run.

    python3 benchmarks/noise_peers.py build/cuda/benchmarks/gpu/noise_gpu_benchmark [--elements N]

Prints the benchmark's tables, then PyTorch's times for the same work, eager and compiled, and how many times longer they
take. Every time is the median of single runs, each after a pause. Needs PyTorch with CUDA.
"""
import argparse
import re
import statistics
import subprocess
import time

import torch


def alone(work, rounds=15, pause=0.03):
    """Median milliseconds of single runs."""
    for _ in range(3):
        work()
    times = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        time.sleep(pause)
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def noise_rows(count):
    compiled = torch.compile(lambda g: g.add_(torch.randn_like(g), alpha=1e-3))
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        g = torch.randn(count, device="cuda", dtype=dtype)
        yield f"philox {name}", "eager", alone(lambda: g.add_(torch.randn_like(g), alpha=1e-3))
        compiled(g)
        yield f"philox {name}", "compiled", alone(lambda: compiled(g))
        del g
        torch.cuda.empty_cache()


def clip_rows():
    g = torch.randn(64, 1 << 22, device="cuda")

    def step(g):
        norms = g.norm(dim=1)
        total = torch.einsum("i,ij->j", (1.0 / (norms + 1e-6)).clamp(max=1.0), g)
        return (total + torch.randn_like(total)) / 64

    compiled = torch.compile(step)
    compiled(g)
    yield "1 tensor, noise by philox", "eager", alone(lambda: step(g))
    yield "1 tensor, noise by philox", "compiled", alone(lambda: compiled(g))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark")
    parser.add_argument("--elements", type=int, default=1 << 30)
    arguments = parser.parse_args()
    text = subprocess.run(
        [arguments.benchmark, "--elements", str(arguments.elements)], check=True, capture_output=True, text=True
    ).stdout
    print(text)
    ours = {m[1]: float(m[2]) for m in re.finditer(r"^\| ([^|]+) \| [\d.]+ \| ([\d.]+) \|", text, re.M)}
    print(f"### PyTorch {torch.__version__}\n")
    print("| case | PyTorch | its time, ms | ours, ms | times |\n|---|---|---|---|---|")
    for rows in (noise_rows(arguments.elements), clip_rows()):
        for case, how, milliseconds in rows:
            print(f"| {case} | {how} | {milliseconds:.4f} | {ours[case]:.4f} | {milliseconds / ours[case]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
