from __future__ import annotations

from collections import defaultdict
from math import fsum, inf, nan

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.line.doubles import T0, Books, Commit, S, assert_balanced, at, batch_of, table_of

from headland.line.filtering import Summary
from headland.line.filtering.sketch import BINS, Sketch
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import NO_TIME, Account, ConfigurationError, RowClass, RowFlag, RowKind

BASE = T0 - T0 % (60 * S)


def line_with(names=("a",), **settings_):
    filter_ = Summary(**settings_)
    return Line(LineRules(default=SeriesRule(name="default", filter=filter_)), table_of(*names))


def windows_of(commit, cls=RowClass.NORMAL):
    columns = commit.rows(cls)
    return [
        msgspec.msgpack.decode(value)
        for kind, value in zip(columns.kind or [], columns.value, strict=False)
        if kind == RowKind.WINDOW
    ]


def readings_of(commit, cls=RowClass.NORMAL):
    columns = commit.rows(cls)
    kinds = columns.kind or [0] * len(columns)
    flags = columns.flags or [0] * len(columns)
    return [(t, v, f) for t, v, f, k in zip(columns.ts, columns.value, flags, kinds, strict=True) if k == 0]


def test_a_window_is_published_when_the_watermark_passes_its_end_and_its_readings_are_folded():
    line, commit = line_with(), Commit(1)
    line.offer("c", batch_of([(1, BASE + i * S, float(i)) for i in range(90)]), at(90), commit)
    assert windows_of(commit) == []
    assert commit.entries[(Account.HELD, "default", 2, "default")] == [90, 900]
    line.offer("c", batch_of([(1, BASE + 90 * S, 90.0)]), at(90), commit)
    (row,) = windows_of(commit)
    assert (row["start"], row["end"], row["revision"], row["complete"]) == (BASE, BASE + 60 * S, 0, True)
    assert (row["count"], row["min"], row["max"], row["sum"]) == (60, 0.0, 59.0, 1770.0)
    assert row["mean"] == 29.5
    assert row["std"] == pytest.approx(17.318, abs=1e-3)
    assert row["quantiles"]["0.5"] == pytest.approx(29, rel=row["quantile_error"])
    assert commit.entries[(Account.FOLDED, "default", 2, "default")] == [60, 600]
    assert commit.entries[(Account.HELD, "default", 2, "default")] == [31, 310]
    assert_balanced(commit.entries)


def test_a_reading_for_a_published_window_makes_a_revision_and_a_later_one_is_kept_late():
    line, commit = line_with(lateness_s=10, hold_s=60), Commit(1)
    line.offer("c", batch_of([(1, BASE, 1.0), (1, BASE + 75 * S, 2.0)]), at(75), commit)
    line.offer("c", batch_of([(1, BASE + S, 9.0)]), at(76), commit)
    line.wake(at(77), commit)
    assert [row["revision"] for row in windows_of(commit)] == [0]
    line.wake(at(88), commit)
    revised = windows_of(commit)[-1]
    assert (revised["revision"], revised["count"], revised["max"]) == (1, 2, 9.0)
    line.offer("c", batch_of([(1, BASE + 135 * S, 3.0)]), at(136), commit)
    line.offer("c", batch_of([(1, BASE + 2 * S, 7.0)]), at(137), commit)
    assert readings_of(commit) == [(BASE + 2 * S, 7.0, RowFlag.LATE)]
    assert len([r for r in windows_of(commit) if r["start"] == BASE]) == 2
    assert_balanced(commit.entries)


def test_a_silent_series_publishes_its_window_and_then_forgets_it():
    line, commit = line_with(), Commit(1)
    line.offer("c", batch_of([(1, BASE + S, 4.0)]), at(1), commit)
    assert line.next_wake() is not None
    for second in range(2, 200):
        line.wake(at(second), commit)
    assert [row["count"] for row in windows_of(commit)] == [1]
    assert commit.entries[(Account.HELD, "default", 2, "default")] == [0, 0]
    for second in range(200, 1000):
        line.wake(at(second), commit)
    assert line.next_wake() is None


@pytest.mark.parametrize("odd", [nan, inf, "text", b"x", True])
def test_what_cannot_be_folded_is_kept_as_itself(odd):
    line, commit = line_with(), Commit(1)
    line.offer("c", batch_of([(1, BASE, 1.0), (1, BASE + S, odd), (1, BASE + 2 * S, 3)]), at(3), commit)
    assert [repr(v) for _, v, _ in readings_of(commit)] == [repr(odd)]
    assert commit.entries[(Account.HELD, "default", 2, "default")] == [2, 20]


def test_readings_without_device_time_are_placed_by_node_time():
    line, commit = line_with(), Commit(1)
    line.offer("c", batch_of([(1, NO_TIME, 1.0)]), at(0), commit)
    later = Commit(2)
    line.offer("c", batch_of([(1, NO_TIME, 2.0)]), at(100), later)
    (row,) = windows_of(later)
    assert row["start"] == BASE
    assert row["count"] == 1


