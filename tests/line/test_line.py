from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.line.doubles import T0, Books, Commit, S, assert_balanced, at, batch_of, table_of

from headland.line.deciding import Act, EventRule, Silence
from headland.line.filtering import Boost, DeadBand, Keep, Severity, Summary, Vibration
from headland.line.filtering.selection import filled, matched, overlap
from headland.line.line import Line
from headland.line.newest import KEYS_PER_CLIENT
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import (
    NO_TIME,
    Account,
    Batch,
    ConfigurationError,
    DefectError,
    RowClass,
    RowFlag,
    RowKind,
    SeriesKey,
)

BASE = T0 - T0 % (60 * S)


def line_with(filter_, names=("a",), **settings_):
    return Line(LineRules(default=SeriesRule(name="default", filter=filter_, **settings_)), table_of(*names))


def rows_of(commit, cls=RowClass.NORMAL):
    columns = commit.rows(cls)
    kinds = columns.kind or [0] * len(columns)
    flags = columns.flags or [0] * len(columns)
    return [(t, v, f, k) for t, v, f, k in zip(columns.ts, columns.value, flags, kinds, strict=True)]


def twice(line, rows, *, seq=None, between=()):
    """Offer rows, then the same marked as a repeat; the result of the second offer."""
    line.offer("c", batch_of(rows, seq=seq), at(0), Commit(1), duplicate_suspect=[False])
    for other in between:
        line.offer("c", batch_of(other), at(0), Commit(1), duplicate_suspect=[False])
    commit = Commit(2)
    offered = line.offer("c", batch_of(rows, seq=seq), at(1), commit, duplicate_suspect=[True])
    assert_balanced(commit.entries)
    return offered, commit


def test_a_repeat_with_the_same_time_and_value_is_a_duplicate_and_waits_for_the_first():
    offered, commit = twice(line_with(Keep()), [(1, T0, 1.0), (1, T0 + S, float("nan"))])
    assert (offered.duplicates, offered.needs_n) == (2, 1)
    assert commit.entries[(Account.DUPLICATE, "default", 2, "default")] == [2, 20]
    assert rows_of(commit) == []


def test_a_repeat_is_proved_by_its_sequence_where_it_has_no_time():
    offered, _ = twice(line_with(Keep()), [(1, NO_TIME, 1.0)], seq=[5])
    assert offered.duplicates == 1


def test_an_equal_reading_without_time_and_sequence_is_no_repeat_but_a_suspect():
    line = line_with(Keep())
    offered, commit = twice(line, [(1, NO_TIME, 1.0)])
    assert offered.duplicates == 0
    assert len(rows_of(commit)) == 1
    assert line.suspected == 1


def test_a_publish_without_the_mark_is_taken_again():
    line = line_with(Keep())
    for n in (1, 2):
        assert (
            line.offer("c", batch_of([(1, T0, 1.0)]), at(0), Commit(n), duplicate_suspect=[False]).duplicates
            == 0
        )


def test_another_value_at_the_same_time_is_no_repeat():
    line = line_with(Keep())
    line.offer("c", batch_of([(1, T0, 1.0)]), at(0), Commit(1), duplicate_suspect=[False])
    assert (
        line.offer("c", batch_of([(1, T0, 2.0)]), at(0), Commit(2), duplicate_suspect=[True]).duplicates == 0
    )


def test_repeats_within_one_batch_are_found():
    line, commit = line_with(Keep()), Commit(1)
    batch = Batch([1, 1], [T0, T0], [1.0, 1.0], [10, 10], None, None, [1, 2])
    assert line.offer("c", batch, at(0), commit, duplicate_suspect=[False, True]).duplicates == 1


def test_only_the_newest_rows_of_a_client_are_compared():
    many = [[(1, T0 + (i + 1) * S, 1.0)] for i in range(KEYS_PER_CLIENT)]
    assert twice(line_with(Keep()), [(1, T0, 1.0)], between=many[:-1])[0].duplicates == 1
    assert twice(line_with(Keep()), [(1, T0, 1.0)], between=many)[0].duplicates == 0


