from __future__ import annotations

import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.line.doubles import T0, Commit, S, assert_balanced, at, batch_of, table_of

from headland.line.deciding import Act, EventRule, Expression, Rate, Silence, Threshold
from headland.line.deciding.once import NOTED_MAX, Once
from headland.line.deciding.untold import EVENTS_MAX
from headland.line.filtering import DeadBand, Drop
from headland.line.filtering.shape import Rows
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import (
    NO_SEQUENCE,
    NO_TIME,
    Account,
    ConfigurationError,
    Instant,
    RowClass,
    RowFlag,
    RowKind,
)

STOP = Act(kind="mqtt", target="actuators/{label.machine}/stop", payload='{"because": {value}}')


def line_with(when, names=("a",), **settings_):
    rule = EventRule(name="hot", when=when, act=(STOP,), **settings_)
    table = table_of(*names, labels=(("machine", "press"),))
    return Line(LineRules(default=SeriesRule(name="default", filter=Drop()), events=(rule,)), table)


def events_of(commit, cls=RowClass.HIGH):
    columns = commit.rows(cls)
    return [
        msgspec.msgpack.decode(value)
        for kind, value in zip(columns.kind or [], columns.value, strict=False)
        if kind == RowKind.EVENT
    ]


def feed(line, commit, values, *, start=0, step=1):
    acts = []
    for i, value in enumerate(values):
        second = start + i * step
        acts += line.offer("c", batch_of([(1, T0 + second * S, value)]), at(second), commit).actuations
    return acts


def test_a_threshold_actuates_once_and_clears_only_beyond_the_hysteresis():
    line, commit = line_with(Threshold(above=80, hysteresis=5)), Commit(1)
    acts = feed(line, commit, [79, 81, 90, 78, 76, 74, 81])
    assert [(e["state"], e["value"]) for e in events_of(commit)] == [
        ("raised", 81),
        ("cleared", 74),
        ("raised", 81),
    ]
    assert [(a.kind, a.target, a.payload) for a in acts] == [
        ("mqtt", "actuators/press/stop", b'{"because": 81}'),
        ("mqtt", "actuators/press/stop", b'{"because": 81}'),
    ]
    assert acts[0].key.text() == f"hot:a:t{T0 + S}"


def test_a_condition_must_last_for_s_before_it_is_raised():
    line, commit = line_with(Threshold(above=80, for_s=3)), Commit(1)
    assert feed(line, commit, [81, 81, 79, 81, 82, 83]) == []
    assert len(feed(line, commit, [84], start=6)) == 1
    assert events_of(commit)[0]["since"] == T0 + 3 * S


def test_a_value_that_stays_and_is_not_repeated_is_raised_by_the_clock():
    line, commit = line_with(Threshold(above=80, for_s=3)), Commit(1)
    feed(line, commit, [81])
    assert line.wake(at(2), commit) == ()
    assert len(line.wake(at(3), commit)) == 1


def test_a_reading_older_than_max_age_never_actuates_and_its_event_is_late():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    old = line.offer("c", batch_of([(1, T0, 99)]), at(11), commit)
    assert old.actuations == ()
    assert [e["late"] for e in events_of(commit)] == [True]
    assert commit.rows(RowClass.HIGH).flags == [RowFlag.LATE]
    young = line.offer("c", batch_of([(1, T0 + 12 * S, 99)]), at(12), commit)
    assert len(young.actuations) == 1


def test_an_old_reading_that_clears_a_latch_does_not_act_either():
    undo = Act(kind="http", target="http://localhost/undo", on="clear")
    rule = EventRule(name="hot", when=Threshold(above=80), act=(undo,))
    line = Line(LineRules(events=(rule,)), table_of("a"))
    commit = Commit(1)
    assert feed(line, commit, [99]) == []
    assert line.offer("c", batch_of([(1, T0 + S, 1)]), at(100), commit).actuations == ()
    assert [(e["state"], e["late"]) for e in events_of(commit)] == [("raised", False), ("cleared", True)]
    assert [a.kind for a in feed(line, commit, [99, 1], start=101)] == ["http"]


def test_an_untrusted_clock_does_not_make_a_fresh_reading_old():
    line = line_with(Threshold(above=80))
    offered = line.offer("c", batch_of([(1, T0, 99)]), at(5000, trusted=False), Commit(1))
    assert len(offered.actuations) == 1


