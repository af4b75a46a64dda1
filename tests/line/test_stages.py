from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headland.line.stages import MS, Cause, Histogram, Stage, StageName, Stages
from headland.vocabulary import Tier


@given(
    st.lists(st.integers(64, 130 * 10**9), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.999, 1.0])
)
def test_a_percentile_is_never_below_the_exact_one_and_at_most_a_sixteenth_above(durations, share):
    histogram = Histogram()
    for ns in durations:
        histogram.observe(ns)
    ordered = sorted(durations)
    rank = max(0, -(-int(share * 10**6) * len(ordered) // 10**6) - 1)
    exact = ordered[rank]
    assert exact <= histogram.quantile_ns(share) <= max(exact * 17 / 16, exact + 4)


@given(st.lists(st.integers(0, 10**13)), st.lists(st.integers(0, 10**13)))
def test_merging_is_observing_both(left, right):
    one, other, both = Histogram(), Histogram(), Histogram()
    for ns in left:
        one.observe(ns)
        both.observe(ns)
    for ns in right:
        other.observe(ns)
        both.observe(ns)
    one.merge(other)
    assert (one.counts, one.count, one.sum_ns, one.max_ns) == (
        both.counts,
        both.count,
        both.sum_ns,
        both.max_ns,
    )


def test_a_duration_above_the_budget_is_a_miss_with_its_cause():
    stage = Stage(10 * MS)
    assert stage.observe(10 * MS) is False
    assert stage.observe(10 * MS + 1, Cause.DISK) is True
    told = stage.percentiles()
    assert (told.count, told.misses, told.causes, told.budget_ms) == (2, 1, {"disk": 1}, 10.0)
    assert told.max == pytest.approx(10.000001)


@pytest.mark.parametrize(
    ("tier", "budget_ms"), [(Tier.DEVICE, 1), (Tier.LOCAL, 10), (Tier.REGIONAL, 50), (Tier.CLOUD, 100)]
)
def test_every_tier_has_the_published_budget_and_configuration_may_change_it(tier, budget_ms):
    assert Stages(tier)[StageName.DECIDE].budget_ns == budget_ms * MS
    assert Stages(tier, {"decide": 7})[StageName.DECIDE].budget_ns == 7 * MS
    assert Stages(tier)[StageName.COMMIT].budget_ns is None


def test_a_stage_without_observations_reports_zeros():
    assert Stages(Tier.LOCAL).report()["decide"]["p99"] == 0