def test_repeats_that_come_one_by_one_are_found_among_what_comes_between_them():
    """Kills: an index that is not kept up with what is taken after the first repeat."""
    line, model, marked = line_with(Keep()), [], []
    fresh = iter(range(10_000))
    for step in range(3 * KEYS_PER_CLIENT):
        again = step % 3 == 2
        second = model[-1 - step * 7 % len(model)] if again else next(fresh)
        offered = line.offer(
            "c", batch_of([(1, T0 + second * S, 1.0)]), at(0), Commit(step + 1), duplicate_suspect=[again]
        )
        marked.append((offered.duplicates == 1, second in model[-KEYS_PER_CLIENT:]))
        if not offered.duplicates:
            model.append(second)
    assert all(found is known for found, known in marked)
    assert sum(found for found, _ in marked) > KEYS_PER_CLIENT // 2


def test_a_run_of_repeats_longer_than_what_is_remembered_is_known_as_far_as_it_is_remembered():
    """Kills: an index whose newest entries are pushed out by the repeat of what it has forgotten."""
    line, length = line_with(Keep()), KEYS_PER_CLIENT + 500
    run = [(1, T0 + i * S, 1.0) for i in range(length)]
    for n, mark in ((1, False), (2, True)):
        offered = line.offer("c", batch_of(run), at(0), Commit(n), duplicate_suspect=[mark])
    assert offered.duplicates == KEYS_PER_CLIENT


def test_a_repeat_of_what_was_committed_before_a_crash_is_found_after_it():
    line, commit = line_with(Summary()), Commit(1)
    line.offer("c", batch_of([(1, BASE, 1.0)]), at(0), commit, duplicate_suspect=[False])
    again = line_with(Summary())
    again.replay_frame(commit.columns, commit.states, 1, T0, at(0))
    offered = again.offer("c", batch_of([(1, BASE, 1.0)]), at(1), Commit(2), duplicate_suspect=[True])
    assert (offered.duplicates, offered.needs_n) == (1, 1)


def test_a_summary_folds_a_reading_once_however_many_windows_count_it():
    rules = LineRules(
        series=(SeriesRule(name="minute", filter=Summary(), final=False),),
        default=SeriesRule(name="default", filter=Summary(window_s=120)),
    )
    line, commit, even = Line(rules, table_of("a")), Commit(1), T0 - T0 % (120 * S)
    line.offer("c", batch_of([(1, even + i * S, float(i)) for i in range(240)]), at(240), commit)
    assert_balanced(commit.entries)
    windows = [msgspec.msgpack.decode(v) for _, v, _, k in rows_of(commit) if k == RowKind.WINDOW]
    assert Counter(w["rule"] for w in windows) == {"minute": 3, "default": 1}
    assert commit.entries[(Account.FOLDED, "minute", 2, "minute+default")] == [180, 1800]


