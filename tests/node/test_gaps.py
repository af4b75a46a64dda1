"""Laws of what a root lists as missing, against plain sets of numbers."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from tests.node.chain import Chain

from headland.blocks.header import BlockHeader, Run
from headland.link.bounds import PAYLOAD_MAX
from headland.link.contract import GapRange
from headland.node import gaps, shelving
from headland.node.gaps import UNTOLD, Gap
from headland.node.shelf import Shelf
from headland.vocabulary import Account, Lane, Priority, Reason

EPOCH = b"e" * 16
S = 10**9


def block(k: int, *, n: int = 0, epoch: bytes = EPOCH, rows: int = 2) -> BlockHeader:
    return BlockHeader(
        origin="s/device",
        epoch=epoch,
        priority=Priority.NORMAL,
        k=k,
        lane=Lane.LIVE,
        rows=rows,
        size=10 * rows,
        runs=(Run(n or k, n or k, rows),),
    )


def tombstone(low: int, high: int, reason: Reason = Reason.EXPIRED) -> GapRange:
    count = high - low + 1
    return GapRange("s/device", EPOCH, Priority.NORMAL, low, high, reason, 2 * count, 20 * count, 0, 1)


def put(shelf: Shelf, header: BlockHeader, child: str = "s/a", at_ns: int = 1) -> bool:
    return shelf.put(header, (1, 0), at_ns, own=False, child=child).account is Account.APPLIED


def again(shelf: Shelf) -> Shelf:
    """As a restart finds it."""
    other = Shelf()
    other.restore(shelf.snapshot())
    return other


def numbers(found: list[Gap]) -> set[int]:
    return {k for one in found for low, high in one.blocks for k in range(low, high + 1)}


@pytest.mark.parametrize("seed", range(40))
def test_what_is_listed_is_what_was_told_or_stands_before_what_came_and_has_not_come(seed: int) -> None:
    """Kills: a tombstone beside its block, a hole that stays, a hole beside its tombstone."""
    random = Random(seed)
    shelf, here, told = Shelf(), set[int](), set[int]()
    for _ in range(random.randrange(1, 60)):
        k = random.randrange(1, 40)
        if random.random() < 0.2:
            high = k + random.randrange(4)
            shelf.missing.tell("s/a", [tombstone(k, high)])
            told |= set(range(k, high + 1))
        elif put(shelf, block(k)):
            here.add(k)
        if random.random() < 0.1:
            shelf = again(shelf)
    found = shelf.missing.report()
    holes = set(range(1, max(here, default=0))) - here - told
    assert numbers([one for one in found if one.reason == UNTOLD]) == holes
    assert numbers([one for one in found if one.reason == "expired"]) == told - here
    assert sum(len(one.blocks) == 0 for one in found) == 0
    assert numbers(again(shelf).missing.report()) == numbers(found)


def test_readings_of_a_tombstone_shrink_with_each_block_that_comes_after_all() -> None:
    shelf = Shelf()
    shelf.missing.tell("s/a", [tombstone(3, 6)])
    put(shelf, block(4))
    put(shelf, block(4))
    [one] = [item for item in shelf.missing.report() if item.reason == "expired"]
    assert (one.blocks, one.readings, one.bytes) == ([(3, 3), (5, 6)], 6, 60)


def test_a_hole_names_the_child_that_had_brought_the_blocks_before_it_until_it_closes() -> None:
    """Kills: the child that brought the block after the hole; the origin for all; a custodian forgotten."""
    shelf = Shelf()
    put(shelf, block(3), "s/old")
    put(shelf, block(4), "s/old")
    put(shelf, block(9), "s/new")
    put(shelf, block(12), "s/new")
    for looked in (shelf, again(shelf)):
        assert [(one.blocks, one.custodian) for one in looked.missing.report()] == [
            ([(1, 2)], "s/device"),
            ([(5, 8)], "s/old"),
            ([(10, 11)], "s/new"),
        ]
    put(shelf, block(6), "s/old")
    assert [(one.blocks, one.custodian) for one in again(shelf).missing.report()][1:3] == [
        ([(5, 5)], "s/old"),
        ([(7, 8)], "s/old"),
    ]
    for k in (1, 2, 5, 7, 8, 10, 11):
        put(shelf, block(k), "s/old")
    assert shelf.missing.report() == []


def test_beyond_its_bound_the_oldest_tombstones_are_counted_and_no_longer_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gaps, "TOLD_MAX", 3)
    shelf = Shelf()
    for low in range(1, 11, 2):
        shelf.missing.tell("s/a", [tombstone(low, low)])
    assert numbers(shelf.missing.report()) == {5, 7, 9}
    assert again(shelf).missing.unlisted == shelf.missing.unlisted == 2


def test_a_block_of_a_forgotten_epoch_is_applied_and_said_to_be_unproven() -> None:
    """Kills: one that is discarded, one that passes for proved, and a young epoch that is doubted."""
    old, young, next_one = b"1" * 16, b"2" * 16, b"3" * 16
    shelf = Shelf()
    put(shelf, block(1, n=10, epoch=old))
    put(shelf, block(2, n=20, epoch=old))
    put(shelf, block(1, n=31, epoch=young), at_ns=500)
    assert shelf.applied.old(400, 100) == [("s/device", old)]
    shelf.forget([("s/device", old)])
    for looked in (shelf, again(shelf)):
        assert put(looked, block(1, n=10, epoch=old))
        assert looked.resting[-1].unproven
        assert put(looked, block(3, n=30, epoch=old))
        assert not put(looked, block(1, n=10, epoch=old)), "it is known again"
        assert not put(looked, block(1, n=31, epoch=young))
        assert put(looked, block(1, n=41, epoch=next_one))
        assert not looked.resting[-1].unproven


def test_a_root_forgets_old_epochs_in_a_commit_and_a_restart_has_forgotten_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: a table that only grows, and one that remembers after a crash what it had given up."""
    monkeypatch.setattr(shelving, "DEDUP_HORIZON_S", 6)
    monkeypatch.setattr(shelving, "FORGET_EVERY_S", 1)
    chain = Chain(1, devices=1, readings=3000)
    for at_s in (3, 6, 9):
        chain.run_s(at_s)
        chain.local.crash()
        chain.local.restart()

    def known() -> int:
        assert chain.cloud.node is not None
        return len({key[:2] for key, _ in chain.cloud.node.parts.shelving.shelf.applied.items()})

    assert known() == 3
    chain.run_s(30)
    assert known() == 1
    chain.cloud.crash()
    chain.cloud.restart()
    chain.run_s(30.5)
    assert known() == 1
    chain.run_s(50)
    assert chain.total(chain.cloud, Account.APPLIED) == chain.total(chain.local, Account.KEPT)
    assert chain.balanced()


