"""Influx line protocol: first byte chooses the precision, the rest is a payload."""

from __future__ import annotations

from math import isfinite

from fuzz.laws import exact
from fuzz.target import Target, hold
from headland.line.formats import FormatLimits, RejectReason, Unfit
from headland.line.formats.found import INT_HIGH, INT_LOW, Found
from headland.line.formats.influx import Precision, line_protocol, lines_of
from headland.vocabulary import SeriesKey, Value

LIMITS = FormatLimits(max_readings=200)
PRECISIONS = tuple(Precision)
ALLOWED = frozenset(
    {
        RejectReason.NOT_LINE_PROTOCOL,
        RejectReason.INVALID_UTF8,
        RejectReason.BAD_TIME,
        RejectReason.BAD_NAME,
        RejectReason.TOO_MANY_READINGS,
        RejectReason.TOO_LARGE,
        RejectReason.NUMBER_OUT_OF_RANGE,
        RejectReason.NOT_A_NUMBER,
    }
)


def check(data: bytes) -> bytes:
    """A payload is read or unfit; its readings written again are the same; twice it is twice them."""
    precision, payload = PRECISIONS[(data[0] if data else 0) % len(PRECISIONS)], data[1:]
    try:
        found = line_protocol(payload, precision, LIMITS, {"site": "s"})
    except Unfit as unfit:
        hold(unfit.reason in ALLOWED, f"unfit for {unfit.reason}")
        return f"unfit: {unfit.reason}".encode()
    rows = _rows(found)
    hold(len(rows) <= LIMITS.max_readings, f"{len(rows)} readings")
    for key, ts, value in rows:
        hold(bool(key.name) and ("site" in dict(key.labels)), f"a series {key!r}")
        hold(INT_LOW <= ts <= INT_HIGH, f"a time of {ts}")
        hold(not isinstance(value, float) or isfinite(value), f"a value of {value!r}")
    written = "\n".join(lines_of(iter([(key, ts, value) for key, ts, value in rows if _has_a_form(key)])))
    again = _rows(line_protocol(written.encode(), Precision.NS, LIMITS)) if written else []
    want = [_shown(*row) for row in rows if _has_a_form(row[0])]
    hold([_shown(*row) for row in again] == want, f"{want!r} came back as {again!r}")
    if 2 * len(rows) <= LIMITS.max_readings:
        twice = _rows(line_protocol(payload + b"\n" + payload, precision, LIMITS, {"site": "s"}))
        hold(
            list(map(repr, twice)) == list(map(repr, rows * 2)), "twice the payload is not twice its readings"
        )
    return repr(rows).encode("utf-8", "backslashreplace")


def _rows(found: Found) -> list[tuple[SeriesKey, int, Value]]:
    keys = [name for name in found.name if isinstance(name, SeriesKey)]
    return list(zip(keys, found.ts, found.value, strict=True))


def _shown(key: SeriesKey, ts: int, value: Value) -> tuple[object, ...]:
    return key, ts, exact(value)


def _has_a_form(key: SeriesKey) -> bool:
    """Whether line protocol can say this series: no line feed or backslash in names, no empty tag."""
    texts = [key.name, *(text for label in key.labels for text in label)]
    return (
        all(texts)
        and not any("\n" in text or "\\" in text or "\r" in text for text in texts)
        and key.name[0] not in "# \t"
    )


LINES = (
    "m value=1.5 1700000000000000000",
    "m,room=a,b=c t=21.5,h=40i,on=t,u=7u 1700000000000000000",
    'm\\ x,a\\,b=c\\=d s="say \\"hi\\"",f\\=g="a\\\\b"',
    "# comment\n\n  m v=-1e-3\r",
    'm v="two\nlines",w=T 5',
    "m,site=other value=.5",
    "m v=9223372036854775807i -9223372036854775807",
)


def seeds() -> dict[str, bytes]:
    """Lines of every kind, in every precision."""
    made = {f"{index}": bytes((index,)) + line.encode() for index, line in enumerate(LINES)}
    return made | {"all": b"\0" + "\n".join(LINES).encode(), "known": b"\0" + b"m,a=b v=1,w=2 5\n" * 6}


TARGET = Target(
    name="influx",
    law="a payload is read or unfit, and what was read is read again from how we write it",
    check=check,
    seeds=seeds,
    words=(
        b"\\",
        b"\\,",
        b"\\ ",
        b"\\=",
        b'"',
        b"\\\\",
        b"=",
        b" ",
        b"\n",
        b"#",
        b"1e400",
        b"i",
        b"u",
        b"\xc2\xb5",
    ),
    rounds=2_500,
)
