"""The duties of every filter, checked alike for each kind and for the example plug-in."""

from __future__ import annotations

import copy
import inspect
import sys
import tomllib
from math import inf, nan
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.line.doubles import T0, Books, Commit, S, assert_balanced, at, batch_of, table_of

from headland.blocks import codec
from headland.line.filtering import (
    Boost,
    DeadBand,
    Drop,
    Filter,
    FilterKind,
    Keep,
    Plugin,
    Rows,
    Severity,
    Summary,
    Vibration,
)
from headland.line.filtering.shape import HOLD, KEEP_BOOST, Row
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import NO_TIME, Account, ConfigurationError, RowClass

EXAMPLES = str(Path(__file__).parents[2] / "examples" / "filters")
sys.path.insert(0, EXAMPLES)

CASES = {
    "keep": Keep(),
    "drop": Drop(above=3, equal=("off",)),
    "deadband": DeadBand(floor=0.5, heartbeat_s=30),
    "summary": Summary(window_s=10, lateness_s=5, hold_s=20),
    "severity": Severity(),
    "vibration": Vibration(rate_hz=1, window=16, summary_s=60, limits={"rms": 3.0}, packed="int16"),
    "boost": Boost(before_s=5, after_s=5, above=5, inner=DeadBand(floor=1)),
    "boost over summary": Boost(
        before_s=5, after_s=5, below=-5, inner=Summary(window_s=10, lateness_s=5, hold_s=20)
    ),
    "plugin": Plugin(use="first_of_period:FirstOfPeriod", options={"period_s": 4.0}),
}
every_filter = pytest.mark.parametrize("name", sorted(CASES))

odd = st.sampled_from(
    [nan, inf, -inf, "", "ERROR", "2024-01-01 00:00:00 INFO x", b"", b"\x01\x02", True, 1 << 62]
)
readings = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.one_of(st.integers(-25, 25), st.sampled_from([-60, 60]), st.none()),
        st.one_of(st.floats(-8, 8), st.integers(-8, 8), odd),
    ),
    max_size=30,
)


def rule_of(name):
    return LineRules(default=SeriesRule(name="default", filter=CASES[name]))


def batch(rows, second):
    return batch_of([(s, NO_TIME if dt is None else T0 + (second + dt) * S, v) for s, dt, v in rows])


def test_every_kind_of_filter_has_a_case_here():
    assert {type(case) for case in CASES.values()} == set(get_args(FilterKind))


