"""Identities and sets of groups come from children: what they number stays bounded."""

from __future__ import annotations

import pytest
from tests.outbox.desk import Desk

from headland.blocks.header import BlockHeader, Run
from headland.line.outbox import Outbox
from headland.line.outbox.applying import append_row, append_tombstone, current_stream
from headland.line.outbox.state import GROUP_SETS_MAX, GROUP_TEXT_MAX, IDENTS_KEPT
from headland.line.outbox.stream import Stream
from headland.link.bounds import PAYLOAD_MAX
from headland.link.contract import ANY_GROUP, GapRange, StreamKey
from headland.vocabulary import Lane, Priority, Reason


def _header(k: int, epoch: bytes, groups: tuple[str, ...] = (), size: int = 8) -> BlockHeader:
    return BlockHeader(
        origin="child", epoch=epoch, priority=Priority.NORMAL, k=k, lane=Lane.LIVE, rows=1, size=size,
        runs=(Run(k, k, 1),), groups=groups, digest=bytes(16),
    )  # fmt: skip


def _restored(desk: Desk) -> Outbox:
    other = Outbox("node", desk.settings, desk.random)
    other.restore(desk.outbox.snapshot())
    return other


@pytest.mark.parametrize("length", [3, 1000])
def test_beyond_a_number_of_sets_or_of_characters_groups_are_not_told_apart(length: int) -> None:
    # Kills: 16 names of 1,024 characters a block, of a child's choice, kept for ever and in every checkpoint.
    desk = Desk()
    state = desk.outbox.state
    numbers = [state.group((f"{at:0{length}d}",)) for at in range(2 * GROUP_SETS_MAX)]
    assert len(state.groups) <= GROUP_SETS_MAX + 1
    assert sum(len(name) for names in state.groups for name in names) <= GROUP_TEXT_MAX + len(ANY_GROUP[0])
    assert state.groups[numbers[-1]] == ANY_GROUP
    assert state.groups[numbers[7]] == (f"{7:0{length}d}",)
    other = _restored(desk).state
    assert other.groups == state.groups
    assert other.group((f"{7:0{length}d}",)) == numbers[7]
    assert other.group(("n" * 1000,)) == numbers[-1] == other.group(ANY_GROUP)


def test_identities_without_a_block_make_room_for_others_and_those_with_one_keep_their_number() -> None:
    # Kills: every (origin, epoch) that ever passed, for ever and in every checkpoint.
    desk = Desk()
    state = desk.outbox.state
    stream = current_stream(state, Priority.NORMAL, Lane.LIVE)
    most = 0
    for turn in range(5):
        for at in range(IDENTS_KEPT):
            header = _header(1, (turn * IDENTS_KEPT + at + 1).to_bytes(16))
            append_row(state, stream, state.row_of(header, 0, 1, at, 0))
        stream.acked_to(stream.tail - 1, stream.chain_at(stream.tail - 1) or b"")
        stream.forget_to(stream.acked)
        last = stream.tail
        other = _restored(desk)
        for one in (desk.outbox, other):
            rows = one.state.find(stream.key).rows_at(last)
            assert one.state.idents[rows.row(last).ident] == (
                "child",
                ((turn + 1) * IDENTS_KEPT).to_bytes(16),
            )
            assert one.state.ident("child", ((turn + 1) * IDENTS_KEPT).to_bytes(16)) == rows.row(last).ident
        most = max(most, len(state.idents))
    assert most <= 2 * IDENTS_KEPT + 2
    assert other.state.ident("new", bytes(range(16))) < most


def test_tombstones_are_joined_only_as_far_as_their_sum_can_be_read_again() -> None:
    # Kills: blocks of 2^40 bytes, by their child's word, whose tombstone no start can decode.
    desk = Desk()
    state = desk.outbox.state
    epoch = b"c" * 16
    rows = [state.row_of(_header(k, epoch, (), PAYLOAD_MAX // 4), 0, 1, k, 0) for k in range(1, 11)]
    ranges = state.ranges(rows, Priority.NORMAL, Reason.SHED)
    assert [(one.k_from, one.k_to) for one in ranges] == [(1, 4), (5, 8), (9, 10)]
    assert max(one.payload_bytes for one in ranges) == PAYLOAD_MAX


def test_the_chain_value_of_a_told_tombstone_is_that_of_version_one():
    """Logs hold what follows from it: golden bytes."""
    desk = Desk()
    told = GapRange("o", b"e" * 16, 2, 3, 5, 6, 7, 80, 1, 2, ("g",))
    gap = append_tombstone(desk.outbox.state, Stream(StreamKey(b"s" * 16, 2, 1)), (told,))
    assert (gap.first, gap.last, gap.ranges) == (1, 1, (told,))
    assert gap.chain.hex() == "cae8917c9241b5f8a2beb1cf3274cfeb"
