"""dp_attention on a CUDA device: values, noise, torch.compile and CUDA graphs.

    DPFLASH_LIBRARY=build/cuda/bindings_c/libdpflash.so PYTHONPATH=bindings_c/python python tests/gpu/torch_attention.py

Skipped, with the reason, without PyTorch, a device, or the CUDA parts of the library.
"""

import math

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main(["-q", "-rs", __file__]))

torch = pytest.importorskip("torch", reason="SKIPPED: PyTorch is not installed")

import dpflash  # noqa: E402
from dpflash.torch import DPAttention, GraphSteps, ReleaseLog, dp_attention, model_plan  # noqa: E402

if not torch.cuda.is_available():
    pytest.skip("SKIPPED: no CUDA device", allow_module_level=True)
if not dpflash.has_cuda():
    pytest.skip("SKIPPED: libdpflash.so has no CUDA parts", allow_module_level=True)

TINY = 1e-30
CLIPS = {"clip_q": 2.0, "clip_k": 3.0, "clip_v": 1.5}


def inputs(batch=2, queries=200, keys=333, heads=8, kv_heads=4, dim=64, dtype=torch.bfloat16):
    def rows(count, length):
        return (torch.randn(batch, length, count, dim, device="cuda") * 0.5).to(dtype)

    return rows(heads, queries), rows(kv_heads, keys), rows(kv_heads, keys)


def clipped(x, norm):
    return x * (norm / x.norm(dim=-1, keepdim=True)).clamp(max=1)