def test_the_handbook_names_every_kind_and_its_example_is_valid():
    page = (Path(__file__).parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")
    for kind in get_args(FilterKind):
        assert f"| `{kind.__struct_config__.tag}` |" in page
    example = tomllib.loads(page.split("```toml")[1].split("```")[0])
    rules = msgspec.convert({"series": example["series"], "events": example["rule"]}, type=LineRules)
    assert [rule.name for rule in (*rules.series, *rules.events)] == ["temperatures", "hot"]


@every_filter
def test_the_declaration_survives_its_text_and_refuses_unknown_keys(name):
    text = msgspec.json.encode(CASES[name])
    assert msgspec.json.decode(text, type=FilterKind) == CASES[name]
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(text[:-1] + b',"no_such_key":1}', type=FilterKind)


@every_filter
def test_every_field_of_the_declaration_is_described(name):
    kind = type(CASES[name])
    text = inspect.getdoc(kind) or ""
    for field in kind.__struct_fields__:
        assert f"    {field}: " in text, f"{kind.__name__}.{field} is not described"


@every_filter
def test_the_loss_is_declared_in_words(name):
    loss = CASES[name].loss()
    assert loss.text
    assert loss.time_s >= 0


@every_filter
@settings(max_examples=40, deadline=None)
@given(batches=st.lists(readings, max_size=6))
def test_every_row_is_booked_once_and_the_books_balance(name, batches):
    line, books = Line(rule_of(name), table_of("a", "b")), Books()
    total = 0
    for n, rows in enumerate(batches):
        commit = Commit(n + 1)
        line.offer("c", batch(rows, n * 5), at(n * 5), commit)
        line.wake(at(n * 5 + 1), commit)
        total += len(rows)
        books.add(commit)
        assert_balanced(books.entries)
        assert books.total(Account.OFFERED) == total


@every_filter
@settings(max_examples=40, deadline=None)
@given(batches=st.lists(readings, max_size=6))
def test_what_a_filter_says_it_holds_is_what_the_books_say_is_held(name, batches):
    """Kills: a filter that holds and does not tell: behind missing commits that would be written off."""
    line, books = Line(rule_of(name), table_of("a", "b")), Books()
    for n, rows in enumerate(batches):
        commit = Commit(n + 1)
        line.offer("c", batch(rows, n * 5), at(n * 5), commit)
        line.wake(at(n * 5 + 1), commit)
        books.add(commit)
        held = line.held().values()
        assert sum(readings for readings, _ in held) == books.total(Account.HELD)


@every_filter
@settings(max_examples=40, deadline=None)
@given(batches=st.lists(readings, max_size=4), probe=readings)
def test_judging_changes_nothing(name, batches, probe):
    line = Line(rule_of(name), table_of("a", "b"))
    for n, rows in enumerate(batches):
        line.offer("c", batch(rows, n * 5), at(n * 5), Commit(n + 1))
    line.offer("c", batch([], 0), at(0), Commit(9))
    one = Filter() if not line._plans.of else line._plans.of[1].filters[0]
    if not line._plans.of:
        return
    before = line.snapshot()
    for sid, dt, value in probe:
        when = T0 + (dt or 0) * S
        one.judge(Row(sid, NO_TIME if dt is None else when, when, value))
    assert line.snapshot() == before


@every_filter
@settings(max_examples=50, deadline=None)
@given(batches=st.lists(readings, max_size=4))
def test_whole_columns_give_what_row_by_row_gives(name, batches):
    fast, slow = Line(rule_of(name), table_of("a", "b")), Line(rule_of(name), table_of("a", "b"))
    for n, rows in enumerate(batches):
        one, other = Commit(n + 1), Commit(n + 1)
        fast.offer("c", batch(rows, n * 5), at(n * 5), one)
        for row in rows:
            slow.offer("c", batch([row], n * 5), at(n * 5), other)
        assert one.entries == other.entries or not rows
        for cls in (RowClass.NORMAL, RowClass.HIGH, RowClass.HELD):
            left, right = one.rows(cls), other.rows(cls)
            assert sorted(zip(left.sid, left.ts, map(repr, left.value), strict=True)) == sorted(
                zip(right.sid, right.ts, map(repr, right.value), strict=True)
            )
    assert fast.snapshot() == slow.snapshot()


@every_filter
@settings(max_examples=40, deadline=None)
@given(batches=st.lists(readings, max_size=6))
def test_no_row_stays_held_when_the_rule_ends(name, batches):
    line, books = Line(rule_of(name), table_of("a", "b")), Books()
    for n, rows in enumerate(batches):
        commit = Commit(n + 1)
        line.offer("c", batch(rows, n * 5), at(n * 5), commit)
        books.add(commit)
    last = Commit(99)
    line.reconfigure(
        LineRules(default=SeriesRule(name="default", filter=Keep(), priority="low")), at(50), last
    )
    books.add(last)
    assert_balanced(books.entries)
    assert books.total(Account.HELD) == 0
    assert books.total(Account.VOLATILE) == 0


@every_filter
@settings(max_examples=20, deadline=None)
@given(batches=st.lists(readings, min_size=1, max_size=4))
def test_held_rows_end_by_the_clock_when_nothing_more_comes(name, batches):
    line, books = Line(rule_of(name), table_of("a", "b")), Books()
    for n, rows in enumerate(batches):
        commit = Commit(n + 1)
        line.offer("c", batch(rows, n * 5), at(n * 5), commit)
        books.add(commit)
    second = 30
    for n in range(60):
        commit = Commit(100 + n)
        second += 5
        line.wake(at(second), commit)
        books.add(commit)
        assert_balanced(books.entries)
    assert books.total(Account.HELD) == 0
    assert line.next_wake() is None


@every_filter
@settings(max_examples=40, deadline=None)
@given(batches=st.lists(readings, min_size=1, max_size=5))
def test_a_snapshot_and_the_frames_after_it_rebuild_the_state(name, batches):
    line = Line(rule_of(name), table_of("a", "b"))
    snapshot = line.snapshot()
    commits = []
    for n, rows in enumerate(batches):
        commit = Commit(n + 1)
        line.offer("c", batch(rows, n * 5), at(n * 5), commit)
        line.wake(at(n * 5 + 3), commit)
        commits.append(commit)
    again = Line(rule_of(name), table_of("a", "b"))
    again.restore(copy.copy(snapshot), at(0))
    for commit in commits:
        columns = {cls: codec.decode(codec.encode(rows)) for cls, rows in commit.columns.items() if len(rows)}
        again.replay_frame(columns, commit.states, commit.n, T0, at(0))
    left, right = (repr(msgspec.msgpack.decode(one.snapshot())[:-1]) for one in (line, again))
    assert left == right


def test_a_filter_without_a_judgement_is_a_defect_of_its_author():
    with pytest.raises(TypeError):
        Filter().judge(Row(1, 0, 0, 1.0))
    assert HOLD < KEEP_BOOST
    assert Rows([1], [0], [0], [1.0], [1]).row(0).value == 1.0


def test_a_plug_in_that_cannot_be_had_is_a_configuration_error():
    for bad in (
        Plugin(use="no_such_module:Thing"),
        Plugin(use="first_of_period:NoSuchClass"),
        Plugin(use="first_of_period:Any"),
        Plugin(use="first_of_period:FirstOfPeriod", options={"period": 1}),
    ):
        with pytest.raises(ConfigurationError):
            bad.load()
