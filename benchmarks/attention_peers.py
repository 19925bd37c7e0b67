"""Private attention beside PyTorch's attention, which is not private, and beside what its users put together, on one GPU in one run.

    DPFLASH_LIBRARY=build/cuda/bindings_c/libdpflash.so PYTHONPATH=bindings_c/python python3 benchmarks/attention_peers.py
        [--section kernels|portable|pipelines] [--lengths 512,2048] [--dims 64,128] [--generator philox]

kernels: the fused kernel, clipping and noise on, beside cuDNN's forward pass, 16 384 rows, heads times head_dim 2048. portable: the
same for the kernel of compute capability 8.0 beside PyTorch's flash backend. pipelines: beside clip, cuDNN, noise as three steps,
eager and compiled, on shapes of known models, with the memory that a call takes beyond its inputs and outputs.

All candidates of a row are captured in CUDA graphs of several launches and replayed in turns; a time is the median over rounds, and a
ratio is the peer's time over ours: above 1 ours is faster. bf16. Needs PyTorch with CUDA; compiled pipelines also a C compiler.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from dpflash.torch import GraphSteps, dp_attention, op

CLIP = 6.0
SIGMA = 0.1
MODELS = {
    "BERT-Large": (32, 16, 512, 64, False),
    "GPT-3-13B": (8, 40, 2048, 128, True),
    "ViT-Huge": (64, 16, 257, 80, False),
    "D 128, S 512": (32, 16, 512, 128, False),
    "D 64, S 512": (32, 32, 512, 64, False),
}
# A report on an earlier, unimplemented design claimed these, before and after: milliseconds, or gigabytes.
CLAIMS = {"BERT-Large": "6.8 -> 4.3 ms", "GPT-3-13B": "31.2 -> 19.1 ms", "ViT-Huge": "24.7 -> 18.3 GB"}


class Candidate:
    """Several launches of one piece of work, captured. `launch` is called with the number of the launch, -1 outside the graph."""

    def __init__(self, launch, launches):
        self.launches = launches
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            launch(-1)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            for number in range(launches):
                launch(number)

    def time(self):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        self.graph.replay()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) / self.launches


def in_turns(candidates, rounds):
    times = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, candidate in candidates.items():
            time.sleep(0.005)
            times[name].append(candidate.time())
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def tensors(batch, heads, length, dim):
    return [torch.randn(batch, heads, length, dim, device="cuda").bfloat16() for _ in range(3)]


def ours(qkv, causal, generator, launches, rounds):
    views = [x.transpose(1, 2) for x in qkv]
    steps = [GraphSteps(rounds + 1, generator=generator) for _ in range(launches)]

    def launch(number):
        draws = {} if number < 0 else {"offset": steps[number]}
        dp_attention(*views, clip_q=CLIP, clip_k=CLIP, clip_v=CLIP, noise_std=SIGMA, causal=causal, generator=generator, **draws)

    return launch


def plain(qkv, causal, backend):
    def launch(_):
        with sdpa_kernel([backend]):
            F.scaled_dot_product_attention(*qkv, is_causal=causal)

    return launch


def launches_for(batch, heads, length, dim):
    """About 4 ms of work."""
    return max(2, min(40, int(4.0 / (4 * batch * heads * length**2 * dim / 5e11))))


def kernel_rows(options, portable):
    peer = ("flash", SDPBackend.FLASH_ATTENTION) if portable else ("cuDNN", SDPBackend.CUDNN_ATTENTION)
    print(f"\n| D | mask | S | {peer[0]}, ms | ours, ms | ratio | ours, TFLOP/s |\n|---|---|---|---|---|---|---|")
    for dim in options.dims:
        for causal in (False, True):
            for length in options.lengths:
                batch, heads = 16384 // length, 2048 // dim
                qkv = tensors(batch, heads, length, dim)
                n = launches_for(batch, heads, length, dim)
                times = in_turns(
                    {
                        "peer": Candidate(plain(qkv, causal, peer[1]), n),
                        "ours": Candidate(ours(qkv, causal, options.generator, n, options.rounds), n),
                    },
                    options.rounds,
                )
                work = 4 * batch * heads * length**2 * dim * (0.5 if causal else 1.0)
                print(
                    f"| {dim} | {'causal' if causal else 'full'} | {length} | {times['peer']:.4f} | {times['ours']:.4f} | "
                    f"{times['peer'] / times['ours']:.3f} | {work / times['ours'] / 1e9:.0f} |",
                    flush=True,
                )


def clip(x):
    norm = torch.linalg.vector_norm(x.float(), dim=-1, keepdim=True)
    return (x * (CLIP / norm.clamp_min(1e-6)).clamp(max=1.0)).to(x.dtype)


def clip_all(q, k, v):
    return clip(q), clip(k), clip(v)


def add_noise(o):
    return o + SIGMA * torch.randn_like(o)


def extra_memory(qkv, causal, generator):
    """Bytes that a call asks the allocator for beyond inputs and output, as a share of those."""
    launch = ours(qkv, causal, generator, 0, 0)
    launch(-1)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_stats()["requested_bytes.all.current"]
    launch(-1)
    torch.cuda.synchronize()
    size = qkv[0].numel() * qkv[0].element_size()
    return (torch.cuda.memory_stats()["requested_bytes.all.peak"] - before - size) / (4 * size)


def pipeline_rows(options):
    torch._dynamo.config.recompile_limit = 64
    clip_compiled, noise_compiled = torch.compile(clip_all, dynamic=False), torch.compile(add_noise, dynamic=False)

    def pipeline(qkv, causal, clipping, noising):
        def launch(_):
            with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
                noising(F.scaled_dot_product_attention(*clipping(*qkv), is_causal=causal))

        return launch

    print("\n| shape | eager, ms | compiled, ms | cuDNN alone, ms | ours, ms | compiled / ours | cuDNN / ours | ours, extra memory |")
    print("|---|---|---|---|---|---|---|---|")
    measured = {}
    for name, (batch, heads, length, dim, causal) in MODELS.items():
        qkv = tensors(batch, heads, length, dim)
        n = launches_for(batch, heads, length, dim)
        times = in_turns(
            {
                "eager": Candidate(pipeline(qkv, causal, clip_all, add_noise), max(2, n // 4)),
                "compiled": Candidate(pipeline(qkv, causal, clip_compiled, noise_compiled), n),
                "cudnn": Candidate(plain(qkv, causal, SDPBackend.CUDNN_ATTENTION), n),
                "ours": Candidate(ours(qkv, causal, options.generator, n, options.rounds), n),
            },
            options.rounds,
        )
        extra = extra_memory(qkv, causal, options.generator)
        measured[name] = (times, 4 * qkv[0].numel() * qkv[0].element_size() * (1 + extra) / 1e9)
        print(
            f"| {name} | {times['eager']:.3f} | {times['compiled']:.3f} | {times['cudnn']:.3f} | {times['ours']:.3f} | "
            f"{times['compiled'] / times['ours']:.2f} | {times['cudnn'] / times['ours']:.2f} | {100 * extra:.2f} % |",
            flush=True,
        )
    print("\n| shape | the report's claim | measured here: eager -> compiled -> ours | in all, GB |\n|---|---|---|---|")
    for name, claim in CLAIMS.items():
        times, size = measured[name]
        print(f"| {name} | {claim} | {times['eager']:.3f} -> {times['compiled']:.3f} -> {times['ours']:.3f} ms | {size:.2f} |")


def on_portable_path():
    """Calls of the op take the kernel of compute capability 8.0."""
    chosen = op._Outputs.struct

    def struct(self, *args):
        tensors_of_call = chosen(self, *args)
        tensors_of_call.path = 1
        return tensors_of_call

    op._Outputs.struct = struct


def numbers(text):
    return [int(each) for each in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", choices=["kernels", "portable", "pipelines"], default="kernels")
    parser.add_argument("--lengths", type=numbers, default=[512, 2048, 4096, 8192, 16384])
    parser.add_argument("--dims", type=numbers, default=[64, 128, 256])
    parser.add_argument("--generator", choices=["philox", "chacha12", "chacha20"], default="philox")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}; ours with {options.generator}")
    with torch.no_grad():
        if options.section == "pipelines":
            pipeline_rows(options)
            return
        if options.section == "portable":
            on_portable_path()
        kernel_rows(options, options.section == "portable")


if __name__ == "__main__":
    main()
