"""dp_attention on the CPU against plain attention in PyTorch, its draws, its cost, and what it refuses."""

import math

import pytest
import torch

import dpflash
from dpflash.torch import ReleaseLog, dp_attention

TINY = 1e-30
CLIPS = {"clip_q": 1.0, "clip_k": 1.5, "clip_v": 2.0}


def inputs(batch=2, queries=5, keys=7, heads=4, kv_heads=2, dim=8, dtype=torch.float32):
    q = torch.randn(batch, queries, heads, dim, dtype=dtype) * 2
    k, v = (torch.randn(batch, keys, kv_heads, dim, dtype=dtype) * 2 for _ in range(2))
    return q, k, v


def clipped(x, norm):
    return x * (norm / x.norm(dim=-1, keepdim=True)).clamp(max=1)


def plain(q, k, v, causal=False, window=(-1, -1), scale=None, softcap=None, clip_q=1.0, clip_k=1.5, clip_v=2.0):
    """Clipped attention in binary64: (output, logarithm of the sum of exponentials)."""
    q, k, v = (clipped(x.double(), norm).transpose(1, 2) for x, norm in ((q, clip_q), (k, clip_k), (v, clip_v)))
    group = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    rows, columns = scores.shape[-2:]
    distance = torch.arange(columns) - torch.arange(rows)[:, None] - (columns - rows)
    seen = torch.ones(rows, columns, dtype=torch.bool)
    if causal or window[1] >= 0:
        seen &= distance <= (0 if causal and window[1] < 0 else min(window[1], 0) if causal else window[1])
    if window[0] >= 0:
        seen &= distance >= -window[0]
    scores = scores.masked_fill(~seen, -math.inf)
    weights = torch.softmax(scores, dim=-1).nan_to_num(0)
    return (weights @ v).transpose(1, 2), scores.logsumexp(dim=-1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"window": (2, 0)},
        {"window": (1, 1)},
        {"causal": True, "window": (3, -1)},
        {"scale": -0.7},
        {"softcap": 0.3},
    ],
)
def test_values_are_clipped_attention(options):
    q, k, v = inputs()
    out, _, lse, clean = dp_attention(q, k, v, **CLIPS, noise_std=TINY, return_lse=True, return_clean=True, **options)
    wanted, wanted_lse = plain(q, k, v, **options)
    torch.testing.assert_close(clean.double(), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.double(), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(lse.double(), wanted_lse, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_result_has_the_type_of_the_input(dtype):
    q, k, v = inputs(dtype=dtype)
    out, _ = dp_attention(q, k, v, **CLIPS, noise_std=TINY)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), plain(q, k, v)[0], rtol=1e-2, atol=1e-2)


def test_strides_are_followed():
    q, k, v = inputs()
    moved = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    broken = q.transpose(2, 3).contiguous().transpose(2, 3)
    out, _ = dp_attention(q, k, v, **CLIPS, noise_std=1.0, seed=1)
    assert torch.equal(dp_attention(*moved, **CLIPS, noise_std=1.0, seed=1)[0], out)
    assert torch.equal(dp_attention(broken, k, v, **CLIPS, noise_std=1.0, seed=1)[0], out)


def test_packed_is_each_sequence_alone():
    lengths = [(3, 5), (0, 2), (6, 4)]
    parts = [inputs(batch=1, queries=queries, keys=keys) for queries, keys in lengths]
    q, k, v = (torch.cat([part[i][0] for part in parts]) for i in range(3))
    ends = [torch.tensor([0, *torch.tensor([pair[i] for pair in lengths]).cumsum(0)], dtype=torch.int32) for i in range(2)]
    out, stats = dp_attention(
        q, k, v, **CLIPS, noise_std=TINY, causal=True, cu_seqlens_q=ends[0], cu_seqlens_k=ends[1], max_seqlen_q=6
    )
    wanted = torch.cat([plain(*part, causal=True)[0][0] for part in parts])
    torch.testing.assert_close(out.double(), wanted, rtol=1e-5, atol=1e-5)
    alone = [dp_attention(*part, **CLIPS, noise_std=TINY, causal=True)[1].mu for part in parts if part[0].numel()]
    assert stats.mu == pytest.approx(max(alone), rel=1e-9)


def same_somewhere(one, other):
    """Whether a part of the noise is shared. One pair in 10^5 is as close as this by chance."""
    return torch.isclose(one, other).float().mean() > 0.02


