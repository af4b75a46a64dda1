r"""InfluxDB line protocol, version 2 (docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol).

Form of a line::

    measurement[,tag=value ...] field=value[,field=value ...] [timestamp]

Escapes: in measurements ``\,`` and ``\ ``; in tag keys, tag values and field keys also ``\=``; in quoted
strings ``\"`` and ``\\``. A backslash before anything else is itself. Field types: ``1.5`` float, ``1i``
signed, ``1u`` unsigned integer, ``t true f false`` (and capitals) boolean, ``"text"``. A line that starts
with ``#`` is a comment. A line feed inside a quoted string belongs to it.

A field is the series ``measurement/field`` with the tags as labels; a field named `value` adds nothing to
the name. A payload with one bad line is rejected whole, with the line's number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from headland.line.formats.config import FormatLimits
from headland.line.formats.found import INT_HIGH, INT_LOW, Found, checked, series_key
from headland.line.formats.plain import text as utf8
from headland.line.formats.rejection import RejectReason, Unfit
from headland.vocabulary import NO_TIME, SeriesKey, Value


class Precision(IntEnum):
    """Nanoseconds of one unit of a line's timestamp."""

    NS = 1
    US = 1_000
    MS = 1_000_000
    S = 1_000_000_000
    M = 60_000_000_000
    H = 3_600_000_000_000


PRECISION_WORDS: Final = {
    "": Precision.NS,
    "ns": Precision.NS,
    "n": Precision.NS,
    "us": Precision.US,
    "u": Precision.US,
    "µ": Precision.US,
    "ms": Precision.MS,
    "s": Precision.S,
    "m": Precision.M,
    "h": Precision.H,
}
"""Words of the `precision` parameter (InfluxDB 1 and 2)."""

# A token ends at an unescaped delimiter; a backslash always takes the next character with it.
_MEASUREMENT: Final = re.compile(r"((?:\\.|[^, \\\n])+)", re.DOTALL)
_KEY: Final = re.compile(r"((?:\\.|[^,= \\\n])+)=", re.DOTALL)
_TAG_VALUE: Final = re.compile(r"((?:\\.|[^,= \\\n])+)", re.DOTALL)
_STRING: Final = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_BARE: Final = re.compile(r"[^, \n]+")
_INTEGER: Final = re.compile(r"([+-]?\d{1,30})([iu])", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,9})?", re.ASCII)
_STAMP: Final = re.compile(r"-?\d{1,20}", re.ASCII)
_UNESCAPE: Final = re.compile(r"\\([,= ])")
_UNESCAPE_NAME: Final = re.compile(r"\\([, ])")
_UNESCAPE_TEXT: Final = re.compile(r'\\(["\\])')
_BOOLEANS: Final = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}


def line_protocol(
    payload: bytes, precision: Precision, limits: FormatLimits, labels: dict[str, str] | None = None
) -> Found:
    """The readings of a line-protocol payload.

    Args:
        payload: UTF-8 lines.
        precision: Unit of the timestamps.
        limits: Bounds.
        labels: Labels for every series; a tag of the same name wins.

    Raises:
        Unfit: A line is malformed; `path` is ``line N``.
    """
    lines = utf8(payload)
    found = Found()
    keys: dict[str, dict[str, SeriesKey]] = {}
    if b"\\" not in payload and b'"' not in payload:
        for number, line in enumerate(lines.split("\n"), start=1):
            if not _simple_line(line, precision, limits, keys, found):
                try:
                    _whole_line(line, precision, limits, labels or {}, keys, found)
                except Unfit as unfit:
                    unfit.path = f"line {number}"
                    raise
        return found
    at, number = 0, 1
    while at < len(lines):
        head = lines[at]
        if head in " \t\r\n":
            number += head == "\n"
            at += 1
            continue
        if head == "#":
            end = lines.find("\n", at)
            at = len(lines) if end < 0 else end
            continue
        start = at
        try:
            at = _line(lines, at, precision, limits, labels or {}, keys, found)
        except Unfit as unfit:
            unfit.path = f"line {number}"
            raise
        number += lines.count("\n", start, at)
    return found


def _simple_line(
    line: str, precision: Precision, limits: FormatLimits, keys: dict[str, dict[str, SeriesKey]], found: Found
) -> bool:
    """Read a line whose series are known and whose fields are numbers; False leaves it to be read in full."""
    parts = line.split(" ")
    series = keys.get(parts[0])
    if series is None or not 2 <= len(parts) <= 3:
        return False
    names: list[SeriesKey] = []
    values: list[Value] = []
    for item in parts[1].split(","):
        field, _, raw = item.partition("=")
        key = series.get(field)
        if key is None or _FLOAT.fullmatch(raw) is None:
            return False
        value = float(raw)
        if value - value != 0.0:
            return False
        names.append(key)
        values.append(value)
    ts = NO_TIME
    if len(parts) == 3:
        if len(parts[2]) > 19 or not parts[2].isdecimal() or not parts[2].isascii():
            return False
        ts = int(parts[2]) * precision
        if ts > INT_HIGH:
            return False
    if len(found.name) + len(names) > limits.max_readings:
        return False
    found.name += names
    found.ts += [ts] * len(names)
    found.value += values
    return True


def _whole_line(
    line: str,
    precision: Precision,
    limits: FormatLimits,
    labels: dict[str, str],
    keys: dict[str, dict[str, SeriesKey]],
    found: Found,
) -> None:
    at = len(line) - len(line.lstrip(" \t\r"))
    if at == len(line) or line[at] == "#":
        return
    if _line(line, at, precision, limits, labels, keys, found) < len(line):
        raise _bad("more than a line")


