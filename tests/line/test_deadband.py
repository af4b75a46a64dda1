from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.line.doubles import T0, Commit, S, assert_balanced, at, batch_of, table_of

from headland.line.deciding import EventRule, Threshold
from headland.line.filtering import Boost, DeadBand, Drop, Keep, Summary
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import NO_TIME, Account, ConfigurationError, RowClass, RowFlag, RowKind


def line_with(filter_, names=("a",)):
    return Line(LineRules(default=SeriesRule(name="default", filter=filter_)), table_of(*names))


def run(line, values, *, step=S, start=T0):
    """Kept (ts, value, flags) of one series, one batch a value."""
    commit = Commit(1)
    for i, value in enumerate(values):
        line.offer("c", batch_of([(1, start + i * step, value)]), at(i), commit)
        assert_balanced(commit.entries)
    return kept(commit)


def kept(commit, cls=RowClass.NORMAL):
    columns = commit.rows(cls)
    flags = columns.flags or [0] * len(columns)
    return list(zip(columns.ts, columns.value, flags, strict=True))


def test_the_first_reading_is_the_reference_and_small_changes_are_dropped():
    rows = run(line_with(DeadBand()), [100.0, 104.9, 95.1, 105.1, 105.0])
    assert [(v, f) for _, v, f in rows] == [(100.0, RowFlag.REFERENCE), (105.1, 0)]


def test_a_difference_of_exactly_the_threshold_is_dropped():
    assert len(run(line_with(DeadBand(absolute=0.5)), [1.0, 1.5, 0.5])) == 1


@pytest.mark.parametrize("odd", [nan, inf, -inf, "text", b"bytes"])
def test_a_value_that_is_no_number_goes_north_when_it_differs_and_not_when_it_repeats(odd):
    rows = run(line_with(DeadBand()), [1.0, odd, odd, 1.0])
    assert len(rows) == 3


def test_integers_at_the_edge_of_64_bits_are_compared_exactly():
    top = (1 << 63) - 1
    rows = run(line_with(DeadBand(absolute=0.0)), [top, top - 1, top - 1, top])
    assert [v for _, v, _ in rows] == [top, top - 1, top]


def test_a_reading_not_newer_than_the_reference_is_kept_late_and_does_not_move_it():
    line = line_with(DeadBand())
    commit = Commit(1)
    line.offer(
        "c", batch_of([(1, T0 + 5 * S, 100.0), (1, T0 + 4 * S, 50.0), (1, T0 + 6 * S, 101.0)]), at(6), commit
    )
    assert kept(commit) == [(T0 + 5 * S, 100.0, RowFlag.REFERENCE), (T0 + 4 * S, 50.0, RowFlag.LATE)]


