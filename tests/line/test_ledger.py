"""Laws of the books. Each names the mutant that it kills."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headland.line.ledger import HOUR_NS, HOURLY_FLOWS, HOURLY_KEPT, Ledger, decode_deltas, encode_deltas
from headland.vocabulary import Account


def keep(readings: int, payload_bytes: int, group: str = "g", cls: int = 2, rule: str = "r") -> dict:  # type: ignore[type-arg]
    amount = [readings, payload_bytes]
    return {
        (Account.OFFERED, group, cls, rule): amount[:],
        (Account.KEPT, group, cls, rule): amount[:],
        (Account.PENDING, "", cls, ""): amount[:],
    }


def test_a_reading_booked_on_both_sides_balances() -> None:
    assert Ledger().apply(keep(3, 120), 0) == []


def test_a_reading_offered_and_never_disposed_of_is_named() -> None:
    """Kills: forgetting to book the disposition."""
    failed = Ledger().apply({(Account.OFFERED, "g", 2, "r"): [1, 10]}, 0)
    assert [(f.equation, f.readings, f.payload_bytes) for f in failed] == [("south", 1, 10)]


def test_a_kept_reading_that_is_nowhere_north_is_named() -> None:
    """Kills: dropping a sealed block without booking it."""
    deltas = keep(1, 10)
    del deltas[(Account.PENDING, "", 2, "")]
    assert [f.equation for f in Ledger().apply(deltas, 0)] == ["north"]


def test_bytes_alone_can_unbalance_the_books() -> None:
    """Kills: an equation checked in readings only."""
    deltas = keep(1, 10)
    deltas[(Account.KEPT, "g", 2, "r")][1] = 9
    assert {f.equation for f in Ledger().apply(deltas, 0)} == {"south", "north"}


def test_two_errors_in_different_classes_do_not_cancel_out() -> None:
    """Kills: the northern equation summed over classes."""
    failed = Ledger().apply({(Account.KEPT, "g", 1, "r"): [1, 1], (Account.PENDING, "", 2, ""): [1, 1]}, 0)
    assert {f.cls for f in failed if f.equation == "north"} == {1, 2}


def test_a_balance_stays_wrong_until_it_is_mended() -> None:
    ledger = Ledger()
    ledger.apply({(Account.OFFERED, "g", 2, "r"): [1, 10]}, 0)
    assert ledger.check()
    ledger.apply({(Account.DROPPED, "g", 2, "r"): [1, 10]}, 0)
    assert ledger.check() == []


@given(
    st.lists(st.tuples(st.sampled_from(list(Account)), st.integers(-9, 9), st.integers(-99, 99)), max_size=20)
)
def test_a_snapshot_restores_every_balance_and_every_failure(moves: list[tuple[Account, int, int]]) -> None:
    ledger = Ledger()
    for account, readings, size in moves:
        ledger.apply({(account, "g", 2, "r"): [readings, size]}, 5 * HOUR_NS)
    other = Ledger()
    other.restore(ledger.snapshot())
    assert other.balances == ledger.balances
    assert other.hours == ledger.hours
    assert other.check() == ledger.check()


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 23), st.text(), st.integers(0, 12), st.text()),
        st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(list),
    )
)
def test_deltas_survive_their_encoding(deltas: dict[tuple[int, str, int, str], list[int]]) -> None:
    assert decode_deltas(encode_deltas(deltas)) == {k: v for k, v in deltas.items() if v != [0, 0]}


def test_hours_are_kept_for_ninety_days_and_no_longer() -> None:
    ledger = Ledger()
    for hour in range(HOURLY_KEPT + 3):
        ledger.apply(keep(1, 1), hour * HOUR_NS)
    assert len(ledger.hours) == HOURLY_KEPT
    assert min(ledger.hours) == 3
    assert ledger.total(Account.KEPT) == (HOURLY_KEPT + 3, HOURLY_KEPT + 3)


def test_an_hour_with_too_many_flows_sums_the_rest_as_other() -> None:
    ledger = Ledger()
    for flow in range(HOURLY_FLOWS * 2):
        ledger.apply({(Account.DROPPED, f"g{flow}", 2, "r"): [1, 1]}, 0)
    flows = ledger.hours[0]
    assert len(flows) == HOURLY_FLOWS + 1
    assert sum(amount[0] for amount in flows.values()) == HOURLY_FLOWS * 2
