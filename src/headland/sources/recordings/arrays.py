"""NPZ archives of arrays (numpy.lib.format), never pickled objects.

Recognition:

* ``x`` with ``x_t`` of the same length: a stream with times, one series per column;
* ``p_t`` without ``p``: the integer arrays ``p_...`` are labels, the others readings (raw bus frames);
* one time array (``t``, ``time``, ``timestamp``, also with ``_s _ms _us _ns``): all arrays of its length;
  `uint8` arrays are labels, but ``label`` with a text array of names is a text series;
* a scalar ``sr``, ``fs`` or ``rate_hz``: one-dimensional arrays are samples at that rate;
* (windows, samples, channels): windows that follow each other, ``label`` is a text at the start of each;
* text scalars are labels; other scalars are one reading at the start; ``channels`` names columns.

Archives are bounded at 512 MiB unpacked a member.
"""

from __future__ import annotations

import heapq
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import numpy as np

from headland.line.formats.config import TimeUnit
from headland.line.formats.moments import number_ns, text_ns, unit_of
from headland.sources.contract import SeriesList, value_bytes
from headland.sources.recordings.record import Hint, Record
from headland.vocabulary import ConfigurationError, SeriesKey, Value

MEMBER_BYTES: Final = 512 << 20
_CHUNK: Final = 512
_TIMES: Final = ("t", "time", "timestamp")
_UNITS: Final = ("s", "ms", "us", "ns")
_RATES: Final = ("sr", "fs", "rate_hz", "sample_rate")
_NAMES: Final = ("channels", "columns", "features")
_CLASSES: Final = ("labels", "classes")

_NOT_AN_ARCHIVE: Final = (
    *(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, struct.error),
    # A member that is encrypted or compressed by a method unknown here; a header that is no Python.
    *(RuntimeError, NotImplementedError, SyntaxError, MemoryError),
)

Array = np.ndarray[Any, Any]


class Stream(msgspec.Struct):
    """Columns with common times.

    Attributes:
        at: ns UTC of each row.
        names: Series name of each column.
        columns: Arrays of the length of `at`.
        labels: Arrays of the same length whose values are labels, by name.
        fixed: Labels of all.
    """

    at: Array
    names: list[str]
    columns: list[Array]
    labels: dict[str, Array]
    fixed: tuple[tuple[str, str], ...]


def archive_records(
    path: str, prefix: str, hint: Hint, series: SeriesList, count: Callable[[str], None]
) -> Iterator[Record]:
    """The records of an archive in the order of time.

    Args:
        path: The file.
        prefix: First part of the series names.
        hint: Rate, base, labels where the archive does not say them.
        series: Numbering of the source.
        count: Counts a mistake by its reason.

    Raises:
        ConfigurationError: It is no archive of plain arrays, or too large.
    """
    arrays = load(path)
    streams = recognise(arrays, hint)
    if not streams:
        count("nothing_recognised")
    yield from heapq.merge(*(_records(stream, prefix, series) for stream in streams), key=_at)


