"""Recomputes what a summary rule should have counted, from the acknowledgement logs alone.

A window accounts for the readings of its span only if its count, minimum, maximum and sum are those of all
that were acknowledged, plus any of those that it may or may not hold: readings that were published and
never acknowledged, and readings that the node kept as late.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from headland.demo.evidence import WINDOW, CloudRow, Expectation, Window
from headland.demo.verdicts import Report, Tracked

SUBSET_LIMIT = 12
"""Up to this many readings that a window may or may not hold, every combination is tried."""
SUM_TOLERANCE = 1e-9
"""Relative to the sum of magnitudes: windows may be summed in another order."""


def counted(
    series: tuple[str, str], readings: list[Tracked], rule: Expectation, rows: list[CloudRow], report: Report
) -> set[int]:
    """Indices of the readings whose windows hold, for every summary rule of the series."""
    if not rule.summaries:
        return set()
    timed = all(reading.logged.ts is not None for reading in readings)
    good: list[set[int]] = []
    for summary in rule.summaries:
        windows = _highest_revisions(rows, summary.rule)
        indices = set()
        for members, found in _members(readings, windows, timed):
            problem = _window_problem([readings[index] for index in members], found, report)
            if problem:
                span = f"{found[0].start}..{found[-1].end}"
                report.tell(f"{series[0]} {series[1]}: window {span} of {summary.rule}: {problem}")
            else:
                indices |= set(members)
        good.append(indices)
    return set.intersection(*good)


def _highest_revisions(rows: list[CloudRow], rule: str) -> list[Window]:
    newest: dict[tuple[str, int, int, int], Window] = {}
    for row in rows:
        window = row.window
        if row.kind != WINDOW or window is None or window.rule != rule:
            continue
        key = (row.rule_version, window.since, window.start, window.end)
        if key not in newest or newest[key].weight < window.weight:
            newest[key] = window
    return sorted(newest.values(), key=lambda window: (window.start, window.end))


def _members(
    readings: list[Tracked], windows: list[Window], timed: bool
) -> Iterable[tuple[list[int], list[Window]]]:
    """Readings that stand in one span, with the windows that cover it.

    Windows with one span and several rule versions (or one, since several changes) are parts of one: a change
        of configuration ended the first.
    """
    if not windows:
        return
    if not timed:
        yield list(range(len(readings))), windows
        return
    order = sorted(range(len(readings)), key=lambda index: readings[index].logged.ts or 0)
    at = 0
    for (start, end), group in itertools.groupby(windows, key=lambda window: (window.start, window.end)):
        while at < len(order) and (readings[order[at]].logged.ts or 0) < start:
            at += 1
        until = at
        while until < len(order) and (readings[order[until]].logged.ts or 0) < end:
            until += 1
        yield order[at:until], list(group)


def _window_problem(members: list[Tracked], windows: list[Window], report: Report) -> str:
    """Why these windows do not account for these readings, or ""."""
    numeric = [member for member in members if not isinstance(member.logged.value, str | bool)]
    certain = [
        member for member in numeric if member.acked and not (member.row is not None and member.row.late)
    ]
    open_values = [float(member.logged.value) for member in numeric if member not in certain]
    values = [float(member.logged.value) for member in certain]
    count = sum(window.count for window in windows)
    if count > len(values) + len(open_values):
        excess = count - len(values) - len(open_values)
        report.duplicated += excess
        return f"counts {count}, recomputed {len(values) + len(open_values)}"
    if count < len(values):
        return f"counts {count}, but {len(values)} were acknowledged"
    if count == 0:
        return ""
    filled = [window for window in windows if window.count]
    told = (
        math.fsum(window.sum for window in filled),
        min(window.min for window in filled),
        max(window.max for window in filled),
    )
    if _explained(values, open_values, count - len(values), told):
        return ""
    return (
        f"says sum {told[0]!r}, minimum {told[1]!r}, maximum {told[2]!r}; "
        f"recomputed {math.fsum(values)!r}, {min(values, default=0.0)!r}, {max(values, default=0.0)!r}"
        + (f" without {len(open_values)} that may be counted" if open_values else "")
    )


def _explained(
    values: list[float], open_values: list[float], taken: int, told: tuple[float, float, float]
) -> bool:
    """Whether some `taken` of the open values make the window's figures true."""
    if len(open_values) <= SUBSET_LIMIT or taken in (0, len(open_values)):
        return any(
            _agrees(values + list(chosen), told) for chosen in itertools.combinations(open_values, taken)
        )
    ordered = sorted(open_values)
    least = math.fsum(values + ordered[:taken])
    most = math.fsum(values + ordered[-taken:])
    slack = SUM_TOLERANCE * math.fsum(abs(value) for value in values + open_values)
    everything = values + open_values
    return (
        least - slack <= told[0] <= most + slack
        and min(everything) <= told[1] <= min(values, default=math.inf)
        and max(values, default=-math.inf) <= told[2] <= max(everything)
    )


def _agrees(values: list[float], told: tuple[float, float, float]) -> bool:
    slack = SUM_TOLERANCE * math.fsum(abs(value) for value in values)
    return abs(math.fsum(values) - told[0]) <= slack and min(values) == told[1] and max(values) == told[2]
