"""Laws of a question's answer: its order, the rules of each row, the highest revision of each window."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import msgspec
import pytest

from headland.blocks.block import seal
from headland.blocks.header import BlockHeader, Run
from headland.node import query
from headland.node.names import Names
from headland.node.query import OnShelf, QueryPlan, Question, answer
from headland.node.survey import Survey
from headland.vocabulary import (
    NO_TIME,
    CapacityError,
    Columns,
    Lane,
    Priority,
    RowFlag,
    RowKind,
    SeriesKey,
    SeriesTable,
)

S = 10**9
BASE = 1_800_000_000 * S
A, B = b"a" * 16, b"b" * 16
SERIES = ("t", "u", "headland/rules")
Row = tuple[int, int, Any, int]
"""Series id, device time, value, kind."""


class Store:
    """Blocks as a root has them on its shelf, without a disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.blocks: list[tuple[BlockHeader, bytes, frozenset[int]]] = []
        self.arrivals: list[int] = []
        table = SeriesTable()
        for name in SERIES:
            table.intern(SeriesKey(name))
        self.names = Names("s/n", table)
        monkeypatch.setattr(query, "read_block", lambda _disk, ref: self.blocks[ref])

    def add(
        self,
        runs: list[tuple[int, list[Row]]],
        *,
        epoch: bytes = A,
        priority: Priority = Priority.NORMAL,
        flags: int = 0,
        arrival: int | None = None,
    ) -> None:
        """A block of node s/n: of each of its commits, number and rows; node time is that many seconds."""
        columns = Columns()
        for _, rows in runs:
            for sid, ts, value, kind in rows:
                columns.append(sid, ts, value, kind=kind, flags=flags)
        header, body = seal(
            columns,
            origin="s/n",
            epoch=epoch,
            priority=priority,
            k=len(self.blocks) + 1,
            lane=Lane.LIVE,
            runs=tuple(Run(n, BASE + n * S, len(rows)) for n, rows in runs),
            age_ms=0,
        )
        self.blocks.append((header, body, frozenset(columns.sid)))
        self.arrivals.append(len(self.blocks) if arrival is None else arrival)

    def ask(self, **question: Any) -> list[dict[str, Any]]:
        """The answer."""
        shelf = [OnShelf(ref, n, 0) for ref, n in enumerate(self.arrivals)]  # type: ignore[arg-type]
        where = QueryPlan(tuple(sorted(shelf, key=lambda item: item.arrival_n)), ())
        rows = msgspec.json.decode(answer(None, where, self.names, Question(**question)))  # type: ignore[arg-type]
        found: list[dict[str, Any]] = rows["rows"]
        return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


def reading(value: float, at_s: float | None = None, sid: int = 1) -> Row:
    return sid, NO_TIME if at_s is None else BASE + int(at_s * S), value, RowKind.READING


def window(
    version: str,
    start: int,
    end: int,
    revision: int = 0,
    rule: str = "r",
    count: int = 1,
    since: int = 0,
    complete: bool = True,
) -> Row:
    told = {
        "rule": rule,
        "version": version,
        "since": since,
        "start": start,
        "end": end,
        "revision": revision,
        "count": count,
        "complete": complete,
    }
    return 1, start, msgspec.msgpack.encode(told), RowKind.WINDOW


def rules(version: str, previous: str, kept: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Row:
    told = {"version": version, "previous": previous, "kept": kept, "rules": "{}"}
    return 3, BASE, msgspec.msgpack.encode(told), RowKind.CONFIG


# ── order ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_rows_come_by_event_time_then_epoch_then_commit_whatever_the_order_of_arrival(
    store: Store, seed: int, limit: int
) -> None:
    """Kills: an answer in order of arrival, a limit that cuts before it sorts, epochs by their bits."""
    random = Random(seed)
    first, second = (A, B) if random.random() < 0.5 else (B, A)
    expected: list[tuple[int, int, int, float]] = []
    value = itertools.count()
    arrivals = random.sample(range(1, 20), 12)
    for at, arrival in enumerate(arrivals):
        epoch, ordinal = (first, 1) if at < 6 else (second, 2)
        n = at * 2 + 1
        rows = [reading(float(next(value)), random.randrange(3)) for _ in range(3)]
        expected += [(ts, ordinal, n, told) for _, ts, told, _ in rows]
        store.add([(n, rows)], epoch=epoch, arrival=arrival)
    expected.sort()
    found = store.ask(order="time", limit=limit)
    assert [row["value"] for row in found] == [told for *_, told in expected[:limit]]
    assert [(row["ts"], row["_epoch"], row["_n"]) for row in found] == [one[:3] for one in expected[:limit]]
    assert [row["_arrival"] for row in store.ask(order="arrival")] == sorted(
        arrival for arrival in arrivals for _ in range(3)
    )