def normalised(out, clean, sigma):
    return ((out - clean).double() / sigma).flatten()


def test_noise_is_normal_and_fresh():
    q, k, v = inputs(batch=8, queries=64, keys=4, heads=4, dim=32)
    sigma = torch.tensor([0.5, 1.0, 2.0, 4.0])
    draws = []
    for _ in range(2):
        out, _, clean = dp_attention(q, k, v, **CLIPS, noise_std=sigma, return_clean=True)
        draws.append(normalised(out, clean, sigma[None, None, :, None].double()))
    z = torch.cat(draws).sort().values
    uniform = torch.special.ndtr(z)
    steps = torch.arange(1, len(z) + 1, dtype=torch.float64) / len(z)
    distance = max((steps - uniform).abs().max().item(), (uniform - steps + 1 / len(z)).abs().max().item())
    # Kolmogorov-Smirnov at 1e-6; one pair of calls that share a draw would give a correlation of 1.
    assert distance * math.sqrt(len(z)) < 2.7
    assert abs((draws[0] * draws[1]).mean().item()) < 5 / math.sqrt(len(draws[0]))


def test_row_tables_are_followed():
    q, k, v = inputs(batch=64, queries=6, heads=2, kv_heads=1, dim=32)
    table = torch.tensor([[1e-3, 1e-2, 0.1, 1, 10, 100], [100, 10, 1, 0.1, 1e-2, 1e-3]])
    out, stats, clean = dp_attention(q, k, v, **CLIPS, noise_std=table, return_clean=True)
    spread = (out - clean).double().pow(2).mean(dim=(0, 3)).sqrt().T
    torch.testing.assert_close(spread, table.double(), rtol=0.15, atol=1e-4)
    assert torch.equal(stats.sigma_table, table)
    before = stats.mu
    table.mul_(1e3)
    assert stats.mu == before
    assert stats.sigma == (pytest.approx(1e-3), pytest.approx(1e-3))


def test_a_seed_repeats_and_an_offset_does_not():
    q, k, v = inputs()

    def out(**draws):
        return dp_attention(q, k, v, **CLIPS, noise_std=1.0, **draws)[0]

    assert torch.equal(out(seed=3), out(seed=3))
    for other in ({"seed": 4}, {"seed": 3, "offset": 1}, {"seed": 3, "offset": 1 << 32}, {"seed": 3, "generator": "philox"}, {}):
        assert not torch.isclose(out(seed=3), out(**other)).all()
    assert not same_somewhere(out(), out())


def test_calibrated_noise_meets_its_target():
    calibration = dpflash.Calibration.gaussian_for(1, 1e-6, count=12)
    q, k, v = inputs(queries=32, keys=32)
    energies = []
    for allocation in ("uniform", "per-head", "optimal"):
        _, stats = dp_attention(q, k, v, **CLIPS, causal=True, calibration=calibration, allocation=allocation)
        assert stats.mu <= 1 / calibration.noise_multiplier
        assert stats.mu == pytest.approx(1 / calibration.noise_multiplier, rel=1e-5)
        assert 0.999 < stats.epsilon.lower <= stats.epsilon.upper <= 1.0
        energies.append(stats.sigma_table.double().pow(2).mean().item())
    assert energies[2] < energies[1] * 1.001 <= energies[0] * 1.002
    assert stats.count == 12 and stats.delta == 1e-6


def test_count_and_delta_of_the_stats_are_those_given():
    calibration = dpflash.Calibration.gaussian_for(1, 1e-6, count=12)
    x = inputs(batch=1, heads=2)[1]

    def stats(**given):
        return dp_attention(x, x, x, **CLIPS, calibration=calibration, **given)[1]

    assert (stats().count, stats().delta) == (12, 1e-6)
    assert (stats(count=1000).count, stats(count=1000).delta) == (1000, 1e-6)
    assert stats(count=1000).epsilon.lower > 10
    assert (stats(delta=1e-5).count, stats(delta=1e-5).delta) == (12, 1e-5)
    assert dp_attention(x, x, x, **CLIPS, noise_std=1.0)[1].count == 1


