"""DPAttention in place of torch.nn.MultiheadAttention, and what a model's layers cost together."""

from __future__ import annotations

from typing import Any, Iterator, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import accounting
from ..accounting import Bracket, Calibration
from ..errors import UnusableInput
from .call import Clip, Noise, dp_attention
from .stats import PrivacyStats, ReleaseLog


class DPAttention(nn.Module):
    """torch.nn.MultiheadAttention for inference, its heads' outputs noised before the output projection.

    embed_dim to dtype are MultiheadAttention's, and its state_dict is loaded. dropout is not applied, as in evaluation;
    add_bias_kv and add_zero_attn must be False. clip_q, clip_k, clip_v, calibration or
    noise_std, allocation, causal, window, softcap, unit: as in dp_attention; they act on the projected heads. label: the layer's name
    in plans; empty for one made from its place in the model.

    What is protected are the keys and values of one record at this layer. Everything else that sees the record (a
    residual connection, the next layer's inputs at its own position) is not this module's to protect: see the guide.

    `log` counts what was released, compiled or not; `stats` is the last call's PrivacyStats outside of compiled code.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: Optional[int] = None,
        vdim: Optional[int] = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        clip_q: Clip,
        clip_k: Clip,
        clip_v: Clip,
        calibration: Optional[Calibration] = None,
        noise_std: Optional[Noise] = None,
        allocation: str = "optimal",
        causal: bool = False,
        window: Optional[tuple[int, int]] = None,
        softcap: Optional[float] = None,
        unit: str = "token",
        generator: str = "chacha20",
        label: str = "",
    ) -> None:
        super().__init__()
        del dropout
        if add_bias_kv or add_zero_attn:
            raise UnusableInput("add_bias_kv: True is not allowed, nor is add_zero_attn; False")
        if num_heads <= 0 or embed_dim <= 0 or embed_dim % num_heads != 0:
            raise UnusableInput(f"num_heads: {num_heads} is not allowed; a divisor of embed_dim = {embed_dim}")
        self.embed_dim, self.num_heads, self.batch_first, self.label = embed_dim, num_heads, batch_first, label
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.causal = causal
        self._options = {
            "clip_q": clip_q,
            "clip_k": clip_k,
            "clip_v": clip_v,
            "calibration": calibration,
            "noise_std": noise_std,
            "allocation": allocation,
            "causal": causal,
            "window": window,
            "softcap": softcap,
            "unit": unit,
            "generator": generator,
        }
        self.log = ReleaseLog()
        self.stats: Optional[PrivacyStats] = None
        self._make_parameters(bias, {"device": device, "dtype": dtype})

    def _make_parameters(self, bias: bool, where: dict[str, Any]) -> None:
        """Names and shapes are MultiheadAttention's."""
        width = self.embed_dim
        self.same_width = self.kdim == width and self.vdim == width
        if self.same_width:
            self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width, **where))
            for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                self.register_parameter(name, None)
        else:
            self.q_proj_weight = nn.Parameter(torch.empty(width, width, **where))
            self.k_proj_weight = nn.Parameter(torch.empty(width, self.kdim, **where))
            self.v_proj_weight = nn.Parameter(torch.empty(width, self.vdim, **where))
            self.register_parameter("in_proj_weight", None)
        if bias:
            self.in_proj_bias = nn.Parameter(torch.zeros(3 * width, **where))
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = nn.Linear(width, width, bias=bias, **where)
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        if bias:
            nn.init.zeros_(self.out_proj.bias)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        if self.same_width:
            weights = self.in_proj_weight.chunk(3)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        inputs = (query, key, value)
        heads = [functional.linear(x, weight, bias) for x, weight, bias in zip(inputs, weights, biases)]
        return [x.unflatten(-1, (self.num_heads, -1)) for x in heads]

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: None = None,
        need_weights: bool = False,
        attn_mask: None = None,
        average_attn_weights: bool = True,
        is_causal: Optional[bool] = None,
    ) -> tuple[Tensor, None]:
        """(output, None), layouts as MultiheadAttention's for batch_first; unbatched inputs are not taken.

        Weights of attention are private and never returned. Masks are given at construction; attn_mask and
        key_padding_mask must be None.
        """
        del average_attn_weights
        if key_padding_mask is not None or attn_mask is not None:
            raise UnusableInput("attn_mask: a tensor is not allowed; causal and window, given at construction")
        if need_weights:
            raise UnusableInput("need_weights: True is not allowed; the weights of attention are private")
        if is_causal is not None and is_causal != self.causal:
            raise UnusableInput(f"is_causal: {is_causal} is not allowed; {self.causal}, as at construction")
        if query.dim() != 3:
            raise UnusableInput(f"query.shape: {tuple(query.shape)} is not allowed; three dimensions")
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._projected(query, key, value)
        out, stats = dp_attention(q, k, v, log=self.log, **self._options)
        if not torch.compiler.is_compiling():
            self.stats = stats
        out = self.out_proj(out.flatten(2))
        return (out if self.batch_first else out.transpose(0, 1)), None


def _layers(model: nn.Module) -> Iterator[tuple[str, DPAttention]]:
    layers = (module for module in model.modules() if isinstance(module, DPAttention))
    for number, layer in enumerate(layers):
        yield layer.label or f"layer.{number}", layer


def model_plan(model: nn.Module) -> dict[str, Any]:
    """All that the DPAttention layers of a model released so far, as a plan for dpflash.epsilon.

    One Gaussian event a layer and kind of call, labelled with the layer's label or "layer.N", with noise multiplier
    1 / mu (rounded down) and the number of calls. The composition is adaptive: a layer may depend on the noisy outputs of
    the layers before it. The layers must protect the same unit, and there must be one: programs that were exported from a
    model have no layers, and their releases are in the log of the model's.

    Counted is what the layers of model.modules() released in this process since they were made (or what they were copied
    from). Not seen: layers in plain lists, layers that were replaced, copies and other processes, and calls of
    dp_attention outside of a layer.
    """
    layers = list(_layers(model))
    if not layers:
        raise UnusableInput(f"model: {type(model).__name__} without a DPAttention is not allowed; a model with one")
    units = sorted({release.spec.unit for _, layer in layers for release in layer.log.releases()})
    if len(units) > 1:
        raise UnusableInput(f"unit: {' and '.join(units)} in one model is not allowed; the same unit in all layers")
    events = [event for label, layer in layers for event in layer.log.events(label)]
    return {"adjacency": "add-or-remove-one", "events": events}


def model_epsilon(model: nn.Module, delta: float) -> Bracket:
    """Certified bracket of epsilon at `delta` of all that a model's DPAttention layers released so far."""
    return accounting.epsilon(model_plan(model), delta)