@pytest.mark.parametrize(("ahead_s", "trusted"), [(59 * 60, True), (100 * 365 * 86_400, False)])
def test_one_reading_whose_clock_is_ahead_does_not_mute_the_rule(ahead_s: int, trusted: bool):
    """Kills: an interlock that is off for an hour because one packet was stamped wrong."""
    line, commit = line_with(Threshold(above=80, hysteresis=5)), Commit(1)

    def now(second: int) -> Instant:
        return Instant(second * S, T0 + second * S, trusted)

    line.offer("c", batch_of([(1, T0 + ahead_s * S, 20)]), now(0), commit)
    acts = [
        act
        for second, value in enumerate([79, 99, 70, 99], 1)
        for act in line.offer("c", batch_of([(1, T0 + second * S, value)]), now(second), commit).actuations
    ]
    assert len(acts) == 2
    assert not any(event["late"] for event in events_of(commit))


def test_an_older_reading_neither_clears_nor_acts_but_is_told_late():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    feed(line, commit, [90], start=5)
    for second, value in enumerate([10, 95, 96], 2):
        assert line.offer("c", batch_of([(1, T0 + second * S, value)]), at(6), commit).actuations == ()
    assert [(e["state"], e["late"]) for e in events_of(commit)] == [("raised", False), ("raised", True)]


def test_a_rate_of_change_counts_units_per_second():
    line, commit = line_with(Rate(above_per_s=2)), Commit(1)
    assert len(feed(line, commit, [0, 3, 6, 19, 21], step=2)) == 1
    assert events_of(commit)[0]["value"] == 19


def test_silence_is_raised_by_the_clock_and_cleared_by_a_reading():
    line, commit = line_with(Silence(after_s=10)), Commit(1)
    feed(line, commit, [1])
    line.wake(at(0), commit)
    assert line.next_wake() == at(10).monotonic_ns
    assert line.wake(at(9), commit) == ()
    assert len(line.wake(at(10), commit)) == 1
    feed(line, commit, [1], start=12)
    assert [e["state"] for e in events_of(commit)] == ["raised", "cleared"]
    line.wake(at(13), commit)
    assert len(line.wake(at(22), commit)) == 1


def test_an_expression_sees_value_previous_name_and_labels():
    expression = "value > 10.0 && labels['machine'] == 'press' && name == 'a' && previous != null"
    line, commit = line_with(Expression(expression=expression)), Commit(1)
    acts = feed(line, commit, [11, 12, True, "text"])
    assert len(acts) == 1
    assert line.expression_failures == {"hot": 2}


def test_an_expression_that_does_not_parse_or_names_the_unknown_is_a_configuration_error():
    for bad in ("value >", "temperature > 1.0"):
        with pytest.raises(ConfigurationError):
            line_with(Expression(expression=bad))


def test_a_missing_expression_library_is_a_configuration_error_with_a_hint(monkeypatch):
    monkeypatch.setitem(sys.modules, "cel", None)
    with pytest.raises(ConfigurationError, match="headland\\[rules\\]"):
        line_with(Expression(expression="value > 1.0"))


def test_a_step_of_a_latch_must_be_durable_before_its_reading_is_acknowledged():
    line = line_with(Threshold(above=80))
    assert line.offer("c", batch_of([(1, T0, 1)]), at(0), Commit(4)).needs_n == 0
    assert line.offer("c", batch_of([(1, T0 + S, 99)]), at(1), Commit(5)).needs_n == 5
    assert line.offer("c", batch_of([(1, T0 + 2 * S, 99)]), at(2), Commit(6)).needs_n == 0


def test_a_latch_survives_a_crash_and_does_not_act_again():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    snapshot = line.snapshot()
    feed(line, commit, [99])
    again = line_with(Threshold(above=80))
    again.restore(snapshot, at(5))
    again.replay_frame(commit.columns, commit.states, 1, T0, at(5))
    assert feed(again, Commit(2), [99], start=5) == []


def test_an_actuation_of_a_sequenced_reading_without_time_is_keyed_by_its_sequence():
    line = line_with(Threshold(above=80))
    offered = line.offer("c", batch_of([(1, NO_TIME, 99)], seq=[17]), at(0), Commit(1))
    assert offered.actuations[0].key.text() == "hot:a:s17"
    assert offered.actuations[0].key.moment != NO_SEQUENCE