def test_a_boost_releases_what_came_before_the_trigger_and_keeps_what_comes_after():
    filter_ = Boost(before_s=3, after_s=2, above=100, inner=DeadBand(ratio=10.0))
    line, commit = line_with(filter_), Commit(1)
    values = [1.0] * 10 + [101.0] + [1.0] * 10
    for i, value in enumerate(values):
        line.offer("c", batch_of([(1, T0 + i * S, value)]), at(i), commit)
        assert_balanced(commit.entries)
    kept = sorted((t - T0) // S for t, _, flag, _ in rows_of(commit) if flag & RowFlag.BOOST)
    assert kept == [7, 8, 9, 10, 11, 12]
    assert commit.entries[(Account.HELD, "default", 2, "default")][0] == 4
    for second in range(30, 40):
        line.wake(at(second), commit)
    assert commit.entries[(Account.HELD, "default", 2, "default")] == [0, 0]
    assert commit.entries[(Account.DROPPED, "default", 2, "default")][0] == 21 - 7


def test_a_ring_that_the_clock_aged_stays_empty_after_a_crash():
    filter_ = Boost(before_s=3, after_s=2, above=100, inner=DeadBand(ratio=10.0))
    line, commit = line_with(filter_), Commit(1)
    line.offer("c", batch_of([(1, T0, 1.0), (1, T0 + S, 1.0)]), at(1), commit)
    for second in range(2, 9):
        line.wake(at(second), commit)
    again = line_with(filter_)
    again.replay_frame(commit.columns, commit.states, 1, T0, at(9))
    assert again.next_wake() is None
    last = Commit(2)
    again.offer("c", batch_of([(1, T0 + 2 * S, 101.0)]), at(9), last)
    assert [v for _, v, _, _ in rows_of(last)] == [101.0]


def test_a_late_reading_is_never_folded_in_a_batch_with_text_either():
    filter_ = Summary(window_s=10, lateness_s=5, hold_s=20)
    line, commit = line_with(filter_), Commit(1)
    line.offer("c", batch_of([(1, BASE, 1.0), (1, BASE + 60 * S, 1.0)]), at(60), commit)
    line.offer("c", batch_of([(1, BASE + S, 5.0), (1, BASE + S, "text")]), at(61), commit)
    kept = [(v, flag) for _, v, flag, kind in rows_of(commit) if kind == RowKind.READING]
    assert kept == [(5.0, RowFlag.LATE), ("text", 0)]


def test_a_boosted_summary_folds_what_the_ring_lets_go_and_counts_all():
    filter_ = Boost(before_s=20, after_s=5, above=100, inner=Summary())
    line, commit = line_with(filter_), Commit(1)
    for i in range(200):
        value = 200.0 if i == 90 else 1.0
        line.offer("c", batch_of([(1, BASE + i * S, value)]), at(i), commit)
        assert_balanced(commit.entries)
    windows = [msgspec.msgpack.decode(v) for _, v, _, k in rows_of(commit) if k == RowKind.WINDOW]
    assert [(w["count"], w["max"]) for w in windows] == [(60, 1.0), (60, 200.0)]
    assert sum(1 for row in rows_of(commit) if row[2] & RowFlag.BOOST) == 26
    assert commit.entries[(Account.FOLDED, "default", 2, "default")][0] == 120 - 26


def test_a_volatile_series_writes_nothing_for_held_rows_and_books_them_apart():
    line, commit = line_with(Summary(), durability="volatile"), Commit(1)
    offered = line.offer("c", batch_of([(1, BASE, 1.0)]), at(0), commit)
    assert offered.needs_n == 0
    assert not commit.columns.get(RowClass.HELD)
    assert commit.entries[(Account.VOLATILE, "default", 2, "default")] == [1, 10]
    assert_balanced(commit.entries)


def test_after_a_crash_a_volatile_series_is_told_interrupted_and_its_window_is_incomplete():
    line, commit = line_with(Summary(), durability="volatile"), Commit(1)
    line.offer("c", batch_of([(1, BASE, 1.0)]), at(0), commit)
    again, first = line_with(Summary(), durability="volatile"), Commit(2)
    again.replay_frame(commit.columns, commit.states, 1, T0, at(1))
    assert again.recovered(at(1), first) == 1
    assert [flag for _, _, flag, _ in rows_of(first)] == [RowFlag.INTERRUPTED]
    again.offer("c", batch_of([(1, BASE + 5 * S, 1.0), (1, BASE + 95 * S, 1.0)]), at(95), first)
    (window,) = [msgspec.msgpack.decode(v) for _, v, _, k in rows_of(first) if k == RowKind.WINDOW]
    assert (window["count"], window["complete"]) == (1, False)


def test_what_a_volatile_window_has_told_before_a_crash_is_not_told_again():
    line, commit = line_with(Summary(), durability="volatile"), Commit(1)
    line.offer("c", batch_of([(1, BASE, 1.0), (1, BASE + 95 * S, 1.0)]), at(95), commit)
    again, first = line_with(Summary(), durability="volatile"), Commit(2)
    again.replay_frame(commit.columns, commit.states, 1, T0, at(96))
    again.offer("c", batch_of([(1, BASE + S, 1.0)]), at(96), first)
    assert [(flag, kind) for _, _, flag, kind in rows_of(first)] == [(RowFlag.LATE, RowKind.READING)]


def test_a_boost_of_a_volatile_series_begins_the_promise_with_the_boosted_rows():
    filter_ = Boost(before_s=3, after_s=2, above=100, inner=DeadBand(ratio=10.0))
    line, commit = line_with(filter_, durability="volatile"), Commit(1)
    for i in range(8):
        line.offer("c", batch_of([(1, T0 + i * S, 101.0 if i == 5 else 1.0)]), at(i), commit)
        assert_balanced(commit.entries)
    assert not commit.columns.get(RowClass.HELD)
    assert commit.entries[(Account.KEPT, "default", 2, "default")][0] == 1 + 3 + 1 + 2
    assert commit.entries[(Account.VOLATILE, "default", 2, "default")][0] == 1
    again = line_with(filter_, durability="volatile")
    again.replay_frame(commit.columns, commit.states, 1, T0, at(9))
    again.recovered(at(9), Commit(2))
    assert again.next_wake() is None


def test_vibration_of_a_volatile_series_is_incomplete_after_a_crash():
    filter_ = Vibration(rate_hz=1, window=16, summary_s=20)
    line, commit = line_with(filter_, durability="volatile"), Commit(1)
    line.offer("c", batch_of([(1, BASE + i * S, float(i)) for i in range(10)]), at(10), commit)
    again, first = line_with(filter_, durability="volatile"), Commit(2)
    again.restore(line.snapshot(), at(10))
    again.recovered(at(10), first)
    again.offer("c", batch_of([(1, BASE + i * S, float(i)) for i in range(30, 70)]), at(70), first)
    rows = [msgspec.msgpack.decode(v) for _, v, _, k in rows_of(first) if k == RowKind.FEATURES]
    assert [(row["samples"], row["complete"]) for row in rows] == [(10, False), (16, False), (16, True)]


def test_a_volatile_critical_rule_warns():
    rule = SeriesRule(name="r", durability="volatile", priority="critical")
    assert len(LineRules(series=(rule,)).warnings()) == 1
    assert LineRules().warnings() == []


def test_a_critical_event_rule_on_volatile_series_warns():
    """Kills: an interlock whose readings are lost in a crash, and nobody was told."""
    volatile = SeriesRule(name="fast", match="plant/{machine}/rpm", durability="volatile", priority="low")

    def warned(match, **more):
        event = EventRule(name="stop", when=Silence(), match=match, **{"priority": "critical", **more})
        return len(LineRules(series=(volatile,), events=(event,)).warnings())

    assert warned("plant/press-7/rpm") == 1
    assert warned("**") == 1
    assert warned("plant/**", priority="high") == 0
    assert warned("plant/press-7/temperature") == 0
    assert warned("plant/a/b/rpm") == 0


def test_the_rules_that_travel_north_bring_no_secret_of_an_address():
    """Kills: a token in a URL that every parent can read."""
    act = Act(kind="http", target="http://me:secret@plc:80/stop?token=geheim")
    rule = EventRule(name="e", when=Silence(), act=(act,))
    line, commit = Line(LineRules(events=(rule,)), table_of("a")), Commit(1)
    line.declare(at(1), commit)
    (row,) = rows_of(commit, RowClass.HIGH)
    assert b"secret" not in row[1]
    assert b"geheim" not in row[1]
    told = msgspec.msgpack.decode(row[1])
    assert "http://plc:80/stop?..." in told["rules"]
    assert told["version"] == line.rules.version


@given(st.text("ab/*?", max_size=5), st.text("ab/*?", max_size=5), st.text("ab/", max_size=5))
def test_patterns_that_fit_one_name_overlap(one, other, name):
    key = SeriesKey(name)
    if matched(key, one, {}) is not None and matched(key, other, {}) is not None:
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("a/*", "*/b", True),
        ("a/*", "b/*", False),
        ("a*c", "ab", False),
        ("**c", "a/**", True),
        ("{x}", "", False),
        ("{x}", "?", True),
        ("a/{x}/c", "a/c", False),
        ("?", "/", False),
        ("*", "a/b", False),
        ("", "", True),
    ],
)
def test_whether_two_patterns_can_be_about_one_series(one, other, both):
    assert overlap(one, other) is both
    assert overlap(other, one) is both


