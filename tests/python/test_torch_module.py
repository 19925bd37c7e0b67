"""DPAttention against torch.nn.MultiheadAttention, and the cost of a model's layers."""

import copy
import pickle

import pytest
import torch
from torch import nn

import dpflash
from dpflash.torch import DPAttention, model_epsilon, model_plan

WIDE = {"clip_q": 1e3, "clip_k": 1e3, "clip_v": 1e3, "noise_std": 1e-30}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("widths", [{}, {"kdim": 12, "vdim": 20}])
def test_it_is_multihead_attention_without_clipping_and_noise(batch_first, bias, widths):
    plain = nn.MultiheadAttention(16, 4, bias=bias, batch_first=batch_first, **widths).eval()
    private = DPAttention(16, 4, bias=bias, batch_first=batch_first, softcap=200.0, **widths, **WIDE)
    private.load_state_dict(plain.state_dict())
    assert private.state_dict().keys() == plain.state_dict().keys()
    query, key, value = (torch.randn(3, 5, width) for width in (16, widths.get("kdim", 16), widths.get("vdim", 16)))
    with torch.no_grad():
        out, weights = private(query, key, value)
        wanted, _ = plain(query, key, value, need_weights=False)
    assert weights is None
    # The softcap of 200 bends scores of a few units by 1e-4 of themselves.
    torch.testing.assert_close(out, wanted, rtol=1e-3, atol=1e-3)


def test_causal_is_causal():
    plain = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    private = DPAttention(16, 2, batch_first=True, causal=True, softcap=200.0, **WIDE)
    private.load_state_dict(plain.state_dict())
    x = torch.randn(2, 6, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    with torch.no_grad():
        wanted, _ = plain(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)
        torch.testing.assert_close(private(x, x, x, is_causal=True)[0], wanted, rtol=1e-3, atol=1e-3)


class TwoLayers(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.first = DPAttention(16, 2, batch_first=True, label="encoder", **options)
        self.second = DPAttention(16, 2, batch_first=True, **options)

    def forward(self, x):
        x = self.first(x, x, x)[0]
        return self.second(x, x, x)[0]


def test_layers_add_up():
    calibration = dpflash.Calibration.gaussian_for(3, 1e-5, count=6)
    model = TwoLayers(clip_q=1.0, clip_k=1.0, clip_v=1.0, calibration=calibration)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(2, 5, 16))
    plan = model_plan(model)
    assert [(event["label"], event["count"]) for event in plan["events"]] == [("encoder", 3), ("layer.1", 3)]
    spent = model_epsilon(model, 1e-5)
    assert 2.99 < spent.lower <= spent.upper <= 3.001
    with torch.no_grad():
        model(torch.randn(2, 9, 16))
    assert len(model_plan(model)["events"]) == 4
    assert model_epsilon(model, 1e-5).lower > spent.upper


def test_compiled_models_are_counted():
    model = TwoLayers(clip_q=1.0, clip_k=1.0, clip_v=1.0, noise_std=1.0)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        one, other = compiled(x), compiled(x)
    assert not torch.isclose(one, other).all()
    assert [event["count"] for event in model_plan(model)["events"]] == [2, 2]


def test_copies_count_on_by_themselves():
    calibration = dpflash.Calibration.gaussian_for(3, 1e-5, count=6)
    model = TwoLayers(clip_q=1.0, clip_k=1.0, clip_v=1.0, calibration=calibration)
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        model(x)
        other = copy.deepcopy(model)
        other(x)
    assert [event["count"] for event in model_plan(model)["events"]] == [1, 1]
    assert [event["count"] for event in model_plan(other)["events"]] == [2, 2]
    again = pickle.loads(pickle.dumps(calibration))
    assert again.noise_multiplier == calibration.noise_multiplier and again.count == 6


def test_mixed_units_are_refused():
    model = nn.ModuleList(
        DPAttention(8, 1, clip_q=1, clip_k=1, clip_v=1, noise_std=1.0, unit=unit) for unit in ("token", "sequence")
    )
    x = torch.randn(3, 2, 8)
    with torch.no_grad():
        for layer in model:
            layer(x, x, x)
    with pytest.raises(dpflash.UnusableInput, match="unit"):
        model_plan(model)


def test_an_unused_model_costs_nothing():
    model = TwoLayers(clip_q=1.0, clip_k=1.0, clip_v=1.0, noise_std=1.0)
    assert model_plan(model)["events"] == []
    assert model_epsilon(model, 1e-5).upper == 0


def test_a_model_without_layers_has_no_answer():
    layer = DPAttention(8, 1, clip_q=1, clip_k=1, clip_v=1, noise_std=1.0, batch_first=True)

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [layer]

        def forward(self, x):
            return self.layers[0](x, x, x)[0]

    hidden = Hidden()
    with torch.no_grad():
        hidden(torch.randn(2, 3, 8))
    with pytest.raises(dpflash.UnusableInput, match="model: Hidden without a DPAttention"):
        model_epsilon(hidden, 1e-5)


def test_shared_layers_count_every_call():
    layer = DPAttention(8, 1, clip_q=1, clip_k=1, clip_v=1, noise_std=1.0, batch_first=True)
    model = nn.ModuleList([layer, layer])
    x = torch.randn(2, 3, 8)
    for mode in (model.train(), model.eval()):
        with torch.no_grad():
            for one in mode:
                one(x, x, x)
    assert [event["count"] for event in model_plan(model)["events"]] == [4]


def test_other_element_types_are_counted_as_they_are():
    layer = DPAttention(8, 1, clip_q=1, clip_k=1, clip_v=1, noise_std=1.0, batch_first=True)
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        layer(x, x, x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x, x, x)
        layer.half()(x.half(), x.half(), x.half())
        layer.load_state_dict(layer.state_dict())
    assert sum(event["count"] for event in model_plan(layer)["events"]) == 3


def test_what_is_not_offered_is_refused():
    layer = DPAttention(8, 2, **WIDE)
    x = torch.randn(3, 2, 8)
    with torch.no_grad():
        for options in ({"need_weights": True}, {"attn_mask": torch.ones(3, 3)}, {"is_causal": True}):
            with pytest.raises(dpflash.UnusableInput):
                layer(x, x, x, **options)
        with pytest.raises(dpflash.UnusableInput):
            layer(x[0], x[0], x[0])
    with pytest.raises(RuntimeError, match="no backward"):
        layer(x, x, x)
    with pytest.raises(dpflash.UnusableInput, match="num_heads"):
        DPAttention(8, 3, **WIDE)
    with pytest.raises(dpflash.UnusableInput, match="add_bias_kv"):
        DPAttention(8, 2, 0.1, add_bias_kv=True, **WIDE)