def test_a_row_without_a_time_that_can_be_stands_at_its_nodes_time(store: Store) -> None:
    """Kills: rows without device time first, a clock of 1970 first of all."""
    store.add([(5, [reading(5.0)])])
    store.add([(4, [reading(4.0, -1e9)])], flags=RowFlag.TIME_IMPLAUSIBLE)
    store.add([(9, [reading(4.5, 4.5), reading(5.5, 5.5)])])
    assert [row["value"] for row in store.ask()] == [4.0, 4.5, 5.0, 5.5]


def test_a_span_is_asked_for_by_the_time_that_sorts_and_node_time_is_marked(store: Store) -> None:
    """Kills: rows without device time in the answer to every span."""
    store.add([(5, [reading(5.0)]), (8, [reading(8.0)])])
    store.add([(4, [reading(4.0, -1e9)])], flags=RowFlag.TIME_IMPLAUSIBLE)
    store.add([(9, [reading(5.5, 5.5)])])
    asked = store.ask(since_ns=BASE + 5 * S, until_ns=BASE + 8 * S)
    assert [row["value"] for row in asked] == [5.0, 5.5]
    assert [row["_by_node"] for row in asked] == [True, False]
    assert [row["_node_ns"] for row in asked] == [BASE + 5 * S, BASE + 9 * S]
    assert [row["value"] for row in store.ask(until_ns=BASE + 5 * S)] == [4.0]