def test_a_boost_needs_a_trigger_and_a_ring():
    for bad in ({}, {"above": 1, "before_s": -1}, {"above": 1, "ring_rows": 0}):
        with pytest.raises(ConfigurationError):
            Boost(**bad)


def test_a_ring_holds_at_most_so_many_rows_and_the_oldest_leave_early():
    filter_ = Boost(before_s=1000, after_s=1, above=100, ring_rows=5, inner=DeadBand(ratio=10.0))
    line, commit = line_with(filter_), Commit(1)
    line.offer("c", batch_of([(1, T0 + i * S, 1.0) for i in range(20)]), at(20), commit)
    assert commit.entries[(Account.HELD, "default", 2, "default")][0] == 5
    assert_balanced(commit.entries)


def test_a_text_never_triggers_a_boost():
    line, commit = line_with(Boost(below=100, inner=DeadBand())), Commit(1)
    line.offer("c", batch_of([(1, T0, "x"), (1, T0 + S, "x")]), at(1), commit)
    assert [flag for _, _, flag, _ in rows_of(commit)] == [RowFlag.REFERENCE]


def test_a_snapshot_from_a_later_version_is_refused():
    data = msgspec.msgpack.encode([4, b"", [], 0, [], [], []])
    with pytest.raises(DefectError):
        line_with(Keep()).restore(data, at(0))