def plain(q, k, v, causal=False, window=(-1, -1), scale=None, softcap=None, dtype=torch.float32):
    """Clipped attention in plain PyTorch: (output, logarithm of the sum of exponentials)."""
    norms = (CLIPS["clip_q"], CLIPS["clip_k"], CLIPS["clip_v"])
    q, k, v = (clipped(x.float(), norm).to(dtype).transpose(1, 2) for x, norm in zip((q, k, v), norms))
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    rows, columns = scores.shape[-2:]
    distance = torch.arange(columns, device="cuda") - torch.arange(rows, device="cuda")[:, None] - (columns - rows)
    left, right = window
    if causal:
        right = 0 if right < 0 else min(right, 0)
    hidden = torch.zeros_like(distance, dtype=torch.bool)
    if right >= 0:
        hidden |= distance > right
    if left >= 0:
        hidden |= distance < -left
    scores = scores.masked_fill(hidden, -math.inf)
    weights = torch.softmax(scores.float(), dim=-1).nan_to_num(0).to(dtype)
    return (weights @ v).transpose(1, 2), scores.float().logsumexp(dim=-1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dim", [64, 80, 128, 256])
@pytest.mark.parametrize(
    "options", [{}, {"causal": True}, {"window": (40, 0)}, {"softcap": 1.0}, {"scale": -0.2, "causal": True}]
)
def test_values_are_clipped_attention(dtype, dim, options):
    q, k, v = inputs(dim=dim, dtype=dtype)
    out, _, lse, clean = dp_attention(q, k, v, **CLIPS, noise_std=TINY, return_lse=True, return_clean=True, **options)
    wanted, wanted_lse = plain(q, k, v, **options)
    same_precision, _ = plain(q, k, v, dtype=dtype, **options)
    allowed = 2 * (same_precision.float() - wanted).abs().max() + 1e-3
    assert (out.float() - wanted).abs().max() <= allowed
    # A sum may cancel to 0 exactly: there the noise shows, small as it is.
    assert torch.equal(torch.where(clean == 0, 0, out), clean)
    torch.testing.assert_close(lse, wanted_lse, rtol=1e-3, atol=5e-3)


def test_long_sequences_and_strides():
    q, k, v = inputs(batch=1, queries=2048, keys=2048)
    packed_qkv = torch.cat([q, k, v], dim=2)
    views = packed_qkv.split([8, 4, 4], dim=2)
    wanted, _ = plain(q, k, v, causal=True)
    for tensors in ((q, k, v), views, [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]):
        out, _ = dp_attention(*tensors, **CLIPS, noise_std=TINY, causal=True)
        assert (out.float() - wanted).abs().max() < 2e-2


def test_packed_draws_as_padded():
    lengths = [130, 7, 64]
    q, k, v = (x[:, :, :4] for x in inputs(batch=3, queries=130, keys=130, kv_heads=4))
    ends = torch.tensor([0, *torch.tensor(lengths).cumsum(0)], dtype=torch.int32)
    packed = [torch.cat([x[b, :length] for b, length in enumerate(lengths)]) for x in (q, k, v)]
    options = {**CLIPS, "noise_std": 0.5, "seed": 11, "offset": 3}
    for where in ("cpu", "cuda"):
        cu = ends.to(where)
        out, _ = dp_attention(*packed, **options, cu_seqlens_q=cu, cu_seqlens_k=cu, max_seqlen_q=130)
        alone, _ = dp_attention(q, k, v, **options)
        assert torch.equal(out[:130], alone[0])


def test_the_device_draws_what_the_host_draws():
    q, k, v = inputs(batch=1, queries=65, keys=80, dtype=torch.float16)
    options = {**CLIPS, "noise_std": 1.0, "seed": 5, "offset": (7 << 32) + 9, "return_clean": True}
    out, _, clean = dp_attention(q, k, v, **options)
    host, _, host_clean = dp_attention(q.cpu().double(), k.cpu().double(), v.cpu().double(), **options)
    torch.testing.assert_close((out - clean).cpu().double(), host - host_clean, rtol=0, atol=1e-2)


def distance_from_normal(z):
    z = z.flatten().double().sort().values
    uniform = torch.special.ndtr(z)
    steps = torch.arange(1, len(z) + 1, dtype=torch.float64, device=z.device) / len(z)
    return max((steps - uniform).abs().max(), (uniform - steps + 1 / len(z)).abs().max()).item() * math.sqrt(len(z))


@pytest.mark.parametrize("generator", ["chacha20", "philox"])
def test_noise_is_normal_and_fresh(generator):
    q, k, v = inputs(batch=4, queries=512, keys=64, dtype=torch.float16)
    sigma = torch.linspace(1.0, 8.0, 8)
    draws = []
    for _ in range(2):
        out, _, clean = dp_attention(q, k, v, **CLIPS, noise_std=sigma, return_clean=True, generator=generator)
        draws.append((out.double() - clean.double()) / sigma.double().cuda()[:, None])
    # Kolmogorov-Smirnov at 1e-6; rounding to 16 bits moves a draw by up to 5e-4 of itself.
    assert distance_from_normal(draws[0]) < 2.7
    assert abs((draws[0] * draws[1]).mean().item()) < 5 / math.sqrt(draws[0].numel())


def test_row_tables_are_followed():
    q, k, v = inputs(batch=64, queries=96, keys=96, heads=2, kv_heads=2)
    table = torch.exp(torch.linspace(-2, 3, 192)).reshape(2, 96)
    out, stats, clean = dp_attention(q, k, v, **CLIPS, noise_std=table, return_clean=True)
    spread = (out - clean).float().pow(2).mean(dim=(0, 3)).sqrt().T.cpu()
    torch.testing.assert_close(spread, table, rtol=0.1, atol=1e-2)
    assert torch.equal(stats.sigma_table, table)


def test_calibrated_noise_meets_its_target():
    calibration = dpflash.Calibration.gaussian_for(1, 1e-6, count=24)
    q, k, v = inputs(queries=256, keys=256)
    _, stats = dp_attention(q, k, v, **CLIPS, causal=True, calibration=calibration)
    assert stats.mu <= 1 / calibration.noise_multiplier and 0.999 < stats.epsilon.upper <= 1


def test_seeds_repeat():
    q, k, v = inputs()

    def out(**draws):
        return dp_attention(q, k, v, **CLIPS, noise_std=1.0, **draws)[0]

    assert torch.equal(out(seed=3), out(seed=3))
    for other in ({"seed": 4}, {"seed": 3, "offset": 1}, {"seed": 3, "generator": "chacha12"}, {}):
        assert (out(seed=3) == out(**other)).float().mean() < 0.05


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_code_is_one_graph_with_fresh_noise(mode):
    log = ReleaseLog()

    def call(q, k, v):
        out, stats = dp_attention(q * 1.0, k, v, **CLIPS, noise_std=1.0, causal=True, delta=1e-5, log=log)
        return out + 0.0, stats

    compiled = torch.compile(call, fullgraph=True, mode=mode)
    q, k, v = inputs()
    outs = []
    for _ in range(5):
        out, stats = compiled(q, k, v)
        outs.append(out.clone())
    assert log.count == 5 and stats.epsilon.upper > 0
    for i, one in enumerate(outs):
        assert all((one == other).float().mean() < 0.05 for other in outs[:i])


def captured(steps, log=None):
    """A graph of one call, its inputs and its outputs."""
    q, k, v = inputs()

    def call():
        return dp_attention(q, k, v, **CLIPS, noise_std=1.0, offset=steps, return_clean=True, log=log)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out, _, clean = call()
    return graph, (q, k, v), out, clean


def test_graphs_draw_anew_until_their_steps_end():
    log = ReleaseLog()
    graph, (q, k, v), out, clean = captured(GraphSteps(4), log)
    assert log.count == 1 + 4
    seen = []
    for step in range(4):
        q.copy_(torch.randn_like(q))
        graph.replay()
        torch.cuda.synchronize()
        wanted, _ = plain(q, k, v)
        assert (clean.float() - wanted).abs().max() < 3e-2
        seen.append((out - clean).float())
        assert 0.97 < seen[-1].std().item() < 1.03
        for other in seen[:-1]:
            assert abs((seen[-1] * other).mean().item()) < 5 / math.sqrt(other.numel())
    graph.replay()
    torch.cuda.synchronize()
    assert out.isnan().all()


def test_graph_steps_of_a_seed_repeat():
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        graph, _, out, clean = captured(GraphSteps(3, seed=21))
        graph.replay()
        graph.replay()
        torch.cuda.synchronize()
        runs.append((out - clean).clone())
    assert torch.equal(*runs)


def test_captures_that_would_repeat_noise_are_refused():
    q, k, v = inputs()
    dp_attention(q, k, v, **CLIPS, noise_std=1.0)
    steps = GraphSteps(2)
    captured(steps)
    for options, named in (({}, "GraphSteps"), ({"offset": steps}, "captured before")):
        with pytest.raises((RuntimeError, dpflash.UnusableInput), match=named):
            with torch.cuda.graph(torch.cuda.CUDAGraph()):
                dp_attention(q, k, v, **CLIPS, noise_std=1.0, **options)
    torch.cuda.synchronize()


def test_modules_are_multihead_attention():
    plain_layer = torch.nn.MultiheadAttention(128, 2, batch_first=True, device="cuda", dtype=torch.float16).eval()
    wide = {"clip_q": 8.0, "clip_k": 8.0, "clip_v": 100.0, "noise_std": TINY}
    layer = DPAttention(128, 2, batch_first=True, device="cuda", dtype=torch.float16, **wide)
    layer.load_state_dict(plain_layer.state_dict())
    x = torch.randn(3, 70, 128, device="cuda", dtype=torch.float16) * 0.3
    with torch.no_grad():
        wanted, _ = plain_layer(x, x, x, need_weights=False)
        out, _ = layer(x, x, x)
        compiled, _ = torch.compile(layer, fullgraph=True)(x, x, x)
    torch.testing.assert_close(out, wanted, rtol=2e-2, atol=5e-3)
    torch.testing.assert_close(compiled, wanted, rtol=2e-2, atol=5e-3)
    assert sum(event["count"] for event in model_plan(layer)["events"]) == 2


def test_bad_calls_are_named():
    q, k, v = inputs()
    for tensors, options, named in [
        ((q.float(), k.float(), v.float()), {}, "q.dtype"),
        ((q, k.cpu(), v), {}, "k:"),
        ((q[..., :60], k[..., :60], v[..., :60]), {}, "D: 60"),
        ((q, k, v), {"scale": 50.0}, "scale"),
        ((q, k, v), {"clip_v": 1e30}, "."),
    ]:
        with pytest.raises(dpflash.UnusableInput, match=named):
            dp_attention(*tensors, **{**CLIPS, "noise_std": 1.0, **options})
