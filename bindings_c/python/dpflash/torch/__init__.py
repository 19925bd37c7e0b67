"""Differentially private attention for PyTorch: `dp_attention`, the op `dpflash::attention`, and `DPAttention`.

Noise is added to the output of attention over clipped queries, keys and values; what that protects is one record of the
context, as `unit` names it. Masks, lengths, clips, scale and noise are public. The result has no gradient.
"""

from .call import dp_attention
from .draws import GraphSteps
from .module import DPAttention, model_epsilon, model_plan
from .stats import PrivacyStats, ReleaseLog

__all__ = [
    "DPAttention",
    "GraphSteps",
    "PrivacyStats",
    "ReleaseLog",
    "dp_attention",
    "model_epsilon",
    "model_plan",
]