def test_readings_without_any_trusted_time_enter_no_window():
    line, commit = line_with(Summary()), Commit(1)
    line.offer("c", batch_of([(1, NO_TIME, 1.0)]), at(0, trusted=False), commit)
    assert [flag & RowFlag.CLOCK_UNTRUSTED for _, _, flag, _ in rows_of(commit)] == [RowFlag.CLOCK_UNTRUSTED]
    line.offer("c", batch_of([(1, NO_TIME, 1.0)]), at(3700, trusted=False), commit)
    assert len(commit.rows(RowClass.HELD)) == 1
    assert_balanced(commit.entries)


def test_a_changed_rule_ends_its_windows_under_the_old_version_and_tells_the_new_rules():
    line, commit = line_with(Summary()), Commit(1)
    before = line.rules.default.version
    line.offer("c", batch_of([(1, BASE, 1.0), (1, BASE + S, 2.0)]), at(1), commit)
    changed = LineRules(default=SeriesRule(name="default", filter=Summary(window_s=10)))
    assert line.reconfigure(changed, at(2), commit) is True
    assert line.reconfigure(changed, at(2), commit) is False
    (window,) = [msgspec.msgpack.decode(v) for _, v, _, k in rows_of(commit) if k == RowKind.WINDOW]
    assert (window["version"], window["complete"], window["count"]) == (before, False, 2)
    (told,) = [
        msgspec.msgpack.decode(v) for _, v, _, k in rows_of(commit, RowClass.HIGH) if k == RowKind.CONFIG
    ]
    assert told["version"] == changed.version
    assert commit.entries[(Account.HELD, "default", 2, "default")] == [0, 0]
    assert_balanced(commit.entries)


@pytest.mark.parametrize("before", [[], [5]])
def test_a_snapshot_from_before_changes_and_restarts_were_told_is_taken_over(before):
    line = line_with(Keep())
    version, text, filters, changes, since, *rest = msgspec.msgpack.decode(line.snapshot())
    assert (version, changes, since) == (3, 0, [0])
    old = msgspec.msgpack.encode([1 + len(before), text, filters, *before, *rest])
    line_with(Keep()).restore(old, at(0))


E1, E2 = b"\0\0\0\0\0\1" + bytes(10), b"\0\0\0\0\0\2" + bytes(10)