def test_host_rounding_is_charged_for_the_largest_clips():
    from dpflash.torch.spec import Spec

    def eps_s(clip_q, clip_k):
        spec = Spec(((4, 4),), 2, 2, 8, False, (-1, -1), 1.0, 30.0, clip_q, clip_k, (1.0,), "token", "host")
        return spec.document()["finite_precision"]["eps_s"]

    assert eps_s((1.0,), (1.0, 100.0)) == eps_s((1.0, 1.0), (1.0, 100.0)) == eps_s((1.0,), (100.0,))


def test_stats_are_those_of_the_analysis():
    q, k, v = inputs(batch=1, queries=4, keys=4, heads=1, kv_heads=1, dim=1)
    _, stats = dp_attention(q, k, v, clip_q=1, clip_k=1, clip_v=1, scale=1.0, noise_std=2.0, delta=1e-5, count=3)
    # What the host rounds is charged for: 1e-7 above the exact distance.
    exact = 4 / (1 + 3 * math.exp(-2))
    assert stats.unit == "token"
    assert stats.sensitivity[0] == pytest.approx(exact, rel=1e-6) and stats.sensitivity[0] >= exact
    assert stats.mu == pytest.approx(exact / 2, rel=1e-6)
    assert stats.sigma == (2.0,)
    event = stats.event("layer.3")
    assert event["label"] == "layer.3" and event["count"] == 3
    assert event["mechanism"]["noise_multiplier"] * stats.mu <= 1
    assert stats.epsilon == dpflash.epsilon({"events": [event]}, 1e-5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"noise_std": 0.0}, "noise_std"),
        ({"noise_std": math.nan}, "noise_std"),
        ({"noise_std": [1.0, 1.0]}, "noise_std"),
        ({"noise_std": torch.ones(4, 4)}, "noise_std.shape"),
        ({"noise_std": torch.zeros(4, 5)}, "sigma"),
        ({"noise_std": None}, "calibration"),
        ({"clip_q": 0}, "clip_q"),
        ({"clip_v": [1.0, 1.0, 1.0]}, "clip_v"),
        ({"clip_v": math.inf}, "clip_v"),
        ({"unit": "word"}, "unit"),
        ({"scale": 0.0}, "scale"),
        ({"softcap": -1.0}, "softcap"),
        ({"generator": "mersenne"}, "generator"),
        ({"offset": 1}, "offset"),
        ({"offset": torch.tensor(1)}, "offset"),
        ({"seed": 1.5}, "seed"),
        ({"count": 0}, "count"),
        ({"delta": 1.0}, "delta"),
        ({"log": 42}, "log"),
        ({"noise_std": "1.0"}, "noise_std"),
        ({"noise_std": True}, "noise_std"),
        ({"noise_std": torch.tensor([1.0, 1.0, 1.0, math.nan])}, "noise_std: .*nan"),
        ({"noise_std": torch.ones(4, 5, dtype=torch.complex64)}, "noise_std: torch.complex64"),
        ({"noise_std": torch.ones(4, 5).to_sparse()}, "noise_std: .*sparse"),
        ({"clip_k": None}, "clip_k"),
        ({"clip_k": "1"}, "clip_k"),
        ({"window": (1,)}, "window"),
        ({"window": (2.7, 0)}, "window"),
        ({"allocation": []}, "allocation"),
        ({"calibration": 3, "noise_std": None}, "calibration: int"),
        ({"seed": -1}, "seed"),
        ({"window": (-7, 1)}, "window"),
        ({"allocation": "best"}, "allocation"),
        ({"cu_seqlens_q": torch.tensor([0, 5])}, "q.shape"),
        ({"calibration": dpflash.Calibration.gaussian_stated(1, 1e-5)}, "calibration"),
        ({"calibration": dpflash.Calibration.gaussian_stated(1, 1e-5, rate=0.5), "noise_std": None}, "calibration"),
        ({"calibration": dpflash.Calibration.gaussian_stated(1, 1e-5, adjacency="replace-one"), "noise_std": None}, "calib"),
    ],
)
def test_bad_calls_are_named(change, named):
    q, k, v = inputs()
    with pytest.raises(dpflash.UnusableInput, match=named) as refused:
        dp_attention(q, k, v, **{**CLIPS, "noise_std": 1.0, **change})
    assert "\n" not in str(refused.value)


