r"""Plain payloads: one number, boolean or text, without any frame.

A number is what ``[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?`` or ``nan``, ``inf``, ``infinity`` (any case,
signed) matches after white space is cut; without point and exponent it is a whole number. ``007`` stays
text: it is a name, and a number would lose its zeros. ``true`` and ``false`` (any case) are booleans. The
rest is text, UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from headland.line.formats.config import FormatLimits
from headland.line.formats.found import checked
from headland.line.formats.rejection import RejectReason, Unfit
from headland.vocabulary import Value

_NUMBER: Final = re.compile(
    rb"\s*(?:([+-]?(?:0|[1-9]\d{0,400}))|([+-]?(?:(?:(?:0|[1-9]\d{0,400})(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,9})?"
    rb"|nan|inf|infinity)))\s*",
    re.IGNORECASE,
)
_NO_WORDS: Final[Mapping[str, bool]] = {}


def number(payload: bytes) -> int | float | None:
    """The number a payload is, or None.

    Raises:
        Unfit: A whole number beyond signed 64 bits, or a decimal beyond a double's range.
    """
    match = _NUMBER.fullmatch(payload)
    if match is None:
        return None
    whole, decimal = match.groups()
    if whole is not None:
        result = int(whole)
        if not -(1 << 63) <= result < 1 << 63:
            raise Unfit(RejectReason.NUMBER_OUT_OF_RANGE, "a whole number beyond signed 64 bits")
        return result
    found = float(decimal)
    if found in (float("inf"), float("-inf")) and b"n" not in decimal.lower():
        raise Unfit(RejectReason.NUMBER_OUT_OF_RANGE, "a decimal number beyond a double's range")
    return found


def text(payload: bytes) -> str:
    """The payload as UTF-8.

    Raises:
        Unfit: It is not.
    """
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise Unfit(RejectReason.INVALID_UTF8, f"{error.reason}", path=f"byte {error.start}") from error


def plain_value(payload: bytes, limits: FormatLimits, booleans: Mapping[str, bool] = _NO_WORDS) -> Value:
    """The value of a plain payload.

    Args:
        payload: The bytes, not empty.
        limits: Bounds.
        booleans: Words that are booleans here, tried first.

    Raises:
        Unfit: Invalid UTF-8, a number out of range, or too long a text.
    """
    if booleans:
        word = booleans.get(text(payload).strip())
        if word is not None:
            return word
    found = number(payload)
    if found is not None:
        return found
    words = text(payload)
    lower = words[:8].strip().lower() if len(words) <= 8 else ""
    if lower in ("true", "false"):
        return lower == "true"
    return checked(words, limits, "")
