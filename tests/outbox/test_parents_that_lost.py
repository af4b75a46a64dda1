"""What a parent lost is accounted position by position: no reading leaves `committed` that was not in it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.outbox.desk import FILE, PARENT, Desk, ks

from headland.line.outbox import OutboxSettings
from headland.link.contract import GapEntry, Later, LaterReason, ParentName, StreamWelcome
from headland.vocabulary import Account, Priority, Reason

EMPTIED = ParentName(PARENT.name, b"E" * 16)


@dataclass(frozen=True)
class Amounts:
    """Readings in block k: k of them, so that no two blocks can be taken for each other."""

    committed: int
    unknown: int
    pending: int


def amounts(desk: Desk) -> Amounts:
    return Amounts(desk.total(Account.COMMITTED), desk.total(Account.UNKNOWN_BY_RESTORE), desk.pending())


def asked(desk: Desk) -> dict[int, int]:
    """Blocks of which an ancestor is asked, and the readings in each."""
    questions = desk.outbox.take_questions()
    return {item.k_from + i: readings for item in questions for i, (readings, _) in enumerate(item.each)}


def sealed(count: int, settings: OutboxSettings | None = None) -> Desk:
    desk = Desk(settings or OutboxSettings(page=3))
    for k in range(1, count + 1):
        desk.keep(rows=k)
    desk.commit()
    return desk


def forget(desk: Desk, p: int) -> None:
    desk.outbox.forget(desk.stream().key, p, desk.draft)
    desk.commit()


def emptied(desk: Desk) -> None:
    """The parent comes back with an empty disk; every stream is in the backlog lane."""
    keys = [stream.key for stream in desk.outbox.state.streams() if stream.acked]
    desk.down()
    desk.up([StreamWelcome(key, -1) for key in keys], EMPTIED)


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "restarted"])
def test_what_was_put_aside_is_not_lost_with_the_file_that_held_it(restarted: bool):
    # Kills: a whole run of a file booked out of `committed`, and the one that waits with it.
    desk = sealed(6)
    desk.spill()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 6, Later(2, LaterReason.FULL), Later(5, LaterReason.FULL))
    assert amounts(desk) == Amounts(1 + 3 + 4 + 6, 0, 2 + 5)
    key = desk.stream().key
    forget(desk, 6)
    if restarted:
        desk.restart()
    desk.down()
    desk.up([StreamWelcome(key, -1)], EMPTIED)
    assert amounts(desk) == Amounts(0, 1 + 3 + 4 + 6, 2 + 5)
    assert asked(desk) == {1: 1, 3: 3, 4: 4, 6: 6}
    (gap,) = [entry for entry in desk.send() if entry.stream == key]
    assert isinstance(gap, GapEntry)
    assert [(one.reason, one.k_from, one.k_to) for one in gap.ranges] == [
        (Reason.LOST_BY_RESTORE, 1, 1),
        (Reason.LOST_BY_RESTORE, 3, 4),
        (Reason.LOST_BY_RESTORE, 6, 6),
    ]


@pytest.mark.parametrize("settings", [OutboxSettings(page=3), OutboxSettings(page=3, history=1)])
def test_the_history_need_not_know_what_was_put_aside(settings: OutboxSettings):
    # Kills: what was put aside is forgotten with the history, and a file's run is taken whole.
    desk = sealed(6, settings)
    desk.spill()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 6, Later(2, LaterReason.FULL))
    forget(desk, 6)
    for _ in range(3):
        desk.keep()
        desk.commit()
        (entry,) = desk.send()
        desk.answer(entry.stream, entry.p)
    emptied(desk)
    assert asked(desk) == {1: 1, 3: 3, 4: 4, 5: 5, 6: 6}
    assert desk.total(Account.UNKNOWN_BY_RESTORE) == 1 + 3 + 4 + 5 + 6
    assert desk.pending() == 2 + 3


def test_what_came_before_a_tombstone_is_still_asked_about_behind_it():
    # Kills: the history starts afresh at every place without a block.
    desk = sealed(2)
    desk.outbox.relay_gap((_gap(desk),), desk.stream().key.lane, desk.draft)
    desk.keep(rows=3)
    desk.commit()
    desk.up()
    assert ks([entry for entry in desk.send() if not isinstance(entry, GapEntry)]) == [1, 2, 4]
    desk.answer(desk.stream().key, 4)
    forget(desk, 4)
    assert amounts(desk) == Amounts(1 + 2 + 3, 0, 0)
    emptied(desk)
    assert amounts(desk) == Amounts(0, 1 + 2 + 3, 0)
    assert asked(desk) == {1: 1, 2: 2, 3: 3}


def _gap(desk: Desk):
    other = Desk(seed=9)
    other.keep()
    other.commit()
    (row,) = other.stream().rows_at(1).rows_between(1, 1)
    (named,) = other.outbox.state.ranges([row], Priority.NORMAL, Reason.SHED)
    return named


def test_of_a_run_that_was_cut_only_what_is_left_of_it_is_asked_about():
    # Kills: the identities of a whole file's run, for the part that stands behind a tombstone.
    desk = sealed(6)
    desk.spill()
    desk.up()
    assert ks(desk.send(limit=2)) == [1, 2]
    desk.outbox.next_to_send((1 << 20,) * 4, desk.now)
    assert desk.outbox.unreadable(desk.stream().key, 3, desk.draft)
    desk.commit()
    desk.send()
    desk.answer(desk.stream().key, 6)
    assert amounts(desk) == Amounts(1 + 2 + 4 + 5 + 6, 0, 0)
    forget(desk, 6)
    emptied(desk)
    assert amounts(desk) == Amounts(0, 1 + 2 + 4 + 5 + 6, 0)
    assert asked(desk) == {1: 1, 2: 2, 4: 4, 5: 5, 6: 6}


def test_a_parent_that_goes_back_twice_is_asked_about_each_block_once():
    # Kills: what was forgotten of a run that a first loss had cut.
    desk = sealed(6)
    chains = [bytes(16)] + [desk.stream().chain_at(p) for p in range(1, 7)]
    desk.spill()
    desk.up()
    desk.send()
    key = desk.stream().key
    desk.answer(key, 6)
    forget(desk, 6)
    for p, unknown in ((4, 5 + 6), (2, 3 + 4 + 5 + 6)):
        desk.down()
        desk.up([StreamWelcome(key, p, chains[p])])
        assert amounts(desk) == Amounts(21 - unknown, unknown, 0)
        desk.send()
        desk.answer(key, 6)
    assert asked(desk) == {3: 3, 4: 4, 5: 5, 6: 6}


def test_a_block_that_stands_elsewhere_is_not_shed_with_the_run_that_held_it():
    # Kills: one block in two accounts, and a tombstone of what is still to be sent.
    desk = sealed(4)
    desk.spill()
    desk.up()
    desk.send()
    key = desk.stream().key
    desk.answer(key, 4, Later(3, LaterReason.FULL))
    desk.down()
    desk.up([StreamWelcome(key, 0)])
    desk.down()
    assert amounts(desk) == Amounts(0, 0, 10)
    assert desk.outbox.shed(1 << 20, desk.draft) == []
    desk.commit()
    assert (desk.total(Account.SHED), desk.pending()) == (1 + 2 + 4, 3)
    (gap,) = desk.stream().pieces
    assert [(one.k_from, one.k_to) for one in gap.ranges] == [(1, 2), (4, 4)]


def test_a_block_that_stands_elsewhere_is_not_shed_out_of_the_journal_either():
    desk = sealed(4)
    desk.up()
    desk.send()
    key = desk.stream().key
    desk.answer(key, 4, Later(3, LaterReason.FULL))
    desk.down()
    desk.up([StreamWelcome(key, 0)])
    desk.down()
    assert desk.outbox.shed_rows(lambda ref: ref.space < FILE, lambda ref: True, desk.draft)
    desk.commit()
    assert (desk.total(Account.SHED), desk.pending()) == (1 + 2 + 4, 3)


def test_a_new_parent_that_crashes_before_its_first_commit_has_lost_nothing():
    # Kills: the opening balance, which an earlier parent had answered, taken for what the new one had.
    desk = sealed(4)
    desk.up()
    desk.send()
    key = desk.stream().key
    desk.answer(key, 2)
    forget(desk, 1)
    other = ParentName("other", b"O" * 16)
    for _ in range(2):
        desk.down()
        desk.up([StreamWelcome(key, -1)], other)
        assert desk.alarms == []
        assert desk.outbox.opening(key) == (2, desk.stream().acked_chain)
        assert ks(desk.send()) == [3, 4]
        assert amounts(desk) == Amounts(1 + 2, 0, 3 + 4)


@pytest.mark.parametrize("spilled", [False, True], ids=["journal", "file"])
@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "restarted"])
def test_a_new_parent_with_an_empty_disk_has_lost_what_it_answered_and_no_more(
    spilled: bool, restarted: bool
):
    desk = sealed(4)
    key, chain = desk.stream().key, desk.stream().chain_at(2)
    if spilled:
        desk.spill()
    desk.up()
    desk.send()
    desk.answer(key, 2)
    desk.down()
    desk.up([StreamWelcome(key, -1)], ParentName("other", b"O" * 16))
    desk.send()
    desk.answer(key, 4)
    desk.down()
    if restarted:
        desk.restart()
    desk.up([StreamWelcome(key, -1)], ParentName("other", b"P" * 16))
    assert [alarm.kind for alarm in desk.alarms] == ["parent_went_back"]
    assert desk.outbox.opening(key) == (2, chain)
    assert amounts(desk) == Amounts(1 + 2, 0, 3 + 4)
    assert ks([entry for entry in desk.send() if entry.stream == key]) == [3, 4]
    desk.answer(key, 4)
    assert amounts(desk) == Amounts(10, 0, 0)


def test_an_earlier_parent_that_has_less_is_not_said_to_have_gone_back_and_is_sent_what_it_lacks():
    """Kills: an alarm of a restore that nobody made, each time a child changes to and fro."""
    desk = sealed(4)
    key, chain = desk.stream().key, desk.stream().chain_at(2)
    desk.up()
    desk.send()
    desk.answer(key, 2)
    desk.down()
    desk.up([StreamWelcome(key, -1)], ParentName("other", b"O" * 16))
    desk.send()
    desk.answer(key, 4)
    desk.down()
    desk.up([StreamWelcome(key, 2, chain)])
    assert [alarm.kind for alarm in desk.alarms] == ["earlier_parent"]
    assert ks(desk.send()) == [3, 4]
    desk.answer(key, 4)
    assert amounts(desk) == Amounts(10, 0, 0)


def test_a_restart_remembers_where_the_present_parent_began():
    desk = sealed(4)
    key = desk.stream().key
    desk.up()
    desk.send()
    desk.answer(key, 2)
    desk.down()
    desk.up([StreamWelcome(key, -1)], ParentName("other", b"O" * 16))
    snapshot = desk.outbox.snapshot()
    for other in (desk.replayed(), desk.replayed(snapshot, after=len(desk.frames))):
        assert other.state.find(key).base == 2


def test_a_parent_that_was_said_to_be_gone_and_comes_back_is_not_taken_for_a_liar():
    # Kills: an answer about what was given up here, refused at every handshake, and nothing is ever sent.
    desk = sealed(4)
    key, chain = desk.stream().key, desk.stream().chain_at(4)
    desk.up()
    desk.send()
    desk.down()
    desk.outbox.parent_gone(desk.draft)
    desk.commit()
    assert desk.outbox.shed_rows(lambda ref: ref.space < FILE, lambda ref: True, desk.draft)
    desk.commit()
    desk.up([StreamWelcome(key, 4, chain, (Later(2, LaterReason.FULL),))])
    assert [alarm.kind for alarm in desk.alarms] == ["given_up"]
    (told,) = desk.send()
    assert isinstance(told, GapEntry)
    assert [(one.k_from, one.k_to, one.reason) for one in told.ranges] == [(1, 4, Reason.SHED)]
    desk.answer(key, 5)
    assert (desk.total(Account.SHED), amounts(desk)) == (10, Amounts(0, 0, 0))


def test_a_parent_that_lost_an_answer_and_found_it_again_does_not_put_a_block_aside_twice():
    # Kills: a block at two places, and a stream that stops because this node is taken for restored.
    desk = sealed(4)
    key, chain = desk.stream().key, desk.stream().chain_at(3)
    desk.up()
    desk.send()
    desk.answer(key, 4, Later(2, LaterReason.FULL))
    emptied(desk)
    assert amounts(desk) == Amounts(0, 0, 10)
    for heard in (0, 2):
        desk.down()
        exceptions = () if heard else (Later(2, LaterReason.FULL),)
        desk.up([StreamWelcome(key, 3, chain, exceptions, heard)])
        assert not desk.stream().frozen
        assert len(desk.outbox.state.waiting) == 1
        assert amounts(desk) == Amounts(1 + 3, 0, 2 + 4)
