"""Recorded lines: log files and JSON lines.

A log event is a line with a time at its head (see `log_times`) and the lines without one that follow it; in a
file whose first 50 lines have no times, every line is an event, and lines that are indented follow. An event
has at most 64 KiB; what is beyond is cut and counted. Invalid UTF-8 is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import IO, Final

from headland.line.formats import FormatLimits, MappingConfig, Unfit
from headland.line.formats.documents import DocumentReader, document
from headland.line.formats.moments import text_ns
from headland.sources.contract import SeriesList
from headland.sources.recordings.log_times import LineClock
from headland.sources.recordings.record import Hint, Record
from headland.vocabulary import NO_TIME, SeriesKey

EVENT_CHARS: Final = 64 << 10
_LOOK: Final = 50
_LINE_BYTES: Final = 16 << 20


def log_records(
    file: IO[str], prefix: str, hint: Hint, series: SeriesList, count: Callable[[str], None]
) -> Iterator[Record]:
    """The events of a log as texts of the series ``prefix/log``.

    Args:
        file: Open text.
        prefix: First part of the series name.
        hint: Gives base, period and the year of lines that do not say it.
        series: Numbering of the source.
        count: Counts a mistake by its reason.
    """
    base = text_ns(hint.base)
    period = round((hint.period_s or 1.0) * 1e9)
    year = int(hint.base[:4])
    row = series.row(SeriesKey(f"{prefix}/log"))
    first = list(islice(file, _LOOK))
    timed = any(LineClock(year).at(line) is not None for line in first)
    clock = LineClock(year)
    event: list[str] = []
    at, chars, step = base, 0, 0
    for line in chain(first, file):
        text = line.rstrip("\r\n")
        moment = clock.at(text) if timed else None
        goes_on = moment is None if timed else text[:1] in (" ", "\t")
        if event and not goes_on:
            yield Record(at, [row], ["\n".join(event)], chars)
            event, chars = [], 0
        if not goes_on or not event:
            step += 1
            at = moment if moment is not None else (at if timed else base + step * period)
        if chars + len(text) > EVENT_CHARS:
            count("long_event")
            text = text[: max(0, EVENT_CHARS - chars)]
        if text or not event:
            event.append(text)
        chars += len(line)
    if event and any(event):
        yield Record(at, [row], ["\n".join(event)], chars)


def json_records(
    file: IO[str], prefix: str, hint: Hint, series: SeriesList, count: Callable[[str], None]
) -> Iterator[Record]:
    """The documents of a JSON-lines file, each read like a payload without a declared mapping.

    Args:
        file: Open text.
        prefix: First part of the series names.
        hint: Gives base and period of documents without a time; `time` names another field.
        series: Numbering of the source.
        count: Counts a mistake by its reason.
    """
    base = text_ns(hint.base)
    period = round((hint.period_s or 1.0) * 1e9)
    config = MappingConfig(topic="#", time=f"$.{hint.time}" if hint.time else "")
    reader = DocumentReader(config, FormatLimits(), (), "replay")
    rows: dict[str, int] = {}
    for step, line in enumerate(file):
        if not line.strip():
            continue
        if len(line) > _LINE_BYTES:
            count("long_line")
            continue
        try:
            found = reader.read(document(line.encode()))
        except Unfit as unfit:
            count(str(unfit.reason))
            continue
        record = Record(base + step * period, [], [], len(line))
        for name, ts, value in zip(found.name, found.ts, found.value, strict=True):
            local = rows.get(str(name))
            if local is None:
                local = rows[str(name)] = series.row(SeriesKey(prefix if name == "" else f"{prefix}/{name}"))
            if ts not in (NO_TIME, record.at_ns):
                if record.row:
                    yield record
                record = Record(ts, [], [], 0 if record.row else record.size)
            record.row.append(local)
            record.value.append(value)
        yield record