def test_a_heartbeat_sends_an_unchanged_value_again():
    rows = run(line_with(DeadBand(heartbeat_s=3)), [1.0] * 8)
    assert [(ts - T0) // S for ts, _, _ in rows] == [0, 3, 6]


def test_a_heartbeat_of_readings_without_device_time_counts_node_time():
    line = line_with(DeadBand(heartbeat_s=3))
    times = []
    for i in range(8):
        commit = Commit(i + 1)
        line.offer("c", batch_of([(1, NO_TIME, 1.0)]), at(i), commit)
        if commit.columns.get(RowClass.NORMAL):
            times.append(i)
    assert times == [0, 3, 6]


def test_after_a_tombstone_the_next_reading_is_a_fresh_reference():
    line = line_with(DeadBand())
    commit = Commit(1)
    line.offer("c", batch_of([(1, T0, 100.0)]), at(0), commit)
    line.refresh([1], at(1), commit)
    line.offer("c", batch_of([(1, T0 + S, 100.0)]), at(2), commit)
    assert [f for _, _, f in kept(commit)] == [RowFlag.REFERENCE, RowFlag.REFERENCE]


def test_after_a_tombstone_a_reading_older_than_the_newest_judged_is_late_and_no_reference():
    line = line_with(DeadBand())
    commit = Commit(1)
    line.offer("c", batch_of([(1, T0, 100.0), (1, T0 + 2 * S, 101.0)]), at(2), commit)
    line.refresh([1], at(2), commit)
    line.offer("c", batch_of([(1, T0 + S, 100.0), (1, T0 + 3 * S, 100.0)]), at(3), commit)
    assert [f for _, _, f in kept(commit)] == [RowFlag.REFERENCE, RowFlag.LATE, RowFlag.REFERENCE]


def test_a_reading_older_than_a_dropped_one_is_kept_late_and_does_not_move_the_reference():
    """Were the 50 a reference, a reader would hold it where 101 was dropped."""
    line = line_with(DeadBand())
    commit = Commit(1)
    line.offer("c", batch_of([(1, T0, 100.0), (1, T0 + 2 * S, 101.0)]), at(2), commit)
    line.offer("c", batch_of([(1, T0 + S, 50.0), (1, T0 + 3 * S, 102.0)]), at(3), commit)
    assert kept(commit) == [(T0, 100.0, RowFlag.REFERENCE), (T0 + S, 50.0, RowFlag.LATE)]


def test_after_a_restart_what_was_late_is_no_reference_either():
    line = line_with(DeadBand())
    commit = Commit(1)
    line.offer("c", batch_of([(1, T0, 100.0), (1, T0 + 2 * S, 101.0), (1, T0 + S, 50.0)]), at(2), commit)
    again = line_with(DeadBand())
    again.replay_frame(commit.columns, commit.states, 1, T0, at(3))
    after = Commit(2)
    again.offer("c", batch_of([(1, T0 + 3 * S, 102.0)]), at(3), after)
    assert kept(after) == []


def test_an_implausible_time_is_kept_flagged_and_touches_no_reference():
    line = line_with(DeadBand())
    commit = Commit(1)
    line.offer("c", batch_of([(1, T0, 100.0), (1, T0 + 9000 * S, 1.0), (1, T0 + S, 100.0)]), at(0), commit)
    assert [f for _, _, f in kept(commit)] == [RowFlag.TIME_IMPLAUSIBLE, RowFlag.REFERENCE]
    assert_balanced(commit.entries)


def test_a_drop_waits_for_the_commit_of_its_reference_only():
    line = line_with(DeadBand())
    assert line.offer("c", batch_of([(1, T0, 100.0)]), at(0), Commit(7)).needs_n == 7
    assert line.offer("c", batch_of([(1, T0 + S, 100.0)]), at(1), Commit(9)).needs_n == 7


def test_a_drop_rule_waits_for_nothing_and_is_counted():
    line = line_with(Drop(below=5))
    commit = Commit(3)
    assert line.offer("c", batch_of([(1, T0, 1.0)]), at(0), commit).needs_n == 0
    assert commit.entries[(Account.DROPPED, "default", RowClass.NORMAL, "default")] == [1, 10]
    line.offer("c", batch_of([(1, T0, 6.0), (1, T0, "x")]), at(0), commit)
    assert [v for _, v, _ in kept(commit)] == [6.0, "x"]


def test_a_threshold_that_is_not_a_number_is_a_configuration_error():
    for bad in ({"ratio": nan}, {"floor": -1.0}, {"absolute": inf}, {"heartbeat_s": -1.0}):
        with pytest.raises(ConfigurationError):
            DeadBand(**bad)


def test_keep_all_keeps_everything_in_order():
    rows = run(line_with(Keep()), [3.0, 1, "x", True])
    assert [v for _, v, _ in rows] == [3.0, 1, "x", True]


numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-100, 100),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(-100, 100),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 12), numbers), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.sampled_from([0.0, 0.1, 5.0]),
    st.sampled_from([None, 0.0, 2.5]),
    st.integers(1, 5),
)
def test_no_dropped_reading_is_further_from_the_hold_than_declared(steps, ratio, floor, absolute, width):
    """A model judges each reading alone; batches of any width give the same rows within the bound."""
    config = DeadBand(ratio=ratio, floor=floor, absolute=absolute)
    line, commit = line_with(config), Commit(1)
    readings, now = [], T0
    for step, value in steps:
        now += step * S
        readings.append((now, value))
    for i in range(0, len(readings), width):
        line.offer("c", batch_of([(1, ts, v) for ts, v in readings[i : i + width]]), at(60), commit)
        assert_balanced(commit.entries)
    expected, hold, hold_ts, judged = [], None, None, NO_TIME
    for ts, value in readings:
        if ts <= judged:
            expected.append((ts, value, RowFlag.LATE))
            continue
        judged = ts
        if hold_ts is not None and (value == hold or (value != value and hold != hold)):
            continue
        if hold_ts is not None and abs(value - hold) <= config.threshold(hold) < inf:
            assert abs(value - hold) <= (absolute if absolute is not None else max(ratio * abs(hold), floor))
            continue
        expected.append((ts, value, 0 if hold_ts is not None else RowFlag.REFERENCE))
        hold, hold_ts = value, ts
    assert repr(kept(commit)) == repr(expected)


