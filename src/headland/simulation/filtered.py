"""The laws of readings that a filter may leave out, judged by small models of their own.

* keep: the reading is there.
* band: an absent reading is within the bound of the newest present one before it (a dead band's hold),
  whatever the order in which they came. What is marked late or implausible is a point, not a hold. A series
  of several clients is not judged: their sequences are alike.
* window: an absent reading is in a window row; of each series and stretch of overlapping windows the newest
  revisions of all rule versions, since each change that brought them, together count exactly the absent
  readings, and extremes and sums agree. No two complete rows have one key, and an incomplete one of the same
  key tells of a part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headland.line.filtering import Boost, DeadBand, Keep, Summary
from headland.line.filtering.selection import compiled
from headland.line.rules import SeriesRule
from headland.simulation.readings import Reading
from headland.vocabulary import RowFlag, RowKind, Value

SLACK = 1e-6
NO_HOLD = RowFlag.LATE | RowFlag.TIME_IMPLAUSIBLE


class Treatment(msgspec.Struct, frozen=True):
    """What may happen to the readings of a series, under every configuration that a run puts in force.

    Attributes:
        kind: keep, band, window, or any (only the books judge it).
        bound: Of a band, in the unit of the series.
    """

    kind: str
    bound: float = 0.0


def treatment(series: str, rules: Sequence[tuple[Sequence[SeriesRule], SeriesRule]]) -> Treatment:
    """How a series is judged, given the rules of each configuration (in order, and the default)."""
    kinds = {_kind(_filter_of(series, ordered, default)) for ordered, default in rules}
    if kinds == {Treatment("keep")}:
        return Treatment("keep")
    if all(one.kind in ("keep", "band") for one in kinds):
        return Treatment("band", max(one.bound for one in kinds))
    if all(one.kind in ("keep", "window") for one in kinds):
        return Treatment("window")
    return Treatment("any")


def _filter_of(series: str, ordered: Sequence[SeriesRule], default: SeriesRule) -> object:
    """The one durable filter of a series without labels; None when it has several, or a volatile one."""
    fitting: list[SeriesRule] = []
    for rule in ordered:
        if not rule.labels and compiled(rule.match).fullmatch(series):
            fitting.append(rule)
            if rule.final:
                break
    fitting = fitting or [default]
    if len(fitting) > 1 or fitting[0].durability == "volatile":
        return None
    return fitting[0].filter


def _kind(chosen: object) -> Treatment:
    match chosen:
        case Keep():
            return Treatment("keep")
        case DeadBand(absolute=float() as bound):
            return Treatment("band", bound)
        case Boost(inner=DeadBand(absolute=float() as bound)):
            return Treatment("band", bound)
        case Summary():
            return Treatment("window")
        case _:
            return Treatment("any")


class Row(msgspec.Struct, frozen=True):
    """A row of a series as the root has it."""

    ts: int
    seq: int
    value: Value
    kind: int
    flags: int


def judge_band(readings: Sequence[Reading], rows: Sequence[Row], bound: float) -> list[str]:
    """What is wrong with a series under a dead band."""
    here = {row.seq for row in rows if row.kind == RowKind.READING}
    known = {one.published.seq for one in readings}
    points = sorted(
        (row.ts, row.seq, float(row.value))
        for row in rows
        if row.kind == RowKind.READING
        and isinstance(row.value, float | int)
        and not row.flags & NO_HOLD
        and row.seq in known
    )
    wrong = []
    at = 0
    for reading in sorted(readings, key=lambda one: one.published.ts):
        told = reading.published
        ts = told.ts // 1_000_000 * 1_000_000
        while at < len(points) and points[at][0] <= ts:
            at += 1
        if told.seq in here or not told.acked:
            continue
        if not at:
            wrong.append(f"({told.series}, {told.seq}) is absent, and nothing is before it")
        elif abs(points[at - 1][2] - told.value) > bound + SLACK:
            held = points[at - 1][2]
            wrong.append(f"({told.series}, {told.seq}) = {told.value} is held as {held}, bound {bound}")
    return wrong


def judge_windows(series: str, readings: Sequence[Reading], rows: Sequence[Row]) -> list[str]:
    """What is wrong with a series under summaries."""
    here = {row.seq for row in rows if row.kind == RowKind.READING}
    twice: list[str] = []
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if row.kind != RowKind.WINDOW or not isinstance(row.value, bytes):
            continue
        window = msgspec.msgpack.decode(row.value)
        key = tuple(window[name] for name in ("rule", "version", "since", "start", "end"))
        other = newest.get(key, window)
        if other is window or _weight(other) < _weight(window):
            newest[key] = window
        if other is not window and _weight(other)[:2] == _weight(window)[:2] and window["complete"]:
            twice.append(f"{series}: two windows {key} of revision {window['revision']}")
    stretches = _stretches(list(newest.values()))
    absent: list[list[float]] = [[] for _ in stretches]
    wrong = twice
    for reading in readings:
        told = reading.published
        ts = told.ts // 1_000_000 * 1_000_000
        if told.seq in here:
            continue
        place = next((i for i, one in enumerate(stretches) if one.start <= ts < one.end), None)
        if place is not None:
            absent[place].append(told.value)
        elif told.acked:
            wrong.append(f"({series}, {told.seq}) is absent, and no window covers {ts}")
    for one, values in zip(stretches, absent, strict=True):
        where = f"{series}, from {one.start} to {one.end}"
        if one.count != len(values):
            wrong.append(f"{where}: windows count {one.count}, {len(values)} readings are absent")
        elif values and abs(one.sum - sum(values)) > SLACK * max(1.0, abs(one.sum)):
            wrong.append(f"{where}: sum {one.sum}, of the readings {sum(values)}")
        elif values and (one.min, one.max) != (min(values), max(values)):
            wrong.append(f"{where}: other extremes than the readings have")
    return wrong


def _weight(window: dict[str, Any]) -> tuple[int, bool, int]:
    """Of rows of one key the heaviest holds the readings of the others."""
    return window["revision"], window["complete"], window["count"]


class _Stretch(msgspec.Struct):
    """Windows that overlap (of several rule versions, of several lengths), taken together."""

    start: int
    end: int
    count: int
    sum: float
    min: float
    max: float


def _stretches(windows: Sequence[dict[str, Any]]) -> list[_Stretch]:
    out: list[_Stretch] = []
    for window in sorted(windows, key=lambda one: (one["start"], one["end"])):
        last = out[-1] if out else None
        if last is None or window["start"] >= last.end:
            named = (window[name] for name in ("start", "end", "count", "sum", "min", "max"))
            out.append(_Stretch(*named))
            continue
        last.end = max(last.end, window["end"])
        last.count += window["count"]
        last.sum += window["sum"]
        last.min, last.max = min(last.min, window["min"]), max(last.max, window["max"])
    return out
