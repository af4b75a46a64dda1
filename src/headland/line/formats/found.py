"""What a decoder found in one payload, before it is numbered, and the checks that every value passes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import msgspec

from headland.line.formats.config import FormatLimits
from headland.line.formats.rejection import RejectReason, Unfit
from headland.vocabulary import NO_SEQUENCE, NO_TIME, SeriesKey, Value

INT_LOW: Final = -(1 << 63)
INT_HIGH: Final = (1 << 63) - 1


class Found(msgspec.Struct, gc=False):
    """Readings of one payload as columns of one length.

    Attributes:
        name: What each belongs to: a `SeriesKey`, or a short name that the plan of the topic knows how to
            make a key of (cheaper to look up).
        ts: Device time, ns UTC, or NO_TIME.
        value: Checked values.
        seq: Declared sequences, or None when there are none.
    """

    name: list[Hashable] = []
    ts: list[int] = []
    value: list[Value] = []
    seq: list[int] | None = None

    def add(self, name: Hashable, ts: int, value: Value, seq: int = NO_SEQUENCE) -> None:
        """Append one reading."""
        if seq != NO_SEQUENCE and self.seq is None:
            self.seq = [NO_SEQUENCE] * len(self.name)
        self.name.append(name)
        self.ts.append(ts)
        self.value.append(value)
        if self.seq is not None:
            self.seq.append(seq)


def checked(raw: Any, limits: FormatLimits, path: str) -> Value:
    """A decoded scalar as a value.

    Numbers that are not finite pass (a sensor says "no valid value"); whole numbers keep all 64 bits.

    Raises:
        Unfit: A whole number beyond signed 64 bits, an over-long text, null, or no scalar.
    """
    if raw is True or raw is False or isinstance(raw, float):
        return raw
    if isinstance(raw, int):
        if not INT_LOW <= raw <= INT_HIGH:
            raise Unfit(RejectReason.NUMBER_OUT_OF_RANGE, "a whole number beyond signed 64 bits", path=path)
        return raw
    if isinstance(raw, (str, bytes)):
        size = (
            len(raw) if isinstance(raw, bytes) or raw.isascii() else len(raw.encode("utf-8", "surrogatepass"))
        )
        if size > limits.max_text_bytes:
            raise Unfit(
                RejectReason.TOO_LARGE, f"a text of {size} bytes, at most {limits.max_text_bytes}", path=path
            )
        return raw
    if raw is None:
        raise Unfit(RejectReason.NO_VALUE, "the value is null", path=path)
    raise Unfit(
        RejectReason.WRONG_TYPE, f"expected a number, boolean or text, got {type(raw).__name__}", path=path
    )


def sequence_number(raw: Any, path: str) -> int:
    """A declared sequence number (null counts as absent).

    Raises:
        Unfit: It is not a whole number from 0 to 2^63 - 1.
    """
    if raw is None:
        return NO_SEQUENCE
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= INT_HIGH:
        return raw
    raise Unfit(RejectReason.BAD_SEQUENCE, "a sequence is a whole number from 0 to 2^63 - 1", path=path)


def series_key(name: str, labels: dict[str, str], limits: FormatLimits) -> SeriesKey:
    """A series key with sorted labels.

    Raises:
        Unfit: A name or label is empty, too long, or there are too many labels.
    """
    if not name or len(name) > limits.max_name_chars:
        raise Unfit(RejectReason.BAD_NAME, f"a series name has 1 to {limits.max_name_chars} characters")
    if len(labels) > limits.max_labels:
        raise Unfit(RejectReason.BAD_NAME, f"{len(labels)} labels, at most {limits.max_labels}")
    for label, text in labels.items():
        if not label or len(label) > limits.max_name_chars or len(text) > limits.max_name_chars:
            raise Unfit(RejectReason.BAD_NAME, f"a label has 1 to {limits.max_name_chars} characters")
    return SeriesKey(name, tuple(sorted(labels.items())))


__all__ = [
    "INT_HIGH",
    "INT_LOW",
    "NO_SEQUENCE",
    "NO_TIME",
    "Found",
    "checked",
    "sequence_number",
    "series_key",
]
