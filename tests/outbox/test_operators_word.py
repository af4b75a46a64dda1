"""What an operator can say of a parent that will not come back, and what is counted of dead letters."""

from __future__ import annotations

import pytest
from tests.outbox.desk import PARENT, Desk, ks

from headland.line.outbox import OutboxSettings
from headland.link.contract import Answer, ParentName, Rejected, StreamWelcome
from headland.vocabulary import Priority

OTHER = ParentName("other", b"T" * 16)


def _unknown() -> Desk:
    """Two blocks have left, and the connection is gone."""
    desk = Desk()
    for _ in range(2):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.up()
    assert ks(desk.send()) == [1, 2]
    desk.down()
    return desk


@pytest.mark.parametrize("replayed", [False, True])
def test_what_a_parent_may_hold_that_is_gone_counts_as_unsent(replayed: bool) -> None:
    desk = _unknown()
    assert desk.outbox.unknown() == (PARENT.name, 2)
    desk.outbox.parent_gone(desk.draft)
    desk.commit()
    outbox = desk.replayed() if replayed else desk.outbox
    if not replayed:
        assert outbox.unknown() is None
    assert outbox.state.foreign_parent is None
    assert desk.stream(Priority.HIGH).touchable == 1


def test_while_the_link_is_up_the_word_is_of_earlier_parents_only() -> None:
    # Kills: blocks that the connected parent may have, given up because another one is gone.
    desk = _unknown()
    stream = desk.stream(Priority.HIGH)
    desk.up([StreamWelcome(stream.key, 0)], OTHER)
    desk.keep(Priority.HIGH)
    desk.commit()
    assert len(desk.send()) == 3
    assert desk.outbox.unknown() == (PARENT.name, 2)
    desk.outbox.parent_gone(desk.draft)
    desk.commit()
    assert desk.outbox.unknown() is None
    assert (stream.foreign, stream.uncertain) == (0, 2)
    desk.down()
    assert desk.outbox.unknown() == (OTHER.name, 3)


def test_where_nothing_is_of_unknown_outcome_there_is_nothing_to_say() -> None:
    desk = Desk()
    assert desk.outbox.unknown() is None
    desk.keep(Priority.HIGH)
    desk.commit()
    desk.up()
    desk.send()
    assert desk.outbox.unknown() is None, "the parent is there"
    desk.answer(desk.stream(Priority.HIGH).key, 1)
    desk.down()
    assert desk.outbox.unknown() is None


def test_dead_letters_that_are_no_longer_listed_are_counted_in_a_snapshot_and_in_a_replay_too() -> None:
    # Kills: letters that go without a word.
    desk = Desk(OutboxSettings(dead_max=3))
    for _ in range(5):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.up()
    desk.send()
    stream = desk.stream(Priority.HIGH)
    refused = tuple(Rejected(p, 1) for p in range(1, 6))
    value = stream.chain_at(5)
    desk.outbox.answered([Answer(stream.key, 5, value[:8], refused)], desk.now, desk.draft)
    desk.commit()
    snapshot = desk.outbox.snapshot()
    for outbox in (desk.outbox, desk.replayed(), desk.replayed(snapshot, after=len(desk.frames))):
        assert [item.letter.row.k for item in outbox.dead_letters()] == [3, 4, 5]
        assert outbox.state.unlisted == 2
    number = desk.outbox.dead_letters()[0].number
    desk.outbox.resend(number, desk.now, desk.draft)
    assert desk.outbox.state.unlisted == 2, "sent again is not gone"


def test_a_run_whose_file_goes_is_counted_block_by_block() -> None:
    desk = Desk()
    for _ in range(6):
        desk.keep(Priority.HIGH)
    desk.commit()
    number = desk.spill()
    desk.advance(25 * 3600)
    desk.up()
    desk.send()
    assert [run.blocks for run in desk.outbox.dead_runs()] == [6]
    desk.outbox.drop_file(number, desk.draft)
    desk.commit()
    assert desk.outbox.state.unlisted == 6