@pytest.mark.parametrize("order", ["time", "arrival"])
def test_an_answer_that_is_too_large_is_refused_and_a_limit_helps(
    store: Store, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add([(n, [reading(float(n), n)]) for n in range(1, 200)])
    monkeypatch.setattr(query, "ANSWER_BYTES_MAX", 20_000)
    with pytest.raises(CapacityError, match="20000 bytes"):
        store.ask(order=order)
    assert [row["_n"] for row in store.ask(order=order, limit=20)] == list(range(1, 21))
    assert store.ask(order=order, limit=0) == []


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_row_names_the_rules_that_it_was_kept_by(store: Store) -> None:
    """Kills: rules by arrival, rules of the commit for rows before the change in it."""
    store.add([(7, [reading(70, 1), reading(71, 2), reading(72, 3)]), (8, [reading(80, 4)])])
    store.add([(1, [rules("v1", "")]), (7, [rules("v2", "v1", (0, 0, 2, 0))])], priority=Priority.HIGH)
    store.add([(1, [reading(10, 5)])])
    told = {row["value"]: row["_rule_version"] for row in store.ask(series="t")}
    assert told == {10: "v1", 70: "v1", 71: "v1", 72: "v2", 80: "v2"}


def test_where_a_change_of_rules_has_not_come_no_rules_are_named(store: Store) -> None:
    """Kills: the version before a change that is missing named for what may have been kept after it."""
    store.add([(n, [reading(n, n)]) for n in range(1, 8)])
    assert {row["_rule_version"] for row in store.ask(series="t")} == {""}
    store.add([(6, [rules("v3", "v2")])], priority=Priority.HIGH)
    assert [row["_rule_version"] for row in store.ask(series="t")] == ["v2"] * 5 + ["v3"] * 2
    store.add([(2, [rules("v1", "v0")])], priority=Priority.HIGH)
    assert [row["_rule_version"] for row in store.ask(series="t")] == ["v0"] + [""] * 4 + ["v3"] * 2


# ── derived rows ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", ["time", "arrival"])
@pytest.mark.parametrize("seed", range(10))
def test_of_a_window_the_highest_revision_is_shown_whichever_came_last(
    store: Store, seed: int, order: str
) -> None:
    """Kills: the newest arrival for the highest revision, revisions across windows or versions."""
    random = Random(seed)
    keys = [("v1", 0, 60), ("v1", 60, 120), ("v2", 120, 180)]
    made = [(*key, revision) for key in keys for revision in range(random.randrange(1, 4))]
    random.shuffle(made)
    for n, (version, start, end, revision) in enumerate(made, start=1):
        store.add([(n, [window(version, BASE + start * S, BASE + end * S, revision)])])
    highest = {key: max(one[3] for one in made if one[:3] == key) for key in keys}
    found = store.ask(order=order)
    assert {row["value"]["start"]: row["value"]["revision"] for row in found} == {
        BASE + start * S: revision for (_, start, _), revision in highest.items()
    }
    assert len(found) == len(keys)
    assert len(store.ask(order=order, revisions="all")) == len(made)


def test_windows_of_two_versions_of_a_rule_that_tell_of_the_same_time_are_flagged(store: Store) -> None:
    """Kills: a change of rules whose windows are added, neighbours flagged, other rules' windows flagged."""
    spans = [("v1", 0, 60), ("v1", 60, 90), ("v2", 60, 120), ("v2", 120, 180)]
    for n, (version, start, end) in enumerate(spans, start=1):
        store.add([(n, [window(version, BASE + start * S, BASE + end * S)])])
    store.add([(9, [window("w1", BASE, BASE + 300 * S, rule="five minutes")])])
    flagged = {
        (row["value"]["version"], (row["value"]["start"] - BASE) // S)
        for row in store.ask()
        if row["_overlap"]
    }
    assert flagged == {("v1", 60), ("v2", 60)}
    assert not any(row["_overlap"] for row in store.ask(series="u"))


def test_rows_of_one_window_since_two_changes_are_both_shown_and_flagged(store: Store) -> None:
    """Kills: a part of a window taken for an older revision of another part."""
    for n, (since, revision) in enumerate([(0, 0), (0, 1), (2, 0)], start=1):
        store.add([(n, [window("v1", BASE, BASE + 60 * S, revision, since=since)])])
    found = [(row["value"]["since"], row["value"]["revision"], row["_overlap"]) for row in store.ask()]
    assert sorted(found) == [(0, 1, True), (2, 0, True)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ([(0, False, 8, 2), (0, True, 14, 1)], (0, 14)),
        ([(0, False, 8, 2), (0, False, 8, 3)], (0, 8)),
        ([(0, False, 8, 2), (0, False, 11, 1), (0, False, 9, 3)], (0, 11)),
        ([(0, True, 14, 1), (1, False, 15, 2)], (1, 15)),
        ([(0, True, 14, 1), (1, False, 15, 2), (1, True, 16, 1)], (1, 16)),
    ],
)
def test_of_a_window_that_a_copy_of_its_node_told_a_part_of_the_row_of_most_readings_is_shown(
    store: Store, told: list[tuple[int, bool, int, int]], shown: tuple[int, int], seed: int
) -> None:
    """Kills: a window counted twice, or cut short by the part of it that a restored node tells."""
    for n, (revision, complete, count, epoch) in enumerate(Random(seed).sample(told, len(told)), start=1):
        row = window("v1", BASE, BASE + 60 * S, revision, count=count, complete=complete)
        store.add([(n, [row])], epoch=bytes([epoch]) * 16)
    other = window("v1", BASE + 60 * S, BASE + 120 * S, count=3, complete=False)
    store.add([(9, [other])])
    found = [(row["value"]["revision"], row["value"]["count"]) for row in store.ask()]
    assert found == [shown, (0, 3)]


def test_a_plug_ins_window_that_says_nothing_of_revisions_is_shown_as_it_is(store: Store) -> None:
    store.add([(1, [(1, BASE, msgspec.msgpack.encode({"shape": [1, 2]}), RowKind.WINDOW)])])
    store.add([(2, [(1, BASE, msgspec.msgpack.encode([3, 4]), RowKind.FEATURES)])])
    assert [row["value"] for row in store.ask()] == [{"shape": [1, 2]}, [3, 4]]


def test_windows_that_follow_each_other_are_remembered_as_one_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: memory for each window of a year; and a bound that is not kept."""
    monkeypatch.setattr("headland.node.survey.NOTED_MAX", 5)
    survey = Survey()

    def tell(start: int, revision: int = 0) -> None:
        told = {"rule": "r", "version": "v", "start": start, "end": start + 60, "revision": revision}
        survey.derived("s/n", "t", b"E" * 16, told)

    for start in range(0, 60_000, 60):
        tell(start)
    tell(0, revision=1)
    tell(100_000)
    with pytest.raises(CapacityError):
        tell(200_000)
