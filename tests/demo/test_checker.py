"""The checker is told lies, one at a time, and has to find each."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headland.demo.acklog import LoggedReading, Publish, Scalar
from headland.demo.checker import check
from headland.demo.evidence import (
    READING,
    WINDOW,
    CloudRow,
    DeadBand,
    DropWhen,
    SeriesRules,
    Summary,
    Window,
)
from headland.demo.verdicts import Report, Verdict

SECOND = 1_000_000_000
START = 1_760_000_000 * SECOND
KEEP_ALL = [SeriesRules("**")]
BAND = [SeriesRules("**", dead_band=DeadBand(ratio=0.05, floor=0.5, heartbeat_s=60))]
SUMMARY = [SeriesRules("**", summary=Summary("minute"))]


def publish(
    order: int,
    value: Scalar,
    *,
    at_s: float | None = None,
    seq: int | None = -1,
    series: str = "press/temp",
    client: str = "press",
    acked: bool = True,
    severity: int | None = None,
) -> Publish:
    moment = START + int((order if at_s is None else at_s) * SECOND)
    reading = LoggedReading(series, value, moment, order if seq == -1 else seq, severity)
    return Publish(client, order, "device-1", moment, [reading], 50, moment + 1000 if acked else None)


def without_time(item: Publish) -> Publish:
    readings = [msgspec.structs.replace(reading, ts=None) for reading in item.readings]
    return msgspec.structs.replace(item, readings=readings)


def row(item: Publish, arrival: int | None = None, **changes: object) -> CloudRow:
    reading = item.readings[0]
    made = CloudRow(
        item.origin,
        reading.series,
        READING,
        reading.ts,
        reading.seq,
        reading.value,
        "normal",
        "live",
        item.order if arrival is None else arrival,
    )
    return msgspec.structs.replace(made, **changes)


def window(
    items: list[Publish],
    start_s: float,
    end_s: float,
    arrival: int = 99,
    version: str = "a",
    **changes: object,
) -> CloudRow:
    values = [float(item.readings[0].value) for item in items]
    figures = Window(
        "minute",
        START + int(start_s * SECOND),
        START + int(end_s * SECOND),
        len(values),
        min(values, default=0.0),
        max(values, default=0.0),
        sum(values),
    )
    figures = msgspec.structs.replace(figures, **changes)
    first = items[0] if items else publish(0, 0.0)
    return CloudRow(
        "device-1",
        first.readings[0].series,
        WINDOW,
        figures.start,
        None,
        None,
        "normal",
        "live",
        arrival,
        figures,
        version,
    )


def verdicts(report: Report) -> dict[str, int]:
    return {str(verdict): count for verdict, count in report.verdicts.items() if count}


def test_everything_present_is_good() -> None:
    items = [publish(order, float(order)) for order in range(10)]
    report = check(items, KEEP_ALL, [row(item) for item in items])
    assert report.good
    assert (report.offered, report.acked, report.arrived) == (10, 10, 10)
    assert verdicts(report) == {"present": 10}
    assert report.stories == []


def test_a_missing_acknowledged_reading_is_lost() -> None:
    items = [publish(order, float(order)) for order in range(10)]
    report = check(items, KEEP_ALL, [row(item) for item in items if item.order != 4])
    assert report.lost == 1
    assert not report.good
    assert "sequence 4" in report.stories[0]


def test_a_reading_that_was_never_acknowledged_may_be_missing_or_present() -> None:
    items = [publish(0, 1.0), publish(1, 2.0, acked=False), publish(2, 3.0, acked=False)]
    report = check(items, KEEP_ALL, [row(items[0]), row(items[1])])
    assert report.good
    assert (report.acked, report.arrived) == (1, 2)


def test_a_row_twice_is_duplicated() -> None:
    items = [publish(order, 1.0) for order in range(3)]
    report = check(items, KEEP_ALL, [*map(row, items), row(items[1], arrival=7)])
    assert (report.lost, report.duplicated) == (0, 1)


def test_two_equal_publishes_may_have_two_rows_but_not_three_and_not_one() -> None:
    items = [publish(0, 1.0, at_s=0, seq=None), publish(1, 1.0, at_s=0, seq=None)]
    assert check(items, KEEP_ALL, [row(items[0], 1), row(items[1], 2)]).good
    assert check(items, KEEP_ALL, [row(items[0], 1)]).lost == 1
    assert check(items, KEEP_ALL, [row(items[0], 1), row(items[1], 2), row(items[1], 3)]).duplicated == 1


def test_a_row_that_nobody_published_is_duplicated() -> None:
    items = [publish(0, 1.0)]
    assert check(items, KEEP_ALL, [row(items[0]), row(publish(1, 1.0))]).duplicated == 1


@pytest.mark.parametrize(("sent", "arrived"), [(1.0, 1.5), (True, 1), (1, True), ("a", "b"), (0.0, "0")])
def test_a_row_with_another_value_is_altered_and_its_reading_lost(sent: Scalar, arrived: Scalar) -> None:
    items = [publish(0, sent)]
    report = check(items, BAND, [row(items[0], value=arrived)])
    assert (report.altered, report.lost, report.duplicated) == (1, 1, 0)
    assert "was published" in report.stories[0]


def test_an_altered_row_of_an_unacknowledged_reading_is_not_good() -> None:
    items = [publish(0, 1.0, acked=False)]
    report = check(items, KEEP_ALL, [row(items[0], value=2.0)])
    assert (report.altered, report.lost, report.good) == (1, 0, False)


def test_a_row_of_another_series_or_node_proves_nothing() -> None:
    items = [publish(0, 1.0)]
    assert check(items, KEEP_ALL, [row(items[0], series="press/other")]).lost == 1
    assert check(items, KEEP_ALL, [row(items[0], origin="device-2")]).lost == 1


def test_nan_equals_itself() -> None:
    items = [publish(0, float("nan"))]
    assert check(items, KEEP_ALL, [row(items[0])]).good


def test_rows_that_swap_in_one_lane_are_reordered() -> None:
    items = [publish(order, float(order)) for order in range(4)]
    arrivals = [1, 3, 2, 4]
    report = check(
        items, KEEP_ALL, [row(item, arrival) for item, arrival in zip(items, arrivals, strict=True)]
    )
    assert (report.reordered, report.lost) == (1, 0)
    assert "cloud commit 3" in report.stories[0]


def test_one_client_keeps_its_order_even_with_many_in_flight() -> None:
    items = [msgspec.structs.replace(publish(n, float(n)), acked_ns=START + 9 * SECOND) for n in range(2)]
    assert check(items, KEEP_ALL, [row(items[0], 2), row(items[1], 1)]).reordered == 1


def test_one_cloud_commit_has_no_order_inside() -> None:
    items = [publish(order, float(order)) for order in range(4)]
    assert check(items, KEEP_ALL, [row(item, 5) for item in reversed(items)]).good


@pytest.mark.parametrize("change", [{"lane": "1"}, {"lane": "2"}, {"row_class": "high"}])
def test_lanes_and_classes_may_overtake_each_other(change: dict[str, str]) -> None:
    items = [publish(order, float(order)) for order in range(2)]
    assert check(items, KEEP_ALL, [row(items[0], 9, **change), row(items[1], 1)]).good


def test_order_holds_between_clients_when_one_was_acknowledged_before_the_other_began() -> None:
    items = [publish(0, 1.0, client="a", series="a"), publish(0, 2.0, client="b", series="b", at_s=1)]
    report = check(items, KEEP_ALL, [row(items[0], 2), row(items[1], 1)])
    assert report.reordered == 1


def test_publishes_in_flight_together_have_no_order_between_clients() -> None:
    early = msgspec.structs.replace(publish(0, 1.0, client="a", series="a"), acked_ns=START + 2 * SECOND)
    late = publish(0, 2.0, client="b", series="b", at_s=1)
    assert check([early, late], KEEP_ALL, [row(early, 2), row(late, 1)]).good


def test_boosted_rows_are_not_compared_and_deferred_series_only_with_themselves() -> None:
    items = [publish(order, float(order)) for order in range(2)]
    assert check(items, KEEP_ALL, [row(items[0], 9, boosted=True), row(items[1], 1)]).good
    other = publish(2, 2.0, series="log")
    rules = [SeriesRules("log", deferred=True), SeriesRules("**")]
    assert check([items[0], other], rules, [row(items[0], 9), row(other, 1)]).good
    again = publish(3, 2.0, series="log")
    assert check([other, again], rules, [row(other, 9), row(again, 1)]).reordered == 1


def test_a_reading_within_the_band_of_the_hold_is_held() -> None:
    items = [publish(0, 100.0), publish(1, 104.9), publish(2, 95.1)]
    report = check(items, BAND, [row(items[0])])
    assert report.good
    assert verdicts(report) == {"present": 1, "held": 2}


def test_a_reading_outside_the_band_of_the_hold_is_lost() -> None:
    items = [publish(0, 100.0), publish(1, 105.1)]
    assert check(items, BAND, [row(items[0])]).lost == 1


def test_each_reading_is_compared_with_the_hold_of_its_own_time() -> None:
    values = [10.0, 10.1, 20.0, 20.1, 30.0, 30.1, 40.0, 40.1, 50.0, 50.1]
    items = [publish(order, value) for order, value in enumerate(values)]
    rows = [row(item) for item in items[::2]]
    assert verdicts(check(items, BAND, rows)) == {"present": 5, "held": 5}


def test_an_altered_reading_is_lost_though_the_band_would_excuse_its_absence() -> None:
    items = [publish(0, 100.0), publish(1, 100.0)]
    report = check(items, BAND, [row(items[0]), row(items[1], value=101.0)])
    assert (report.altered, report.lost) == (1, 1)


def test_the_floor_widens_the_band_near_zero_and_nothing_else_does() -> None:
    items = [publish(0, 0.0), publish(1, 0.5), publish(2, 0.51)]
    report = check(items, BAND, [row(items[0])])
    assert verdicts(report) == {"present": 1, "held": 1, "lost": 1}


def test_a_band_without_any_reference_excuses_nothing() -> None:
    assert check([publish(0, 1.0)], BAND, []).lost == 1


def test_a_reference_that_came_later_excuses_nothing() -> None:
    items = [publish(0, 1.0), publish(1, 1.0)]
    assert check(items, BAND, [row(items[1])]).lost == 1


def test_a_late_row_is_a_point_and_not_a_hold() -> None:
    items = [publish(0, 100.0), publish(1, 50.0), publish(2, 101.0)]
    assert check(items, BAND, [row(items[0]), row(items[1], late=True)]).good
    assert check(items, BAND, [row(items[0]), row(items[1])]).lost == 1


def test_a_hold_older_than_the_heartbeat_excuses_nothing() -> None:
    items = [publish(0, 100.0), publish(60, 100.0), publish(61, 100.0)]
    report = check(items, BAND, [row(items[0])])
    assert verdicts(report) == {"present": 1, "held": 1, "lost": 1}


def test_without_device_time_the_order_of_the_client_is_the_order() -> None:
    items = [
        without_time(publish(order, value)) for order, value in enumerate([100.0, 101.0, 200.0, 199.0, 101.0])
    ]
    report = check(items, BAND, [row(items[0]), row(items[2])])
    assert verdicts(report) == {"present": 2, "held": 2, "lost": 1}


def test_text_and_truth_values_are_held_only_by_themselves() -> None:
    items = [publish(0, True), publish(1, True), publish(2, False)]
    report = check(items, BAND, [row(items[0])])
    assert verdicts(report) == {"present": 1, "held": 1, "lost": 1}


def test_readings_in_a_true_window_are_counted() -> None:
    items = [publish(order, float(order)) for order in range(120)]
    report = check(items, SUMMARY, [window(items[:60], 0, 60), window(items[60:], 60, 120)])
    assert report.good
    assert verdicts(report) == {"counted": 120}


def test_an_early_window_loses_all_its_readings() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    report = check(items, SUMMARY, [window(items[:59], 0, 60)])
    assert (report.lost, report.duplicated) == (60, 0)
    assert "counts 59, but 60 were acknowledged" in report.stories[0]


def test_a_true_window_does_not_excuse_the_readings_of_another() -> None:
    items = [publish(order, float(order)) for order in range(120)]
    report = check(items, SUMMARY, [window(items[:60], 0, 60)])
    assert verdicts(report) == {"counted": 60, "lost": 60}


def test_a_window_that_counts_too_many_is_duplicated() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    report = check(items, SUMMARY, [window([*items, items[0]], 0, 60)])
    assert report.duplicated == 1
    assert not report.good


@pytest.mark.parametrize(
    "change", [{"sum": 1770.5}, {"min": 1.0}, {"max": 58.0}, {"max": 60.0}, {"min": -1.0}]
)
def test_a_window_with_a_wrong_figure_counts_nothing(change: dict[str, float]) -> None:
    items = [publish(order, float(order)) for order in range(60)]
    report = check(items, SUMMARY, [window(items, 0, 60, **change)])
    assert report.lost == 60


def test_the_highest_revision_decides() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    early = window(items[:50], 0, 60, revision=0, arrival=1)
    final = window(items, 0, 60, revision=1, arrival=2)
    assert check(items, SUMMARY, [early, final]).good
    assert check(items, SUMMARY, [early]).lost == 60
    worse = window(items[:50], 0, 60, revision=2, arrival=3)
    assert check(items, SUMMARY, [early, final, worse]).lost == 60


def test_revisions_that_swap_are_reordered_and_a_window_twice_is_duplicated() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    early = window(items[:50], 0, 60, revision=0, arrival=2)
    final = window(items, 0, 60, revision=1, arrival=1)
    assert check(items, SUMMARY, [early, final]).reordered == 1
    assert check(items, SUMMARY, [final, msgspec.structs.replace(final, arrival=2)]).duplicated == 1


def test_a_window_that_a_new_configuration_ended_is_added_to_its_successor() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    parts = [window(items[:20], 0, 60, version="a", complete=False), window(items[20:], 0, 60, version="b")]
    assert check(items, SUMMARY, parts).good
    assert check(items, SUMMARY, parts[:1]).lost == 60


def test_windows_of_one_version_since_two_changes_are_added_and_are_not_one_twice() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    parts = [window(items[:20], 0, 60, complete=False), window(items[20:], 0, 60, since=2)]
    assert check(items, SUMMARY, parts).good
    assert check(items, SUMMARY, parts[1:]).lost == 60
    assert not check(items, SUMMARY, [*parts, parts[1]]).good


def test_a_reading_on_the_edge_belongs_to_the_later_window() -> None:
    items = [publish(order, float(order)) for order in range(61)]
    assert check(items, SUMMARY, [window(items[:60], 0, 60), window(items[60:], 60, 120)]).good
    report = check(items, SUMMARY, [window(items[:61], 0, 60), window(items[60:], 60, 120)])
    assert report.duplicated == 1


def test_every_summary_rule_of_a_series_must_count_its_readings() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    rules = [
        SeriesRules("**", summary=Summary("minute"), final=False),
        SeriesRules("**", summary=Summary("hour")),
    ]
    assert check(items, rules, [window(items, 0, 60)]).lost == 60
    assert check(items, rules, [window(items, 0, 60), window(items, 0, 3600, rule="hour")]).good


def test_an_unacknowledged_reading_may_be_counted() -> None:
    items = [publish(order, float(order), acked=order != 7) for order in range(60)]
    assert check(items, SUMMARY, [window(items, 0, 60)]).good
    assert check(items, SUMMARY, [window([item for item in items if item.order != 7], 0, 60)]).good
    # ... but not another in its place.
    assert check(items, SUMMARY, [window([item for item in items if item.order != 8], 0, 60)]).lost == 59


def test_with_many_unacknowledged_readings_the_sum_must_stay_possible() -> None:
    items = [publish(order, float(order), acked=order < 30) for order in range(60)]
    assert check(items, SUMMARY, [window(items[:45], 0, 60)]).good
    assert check(items, SUMMARY, [window(items[:45], 0, 60, sum=10_000.0)]).lost == 30


def test_a_late_row_may_be_counted_or_not() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    late = row(items[3], late=True)
    others = [item for item in items if item.order != 3]
    assert check(items, SUMMARY, [window(items, 0, 60), late]).good
    assert check(items, SUMMARY, [window(others, 0, 60), late]).good
    assert check(items, SUMMARY, [window(others, 0, 60)]).lost == 60


def test_a_kept_reading_is_counted_all_the_same() -> None:
    items = [publish(order, float(order)) for order in range(60)]
    rows = [window(items, 0, 60), row(items[3])]
    assert verdicts(check(items, SUMMARY, rows)) == {"present": 1, "counted": 59}


def test_readings_without_device_time_are_checked_over_all_windows_together() -> None:
    items = [without_time(publish(order, float(order))) for order in range(60)]
    windows = [window(items[:37], 0, 60), window(items[37:], 60, 120)]
    assert check(items, SUMMARY, windows).good
    assert check(items, SUMMARY, windows[:1]).lost == 60
    assert check(items, SUMMARY, [windows[0], window([*items[37:], items[0]], 60, 120)]).duplicated == 1


def test_a_dropped_reading_needs_a_predicate_that_holds() -> None:
    rules = [SeriesRules("**", drops=[DropWhen("severity", ">", 4)])]
    items = [publish(0, "started", severity=6), publish(1, "failed", severity=3), publish(2, "no level")]
    report = check(items, rules, [])
    assert verdicts(report) == {"dropped": 1, "lost": 2}


@pytest.mark.parametrize(
    ("operator", "holds"),
    [("<", [1]), ("<=", [1, 2]), (">", [3]), (">=", [2, 3]), ("==", [2]), ("!=", [1, 3])],
)
def test_each_comparison_means_what_it_says(operator: str, holds: list[int]) -> None:
    rule = msgspec.convert({"field": "value", "operator": operator, "limit": 2}, DropWhen)
    assert [value for value in (1, 2, 3) if rule.holds(LoggedReading("s", value))] == holds
    assert not rule.holds(LoggedReading("s", float("nan")))
    assert not rule.holds(LoggedReading("s", "2"))
    assert not rule.holds(LoggedReading("s", True))


def test_predicates_compare_text_with_text() -> None:
    rule = DropWhen("value", "==", "idle")
    assert [value for value in ("idle", "busy") if rule.holds(LoggedReading("s", value))] == ["idle"]


def test_volatile_series_are_excluded_but_their_rows_still_count_once() -> None:
    rules = [SeriesRules("**", volatile=True)]
    items = [publish(0, 1.0), publish(1, 2.0)]
    report = check(items, rules, [row(items[0])])
    assert verdicts(report) == {"present": 1, "volatile": 1}
    assert check(items, rules, [row(items[0]), row(items[0], 4)]).duplicated == 1


def test_the_first_rule_that_covers_a_series_decides() -> None:
    rules = [
        SeriesRules("press/*", origin="device-2"),
        SeriesRules("press/*", volatile=True),
        SeriesRules("**"),
    ]
    assert verdicts(check([publish(0, 1.0)], rules, [])) == {"volatile": 1}


def test_a_final_rule_ends_the_list_and_another_does_not() -> None:
    items = [publish(0, 100.0), publish(1, 103.0)]
    wide = SeriesRules("**", dead_band=DeadBand(0.05, 0.5))
    narrow = SeriesRules("**", dead_band=DeadBand(0.01, 0.5), final=False)
    assert check(items, [narrow, wide], [row(items[0])]).lost == 1
    assert check(items, [wide, narrow], [row(items[0])]).good


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        ("press/temp", True),
        ("press/*", True),
        ("*/temp", True),
        ("press/tem?", True),
        ("{machine}/temp", True),
        ("**", True),
        ("pr**", True),
        ("*", False),
        ("press", False),
        ("press/{}", False),
        ("press.temp", False),
        ("press/?", False),
        ("{machine}", False),
    ],
)
def test_patterns_mean_what_the_configuration_says(pattern: str, covers: bool) -> None:
    assert SeriesRules(pattern).covers("device-1", "press/temp") is covers


def test_a_rule_that_drops_everything_excuses_everything() -> None:
    assert verdicts(check([publish(0, 1.0)], [SeriesRules("**", drops=[DropWhen("any")])], [])) == {
        "dropped": 1
    }


def test_a_series_that_no_rule_covers_must_be_present() -> None:
    assert check([publish(0, 1.0)], [SeriesRules("other", volatile=True)], []).lost == 1


def test_a_source_without_a_log_is_checked_for_numbers_that_repeat() -> None:
    host = publish(0, 12.5, series="host/cpu", seq=None)
    line = publish(0, "same text", series="host/log", seq=None)
    assert check([], KEEP_ALL, [row(host), row(line), row(line, 3)]).good
    assert check([], KEEP_ALL, [row(host), row(host, 3)]).duplicated == 1


def test_stories_are_bounded_and_counts_are_not() -> None:
    items = [publish(order, float(order)) for order in range(200)]
    report = check(items, KEEP_ALL, [])
    assert report.lost == 200
    assert len(report.stories) == 50


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), min_size=1, max_size=60), st.data())
def test_an_honest_dead_band_passes_and_any_row_removed_or_doubled_is_found(
    readings: list[tuple[float, bool]], data: st.DataObject
) -> None:
    items = [publish(order, value, acked=acked) for order, (value, acked) in enumerate(readings)]
    rows: list[CloudRow] = []
    hold: float | None = None
    for item in items:
        value = float(item.readings[0].value)
        if hold is None or abs(value - hold) > max(0.05 * abs(hold), 0.5):
            rows.append(row(item))
            hold = value
    rules = [SeriesRules("**", dead_band=DeadBand(0.05, 0.5))]
    assert check(items, rules, rows).good
    doubled = data.draw(st.sampled_from(rows))
    assert check(items, rules, [*rows, doubled]).duplicated == 1
    missing = data.draw(st.sampled_from(rows))
    kept = [other for other in rows if other is not missing]
    report = check(items, rules, kept)
    # What was kept lay outside the band of what was held before, so nothing excuses its absence.
    if items[missing.arrival].acked_ns is not None:
        assert report.lost >= 1


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=80), st.integers(0, 1000))
def test_honest_windows_pass_in_any_order_of_summing(values: list[float], seed: int) -> None:
    items = [publish(order, value) for order, value in enumerate(values)]
    shuffled = sorted(items, key=lambda item: hash((seed, item.order)))
    assert check(items, SUMMARY, [window(shuffled, 0, 100)]).good


def test_verdicts_are_all_reported_even_when_empty() -> None:
    assert set(check([], [], []).verdicts) == set(Verdict)