@pytest.mark.parametrize("boosted", [False, True])
def test_windows_end_with_the_process_that_filled_them_and_the_next_ones_are_told_apart(boosted):
    """Kills: two processes, one of them a copy of the other, that call different readings by one key."""
    summary = Summary(window_s=60, lateness_s=30, hold_s=600)
    filter_ = Boost(above=1e9, before_s=5, inner=summary) if boosted else summary
    line, commit = line_with(filter_), Commit(1)
    line.begin_epoch(E1)
    line.offer("c", batch_of([(1, BASE + i * S, 1.0) for i in range(8)]), at(8), commit)
    again, first, then = line_with(filter_), Commit(2), Commit(3)
    again.begin_epoch(E1)
    again.replay_frame(commit.columns, commit.states, 1, T0, at(10))
    again.recovered(at(10), first, E2)
    again.offer("c", batch_of([(1, BASE + i * S, 2.0) for i in range(11, 100)]), at(100), then)
    told = [
        msgspec.msgpack.decode(v)
        for one in (first, then)
        for _, v, _, k in rows_of(one)
        if k == RowKind.WINDOW
    ]
    assert [(w["since"], w["start"] - BASE, w["count"], w["complete"]) for w in told] == [
        (1, 0, 8, False),
        (2, 0, 49, False),
    ]
    rest = Commit(4)
    again.offer("c", batch_of([(1, BASE + 160 * S, 2.0)]), at(160), rest)
    [whole] = [msgspec.msgpack.decode(v) for _, v, _, k in rows_of(rest) if k == RowKind.WINDOW]
    assert (whole["since"], whole["start"] - BASE, whole["count"], whole["complete"]) == (2, 60 * S, 40, True)
    entries = Counter()
    for one in (commit, first, then, rest):
        for (account, *_), (readings, _) in one.entries.items():
            entries[account] += readings
    assert entries[Account.FOLDED] + entries[Account.HELD] == 8 + 89 + 1
    third = line_with(filter_)
    third.begin_epoch(E1)
    third.replay_frame(commit.columns, commit.states, 1, T0, at(10))
    third.begin_epoch(E2)
    for n, one in enumerate((first, then, rest), start=2):
        third.replay_frame(one.columns, one.states, n, T0, at(200))
    mine, theirs = (msgspec.msgpack.decode(one.snapshot())[:5] for one in (third, again))
    assert mine == theirs


def test_feature_rows_end_with_the_process_that_filled_them():
    filter_ = Vibration(rate_hz=1, window=16, summary_s=20)
    line, commit = line_with(filter_), Commit(1)
    line.begin_epoch(E1)
    line.offer("c", batch_of([(1, BASE + i * S, float(i)) for i in range(10)]), at(10), commit)
    again, first = line_with(filter_), Commit(2)
    again.begin_epoch(E1)
    again.restore(line.snapshot(), at(10))
    again.recovered(at(10), first, E2)
    again.offer("c", batch_of([(1, BASE + i * S, float(i)) for i in range(30, 70)]), at(70), first)
    rows = [msgspec.msgpack.decode(v) for _, v, _, k in rows_of(first) if k == RowKind.FEATURES]
    assert [(row["since"], row["samples"], row["complete"]) for row in rows] == [
        (1, 10, False),
        (2, 16, True),
        (2, 16, True),
    ]


@pytest.mark.parametrize("crash", [False, True])
def test_rules_changed_and_changed_back_within_a_window_give_two_windows_of_different_keys(crash):
    """One of what came before, one of what came after: neither is a revision of the other."""
    line, commit = line_with(Summary()), Commit(1)
    first, then = line.rules, LineRules(default=SeriesRule(name="default", filter=Summary(window_s=7)))
    line.offer("c", batch_of([(1, BASE + i * S, 1.0) for i in range(8)]), at(8), commit)
    line.reconfigure(then, at(9), commit)
    line.reconfigure(first, at(10), commit)
    if crash:
        again = Line(first, table_of("a", "headland/rules"))
        again.replay_frame(commit.columns, commit.states, 1, T0, at(10))
        line = again
    last = Commit(2)
    line.offer("c", batch_of([(1, BASE + i * S, 2.0) for i in range(11, 25)]), at(25), last)
    line.offer("c", batch_of([(1, BASE + 95 * S, 2.0)]), at(95), last)
    windows = [
        msgspec.msgpack.decode(v)
        for one in (commit, last)
        for _, v, _, k in rows_of(one)
        if k == RowKind.WINDOW
    ]
    assert [(w["version"], w["start"], w["revision"], w["since"], w["count"]) for w in windows] == [
        (first.default.version, BASE, 0, 0, 8),
        (first.default.version, BASE, 0, 2, 14),
    ]


