"""Recorded files: first byte chooses log, JSON lines, table or archive, the rest is the file."""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from fuzz.laws import exact
from fuzz.target import Target, hold
from headland.sources.contract import SeriesList
from headland.sources.recordings.arrays import archive_records
from headland.sources.recordings.lines import json_records, log_records
from headland.sources.recordings.record import Hint, Record
from headland.sources.recordings.tables import table_records
from headland.vocabulary import ConfigurationError

RECORDS_MAX = 2_000
INT64 = range(-(1 << 63), 1 << 63)


def check(data: bytes) -> bytes:
    """Records have one length, times and values that can be kept, and series that were numbered."""
    kind, content = (data[0] if data else 0) & 3, data[1:]
    series, trouble = SeriesList(), Counter[str]()
    story = []
    try:
        for record in islice(_records(kind, content, series, trouble), RECORDS_MAX):
            hold(len(record.row) == len(record.value), "rows and values differ in number")
            hold(record.at_ns in INT64 and record.size >= 0, f"at {record.at_ns}, {record.size} bytes")
            for row, value in zip(record.row, record.value, strict=True):
                hold(0 <= row < len(series.all), f"row {row} of {len(series.all)}")
                hold(not isinstance(value, int) or value in INT64, f"a whole number of {value!r}")
                hold(isinstance(value, float | int | str | bytes), f"a value of {type(value).__name__}")
            story.append((record.at_ns, record.row, list(map(exact, record.value)), record.size))
    except ConfigurationError as error:
        hold(kind == 3, f"only an archive is refused: {error}")
        return b"refused"
    return repr((story, sorted(trouble.items()))).encode("utf-8", "backslashreplace")


def _records(kind: int, content: bytes, series: SeriesList, trouble: Counter[str]) -> Iterator[Record]:
    def count(reason: str) -> None:
        trouble[reason] += 1

    if kind < 3:
        read = (log_records, json_records, table_records)[kind]
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="replace", newline="")
        yield from read(text, "p", Hint(), series, count)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        path.write_bytes(content)
        yield from archive_records(str(path), "p", Hint(), series, count)


def _archive(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def seeds() -> dict[str, bytes]:
    """Files of every kind."""
    log = b"2024-01-01 00:00:01 INFO a\n  more\n2024-01-01 00:00:02 ERROR b\n"
    lines = b'{"value":1,"ts":1700000000}\n{"a":1,"b":{"c":2.5}}\n\n[{"v":1},{"v":2}]\nnot json\n'
    table = b'time,room,t,h,note\n2024-01-01T00:00:00Z,a,21.5,40,x\n2024-01-01T00:00:01Z,b,,41,"y,z"\n'
    steady = {"t": np.arange(3.0), "x": np.array([1.5, 2.5, 3.5]), "label": np.array([0, 1, 0], np.uint8)}
    return {
        "log": b"\0" + log,
        "json": b"\1" + lines,
        "table": b"\2" + table,
        "numbers": b"\2a;b;t\n1;2;0\n3;4;1e300\n5;nan;-1\n99999999999999999999;1;2\n",
        "epochs": b"\2ts\tv\n1700000000000\t1\n1700000000500\t2\n",
        "archive": b"\3" + _archive(**steady),
        "rate": b"\3" + _archive(sr=100, x=np.arange(4, dtype=np.int16)),
        "windows": b"\3" + _archive(rate_hz=10.0, w=np.zeros((2, 3, 2)), label=np.array(["a", "b"])),
    }


TARGET = Target(
    name="recordings",
    law="records have times and values that can be kept, whatever stands in the file",
    check=check,
    seeds=seeds,
    words=(
        b",",
        b";",
        b"\t",
        b'"',
        b"\n",
        b"1e308",
        b"1e309",
        b"nan",
        b"-",
        b"\x00",
        b"'shape': (",
        b"'descr': '<f8'",
        b"|O",
        b"PK\x03\x04",
        b"inf",
        b"0" * 40,
    ),
    rounds=300,
)