def test_tombstones_of_one_identity_have_a_bound_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # Kills: a hundred thousand tombstones of one child, looked through for each of its blocks.
    monkeypatch.setattr(gaps, "EACH_MAX", 2)
    shelf = Shelf()
    for low in (1, 3, 5, 7):
        shelf.missing.tell("s/a", [tombstone(low, low)])
    assert numbers(shelf.missing.report()) == {5, 7}
    assert shelf.missing.unlisted == 2


def test_adjoining_tombstones_of_one_child_and_reason_are_one() -> None:
    shelf = Shelf()
    for low in range(1, 101):
        shelf.missing.tell("s/a", [tombstone(low, low)])
    shelf.missing.tell("s/a", [tombstone(101, 101, Reason.SHED)])
    shelf.missing.tell("s/b", [tombstone(102, 102, Reason.SHED)])
    put(shelf, block(50))
    for one in (shelf, again(shelf)):
        first, *others = one.missing.report()
        assert first.blocks == [(1, 49), (51, 100)]
        assert (first.readings, first.bytes) == (198, 1980)
        assert [(gap.blocks, gap.custodian) for gap in others] == [
            ([(101, 101)], "s/a"),
            ([(102, 102)], "s/b"),
        ]


def test_tombstones_are_joined_only_as_far_as_their_sum_can_be_read_again() -> None:
    shelf = Shelf()
    for low in (1, 2):
        most = msgspec.structs.replace(tombstone(low, low), payload_bytes=PAYLOAD_MAX)
        shelf.missing.tell("s/a", [most])
    assert len(again(shelf).missing.report()) == 2