def test_an_unchanged_rule_keeps_its_windows_when_another_changes():
    one = SeriesRule(name="sum", match="a", filter=Summary())
    line, commit = Line(LineRules(series=(one,)), table_of("a", "b")), Commit(1)
    line.offer("c", batch_of([(1, BASE, 1.0), (2, BASE, 5.0)]), at(1), commit)
    other = SeriesRule(name="first", match="b", filter=Keep())
    line.reconfigure(LineRules(series=(other, one)), at(2), commit)
    assert [k for _, _, _, k in rows_of(commit)] == [RowKind.READING]
    line.offer("c", batch_of([(1, BASE + 95 * S, 1.0), (2, BASE + S, 5.0)]), at(95), commit)
    (window,) = [msgspec.msgpack.decode(v) for _, v, _, k in rows_of(commit) if k == RowKind.WINDOW]
    assert (window["count"], window["complete"]) == (1, True)
    assert_balanced(commit.entries)


def test_all_rows_of_a_series_go_in_the_most_urgent_class_of_its_rules():
    rules = LineRules(
        series=(SeriesRule(name="alarm", filter=DeadBand(), priority="critical", final=False),),
        default=SeriesRule(name="default", filter=Keep(), priority="low"),
    )
    commit = Commit(1)
    Line(rules, table_of("a")).offer("c", batch_of([(1, T0, 1.0)]), at(0), commit)
    assert len(commit.rows(RowClass.CRITICAL)) == 1


def test_a_stack_trace_shares_the_fate_of_the_line_that_began_it():
    line, commit = line_with(Severity()), Commit(1)
    lines = [
        "[2016-12-19 16:31:46,143] INFO KafkaConfig values: ",
        "\tadvertised.host.name = null",
        "[2016-12-19 16:31:47,143] WARN [Controller-0-to-broker-1], fails (kafka.controller)",
        "java.io.IOException: Connection to 1 was disconnected",
        "\tat kafka.utils.NetworkClientBlockingOps$.apply(NetworkClientBlockingOps.scala:115)",
        "[2016-12-19 16:31:48,143] DEBUG fine",
        "Caused by: java.lang.OutOfMemoryError",
    ]
    line.offer("c", batch_of([(1, T0 + i, text) for i, text in enumerate(lines)]), at(0), commit)
    assert [v for _, v, _, _ in rows_of(commit)] == [*lines[2:5], lines[6]]
    assert_balanced(commit.entries)


def test_a_severity_that_the_source_says_is_believed():
    line, commit = line_with(Severity()), Commit(1)
    line.offer("c", batch_of([(1, T0, "quiet"), (1, T0 + 1, "loud")], severity=[7, 4]), at(0), commit)
    assert [v for _, v, _, _ in rows_of(commit)] == ["loud"]


def test_numbers_and_lines_of_no_format_are_kept():
    line, commit = line_with(Severity()), Commit(1)
    line.offer("c", batch_of([(1, T0, 4.5), (1, T0 + 1, "hello"), (1, T0 + 2, b"\xff")]), at(0), commit)
    assert len(rows_of(commit)) == 3


