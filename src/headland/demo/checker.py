"""Was an acknowledged reading lost? Judged from outside, by the delivery contract's section 7.

Inputs are the clients' acknowledgement logs, the rule configuration and the cloud's answer to one query; the
books, the filters and the journal have no say. Each acknowledged reading gets the *first* verdict that holds:

1. `present`: a row with its series, device time, sequence and value;
2. `counted`: in the window of every summary rule of its series, each window's highest revision having the
   count, minimum, maximum and sum that are recomputed here from the acknowledgement logs;
3. `held`: within the dead-band error of the value a reader holds at its time;
4. `dropped`: by a predicate that is evaluated here;
5. `lost`.

Freedoms, and why: a reading that was published but not acknowledged may be present or counted, or neither.
A row that the node flagged late may be counted too: lateness is judged against a watermark that is not
visible here. Readings without device time cannot be placed in a window, so all windows of their series are
checked together, and their order is the order in which their client published them.

`duplicated` are rows beyond those published with one (series, device time, sequence), a window's count
above the recomputed one, and derived rows that arrived twice. `reordered` are rows of one (origin, class,
lane) that arrived after a row whose publish began when theirs was already acknowledged, or that the same
client published later. The lane is what the cloud says: live all the way, or backlog on the last n hops.
Boosted rows are left out, because they were kept later than they were published, and a series whose rules
hold readings back is compared with itself only.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from headland.demo.acklog import Publish, Scalar
from headland.demo.evidence import READING, CloudRow, DeadBand, Expectation, SeriesRules, expected
from headland.demo.recount import counted
from headland.demo.verdicts import Report, Tracked, Verdict

SeriesId = tuple[str, str]
Identity = tuple[int | None, int | None]


def check(publishes: Sequence[Publish], rules: Sequence[SeriesRules], rows: Sequence[CloudRow]) -> Report:
    """Judge every acknowledged reading.

    Args:
        publishes: All clients' publishes, each client's in its own order.
        rules: Of all nodes, in order; a series that none covers has to be present, reading by reading.
        rows: The cloud's answer, all kinds, in any order.
    """
    report = Report(verdicts=dict.fromkeys(Verdict, 0))
    published = _by_series(publishes, report)
    answered: dict[SeriesId, list[CloudRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.arrival):
        answered[row.origin, row.series].append(row)
    for series, readings in published.items():
        _match_rows(series, readings, answered.get(series, []), report)
    for series, readings in published.items():
        expectation = expected(rules, *series)
        for reading in readings:
            reading.deferred = expectation.deferred
        _judge_series(series, readings, expectation, answered.get(series, []), report)
    for series in answered.keys() - published.keys():
        _unlogged_twice(series, answered[series], report)
    _derived_twice(rows, report)
    _reordered(itertools.chain.from_iterable(published.values()), rows, report)
    report.lost = report.verdicts[Verdict.LOST]
    return report


def _by_series(publishes: Sequence[Publish], report: Report) -> dict[SeriesId, list[Tracked]]:
    published: dict[SeriesId, list[Tracked]] = defaultdict(list)
    for publish in publishes:
        report.offered += len(publish.readings)
        report.acked += len(publish.readings) if publish.acked_ns is not None else 0
        for logged in publish.readings:
            published[publish.origin, logged.series].append(Tracked(logged, publish))
    return published


def _same(left: Scalar | None, right: Scalar | None) -> bool:
    if isinstance(left, float) and isinstance(right, float) and left != left and right != right:
        return True
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _match_rows(series: SeriesId, readings: list[Tracked], rows: list[CloudRow], report: Report) -> None:
    """Give each row to one published reading of its identity and value.

    A row that is left over came twice if all readings of its identity have their row; otherwise its value
    is wrong.
    """
    waiting: dict[Identity, list[Tracked]] = defaultdict(list)
    for place, reading in enumerate(readings):
        reading.place = place
        waiting[reading.logged.ts, reading.logged.seq].append(reading)
    strangers: list[CloudRow] = []
    for row in rows:
        if row.kind != READING:
            continue
        report.arrived += 1
        candidates = waiting.get((row.ts, row.seq), [])
        # Acknowledged ones first: an unacknowledged twin may be missing, an acknowledged one may not.
        alike = [candidate for candidate in candidates if _same(candidate.logged.value, row.value)]
        chosen = next((candidate for candidate in alike if candidate.acked), alike[0] if alike else None)
        if chosen is not None:
            chosen.row = row
            candidates.remove(chosen)
        else:
            strangers.append(row)
    for row in strangers:
        candidates = waiting.get((row.ts, row.seq), [])
        text = f"{series[0]} {series[1]}: {_text(row.ts, row.seq, row.value)}"
        if candidates:
            reading = candidates.pop(0)
            reading.altered = True
            report.altered += 1
            report.tell(f"{text} arrived, but {reading.logged.value!r} was published")
        else:
            report.duplicated += 1
            report.tell(f"{text} is a row beyond those published")


def _judge_series(
    series: SeriesId, readings: list[Tracked], rule: Expectation, rows: list[CloudRow], report: Report
) -> None:
    in_windows = counted(series, readings, rule, rows, report)
    holds = [_Holds(readings, band) for band in rule.dead_bands]
    for index, reading in enumerate(readings):
        if not reading.acked:
            continue
        if reading.row is not None:
            verdict = Verdict.PRESENT
        elif reading.altered:
            verdict = Verdict.LOST
        elif rule.volatile:
            verdict = Verdict.VOLATILE
        elif index in in_windows:
            verdict = Verdict.COUNTED
        elif holds and all(hold.excuse(reading) for hold in holds):
            verdict = Verdict.HELD
        elif any(drop.holds(reading.logged) for drop in rule.drops):
            verdict = Verdict.DROPPED
        else:
            verdict = Verdict.LOST
            logged = reading.logged
            report.tell(f"{series[0]} {series[1]}: lost: {_text(logged.ts, logged.seq, logged.value)}")
        report.verdicts[verdict] += 1


class _Holds:
    """What a reader of the cloud's rows holds at a time: the newest row that is a reference."""

    def __init__(self, readings: list[Tracked], band: DeadBand) -> None:
        self._band = band
        self._timed = all(reading.logged.ts is not None for reading in readings)
        references = [reading for reading in readings if reading.row is not None and not reading.row.late]
        self._references = sorted(
            (self._place(reference), reference.logged.value) for reference in references
        )

    def _place(self, reading: Tracked) -> tuple[int, int]:
        return (reading.logged.ts or 0 if self._timed else 0, reading.place)

    def excuse(self, reading: Tracked) -> bool:
        """Whether the reader's error at this reading's time stays within the band."""
        value = reading.logged.value
        place = self._place(reading)
        found = _last_before(self._references, place)
        if found is None or isinstance(value, str | bool) or isinstance(found[1], str | bool):
            return found is not None and _same(found[1], value)
        age_ns = place[0] - found[0][0]
        if self._band.heartbeat_s and self._timed and age_ns > self._band.heartbeat_s * 1e9:
            return False
        allowed = max(self._band.ratio * abs(found[1]), self._band.floor)
        return abs(value - found[1]) <= allowed * (1 + 1e-12)


