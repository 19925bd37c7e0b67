"""Documents and numbers as the library takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Union

from .errors import UnusableInput

Document = Union[Mapping[str, Any], str, bytes]


def document(value: Document, field: str) -> bytes:
    """A JSON document given as a dict or as text, in UTF-8."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:
            raise UnusableInput(f"{field}: a lone surrogate is not allowed; text") from None
    if not isinstance(value, Mapping):
        raise UnusableInput(f"{field}: {type(value).__name__} is not allowed; a dict, or JSON as str or bytes")
    try:
        return json.dumps(dict(value), allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise UnusableInput(f"{field}: what is no JSON is not allowed ({error}); a dict of JSON values") from None


def number(value: Any, field: str) -> float:
    """A real number; bool is none."""
    if isinstance(value, bool) or isinstance(value, (str, bytes)):
        raise UnusableInput(f"{field}: {value!r} is not allowed; a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise UnusableInput(f"{field}: {type(value).__name__} is not allowed; a number") from None


def integer(value: Any, field: str, least: int, most: int) -> int:
    """An integer in [least, most]; 3.0 is one, bool is none."""
    real = number(value, field)
    if not (real == real // 1 and least <= int(value) <= most):
        raise UnusableInput(f"{field}: {value!r} is not allowed; an integer in [{least}, {most}]")
    return int(value)
