"""Laws of the books. Each names the mutant that it kills."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headland.line.ledger import (
    HOUR_NS,
    HOURLY_FLOWS,
    HOURLY_KEPT,
    Imbalance,
    Ledger,
    decode_deltas,
    encode_deltas,
)
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


def test_an_account_from_which_more_was_moved_than_it_held_is_named_with_what_is_missing() -> None:
    """Kills: a sum of both sides that hides a block moved out twice; bytes that nobody looks at."""
    twice = {(Account.PENDING, "", 2, ""): [-1, -10], (Account.EXPIRED, "", 2, ""): [1, 10]}
    (failed,) = Ledger().apply(twice, 0)
    assert failed == Imbalance("pending >= 0", "", 2, "", -1, -10)
    bytes_alone = {(Account.HELD, "g", 3, "r"): [0, -1], (Account.DROPPED, "g", 3, "r"): [0, 1]}
    (failed,) = Ledger().apply(bytes_alone, 0)
    assert failed == Imbalance("held >= 0", "g", 3, "r", 0, -1)
    readings_alone = {(Account.HELD, "g", 3, "r"): [-1, 0], (Account.DROPPED, "g", 3, "r"): [1, 0]}
    (failed,) = Ledger().apply(readings_alone, 0)
    assert failed == Imbalance("held >= 0", "g", 3, "r", -1, 0)


def test_what_is_overdrawn_is_told_at_every_commit_that_touches_it_and_by_a_check() -> None:
    ledger = Ledger()
    ledger.apply({(Account.PENDING, "", 2, ""): [-1, -10], (Account.EXPIRED, "", 2, ""): [1, 10]}, 0)
    assert ledger.apply(keep(1, 1, cls=1), 0) == []
    assert [f.equation for f in ledger.check()] == ["pending >= 0"]


def test_an_imbalance_names_its_class_and_its_amounts_on_either_side() -> None:
    deltas = {(Account.OFFERED, "g", 3, "r"): [2, 7], (Account.KEPT, "g", 1, "s"): [1, 4]}
    assert Ledger().apply(deltas, 0) == [
        Imbalance("south", "g", 1, "s", -1, -4),
        Imbalance("south", "g", 3, "r", 2, 7),
        Imbalance("north", "", 1, "", 1, 4),
    ]


def test_a_total_is_of_one_account_and_of_one_class_or_of_all() -> None:
    """Kills: another account or class counted along; the amount of the last key taken for the sum."""
    ledger = Ledger()
    ledger.apply(keep(3, 120, group="a", cls=1) | keep(5, 80, group="b", cls=2), 0)
    ledger.apply(keep(7, 10, group="c", cls=2), 0)
    assert ledger.total(Account.KEPT) == (15, 210)
    assert ledger.total(Account.KEPT, 2) == (12, 90)
    assert ledger.total(Account.KEPT, 1) == (3, 120)
    assert ledger.total(Account.DROPPED) == ledger.total(Account.KEPT, 0) == (0, 0)


def test_a_flow_that_an_hour_knows_goes_on_by_its_name_and_others_keep_account_and_class() -> None:
    """Kills: known flows summed into the rest; accounts or classes mixed in the rest."""
    ledger = Ledger()
    for flow in range(HOURLY_FLOWS):
        ledger.apply({(Account.DROPPED, f"g{flow}", 2, "r"): [1, 1]}, 0)
    for _ in range(2):
        ledger.apply({(Account.DROPPED, "g5", 2, "r"): [1, 2]}, 0)
        ledger.apply({(Account.DROPPED, "new", 2, "r"): [1, 3]}, 0)
        ledger.apply({(Account.QUARANTINED, "new", 3, "r"): [1, 4]}, 0)
    hour = ledger.hours[0]
    assert hour[(Account.DROPPED, "g5", 2, "r")] == [3, 5]
    assert hour[(Account.DROPPED, "other", 2, "other")] == [2, 6]
    assert hour[(Account.QUARANTINED, "other", 3, "other")] == [2, 8]
    assert len(hour) == HOURLY_FLOWS + 2
