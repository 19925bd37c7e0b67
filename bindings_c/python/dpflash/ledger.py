"""The ledger: what was released, by whom, against a budget that cannot be overspent."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _library as c
from ._plan import Document, document, integer, number
from .accounting import Bracket, adjacency_number, bracket_of
from .errors import UnusableInput

_MOST = 2**63 - 1


@dataclass(frozen=True)
class Receipt:
    """Proof that an entry was recorded. Kept elsewhere, it shows later that the entry is there, and unchanged."""

    sequence: int
    hash: str


@dataclass(frozen=True)
class State:
    """Where a ledger stands. `claimed` is `spent` and all that is reserved: what the budget holds down."""

    epsilon: float
    delta: float
    adjacency: str
    spent: Bracket
    claimed: Bracket
    open_reservations: list[dict[str, Any]]
    entries: int
    head: Receipt


@dataclass(frozen=True)
class Verification:
    """What a check of every entry found; `sound` when every one is as it was recorded."""

    sound: bool
    entries: int
    head: Receipt
    faults: list[str]


def _path(path: Union[str, os.PathLike[str]]) -> bytes:
    name = os.fsencode(path)
    if b"\0" in name:
        raise UnusableInput("path: a text with a 0 byte is not allowed; the name of a file")
    return name


def _text(value: Optional[str], field: str) -> Optional[bytes]:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnusableInput(f"{field}: {type(value).__name__} is not allowed; a str")
    if "\0" in value:
        raise UnusableInput(f"{field}: a text with a 0 character is not allowed; a str without")
    return value.encode("utf-8", "replace")


class Ledger:
    """One open ledger file. Any number of processes may have it open; one object is used by one thread at a time.

    A spend is checked against the budget with the composed privacy loss of everything spent and reserved, and is on the
    disk when the call returns: release the noise afterwards. Raises OverBudget, LedgerError (the file: damaged, busy,
    full), UnusableInput, NotComputable; none of them leaves anything recorded. The budget holds for plans that do not
    depend on what earlier releases gave out.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = Ledger.create(folder + "/budget.db", epsilon=3, delta=1e-5)
    ...     plan = {"events": [{"mechanism": {"type": "gaussian", "noise_multiplier": 4}}]}
    ...     receipt = ledger.spend(plan, run="first")
    ...     ledger.close()
    >>> receipt.sequence
    2
    """

    def __init__(self, path: Union[str, os.PathLike[str]], *, read_only: bool = False) -> None:
        """Opens a file; with read_only nothing is ever written to it."""
        create = c.library.dpf_ledger_open
        self._handle: Optional[c.Handle] = c.Handle("dpf_ledger_free", create, _path(path), int(bool(read_only)))

    @classmethod
    def create(
        cls,
        path: Union[str, os.PathLike[str]],
        *,
        epsilon: float,
        delta: float,
        adjacency: str = "add-or-remove-one",
    ) -> "Ledger":
        """Makes a file with a budget: epsilon in [0, 1e6] at delta in (0, 1). LedgerError when it is there already."""
        self = cls.__new__(cls)
        self._handle = c.Handle(
            "dpf_ledger_free",
            c.library.dpf_ledger_create,
            _path(path),
            number(epsilon, "epsilon"),
            number(delta, "delta"),
            adjacency_number(adjacency),
        )
        return self

    def close(self) -> None:
        """Frees the file; further calls raise UnusableInput. Also at the end of a `with` block."""
        self._handle = None

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def _value(self) -> int:
        if self._handle is None or self._handle.value is None:
            raise UnusableInput("ledger: a ledger that was closed is not allowed; an open one")
        return self._handle.value

    def set_patience(self, seconds: float) -> None:
        """How long calls wait for other writers, in [0, 1e6] seconds; 60 at first."""
        c.check(c.library.dpf_ledger_set_patience(self._value, number(seconds, "seconds")))

    def spend(
        self,
        plan: Document,
        *,
        run: Optional[str] = None,
        layer: Optional[str] = None,
        head: Optional[str] = None,
        steps: Optional[tuple[int, int]] = None,
    ) -> Receipt:
        """Records a release that is about to happen. steps: first and last step of the run. Labels: at most 256 bytes."""
        return self._record(c.library.dpf_ledger_spend, plan, run, layer, head, steps)

    def reserve(
        self,
        plan: Document,
        *,
        run: Optional[str] = None,
        layer: Optional[str] = None,
        head: Optional[str] = None,
        steps: Optional[tuple[int, int]] = None,
    ) -> Receipt:
        """Sets a plan aside: it counts until it is committed or aborted. Its number is the receipt's sequence."""
        return self._record(c.library.dpf_ledger_reserve, plan, run, layer, head, steps)

    def _record(self, function: Any, plan: Document, run: Any, layer: Any, head: Any, steps: Any) -> Receipt:
        text = document(plan, "plan")
        first, last = (-1, -1) if steps is None else steps
        labels = c.Labels(
            run=_text(run, "run"),
            layer=_text(layer, "layer"),
            head=_text(head, "head"),
            first_step=-1 if steps is None else integer(first, "steps[0]", 0, _MOST),
            last_step=-1 if steps is None else integer(last, "steps[1]", 0, _MOST),
        )
        receipt = c.ReceiptStruct()
        c.check(function(self._value, text, len(text), ctypes.byref(labels), ctypes.byref(receipt)))
        return _receipt(receipt)

    def commit(self, reservation: int, count: Optional[int] = None) -> Receipt:
        """Records that a reservation, or `count` releases of it, is about to be released; never over budget."""
        receipt = c.ReceiptStruct()
        number_of = integer(reservation, "reservation", 1, _MOST)
        part = 0 if count is None else integer(count, "count", 1, _MOST)
        c.check(c.library.dpf_ledger_commit(self._value, number_of, part, ctypes.byref(receipt)))
        return _receipt(receipt)

    def abort(self, reservation: int) -> Receipt:
        """Gives back what a reservation still holds, which was never released."""
        receipt = c.ReceiptStruct()
        number_of = integer(reservation, "reservation", 1, _MOST)
        c.check(c.library.dpf_ledger_abort(self._value, number_of, ctypes.byref(receipt)))
        return _receipt(receipt)

    def state(self) -> State:
        """Budget, what was spent, what is claimed with the reservations, and the last entry's receipt."""
        answer = json.loads(c.text_answer(c.library.dpf_ledger_state_json, self._value))
        budget = answer["budget"]
        return State(
            budget["epsilon"],
            budget["delta"],
            budget["adjacency"],
            bracket_of(answer["spent"]),
            bracket_of(answer["claimed"]),
            answer["open_reservations"],
            answer["entries"],
            Receipt(**answer["head"]),
        )

    def entries(self, first: int = 1, count: int = 1000) -> list[dict[str, Any]]:
        """At most `count` entries from number `first` (1: the oldest) on, as dicts."""
        start = integer(first, "first", 1, _MOST)
        most = integer(count, "count", 0, _MOST)
        return json.loads(c.text_answer(c.library.dpf_ledger_entries_json, self._value, start, most))

    def report(
        self, by: str = "all", *, svg: bool = False, progress: Optional[Callable[[float], bool]] = None
    ) -> Union[dict[str, Any], str]:
        """Who spent what, by "run", "layer", "head" or "all": for each group epsilon alone, without it, and the difference.

        A dict, or with svg=True a chart as text. progress is called with the share done in [0, 1]; when it returns
        False the report is given up (Cancelled).
        """
        failed: list[BaseException] = []

        def ask(done: float, _: Any) -> int:
            try:
                return 0 if progress is None or progress(done) is not False else 1
            except BaseException as error:  # raised again below: no exception may pass through C
                failed.append(error)
                return 1

        callback = c.Progress(ask)
        name = _text(by, "by")
        try:
            text = c.text_answer(c.library.dpf_ledger_report, self._value, name, int(bool(svg)), callback, None)
        except Exception:
            if failed:
                raise failed[0]
            raise
        return text if svg else json.loads(text)

    def verify(self, receipts: Iterable[Receipt] = ()) -> Verification:
        """Reads every entry: was anything edited, dropped, moved? `receipts` are entries that must be there."""
        asked = list(receipts)
        structs = (c.ReceiptStruct * len(asked))(
            *(c.ReceiptStruct(sequence=r.sequence, hash=r.hash.encode("ascii", "replace")[:71]) for r in asked)
        )
        answer = json.loads(c.text_answer(c.library.dpf_ledger_verify_json, self._value, structs, len(asked)))
        return Verification(answer["sound"], answer["entries"], Receipt(**answer["head"]), answer["faults"])


def _receipt(receipt: Any) -> Receipt:
    return Receipt(receipt.sequence, receipt.hash.decode("ascii"))
