"""Device times: numbers in a declared unit, numbers judged by magnitude, RFC 3339 text.

Every result is whole nanoseconds since 1970 UTC within 64 bits. Nothing here judges whether a time is
plausible: the future and the distant past pass (ingest flags them). A fractional number is rounded to the
microsecond, since a double holds no more of a present-day epoch second.

Magnitude rule of `auto` (absolute value): below 1e11 seconds (until the year 5138), below 1e14
milliseconds, below 1e17 microseconds, else nanoseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from headland.line.formats.config import TimeUnit
from headland.line.formats.rejection import RejectReason, Unfit

_LOW: Final = -(1 << 63) + 1
_HIGH: Final = (1 << 63) - 1
_NS: Final[dict[TimeUnit, int]] = {
    TimeUnit.S: 1_000_000_000,
    TimeUnit.MS: 1_000_000,
    TimeUnit.US: 1_000,
    TimeUnit.NS: 1,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d{1,12}))?\s*([Zz]|[+-]\d\d:?\d\d)?", re.ASCII
)


def unit_of(number: float) -> TimeUnit:
    """The unit that the magnitude rule gives a number."""
    size = abs(number)
    if size < 1e11:
        return TimeUnit.S
    if size < 1e14:
        return TimeUnit.MS
    return TimeUnit.US if size < 1e17 else TimeUnit.NS


def scale_ns(unit: TimeUnit) -> int:
    """Nanoseconds in one of a fixed unit."""
    return _NS[unit]


def number_ns(number: float, unit: TimeUnit) -> int:
    """Nanoseconds of a number in `unit` (`auto` and `rfc3339` judge it by magnitude).

    Raises:
        Unfit: The number is not finite, or beyond 64-bit nanoseconds.
    """
    if unit is TimeUnit.AUTO or unit is TimeUnit.RFC3339:
        unit = unit_of(number)
    scale = _NS[unit]
    if isinstance(number, int):
        ns = number * scale
    elif number - number != 0.0:
        raise Unfit(RejectReason.BAD_TIME, "a time that is not finite")
    elif abs(number) * scale >= 2.0**63:
        raise Unfit(RejectReason.BAD_TIME, "a time beyond 64-bit nanoseconds")
    elif number.is_integer():
        ns = int(number) * scale
    else:
        ns = round(number * (scale / 1000)) * 1000 if scale > 1 else round(number)
    if not _LOW <= ns <= _HIGH:
        raise Unfit(RejectReason.BAD_TIME, "a time beyond 64-bit nanoseconds")
    return ns


def text_ns(text: str, unit: TimeUnit = TimeUnit.AUTO) -> int:
    """Nanoseconds of RFC 3339 text (a missing offset means UTC), or of a number written as text.

    Raises:
        Unfit: It is neither.
    """
    if (
        20 <= len(text) <= 27
        and text[-1] == "Z"
        and text[4] == text[7] == "-"
        and text[13] == text[16] == ":"
    ):
        try:
            since = datetime.fromisoformat(text) - _EPOCH
        except ValueError:
            pass
        else:
            ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
            if _LOW <= ns <= _HIGH:
                return ns
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        return _written_number_ns(text, unit)
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{_offset(offset)}")
    except ValueError as error:
        raise Unfit(RejectReason.BAD_TIME, f"not a time: {text[:40]!r}") from error
    since = moment - _EPOCH
    ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + int((fraction or "0").ljust(9, "0")[:9])
    if not _LOW <= ns <= _HIGH:
        raise Unfit(RejectReason.BAD_TIME, "a time beyond 64-bit nanoseconds")
    return ns


def is_time_text(text: str) -> bool:
    """Whether a text looks like RFC 3339."""
    return len(text) < 64 and _RFC3339.fullmatch(text.strip()) is not None


def any_ns(raw: object, unit: TimeUnit, path: str) -> int:
    """Nanoseconds of what stood in a time field (number or text).

    Raises:
        Unfit: It is neither, or no time.
    """
    try:
        if isinstance(raw, str):
            return text_ns(raw, unit)
        if isinstance(raw, (int, float)) and not isinstance(raw, bool):
            return number_ns(raw, unit)
    except Unfit as unfit:
        unfit.path = unfit.path or path
        raise
    raise Unfit(
        RejectReason.BAD_TIME, f"expected a number or RFC 3339 text, got {type(raw).__name__}", path=path
    )


def _offset(offset: str | None) -> str:
    if offset is None or offset in "Zz":
        return "+00:00"
    return offset


def _written_number_ns(text: str, unit: TimeUnit) -> int:
    digits = text.strip()
    if re.fullmatch(r"-?\d{1,20}", digits, re.ASCII):
        return number_ns(int(digits), unit)
    if re.fullmatch(r"-?\d{1,20}\.\d{1,12}", digits, re.ASCII):
        return number_ns(float(digits), unit)
    raise Unfit(RejectReason.BAD_TIME, f"not a time: {text[:40]!r}")
