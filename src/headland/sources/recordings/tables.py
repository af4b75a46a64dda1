"""CSV with a header, plain or gzip: detection of separator, time and label columns, one record a row.

Detection looks at the first 200 rows. The separator is the one of ``, ; tab |`` that the header has most of.
A column is time if all its cells are RFC 3339 texts, or numbers of an epoch in the years 2001 to 2100 that
never fall; the first such column is the time, further ones are left out. Without one, a numeric column called
``t``, ``time``, ``timestamp`` or ``seconds`` is seconds since the start. Text columns before the first number
are labels; later ones are readings of text. Empty cells, ``nan``, ``null`` and ``NA`` are no readings.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice, pairwise
from typing import IO, Final

import msgspec

from headland.line.formats import TimeUnit, Unfit
from headland.line.formats.moments import is_time_text, number_ns, text_ns, unit_of
from headland.sources.contract import SeriesList
from headland.sources.recordings.record import Hint, Record
from headland.vocabulary import SeriesKey, Value

SAMPLE_ROWS: Final = 200
CELL_BYTES: Final = 1 << 20
_SEPARATORS: Final = (",", ";", "\t", "|")
_RELATIVE: Final = frozenset({"t", "time", "timestamp", "seconds", "time_s", "elapsed"})
_ABSENT: Final = frozenset({"", "nan", "null", "na", "none", "n/a", "-"})
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,300}\.?\d{0,300}|\.\d{1,300})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_SUFFIX: Final = re.compile(r"_(s|ms|us|ns)$")


class Layout(msgspec.Struct):
    """What the columns of a table are.

    Attributes:
        time: Index of the time column, or -1.
        unit: Unit of a numeric time; None when it is text.
        relative: Whether the time counts from the start of its labels.
        labels: Indexes and names of label columns.
        numbers: Indexes and names of numeric columns.
        texts: Indexes and names of text columns.
        wholes: Indexes of numeric columns without a fraction in the sample.
    """

    time: int = -1
    unit: TimeUnit | None = None
    relative: bool = False
    labels: list[tuple[int, str]] = []
    numbers: list[tuple[int, str]] = []
    texts: list[tuple[int, str]] = []
    wholes: frozenset[int] = frozenset()


def table_records(
    file: IO[str], prefix: str, hint: Hint, series: SeriesList, count: Callable[[str], None]
) -> Iterator[Record]:
    """The records of a table in order.

    Args:
        file: Open text, positioned at the header.
        prefix: First part of the series names.
        hint: What is known of it.
        series: Numbering of the source.
        count: Counts a mistake by its reason.
    """
    csv.field_size_limit(CELL_BYTES)
    first = file.readline().lstrip("\ufeff")
    separator = max(_SEPARATORS, key=first.count)
    header = [
        name.strip() or f"column{i}"
        for i, name in enumerate(next(csv.reader([first], delimiter=separator), []))
    ]
    rows = csv.reader(file, delimiter=separator)
    sample = list(islice(rows, SAMPLE_ROWS))
    layout = detect(header, sample, hint)
    yield from _rows(chain(sample, rows), layout, len(header), prefix, hint, series, count)


def detect(header: list[str], sample: list[list[str]], hint: Hint) -> Layout:
    """The layout of a table by its first rows."""
    layout = Layout()
    cells = [
        [row[i].strip() for row in sample if i < len(row) and row[i].strip().lower() not in _ABSENT]
        for i in range(len(header))
    ]
    numeric = [bool(column) and all(_NUMBER.fullmatch(cell) for cell in column) for column in cells]
    times = [i for i, column in enumerate(cells) if _is_time(column, numeric[i])]
    _choose_time(layout, header, cells, numeric, times, hint)
    wholes = set()
    seen_number = False
    for i, name in enumerate(header):
        if name in hint.labels:
            layout.labels.append((i, name))
        elif i == layout.time or i in times or name in hint.skip:
            continue
        elif numeric[i] or not cells[i]:
            seen_number = seen_number or numeric[i]
            layout.numbers.append((i, name))
            if not any("." in cell or "e" in cell.lower() for cell in cells[i]):
                wholes.add(i)
        elif seen_number or hint.labels:
            layout.texts.append((i, name))
        else:
            layout.labels.append((i, name))
    layout.wholes = frozenset(wholes)
    return layout


def _choose_time(
    layout: Layout,
    header: list[str],
    cells: list[list[str]],
    numeric: list[bool],
    times: list[int],
    hint: Hint,
) -> None:
    if hint.time in header:
        layout.time = header.index(hint.time)
    elif times:
        layout.time = times[0]
    else:
        layout.time = next(
            (i for i, name in enumerate(header) if name.lower() in _RELATIVE and numeric[i]), -1
        )
    if layout.time < 0 or not numeric[layout.time]:
        return
    column = [float(cell) for cell in cells[layout.time]]
    suffix = _SUFFIX.search(header[layout.time])
    if hint.time_unit or suffix:
        layout.unit = TimeUnit(hint.time_unit or (suffix.group(1) if suffix else "s"))
    else:
        layout.unit = unit_of(column[0]) if column else TimeUnit.S
    try:
        layout.relative = bool(column) and abs(number_ns(column[0], layout.unit)) < 10**17
    except Unfit:  # no time that can be said; its row is counted when it is read
        layout.relative = False


def _is_time(column: list[str], numeric: bool) -> bool:
    if not column:
        return False
    if not numeric:
        return all(is_time_text(cell) for cell in column)
    numbers = [float(cell) for cell in column]
    for scale in (1.0, 1e3, 1e6, 1e9):
        if all(1e9 * scale <= number < 4.1e9 * scale for number in numbers):
            return all(a <= b for a, b in pairwise(numbers)) and len(numbers) > 1
    return False


def _rows(
    rows: Iterator[list[str]],
    layout: Layout,
    width: int,
    prefix: str,
    hint: Hint,
    series: SeriesList,
    count: Callable[[str], None],
) -> Iterator[Record]:
    base = text_ns(hint.base)
    period = round((hint.period_s or 1.0) * 1e9)
    known: dict[tuple[str, ...], tuple[list[int], list[int]]] = {}
    steps: dict[tuple[str, ...], int] = {}
    for row in rows:
        if len(row) != width:
            if row:
                count("short_row" if len(row) < width else "long_row")
            continue
        labels = tuple(row[i].strip() for i, _ in layout.labels)
        ids = known.get(labels)
        if ids is None:
            ids = known[labels] = _ids(labels, layout, prefix, series)
        at = _moment(row, layout, base)
        if layout.time < 0:
            step = steps.get(labels, 0)
            steps[labels] = step + 1
            at = base + step * period
        if at is None:
            count("bad_time")
            continue
        record = Record(at, [], [], sum(map(len, row)) + width)
        for (i, _), local in zip(layout.numbers, ids[0], strict=True):
            value = _number(row[i], i in layout.wholes)
            if value is not None:
                record.row.append(local)
                record.value.append(value)
            elif row[i].strip().lower() not in _ABSENT:
                count("bad_number")
        for (i, _), local in zip(layout.texts, ids[1], strict=True):
            if row[i].strip().lower() not in _ABSENT:
                record.row.append(local)
                record.value.append(row[i])
        if record.row:
            yield record


def _ids(
    labels: tuple[str, ...], layout: Layout, prefix: str, series: SeriesList
) -> tuple[list[int], list[int]]:
    pairs = tuple(sorted((name, text) for (_, name), text in zip(layout.labels, labels, strict=True) if text))
    return (
        [series.row(SeriesKey(f"{prefix}/{name}", pairs)) for _, name in layout.numbers],
        [series.row(SeriesKey(f"{prefix}/{name}", pairs)) for _, name in layout.texts],
    )


def _moment(row: list[str], layout: Layout, base: int) -> int | None:
    if layout.time < 0:
        return base
    cell = row[layout.time].strip()
    try:
        if layout.unit is None:
            return text_ns(cell)
        number = int(cell) if cell.lstrip("+-").isdecimal() else float(cell)
        at = number_ns(number, layout.unit)
    except (Unfit, ValueError):
        return None
    return base + at if layout.relative else at


def _number(cell: str, whole: bool) -> Value | None:
    if whole:
        try:
            number = int(cell)
        except ValueError:
            pass
        else:
            return number if -(1 << 63) <= number < 1 << 63 else float(number)
    try:
        decimal = float(cell)
    except ValueError:
        return None
    return None if decimal != decimal else decimal