def test_bad_tensors_are_named():
    q, k, v = inputs()
    for tensors, named in [
        ((q[0], k, v), "q.shape"),
        ((q, k, v[:, :3]), "v.shape"),
        ((q, k[..., :4], v[..., :4]), "k.shape"),
        ((q[:1], k, v), "k.shape"),
        ((q[:, :, :3], k, v), "k.shape"),
        ((q, k.double(), v), "k: torch.float64"),
        ((q.int(), k.int(), v.int()), "q.dtype"),
        ((q[..., :0], k[..., :0], v[..., :0]), "q.shape"),
        (([1.0], k, v), "q: list"),
        # The same records in all sequences.
        ((q, k[:1].expand(2, -1, -1, -1), v), "k.stride"),
        ((q, k, v[:1].expand(2, -1, -1, -1)), "v.stride"),
    ]:
        with pytest.raises(dpflash.UnusableInput, match=named):
            dp_attention(*tensors, **CLIPS, noise_std=1.0)


def test_packed_lengths_are_checked():
    q, k, v = (x[0] for x in inputs())

    def call(ends_q, ends_k, most=5):
        ends = {"cu_seqlens_q": torch.tensor(ends_q), "cu_seqlens_k": torch.tensor(ends_k)}
        return dp_attention(q, k, v, **CLIPS, noise_std=1.0, max_seqlen_q=most, **ends)

    call([0, 2, 5], [0, 0, 7])
    for arguments, named in [
        (([0, 2, 4], [0, 3, 7]), "cu_seqlens_q"),
        (([1, 2, 5], [0, 3, 7]), "cu_seqlens_q"),
        (([0, 2, 5], [0, 9, 7]), "cu_seqlens_k"),
        (([0, 2, 5], [0, 7]), "cu_seqlens_k"),
        (([0, 2, 5], [0, 3, 7], 2), "max_seqlen_q"),
        (([0, 2, 5], [0, 3, 7], None), "max_seqlen_q"),
        (([0, 2, 5], [0, 3, 7], "5"), "max_seqlen_q"),
    ]:
        with pytest.raises(dpflash.UnusableInput, match=named):
            call(*arguments)
    with pytest.raises(dpflash.UnusableInput, match="cu_seqlens_q: list"):
        dp_attention(q, k, v, **CLIPS, noise_std=1.0, max_seqlen_q=5, cu_seqlens_q=[0, 5], cu_seqlens_k=[0, 7])


def test_gradients_are_refused():
    q, k, v = inputs()
    v.requires_grad_()
    with pytest.raises(RuntimeError, match="no backward"):
        dp_attention(q, k, v, **CLIPS, noise_std=1.0)
    with torch.no_grad():
        assert not dp_attention(q, k, v, **CLIPS, noise_std=1.0)[0].requires_grad


def test_the_op_is_well_formed():
    q, k, v = inputs()
    arguments = (q, k, v, None, [TINY], 0.0, 0, [1.0], [1.0], [1.0], True, -1, -1, None, None, "token", 2, 5, 0, 0, 0)
    arguments += (None, None, 5, True, True)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.dpflash.attention.default, arguments, test_utils=checks)


def test_shapes_are_inferred_without_data():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        q, k, v = torch.empty(2, 5, 4, 8), torch.empty(2, 7, 2, 8), torch.empty(2, 7, 2, 8)
        out, _, lse, clean = dp_attention(q, k, v, **CLIPS, noise_std=1.0, return_lse=True, return_clean=True)
    assert out.shape == clean.shape == (2, 5, 4, 8) and lse.shape == (2, 4, 5)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_code_is_one_graph_with_fresh_noise(backend):
    log = ReleaseLog()

    def call(q, k, v):
        out, stats = dp_attention(q * 1.0, k, v, **CLIPS, noise_std=1.0, causal=True, delta=1e-5, log=log)
        again, _ = dp_attention(q * 1.0, k, v, **CLIPS, noise_std=1.0, causal=True, log=log)
        return out, again, stats

    compiled = torch.compile(call, fullgraph=True, backend=backend)
    q, k, v = inputs()
    first, second, stats = compiled(q, k, v)
    third = compiled(q, k, v)[0]
    # Neither merged as equal subexpressions, nor repeated by the next run.
    assert not same_somewhere(first, second) and not same_somewhere(first, third)
    assert stats.mu == dp_attention(q, k, v, **CLIPS, noise_std=1.0, causal=True)[1].mu
    assert stats.epsilon.upper > 0
    assert log.count == 4