def test_a_window_longer_than_it_is_held_for_or_quantiles_out_of_order_are_configuration_errors():
    for bad in ({"window_s": 0}, {"window_s": 0.01}, {"quantiles": (0.9, 0.5)}, {"quantiles": (1.5,)}):
        with pytest.raises(ConfigurationError):
            Summary(**bad)


values = st.one_of(st.floats(-1e6, 1e6), st.integers(-1000, 1000), st.floats(-1e300, 1e300))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(-70, 40), values), min_size=1, max_size=120), st.integers(1, 30))
def test_count_minimum_maximum_and_sum_of_every_window_are_exact_whatever_the_batches(steps, width):
    line, books = line_with(lateness_s=20, hold_s=100), Books()
    moment, readings = BASE, []
    for step, value in steps:
        moment = max(BASE, moment + step * S // 2)
        readings.append((moment, value))
    told, late = {}, []
    n = 0
    clock = 0.0

    def collect(commit):
        books.add(commit)
        assert_balanced(books.entries)
        for row in windows_of(commit):
            key = row["start"]
            assert row["revision"] == (told[key]["revision"] + 1 if key in told else 0)
            told[key] = row
        late.extend(readings_of(commit))

    for i in range(0, len(readings), width):
        n += 1
        commit = Commit(n)
        line.offer("c", batch_of([(1, ts, v) for ts, v in readings[i : i + width]]), at(500), commit)
        collect(commit)
    for _ in range(300):
        clock += 5
        commit = Commit(n := n + 1)
        line.wake(at(500 + clock), commit)
        collect(commit)
    assert all(flag == RowFlag.LATE for _, _, flag in late)
    remaining = list(readings)
    for ts, value, _ in late:
        remaining.remove((ts, value))
    model = defaultdict(list)
    for ts, value in remaining:
        model[ts - ts % (60 * S)].append(value)
    assert set(model) == set(told)
    for start, members in model.items():
        row = told[start]
        assert (row["count"], row["min"], row["max"]) == (len(members), min(members), max(members))
        assert row["sum"] == pytest.approx(fsum(members), rel=1e-15, abs=1e-300)
    assert books.total(Account.HELD) == 0
    assert books.total(Account.FOLDED) == len(remaining)


def test_a_reading_older_than_every_held_window_is_late_even_where_none_was():
    line, commit = line_with(lateness_s=10, hold_s=60), Commit(1)
    line.offer("c", batch_of([(1, BASE + 600 * S, 1.0), (1, BASE, 2.0)]), at(600), commit)
    assert readings_of(commit) == [(BASE, 2.0, RowFlag.LATE)]
    line.offer("c", batch_of([(1, BASE + 540 * S, 3.0)]), at(600), commit)
    assert len(commit.rows(RowClass.HELD)) == 2


@pytest.mark.parametrize("width", [1, 7, 1000])
def test_a_window_of_thousands_counts_each_reading_once(width):
    line, commit = line_with(), Commit(1)
    members = [float((i * 7919) % 1013) / 8 for i in range(3000)]
    rows = [(1, BASE + i * 60 * S // 3000, v) for i, v in enumerate(members)]
    for i in range(0, 3000, width):
        line.offer("c", batch_of(rows[i : i + width]), at(60), commit)
    line.offer("c", batch_of([(1, BASE + 95 * S, 0.0)]), at(95), commit)
    (row,) = windows_of(commit)
    assert (row["count"], row["sum"], row["min"], row["max"]) == (
        3000,
        fsum(members),
        min(members),
        max(members),
    )
    mean = fsum(members) / 3000
    assert row["std"] == pytest.approx((fsum((v - mean) ** 2 for v in members) / 3000) ** 0.5, rel=1e-12)
    assert commit.entries[(Account.FOLDED, "default", 2, "default")] == [3000, 30000]


def test_a_sum_that_no_longer_fits_is_infinite_and_the_extremes_stay_exact():
    line, commit = line_with(), Commit(1)
    line.offer(
        "c", batch_of([(1, BASE, 1e308), (1, BASE, 1e308), (1, BASE + 90 * S, -1e308)]), at(90), commit
    )
    (row,) = windows_of(commit)
    assert (row["sum"], row["max"], row["count"]) == (inf, 1e308, 2)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=300))
def test_a_quantile_is_wrong_by_no_more_than_the_sketch_says_and_the_sketch_stays_small(members):
    sketch = Sketch()
    for member in members:
        sketch.add({member: 1})
    assert len(sketch.positive) + len(sketch.negative) <= BINS
    ordered = sorted(members)
    for share in (0.0, 0.5, 0.99, 1.0):
        exact = ordered[int(share * (len(ordered) - 1))]
        (found,) = sketch.quantiles([share], ordered[0], ordered[-1])
        assert abs(found - exact) <= sketch.error * abs(exact) * 1.0000001 + 1e-300


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.randoms(use_true_random=False))
def test_a_sketch_depends_on_the_values_and_not_on_their_order(members, shuffler):
    one, other = Sketch(), Sketch()
    for member in members:
        one.add({member: 1})
    shuffler.shuffle(members)
    for member in members:
        other.add({member: 1})
    assert one.state() == other.state()