def _line(
    lines: str,
    at: int,
    precision: Precision,
    limits: FormatLimits,
    labels: dict[str, str],
    keys: dict[str, dict[str, SeriesKey]],
    found: Found,
) -> int:
    head = at
    name, at = _token(_MEASUREMENT, lines, at, "a measurement")
    tags: list[tuple[str, str]] = []
    while lines.startswith(",", at):
        key, at = _token(_KEY, lines, at + 1, "a tag key and `=`")
        text, at = _token(_TAG_VALUE, lines, at, "a tag value")
        tags.append((key, text))
    if not lines.startswith(" ", at):
        raise _bad("expected a space and fields after the measurement and its tags")
    series = keys.setdefault(lines[head:at], {})
    at = _blanks(lines, at)
    fields: list[tuple[str, Value]] = []
    while True:
        key, at = _token(_KEY, lines, at, "a field key and `=`")
        value, at = _value(lines, at, limits)
        fields.append((key, value))
        if not lines.startswith(",", at):
            break
        at += 1
    at = _blanks(lines, at)
    ts = NO_TIME
    stamp = _STAMP.match(lines, at)
    if stamp is not None:
        at = stamp.end()
        ts = int(stamp.group()) * precision
        if not INT_LOW < ts <= INT_HIGH:
            raise Unfit(RejectReason.BAD_TIME, "a time beyond 64-bit nanoseconds")
        at = _blanks(lines, at)
    if lines.startswith("\r", at):
        at += 1
    if at < len(lines) and lines[at] != "\n":
        raise _bad(f"unexpected {lines[at : at + 20]!r}")
    if len(found.name) + len(fields) > limits.max_readings:
        raise Unfit(RejectReason.TOO_MANY_READINGS, f"more than {limits.max_readings} readings")
    for key, value in fields:
        known = series.get(key)
        if known is None:
            known = series[key] = _key(name, tags, key, limits, labels)
        found.add(known, ts, value)
    return at


def _key(
    name: str, tags: list[tuple[str, str]], field: str, limits: FormatLimits, labels: dict[str, str]
) -> SeriesKey:
    measurement = _UNESCAPE_NAME.sub(r"\1", name)
    field = _UNESCAPE.sub(r"\1", field)
    texts = {_UNESCAPE.sub(r"\1", key): _UNESCAPE.sub(r"\1", text) for key, text in tags}
    if len(texts) != len(tags):
        raise _bad("the same tag twice")
    return series_key(
        measurement if field == "value" else f"{measurement}/{field}", {**labels, **texts}, limits
    )


def _value(lines: str, at: int, limits: FormatLimits) -> tuple[Value, int]:
    if lines.startswith('"', at):
        quoted = _STRING.match(lines, at)
        if quoted is None:
            raise _bad("a text without its closing quote")
        return checked(_UNESCAPE_TEXT.sub(r"\1", quoted.group(1)), limits, ""), quoted.end()
    bare = _BARE.match(lines, at)
    if bare is None:
        raise _bad("expected a field value")
    word = bare.group().rstrip("\r")
    end = bare.start() + len(word)
    boolean = _BOOLEANS.get(word)
    if boolean is not None:
        return boolean, end
    whole = _INTEGER.fullmatch(word)
    if whole is not None:
        number = int(whole.group(1))
        low = 0 if whole.group(2) == "u" else INT_LOW
        if not low <= number <= INT_HIGH:
            raise Unfit(
                RejectReason.NUMBER_OUT_OF_RANGE, "an integer beyond what is kept exactly (signed 64 bits)"
            )
        return number, end
    if _FLOAT.fullmatch(word) is None:
        raise Unfit(RejectReason.NOT_A_NUMBER, f"not a field value: {word[:40]!r}", hint="quote texts")
    decimal = float(word)
    if decimal - decimal != 0.0:
        raise Unfit(RejectReason.NUMBER_OUT_OF_RANGE, "a number beyond a double's range")
    return decimal, end


def _token(pattern: re.Pattern[str], lines: str, at: int, wanted: str) -> tuple[str, int]:
    match = pattern.match(lines, at)
    if match is None:
        raise _bad(f"expected {wanted}, found {lines[at : at + 20]!r}")
    return match.group(1), match.end()


def _blanks(lines: str, at: int) -> int:
    while lines.startswith(" ", at):
        at += 1
    return at


def _bad(message: str) -> Unfit:
    return Unfit(RejectReason.NOT_LINE_PROTOCOL, message)


def lines_of(readings: Iterator[tuple[SeriesKey, int, Value]]) -> Iterator[str]:
    """Write readings as line protocol (nanoseconds); the inverse of `line_protocol` for finite values.

    The field is always `value`; a bytes value has no form and is left out.
    """
    for key, ts, value in readings:
        if isinstance(value, bytes):
            continue
        tags = "".join(f",{_escape(label)}={_escape(text)}" for label, text in key.labels if text)
        stamp = "" if ts == NO_TIME else f" {ts}"
        name = re.sub(r"([, ])", r"\\\1", key.name)
        yield f"{name}{tags} value={_written(value)}{stamp}"


def _escape(text: str) -> str:
    return re.sub(r"([,= ])", r"\\\1", text)


def _written(value: float | bool | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
