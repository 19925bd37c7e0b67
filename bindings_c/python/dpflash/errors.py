"""Why something has no answer. Messages are one line: the field, its value and what is allowed."""


class Error(Exception):
    """Any failure that the library reports."""


class UnusableInput(Error, ValueError):
    """An input out of its range; the message names it."""


class NotComputable(Error, RuntimeError):
    """A well-formed question that has no sound answer."""


class Unsupported(Error, RuntimeError):
    """Not in this build, for instance CUDA in a build without it."""


class ReusedNoise(Error, RuntimeError):
    """Draws were asked for that had been used before: noise that is used twice can be subtracted."""


class DeviceError(Error, RuntimeError):
    """A CUDA call failed, or there is no device."""


class OutOfMemory(Error, MemoryError):
    """The host's memory does not suffice."""


class SystemRefused(Error, OSError):
    """The operating system refused, for instance has no entropy."""


class InternalError(Error, RuntimeError):
    """A bug of the library."""


class OverBudget(Error, RuntimeError):
    """A ledger's budget does not allow it; nothing was recorded. The message says what epsilon would be."""


class LedgerError(Error, OSError):
    """A ledger's file cannot be used: damaged, busy for too long, full, or no ledger."""


class Cancelled(Error, RuntimeError):
    """A progress function asked for it."""


#: By status code of dpflash.h.
BY_STATUS = {
    1: UnusableInput,
    2: NotComputable,
    3: Unsupported,
    4: ReusedNoise,
    5: DeviceError,
    6: OutOfMemory,
    7: SystemRefused,
    10: OverBudget,
    11: LedgerError,
    12: Cancelled,
}