def _last_before(
    references: list[tuple[tuple[int, int], Scalar]], place: tuple[int, int]
) -> tuple[tuple[int, int], Scalar] | None:
    low, high = 0, len(references)
    while low < high:
        middle = (low + high) // 2
        if references[middle][0] <= place:
            low = middle + 1
        else:
            high = middle
    return references[low - 1] if low else None


def _unlogged_twice(series: SeriesId, rows: list[CloudRow], report: Report) -> None:
    """The node's own sources have no log: only an identical numeric reading is recognised as a repeat."""
    seen = Counter(
        (row.ts, row.seq, row.value)
        for row in rows
        if row.kind == READING and row.ts is not None and not isinstance(row.value, str)
    )
    for (ts, seq, value), times in seen.items():
        if times > 1:
            report.duplicated += times - 1
            report.tell(f"{series[0]} {series[1]}: {times} rows alike: {_text(ts, seq, value)}")


def _derived_twice(rows: Sequence[CloudRow], report: Report) -> None:
    """A window's (rule, version, since, span, revision) is a key; parts of it may be told beside it."""
    seen = Counter(
        (
            row.origin,
            row.series,
            row.rule_version,
            row.window.rule,
            row.window.start,
            row.window.end,
            row.window.revision,
            row.window.since,
        )
        for row in rows
        if row.window is not None and row.window.complete
    )
    for key, times in seen.items():
        if times > 1:
            report.duplicated += times - 1
            report.tell(
                f"{key[0]} {key[1]}: window {key[4]} of {key[3]}, revision {key[6]}, arrived {times} times"
            )


def _reordered(readings: Iterable[Tracked], rows: Sequence[CloudRow], report: Report) -> None:
    lanes: dict[tuple[str, str, str, str], list[Tracked]] = defaultdict(list)
    for reading in readings:
        if reading.row is not None and not reading.row.boosted:
            apart = reading.logged.series if reading.deferred else ""
            lanes[reading.row.origin, reading.row.row_class, reading.row.lane, apart].append(reading)
    for lane, members in lanes.items():
        _overtaken(lane, members, report)
    revisions: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        if row.window is not None and row.window.complete:
            key = (
                row.origin,
                row.row_class,
                row.lane,
                row.series,
                row.rule_version,
                row.window.rule,
                row.window.start,
                row.window.since,
            )
            revisions[key].append((row.arrival, row.window.revision))
    for what, found in revisions.items():
        found.sort()
        wrong = sum(later < earlier for (_, earlier), (_, later) in itertools.pairwise(found))
        if wrong:
            report.reordered += wrong
            report.tell(f"{what[0]} {what[3]}: revisions of window {what[6]} arrived as {found}")


def _overtaken(lane: tuple[str, str, str, str], members: list[Tracked], report: Report) -> None:
    """Walk one lane in order of arrival; within one cloud commit there is no order."""
    members.sort(key=lambda reading: reading.row.arrival if reading.row is not None else 0)
    newest_began = -1
    newest_of_client: dict[str, int] = {}
    for arrival, group in itertools.groupby(
        members, key=lambda reading: reading.row.arrival if reading.row else 0
    ):
        together = list(group)
        for reading in together:
            publish = reading.publish
            if publish.order < newest_of_client.get(publish.client, -1) or (
                publish.acked_ns is not None and publish.acked_ns < newest_began
            ):
                report.reordered += 1
                logged = reading.logged
                report.tell(
                    f"{'/'.join(lane[:3])}: {logged.series} {_text(logged.ts, logged.seq, logged.value)} "
                    f"arrived in cloud commit {arrival}, after a reading that was published later"
                )
        for reading in together:
            publish = reading.publish
            newest_began = max(newest_began, publish.published_ns)
            newest_of_client[publish.client] = max(newest_of_client.get(publish.client, -1), publish.order)


def _text(ts: int | None, seq: int | None, value: Scalar | None) -> str:
    return (
        f"time {ts if ts is not None else '-'}, sequence {seq if seq is not None else '-'}, value {value!r}"
    )