@pytest.mark.parametrize(
    ("pattern", "labels", "captures"),
    [
        ("**", {}, {}),
        ("plant/*/temperature", {}, {}),
        ("plant/{machine}/temperature", {}, {"machine": "press"}),
        ("plant/**", {"site": "no*"}, {}),
        ("plant/**", {"site": "{where}"}, {"where": "north"}),
        ("*/temperature", {}, None),
        ("plant/press", {}, None),
        ("plant/**", {"site": "s*"}, None),
        ("plant/**", {"hall": "*"}, None),
    ],
)
def test_patterns_select_by_name_and_labels(pattern, labels, captures):
    key = SeriesKey("plant/press/temperature", (("site", "north"),))
    assert matched(key, pattern, labels) == captures


def test_a_group_template_uses_names_labels_and_captures():
    key = SeriesKey("plant/press/temperature", (("site", "north"),))
    assert filled("{label.site}-{machine}-{rule}-{none}", key, {"machine": "press"}, "r") == "north-press-r-"


def test_a_pattern_that_does_not_compile_is_a_configuration_error():
    for bad in ("plant/{", "{a}/{a}"):
        with pytest.raises(ConfigurationError):
            SeriesRule(name="r", match=bad)


def test_rules_survive_their_canonical_text_and_keep_their_version():
    rules = LineRules(series=(SeriesRule(name="s", filter=Boost(above=1, inner=Summary(window_s=10))),))
    again = msgspec.json.decode(rules.canonical(), type=LineRules)
    assert again.version == rules.version
    assert again.series[0].version == rules.series[0].version


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(-20, 9), st.floats(-9, 9)), max_size=60),
    st.integers(1, 30),
)
def test_a_dead_band_with_a_summary_gives_at_column_speed_what_row_by_row_gives(rows, width):
    rules = LineRules(
        series=(SeriesRule(name="band", filter=DeadBand(floor=2), final=False),),
        default=SeriesRule(name="default", filter=Summary(window_s=10, lateness_s=5, hold_s=20)),
    )
    fast, slow = Line(rules, table_of("a", "b")), Line(rules, table_of("a", "b"))
    slow._plans.admit()
    slow._plans.pairs.clear()
    commits = [Commit(1), Commit(1)]
    for i in range(0, len(rows), width):
        batch = [(sid, T0 + (i + j + dt) * S, v) for j, (sid, dt, v) in enumerate(rows[i : i + width])]
        for line, commit in zip((fast, slow), commits, strict=True):
            line.offer("c", batch_of(batch), at(i), commit)
            assert_balanced(commit.entries)
    assert fast.snapshot() == slow.snapshot()
    assert commits[0].entries == commits[1].entries
    assert rows_of(commits[0], RowClass.HELD) == rows_of(commits[1], RowClass.HELD)
    assert sorted(map(repr, rows_of(commits[0]))) == sorted(map(repr, rows_of(commits[1])))


mixes = st.lists(
    st.tuples(
        st.integers(1, 4), st.integers(-30, 30), st.one_of(st.floats(), st.text(max_size=3), st.booleans())
    ),
    max_size=20,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(mixes, st.booleans()), max_size=12))
def test_the_books_balance_after_every_offer_whatever_comes(batches):
    rules = LineRules(
        series=(
            SeriesRule(name="boost", match="a", filter=Boost(above=10, inner=Summary(window_s=5))),
            SeriesRule(name="band", match="[ab]", filter=DeadBand(), final=False),
            SeriesRule(name="sum", match="b", filter=Summary(window_s=5)),
            SeriesRule(name="lost", match="c", filter=Summary(window_s=5), durability="volatile"),
        ),
        default=SeriesRule(name="default", filter=Severity()),
    )
    line, books = Line(rules, table_of("a", "b", "c", "d")), Books()
    offered = 0
    for n, (rows, repeat) in enumerate(batches):
        commit = Commit(n + 1)
        batch = batch_of([(sid, T0 + (n * 5 + dt) * S, value) for sid, dt, value in rows])
        line.offer("c", batch, at(n * 5), commit, duplicate_suspect=[repeat])
        line.wake(at(n * 5 + 2), commit)
        offered += len(rows)
        books.add(commit)
        assert_balanced(books.entries)
        assert books.total(Account.OFFERED) == offered
