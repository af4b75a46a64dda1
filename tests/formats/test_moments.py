"""Laws of device times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headland.line.formats import RejectReason, TimeUnit, Unfit
from headland.line.formats.moments import any_ns, number_ns, text_ns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moment=st.datetimes(datetime(1700, 1, 1), datetime(2260, 1, 1), timezones=ZONES))  # noqa: DTZ001
def test_every_rfc3339_text_is_its_moment(moment: datetime) -> None:
    since = moment - EPOCH
    ns = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    utc = moment.astimezone(UTC).isoformat()
    for text in (
        moment.isoformat(),
        utc.replace("+00:00", "Z"),
        utc.replace("+00:00", ""),
        utc.replace("T", " "),
    ):
        assert text_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "2023-11-14",
        "2023-13-14T00:00:00Z",
        "2023-11-14T25:00:00Z",
        "20231114T221320Z",
        "2023-W46-2T22:13:20Z",
        "9999-12-31T00:00:00Z",
        "1e5",
        "٤٢",
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(Unfit) as caught:
        any_ns(text, TimeUnit.AUTO, "$.ts")
    assert (caught.value.reason, caught.value.path) == (RejectReason.BAD_TIME, "$.ts")


@given(ns=st.integers(-(2**63) + 1, 2**63 - 1))
def test_whole_nanoseconds_are_exact(ns: int) -> None:
    assert number_ns(ns, TimeUnit.NS) == ns


@given(number=st.integers() | st.floats(), unit=st.sampled_from(list(TimeUnit)))
def test_a_number_is_a_64_bit_time_or_unfit(number: float, unit: TimeUnit) -> None:
    try:
        ns = number_ns(number, unit)
    except Unfit:
        return
    assert isinstance(ns, int)
    assert -(2**63) < ns < 2**63


@given(ms=st.integers(0, 4_000_000_000_000))
def test_fractions_of_a_second_round_to_the_microsecond(ms: int) -> None:
    assert number_ns(ms / 1000, TimeUnit.S) == ms * 10**6
