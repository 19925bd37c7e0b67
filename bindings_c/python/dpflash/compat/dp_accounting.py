"""Certified accounting behind the interface of Google dp_accounting.

>>> from dpflash.compat.dp_accounting import PLDAccountant
>>> accountant = PLDAccountant()
>>> accountant.compose(dp_accounting.GaussianDpEvent(noise_multiplier=1)).get_epsilon(1e-5)
4.377178095...
"""

from __future__ import annotations

from typing import Optional

from dp_accounting import dp_event
from dp_accounting.privacy_accountant import NeighboringRelation, PrivacyAccountant

from .. import accounting
from ..accounting import Bracket
from ..errors import UnusableInput
from ._dp_events import ADJACENCIES, Everything, Nothing, Refused, leaf_of
from ._releases import Releases, stated_count

__all__ = ["PLDAccountant"]


class PLDAccountant(PrivacyAccountant):
    """The accountant of `dp_accounting.pld.PLDAccountant`, whose answers are the certified upper ends of brackets.

    Takes every DpEvent that the plan format has a name for and the library an answer to; compose() refuses the others
    with UnsupportedEventError, which names the event and the reason. Equal events are merged, however they are nested.
    Picklable and copyable; one thread at a time.
    """

    def __init__(
        self,
        neighboring_relation: NeighboringRelation = NeighboringRelation.ADD_OR_REMOVE_ONE,
        value_discretization_interval: float = 1e-4,
        *,
        relative_width: float = 1e-4,
    ) -> None:
        """An accountant of nothing so far.

        neighboring_relation: which data sets are neighbours. value_discretization_interval: taken for the peer's sake
        and ignored; the library chooses its own. relative_width: (upper - lower) / upper asked of brackets, in
        [1e-12, 1]. Raises UnusableInput.
        """
        if not isinstance(neighboring_relation, NeighboringRelation) or neighboring_relation not in ADJACENCIES:
            allowed = ", ".join(str(relation) for relation in ADJACENCIES)
            raise UnusableInput(f"neighboring_relation: {neighboring_relation!r} is not allowed; one of: {allowed}")
        accounting.epsilon({"events": []}, 0.5, relative_width=relative_width)  # the library checks the width
        super().__init__(neighboring_relation)
        self._relative_width = relative_width
        self._releases = Releases(ADJACENCIES[neighboring_relation])

    def supports(self, event: dp_event.DpEvent) -> bool:
        """Whether compose() takes the event; False also for values that no mechanism has, such as negative noise."""
        try:
            return super().supports(event)
        except UnusableInput:
            return False

    def _maybe_compose(
        self, event: dp_event.DpEvent, count: int, do_compose: bool
    ) -> Optional[PrivacyAccountant.CompositionErrorDetails]:
        while isinstance(event, dp_event.SelfComposedDpEvent):
            count = stated_count(event.count, "SelfComposedDpEvent.count") * count
            event = event.event
        if isinstance(event, dp_event.ComposedDpEvent):
            for part in event.events:
                details = self._maybe_compose(part, count, do_compose)
                if details is not None:
                    return details
            return None
        leaf = leaf_of(event, self.neighboring_relation)
        if isinstance(leaf, Refused):
            return self.CompositionErrorDetails(invalid_event=event, error_message=leaf.reason)
        if do_compose and count > 0:
            if isinstance(leaf, Everything):
                self._releases.add_unbounded(leaf.certain)
            elif not isinstance(leaf, Nothing):
                self._releases.add(leaf, count)
        return None

    def get_epsilon(self, target_delta: float) -> float:
        """The upper end of get_epsilon_bracket(): the composition is (epsilon, target_delta)-DP."""
        return self.get_epsilon_bracket(target_delta).upper

    def get_delta(self, target_epsilon: float) -> float:
        """The upper end of get_delta_bracket(): the composition is (target_epsilon, delta)-DP."""
        return self.get_delta_bracket(target_epsilon).upper

    def get_epsilon_bracket(self, target_delta: float) -> Bracket:
        """The smallest epsilon at target_delta in [0, 1] for everything composed so far, as a certified bracket.

        lower is rounded down, upper up. upper is inf for a release without privacy, beyond the plan format's ranges,
        and where the library has no bound (with a RuntimeWarning that says why). Raises UnusableInput.
        """
        return self._releases.epsilon(target_delta, self._relative_width)

    def get_delta_bracket(self, target_epsilon: float) -> Bracket:
        """The smallest delta at target_epsilon, any number or infinity, as a certified bracket within [0, 1].

        lower is rounded down, upper up. upper is 1 for a release without privacy, beyond the plan format's ranges, and
        where the library has no bound (with a RuntimeWarning that says why). Raises UnusableInput.
        """
        return self._releases.delta(target_epsilon, self._relative_width)
