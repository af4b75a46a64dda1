"""Bodies of HTTP pushes: unpacked within a bound, and read as readings or events.

A body is gzip (of any number of members) or plain. `readings` takes one reading, an array, an object with
``readings``, or JSON lines; every mistake has the JSON path of its place.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from headland.line.formats import FormatLimits, RejectReason, TimeUnit, Unfit
from headland.line.formats.cloudevents import cloudevent_binary, cloudevents
from headland.line.formats.documents import document
from headland.line.formats.found import Found, checked, series_key
from headland.line.formats.moments import any_ns
from headland.vocabulary import NO_SEQUENCE, NO_TIME

Headers = Mapping[str, str]


class ReadingBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One reading of ``/v1/readings``."""

    series: str
    value: float | int | bool | str
    ts: float | int | str | None = None
    labels: dict[str, str] = {}
    seq: int | None = None


class _ReadingsBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """``{"readings": [...]}``, or the fields of a single reading."""

    readings: list[ReadingBody] | UnsetType = UNSET
    series: str | UnsetType = UNSET
    value: float | int | bool | str | UnsetType = UNSET
    ts: float | int | str | None = None
    labels: dict[str, str] = {}
    seq: int | None = None


_UNKNOWN: Final = re.compile("unknown field `(.*)`")
MEANT: Final = {
    "time": "ts", "timestamp": "ts", "t": "ts", "name": "series", "metric": "series", "topic": "series",
    "tags": "labels", "sequence": "seq", "v": "value", "val": "value",
}  # fmt: skip
"""What others call the fields of a reading."""

_list: Final = msgspec.json.Decoder(list[ReadingBody])
_object: Final = msgspec.json.Decoder(_ReadingsBody)
_line: Final = msgspec.json.Decoder(ReadingBody)


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """A body without its Content-Encoding (gzip or none).

    Raises:
        Unfit: Too large once unpacked, another encoding, or no valid gzip.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise Unfit(RejectReason.TOO_LARGE, f"a body of {len(body)} bytes, at most {limit}")
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise Unfit(
            RejectReason.UNSUPPORTED, "unknown encoding", path="content-encoding", hint="gzip or none"
        )
    out = bytearray()
    while body:
        member = zlib.decompressobj(31)
        try:
            out += member.decompress(body, limit + 1 - len(out))
        except zlib.error as error:
            raise Unfit(RejectReason.NOT_JSON, f"not gzip: {error}", path="body") from error
        if len(out) > limit:
            raise Unfit(RejectReason.TOO_LARGE, f"the body unpacks to more than {limit} bytes")
        if not member.eof:
            raise Unfit(RejectReason.NOT_JSON, "gzip ends too early", path="body")
        body = member.unused_data
    return bytes(out)


def readings(raw: bytes, headers: Headers, query: dict[str, str], limits: FormatLimits) -> Found:
    """The readings of a JSON body.

    Args:
        raw: The body, unpacked.
        headers: Lower-case names; `content-type` tells JSON lines.
        query: `precision` is the unit of numeric times.
        limits: Bounds.

    Raises:
        Unfit: It does not fit; `path` is the JSON path of the mistake.
    """
    word = query.get("precision", "auto")
    try:
        unit = TimeUnit(word)
    except ValueError as error:
        raise Unfit(
            RejectReason.BAD_TIME,
            f"unknown precision {word[:20]!r}",
            path="precision",
            hint="s, ms, us, ns or auto",
        ) from error
    media = headers.get("content-type", "application/json").split(";")[0].strip().lower()
    bodies = _bodies(raw, media)
    if len(bodies) > limits.max_readings:
        raise Unfit(RejectReason.TOO_MANY_READINGS, f"{len(bodies)} readings, at most {limits.max_readings}")
    found = Found()
    for index, body in enumerate(bodies):
        path = f"$[{index}]"
        try:
            key = series_key(body.series, body.labels, limits)
        except Unfit as unfit:
            unfit.path = f"{path}.series"
            raise
        ts = NO_TIME if body.ts is None else any_ns(body.ts, unit, f"{path}.ts")
        seq = NO_SEQUENCE if body.seq is None else body.seq
        if body.seq is not None and not 0 <= seq < 1 << 63:
            raise Unfit(RejectReason.BAD_SEQUENCE, "a sequence is from 0 to 2^63 - 1", path=f"{path}.seq")
        found.add(key, ts, checked(body.value, limits, f"{path}.value"), seq)
    return found


def _bodies(raw: bytes, media: str) -> list[ReadingBody]:
    try:
        if media in ("application/x-ndjson", "application/jsonl"):
            return _line.decode_lines(raw)
        if raw.lstrip()[:1] == b"[":
            return _list.decode(raw)
        body = _object.decode(raw)
    except UnicodeDecodeError as error:
        raise Unfit(RejectReason.INVALID_UTF8, error.reason) from error
    except RecursionError as error:
        raise Unfit(RejectReason.TOO_DEEP, "nested too deeply") from error
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        hint = _hint(message, raw)
        raise Unfit(RejectReason.WRONG_TYPE, message, path=path.rstrip("`") or "$", hint=hint) from error
    except msgspec.DecodeError as error:
        raise Unfit(RejectReason.NOT_JSON, str(error), path="$") from error
    if not isinstance(body.readings, UnsetType):
        return body.readings
    if isinstance(body.series, UnsetType) or isinstance(body.value, UnsetType):
        raise Unfit(
            RejectReason.NO_VALUE, "neither `readings` nor `series` and `value`", path="$",
            hint='send {"series": ..., "value": ...}, an array of those, or {"readings": [...]}',
        )  # fmt: skip
    return [ReadingBody(body.series, body.value, body.ts, body.labels, body.seq)]


def _hint(message: str, raw: bytes) -> str:
    """The field that was meant, where one was that is none of a reading."""
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return ""
    if b'"specversion"' in raw:
        return "that is a CloudEvent: POST it to /v1/cloudevents"
    given, names = unknown[1], ReadingBody.__struct_fields__
    meant = MEANT.get(given.lower()) or next(iter(get_close_matches(given, names, 1)), "")
    told = f"`{meant}`? " if meant else ""
    return f"{told}a reading has {', '.join(names)}"


def events(raw: bytes, headers: Headers, limits: FormatLimits) -> Found:
    """The readings of CloudEvents in any mode.

    Raises:
        Unfit: It is no event, or its data does not fit.
    """
    media = headers.get("content-type", "").split(";")[0].strip().lower()
    if media.startswith("application/cloudevents") or "ce-specversion" not in headers:
        root: Any = document(raw)
        return cloudevents(root, limits)
    return cloudevent_binary(headers, raw, limits)