def test_a_changed_rule_resets_its_latch_with_an_event_and_an_unchanged_one_keeps_it():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    feed(line, commit, [99])
    other = EventRule(name="other", when=Threshold(above=70), act=(STOP,))
    line.reconfigure(msgspec.structs.replace(line.rules, events=(other, *line.rules.events)), at(1), commit)
    acts = feed(line, commit, [99], start=2)
    assert [a.key.rule for a in acts] == ["other"]
    line.reconfigure(msgspec.structs.replace(line.rules, events=(other,)), at(3), commit)
    assert [(e["rule"], e["state"]) for e in events_of(commit)][-1] == ("hot", "reset")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-100, 100), max_size=60), st.integers(1, 7), st.sampled_from([0.0, 10.0]))
def test_batches_of_any_width_decide_like_a_reading_at_a_time(values, width, hysteresis):
    line, commit = line_with(Threshold(above=50, below=-50, hysteresis=hysteresis)), Commit(1)
    rows = [(1, T0 + i * S, v) for i, v in enumerate(values)]
    acts = []
    now = Instant(1, T0, trusted=False)
    for i in range(0, len(rows), width):
        acts += line.offer("c", batch_of(rows[i : i + width]), now, commit).actuations
    raised, expected = False, []
    for _, ts, v in rows:
        slack = hysteresis if raised else 0.0
        holds = v > 50 - slack or v < -50 + slack
        if holds and not raised:
            expected.append(ts)
        raised = holds
    assert [a.key.moment for a in acts] == expected


def test_while_nothing_can_be_stored_rules_still_act_and_act_once():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    batch = batch_of([(1, T0, 99)])
    assert len(line.decide(batch, at(0), commit)) == 1
    assert commit.entries.keys() == {(Account.DERIVED, "default", 1, "hot")}
    assert line.decide(batch, at(3), commit) == ()
    assert line.offer("c", batch, at(5), commit).actuations == ()
    assert [e["late"] for e in events_of(commit)] == [False]


def test_what_comes_again_is_not_decided_on_twice_whatever_has_come_in_between():
    """Kills: an actuation and its undoing, done once more for readings that were sent again."""
    line, commit = line_with(Threshold(above=80)), Commit(1)
    rows = [(1, T0, 99), (1, T0 + 1, 10), (1, T0 + 2, 99), (1, T0 + 3, 99)]
    assert len(line.decide(batch_of(rows), at(0), commit)) == 2
    before = len(events_of(commit))
    for row in rows:
        assert line.offer("c", batch_of([row]), at(1), commit).actuations == ()
    assert len(events_of(commit)) == before
    assert commit.entries[(Account.DROPPED, "default", 2, "default")][0] == 4


def test_a_rate_is_not_ended_by_the_reading_that_raised_it_when_it_comes_again():
    line, commit = line_with(Rate(above_per_s=5)), Commit(1)
    rows = [(1, T0, 1), (1, T0 + 1_000_000_000, 99)]
    assert len(line.decide(batch_of(rows), at(1), commit)) == 1
    assert line.offer("c", batch_of(rows), at(1), commit).actuations == ()
    assert [e["state"] for e in events_of(commit)] == ["raised"]


def test_without_time_and_sequence_a_reading_is_decided_on_as_often_as_it_comes():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    rows = batch_of([(1, NO_TIME, 99), (1, NO_TIME, 10)])
    assert len(line.decide(rows, at(0), commit)) == 1
    assert len(line.offer("c", rows, at(1), commit).actuations) == 1


def test_what_is_known_of_readings_that_may_come_again_is_bounded():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    for start in range(0, 40_000, 4_000):
        line.decide(batch_of([(1, T0 + n, 1) for n in range(start, start + 4_000)]), at(0), commit)
    assert len(line.once) == NOTED_MAX


def test_where_events_have_no_room_rules_act_and_what_they_have_to_tell_waits_in_order():
    """Kills: an event of a turned-away reading that is never told; a latch on the disk that stays behind."""
    line, commit = line_with(Threshold(above=80)), Commit(1)
    acts = [
        line.decide(batch_of([(1, T0 + n, v)]), at(0), commit, told=False) for n, v in enumerate((99, 1, 99))
    ]
    assert [len(one) for one in acts] == [1, 0, 1]
    assert events_of(commit) == []
    assert commit.states == []
    assert line.decide(batch_of([(1, T0, 99)]), at(0), commit) == ()
    line.say(at(1), commit)
    assert [one["state"] for one in events_of(commit)] == ["raised", "cleared", "raised"]
    again = line_with(Threshold(above=80))
    again.replay_frame(commit.columns, commit.states, 1, T0, at(0))
    assert msgspec.msgpack.decode(again.snapshot())[-2] == msgspec.msgpack.decode(line.snapshot())[-2]
    line.say(at(2), commit)
    assert len(events_of(commit)) == 3