BANDS = {
    "band": ((), DeadBand(absolute=2.0)),
    "band and summary": (
        (SeriesRule(name="band", filter=DeadBand(absolute=2.0), final=False),),
        Summary(window_s=5, lateness_s=3, hold_s=6),
    ),
    "boosted": ((), Boost(before_s=4, after_s=2, above=9, ring_rows=3, inner=DeadBand(absolute=2.0))),
    "boosted from outside": (
        (),
        Boost(before_s=4, after_s=2, on=("high",), ring_rows=3, inner=DeadBand(absolute=2.0)),
    ),
    "two bands": (
        (SeriesRule(name="wide", filter=DeadBand(absolute=2.0), final=False),),
        DeadBand(absolute=1.0),
    ),
}


@pytest.mark.parametrize("name", sorted(BANDS))
@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 30), st.integers(0, 10)),
            st.tuples(st.integers(0, 30), st.integers(0, 10)),
            st.just("tombstone"),
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 4),
)
def test_whatever_the_order_of_arrival_who_holds_the_newest_kept_value_is_within_the_bound(
    name, steps, width
):
    """Asked at the end, when all that was kept is there, and of every reading that is not."""
    series, last = BANDS[name]
    rules = LineRules(
        series=series,
        default=SeriesRule(name="default", filter=last),
        events=(EventRule(name="high", when=Threshold(above=8), max_age_s=100),),
    )
    line, commit, clock = Line(rules, table_of("a")), Commit(1), 0
    readings = []
    for step in steps:
        clock += 1
        if step == "tombstone":
            line.refresh([1], at(clock), commit)
            continue
        readings.append((T0 + step[0] * S, float(step[1])))
        if len(readings) % width == 0:
            line.offer("c", batch_of([(1, *one) for one in readings[-width:]]), at(clock), commit)
    done = readings[: len(readings) - len(readings) % width]
    columns = commit.rows(RowClass.NORMAL)
    kinds = columns.kind or [0] * len(columns)
    flags = columns.flags or [0] * len(columns)
    here = [
        (ts, value, flag)
        for ts, value, flag, kind in zip(columns.ts, columns.value, flags, kinds, strict=True)
        if kind == RowKind.READING
    ]
    holds = sorted((ts, value) for ts, value, flag in here if not flag & RowFlag.LATE)
    for ts, value in set(done) - {(ts, value) for ts, value, _ in here}:
        held = [hold for at_ts, hold in holds if at_ts <= ts]
        assert held
        assert abs(held[-1] - value) <= 2.0


@settings(max_examples=300, deadline=None)
@given(
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from([0.0, 0.1, 7.0]),
    st.lists(st.tuples(st.sampled_from([-1, 1]), st.floats(0.9, 1.1)), max_size=20),
)
def test_near_the_threshold_the_quick_test_agrees_with_the_exact_one(reference, ratio, floor, nearby):
    config = DeadBand(ratio=ratio, floor=floor)
    line, commit = line_with(config), Commit(1)
    threshold = config.threshold(reference)
    readings = [reference, *(reference + sign * threshold * share for sign, share in nearby)]
    line.offer("c", batch_of([(1, T0 + i * S, v) for i, v in enumerate(readings)]), at(60), commit)
    expected, hold = [], None
    for value in readings:
        if hold is None or abs(value - hold) > config.threshold(hold):
            expected.append(value)
            hold = value
    assert [v for _, v, _ in kept(commit)] == expected
