"""Certified accounting behind the accountant interface of Opacus.

>>> import dpflash.compat.opacus
>>> dpflash.compat.opacus.register()
>>> engine = opacus.PrivacyEngine(accountant="dpflash")
"""

from __future__ import annotations

from typing import Any

from opacus.accountants import IAccountant, create_accountant, register_accountant

from ..accounting import Bracket
from ..errors import UnusableInput
from ._releases import Releases, poisson, stated_count, stated_number

__all__ = ["DpflashAccountant", "register"]

_NAME = "dpflash"


class DpflashAccountant(IAccountant):
    """Accountant of Opacus for Poisson-sampled Gaussian noise, whose epsilon is the certified upper end of a bracket.

    Neighbours differ by one record more or less. `history` holds (noise_multiplier, sample_rate, steps) like that of
    Opacus' own accountants; noise_multiplier is the noise over max_grad_norm.
    """

    def __init__(self) -> None:
        super().__init__()

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        """One optimizer step: noise_multiplier >= 0 (infinity: nothing is revealed), sample_rate in [0, 1]."""
        if self.history:
            last_noise, last_rate, steps = self.history[-1]
            if (last_noise, last_rate) == (noise_multiplier, sample_rate):
                self.history[-1] = (last_noise, last_rate, steps + 1)
                return
        self.history.append((noise_multiplier, sample_rate, 1))

    def get_epsilon(self, delta: float, *args: Any, relative_width: float = 1e-4, **kwargs: Any) -> float:
        """The upper end of get_epsilon_bracket(): training so far is (epsilon, delta)-DP.

        Arguments of other accountants (alphas, eps_error, delta_error, ...) are taken and ignored, but poisson=False is
        refused: batches that are not Poisson-sampled have another epsilon.
        """
        if not kwargs.get("poisson", True):
            raise UnusableInput(f"poisson: {kwargs['poisson']!r} is not allowed; True: batches are Poisson-sampled")
        return self.get_epsilon_bracket(delta, relative_width=relative_width).upper

    def get_epsilon_bracket(self, delta: float, *, relative_width: float = 1e-4) -> Bracket:
        """The smallest epsilon at `delta` in [0, 1] for all steps so far, as a certified bracket; 0 before the first.

        relative_width: (upper - lower) / upper asked of it, in [1e-12, 1]. lower is rounded down, upper up. upper is
        inf once a step had no noise. Raises UnusableInput naming the entry of the history.
        """
        releases = Releases("add-or-remove-one")
        for index, entry in enumerate(self.history):
            _add(releases, entry, f"history[{index}]")
        return releases.epsilon(delta, relative_width)

    def __len__(self) -> int:
        """Entries of the history, as in Opacus' own accountants: equal steps in a row are one."""
        return len(self.history)

    @classmethod
    def mechanism(cls) -> str:
        """The name in PrivacyEngine(accountant=...) and in checkpoints."""
        return _NAME


def _add(releases: Releases, entry: Any, at: str) -> None:
    try:
        noise_multiplier, sample_rate, steps = entry
    except (TypeError, ValueError):
        raise UnusableInput(f"{at}: {entry!r} is not allowed; (noise_multiplier, sample_rate, steps)") from None
    noise = stated_number(noise_multiplier, f"{at}.noise_multiplier")
    rate = stated_number(sample_rate, f"{at}.sample_rate", 0, 1)
    count = stated_count(steps, f"{at}.steps")
    if count == 0 or rate == 0 or noise == float("inf"):
        return
    if noise == 0:
        releases.add_unbounded(certain=rate == 1)
    else:
        releases.add(poisson({"mechanism": {"type": "gaussian", "noise_multiplier": noise}}, rate), count)


def register() -> None:
    """Makes "dpflash" an accountant of Opacus, for PrivacyEngine and get_noise_multiplier; once more does nothing.

    Raises ValueError when the name belongs to another class.
    """
    try:
        known = type(create_accountant(_NAME))
    except ValueError:
        known = None
    if known is not DpflashAccountant:
        register_accountant(_NAME, DpflashAccountant)