def test_other_rules_are_told_of_after_what_the_rules_before_had_to_tell():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    line.decide(batch_of([(1, T0, 99)]), at(0), commit, told=False)
    line.reconfigure(LineRules(), at(1), commit)
    assert [one["state"] for one in events_of(commit)] == ["raised", "reset"]


def test_what_waits_to_be_told_is_bounded_and_the_rest_is_counted():
    line = line_with(Threshold(above=80))
    for start in range(0, 6_000, 1_000):
        rows = [(1, T0 + n, 99 if n % 2 else 1) for n in range(start, start + 1_000)]
        line.decide(batch_of(rows), at(0), Commit(1), told=False)
    assert line.untold.take_lost() == 6_000 - 1 - EVENTS_MAX
    assert line.untold.take_lost() == 0
    commit = Commit(2)
    line.say(at(1), commit)
    assert len(events_of(commit)) == EVENTS_MAX


def test_what_will_never_be_stored_is_decided_on_and_booked_refused():
    line, commit = line_with(Threshold(above=80)), Commit(1)
    assert len(line.decide(batch_of([(1, T0, 99)]), at(0), commit, refused=True)) == 1
    assert commit.entries[(Account.REFUSED, "default", 2, "default")] == [1, 10]
    assert_balanced(commit.entries)


def test_conditions_and_acts_without_sense_are_configuration_errors():
    for kind, bad in (
        (Threshold, {}),
        (Threshold, {"above": 1, "for_s": -1}),
        (Rate, {}),
        (Silence, {"after_s": 0}),
        (Expression, {"expression": " "}),
        (Act, {"kind": "mqtt", "target": ""}),
        (EventRule, {"name": "", "when": Threshold(above=1)}),
    ):
        with pytest.raises(ConfigurationError):
            kind(**bad)


def test_a_pending_condition_survives_a_crash_and_is_told_late_by_the_clock():
    line, commit = line_with(Threshold(above=80, for_s=3)), Commit(1)
    feed(line, commit, [81])
    again, first = line_with(Threshold(above=80, for_s=3)), Commit(2)
    again.replay_frame(commit.columns, commit.states, 1, T0, at(1))
    assert again.wake(at(4), first) == ()
    assert [(e["state"], e["late"]) for e in events_of(first)] == [("raised", True)]
    assert len(feed(again, first, [85], start=5)) == 1


def test_filters_and_rules_need_distinct_names():
    rule = EventRule(name="same", when=Threshold(above=1))
    with pytest.raises(ConfigurationError):
        LineRules(series=(SeriesRule(name="same", filter=DeadBand()),), events=(rule,))


def test_true_and_one_of_one_moment_are_two_readings():
    """Kills: values that are equal keys of Python, taken for one reading."""
    once = Once()

    def rows(value: bool | float) -> Rows:
        return Rows([1], [T0], [T0], [value], [1], None, None)

    assert len(once.first(rows(1), {1}).sid) == 1
    assert len(once.first(rows(True), {1}).sid) == 1
    assert len(once.first(rows(1.0), {1}).sid) == 1
    assert len(once.first(rows(1), {1}).sid) == 0


def test_what_waits_to_be_said_is_in_a_checkpoint_as_the_latches_are() -> None:
    """Kills: an alarm that nobody is told of, because a restart remembers that it has been raised."""
    line = line_with(Threshold(above=80))
    line.decide(batch_of([(1, T0, 99)]), at(0), Commit(1), told=False)
    again, commit = line_with(Threshold(above=80)), Commit(2)
    again.restore(line.snapshot(), at(1))
    again.recovered(at(1), commit)
    again.offer("c", batch_of([(1, T0, 99)]), at(1), commit)
    assert again.untold
    again.say(at(2), commit)
    assert [one["state"] for one in events_of(commit)] == ["raised"]
    assert not again.untold