def load(path: str) -> dict[str, Array]:
    """All arrays of an archive.

    Raises:
        ConfigurationError: It is no archive of plain arrays, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            large = [info.filename for info in archive.infolist() if info.file_size > MEMBER_BYTES]
        if large:
            raise ConfigurationError(f"{large[0]} has more than {MEMBER_BYTES} bytes", file=path)
        with np.load(path, allow_pickle=False) as members:
            found = {name: members[name] for name in members.files}
    except _NOT_AN_ARCHIVE as error:
        raise ConfigurationError(f"not an archive of plain arrays: {error}", file=path) from error
    # numpy hands out what is no array as the bytes of the member.
    other = next((name for name, array in found.items() if not isinstance(array, np.ndarray)), None)
    if other is not None:
        raise ConfigurationError(f"not an archive of plain arrays: {other} is none", file=path)
    return found


def recognise(arrays: dict[str, Array], hint: Hint) -> list[Stream]:
    """The streams in an archive."""
    base = text_ns(hint.base)
    fixed = tuple(
        sorted(
            (name, str(array))
            for name, array in arrays.items()
            if array.ndim == 0 and array.dtype.kind == "U"
        )
    )
    scalars = {
        name: float(array) for name, array in arrays.items() if array.ndim == 0 and array.dtype.kind in "fiu"
    }
    rate = next((scalars.pop(name) for name in _RATES if name in scalars), 0.0) or hint.rate_hz
    streams = [
        Stream(np.array([base]), [name], [np.array([number])], {}, fixed) for name, number in scalars.items()
    ]
    left = {name: array for name, array in arrays.items() if array.ndim > 0}
    streams += [_pair(name, left, base, fixed) for name in list(left) if name.endswith("_t")]
    time = next((n for n in left if n == hint.time or _is_time_name(n)), "")
    if time:
        streams.append(_timed(time, left, hint, base, fixed))
    elif any(array.ndim == 3 for array in left.values()):
        streams += [_windows(name, left, rate or 1.0, base, fixed) for name in left if left[name].ndim == 3]
    else:
        period = 1e9 / rate if rate else (hint.period_s or 1.0) * 1e9
        for name, array in left.items():
            if array.ndim <= 2 and array.dtype.kind in "fiub" and len(array):
                at = base + np.round(np.arange(len(array)) * period).astype(np.int64)
                names, columns = _columns(name, array, left)
                streams.append(Stream(at, names, columns, {}, fixed))
    return streams


def _pair(name: str, left: dict[str, Array], base: int, fixed: tuple[tuple[str, str], ...]) -> Stream:
    stem = name[:-2]
    at = _ns(left.pop(name), "", base)
    if stem in left and len(left[stem]) == len(at):
        names, columns = _columns(stem, left.pop(stem), left)
        return Stream(at, names, columns, {}, fixed)
    members = [n for n in left if n.startswith(f"{stem}_") and len(left[n]) == len(at)]
    labels = {n[len(stem) + 1 :]: left.pop(n) for n in members if left[n].dtype.kind in "iu"}
    values = [(n, left.pop(n)) for n in members if n in left]
    return Stream(at, [n for n, _ in values], [a for _, a in values], labels, fixed)


def _timed(
    time: str, left: dict[str, Array], hint: Hint, base: int, fixed: tuple[tuple[str, str], ...]
) -> Stream:
    unit = hint.time_unit or time.rpartition("_")[2]
    at = _ns(left.pop(time), unit if unit in _UNITS else "", base)
    names: list[str] = []
    columns: list[Array] = []
    labels: dict[str, Array] = {}
    for name, array in left.items():
        if len(array) != len(at) or array.ndim > 2:
            continue
        if name == "label":
            names.append(name)
            columns.append(_named(array, left))
        elif name in hint.labels or array.dtype == np.uint8:
            labels[name] = array
        else:
            more, arrays = _columns(name, array, left)
            names += more
            columns += arrays
    return Stream(at, names, columns, labels, fixed)


def _windows(
    name: str, left: dict[str, Array], rate: float, base: int, fixed: tuple[tuple[str, str], ...]
) -> Stream:
    array = left[name]
    windows, samples, channels = array.shape
    at = base + np.round(np.arange(windows * samples) * (1e9 / rate)).astype(np.int64)
    flat = array.reshape(windows * samples, channels)
    names, columns = _columns(name, flat, left)
    labels: dict[str, Array] = {}
    if "label" in left and len(left["label"]) == windows:
        labels["label"] = np.repeat(_named(left["label"], left), samples)
    return Stream(at, names, columns, labels, fixed)


def _columns(name: str, array: Array, left: dict[str, Array]) -> tuple[list[str], list[Array]]:
    if array.ndim == 1:
        return [name], [array]
    if array.shape[1] == 1:
        return [name], [array[:, 0]]
    titles = next((left[n] for n in _NAMES if n in left and left[n].shape == (array.shape[1],)), None)
    suffixes = [str(i) for i in range(array.shape[1])] if titles is None else [str(title) for title in titles]
    return [f"{name}/{suffix}" for suffix in suffixes], [array[:, i] for i in range(array.shape[1])]


def _named(array: Array, left: dict[str, Array]) -> Array:
    titles = next((left[n] for n in _CLASSES if n in left and left[n].dtype.kind == "U"), None)
    if titles is None or array.dtype.kind not in "iu" or (len(array) and int(array.max()) >= len(titles)):
        return array.astype(str)
    named: Array = titles[array]
    return named


def _ns(times: Array, unit: str, base: int) -> Array:
    if not len(times):
        return np.zeros(0, np.int64)
    known = TimeUnit(unit) if unit else unit_of(float(times[0]))
    if times.dtype.kind in "iu":
        scale = number_ns(1, known)
        at = times.astype(np.int64) * scale
    else:
        at = np.round(times.astype(np.float64) * (number_ns(1, known) / 1000)).astype(np.int64) * 1000
    return at + base if abs(int(at[0])) < 10**17 else at


def _is_time_name(name: str) -> bool:
    return name in _TIMES or any(name == f"{time}_{unit}" for time in _TIMES for unit in _UNITS)


def _records(stream: Stream, prefix: str, series: SeriesList) -> Iterator[Record]:
    ids: dict[tuple[str, ...], list[int]] = {}
    label_names = list(stream.labels)
    for start in range(0, len(stream.at), _CHUNK):
        cut = slice(start, start + _CHUNK)
        times = stream.at[cut].tolist()
        columns: list[list[Value]] = [column[cut].tolist() for column in stream.columns]
        labels = [stream.labels[name][cut].tolist() for name in label_names]
        for index, at in enumerate(times):
            key = tuple(str(column[index]) for column in labels)
            rows = ids.get(key)
            if rows is None:
                pairs = tuple(sorted((*stream.fixed, *zip(label_names, key, strict=True))))
                rows = ids[key] = [series.row(SeriesKey(f"{prefix}/{name}", pairs)) for name in stream.names]
            record = Record(at, [], [], 0)
            for row, column in zip(rows, columns, strict=True):
                value = column[index]
                if value == value:
                    record.row.append(row)
                    record.value.append(value)
                    record.size += value_bytes(value)
            if record.row:
                yield record


def _at(record: Record) -> int:
    return record.at_ns
