"""Laws of the handshake, one parent after another: none loses what the child still has."""

from __future__ import annotations

import pytest
from tests.outbox.desk import PARENT, PLENTY, Desk, ks

from headland.line.outbox import OutboxSettings
from headland.link.contract import (
    BlockEntry,
    GapEntry,
    Later,
    ParentName,
    StreamKey,
    StreamWelcome,
    Verdict,
)
from headland.link.verdicts import HERE, Verdicts
from headland.vocabulary import Account, Priority, Reason


def answered(count: int, acked: int, settings: OutboxSettings | None = None) -> tuple[Desk, list[bytes]]:
    desk = Desk(settings)
    for _ in range(count):
        desk.keep()
    desk.commit()
    chains = [bytes(16)] + [desk.stream().chain_at(p) for p in range(1, count + 1)]
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, acked)
    desk.down()
    return desk, chains


def test_a_parent_that_has_more_than_was_acknowledged_is_believed_when_its_chain_is_ours():
    desk, chains = answered(4, 1)
    desk.up([StreamWelcome(desk.stream().key, 3, chains[3])])
    assert (desk.stream().acked, desk.total(Account.COMMITTED)) == (3, 3)
    assert ks(desk.send()) == [4]


def test_a_parent_with_another_chain_value_is_a_fork_nothing_is_sent_and_nothing_lost():
    # Kills: position compared without chain value.
    desk, chains = answered(4, 1)
    desk.up([StreamWelcome(desk.stream().key, 3, chains[2])])
    assert [alarm.kind for alarm in desk.alarms] == ["fork"]
    assert desk.send() == []
    assert desk.pending() == 3


def test_a_parent_that_stands_inside_our_tombstones_is_a_fork_too():
    # Kills: an answer that is refused again at every handshake, after which nothing of any stream is sent.
    desk = Desk()
    for _ in range(4):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.advance(2 * 86_400)
    desk.up()
    (gap,) = desk.send()
    assert (gap.p_from, gap.p_to) == (1, 4)
    desk.down()
    desk.up([StreamWelcome(gap.stream, 2, b"c" * 16)])
    assert [alarm.kind for alarm in desk.alarms] == ["fork"]
    assert desk.send() == []


def test_a_parent_that_goes_back_into_our_tombstones_is_a_fork_too():
    # Kills: the process ends at the handshake, and at every later one.
    desk = Desk()
    for _ in range(4):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.advance(2 * 86_400)
    desk.up()
    (gap,) = desk.send()
    desk.answer(gap.stream, 4)
    desk.down()
    desk.up([StreamWelcome(gap.stream, 2, b"c" * 16)])
    assert [alarm.kind for alarm in desk.alarms] == ["fork"]
    assert desk.send() == []


def twice_restored() -> tuple[Desk, StreamKey]:
    """A parent that lost positions 3 to 6, was told tombstones for 3 and 4, and got the copy of 3 back."""
    desk, chains = answered(6, 6)
    key = desk.stream().key
    desk.outbox.forget(key, 4, desk.draft)
    desk.commit()
    desk.up([StreamWelcome(key, 2, chains[2])])
    gap, *blocks = desk.send()
    assert (gap.p_from, gap.p_to, ks(blocks)) == (3, 4, [5, 6])
    desk.answer(key, 6)
    desk.down()
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (0, 4)
    desk.alarms.clear()
    desk.up([StreamWelcome(key, 3, chains[3])])
    assert [alarm.kind for alarm in desk.alarms] == ["fork"]
    return desk, key


@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_fork_keeps_is_not_given_up_as_safe_where_the_parent_may_have_lost_it(restarts: bool):
    # Kills: blocks that a parent acknowledged and lost in a restore are reclaimed behind a fork.
    desk, key = twice_restored()
    if restarts:
        desk.restart()
    stream = desk.outbox.state.find(key)
    assert desk.send() == []
    assert (stream.floor, stream.acked, stream.tail) == (2, 2, 6)
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (2, 2)


def test_what_a_fork_kept_of_what_was_answered_is_sent_again_when_it_is_released():
    desk, key = twice_restored()
    desk.outbox.release(key, desk.draft, bury=False)
    desk.commit()
    told, *blocks = desk.send()
    assert isinstance(told, GapEntry)
    assert [(item.k_from, item.k_to) for item in told.ranges] == [(3, 4)]
    assert ks(blocks) == [5, 6]
    desk.answer(blocks[-1].stream, blocks[-1].p)
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (0, 4)


def test_what_a_fork_keeps_is_told_again_by_every_process_and_once():
    # Kills: a restart that makes stuck blocks look like an ordinary backlog.
    desk, chains = answered(4, 1)
    key = desk.stream().key
    welcome = [StreamWelcome(key, 3, chains[2])]
    desk.up(welcome)
    desk.restart()
    desk.alarms.clear()
    for _ in range(2):
        desk.up(welcome)
        desk.down()
    assert [(alarm.kind, alarm.detail) for alarm in desk.alarms] == [
        ("frozen", f"{key}: 3 blocks are kept here and not sent")
    ]


def test_a_restored_parent_is_sent_again_what_is_still_here():
    # Kills: reclaimable taken for gone.
    desk, chains = answered(4, 4)
    assert desk.pending() == 0
    desk.up([StreamWelcome(desk.stream().key, 1, chains[1])])
    assert [alarm.kind for alarm in desk.alarms] == ["parent_went_back"]
    assert ks(desk.send()) == [2, 3, 4]
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (3, 1)
    desk.answer(desk.stream().key, 4)
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (0, 4)


def test_what_a_restored_parent_lost_and_is_not_here_is_booked_unknown_and_named():
    desk, chains = answered(4, 4)
    desk.outbox.forget(desk.stream().key, 3, desk.draft)
    desk.commit()
    desk.up([StreamWelcome(desk.stream().key, 1, chains[1])])
    assert [alarm.kind for alarm in desk.alarms] == ["parent_went_back", "unknown_by_restore"]
    gap, block = desk.send()
    assert isinstance(gap, GapEntry)
    assert (gap.p_from, gap.p_to, gap.chain) == (2, 3, chains[3])
    (named,) = gap.ranges
    assert (named.reason, named.k_from, named.k_to, named.readings) == (Reason.LOST_BY_RESTORE, 2, 3, 2)
    assert block.p == 4
    books = desk.total(Account.UNKNOWN_BY_RESTORE), desk.pending(), desk.total(Account.COMMITTED)
    assert books == (2, 1, 1)


def test_a_restored_parent_is_compared_inside_outbox_files_too():
    desk, chains = answered(10, 10, OutboxSettings(page=3))
    desk.spill()
    desk.up([StreamWelcome(desk.stream().key, 4, chains[4])])
    assert ks(desk.send()) == [5, 6, 7, 8, 9, 10]
    assert desk.pending() == 6


def test_a_restored_parent_after_a_restart_of_the_child_is_compared_by_reading_the_file():
    desk, chains = answered(10, 10, OutboxSettings(page=3, history=1))
    desk.spill()
    key = desk.stream().key
    desk.restart()
    desk.up([StreamWelcome(key, 4, chains[4])])
    assert ks(desk.send()) == [5, 6, 7, 8, 9, 10]
    desk.answer(key, 10, Later(6))
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (1, 9)


def put_aside(spilled: bool) -> tuple[Desk, list[bytes]]:
    """Four blocks answered, the second of them with `Later`; in the journal or in a file."""
    desk = Desk(OutboxSettings(page=3))
    for _ in range(4):
        desk.keep()
    desk.commit()
    chains = [bytes(16)] + [desk.stream().chain_at(p) for p in range(1, 5)]
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 4, Later(2))
    if spilled:
        desk.spill()
    desk.down()
    return desk, chains


@pytest.mark.parametrize("spilled", [False, True], ids=["journal", "file"])
def test_what_was_put_aside_is_not_taken_back_from_a_restored_parent(spilled: bool):
    # Kills: `Later` booked out of `committed`, where it never was; a block sent at two positions.
    desk, chains = put_aside(spilled)
    key = desk.stream().key
    before = desk.outbox.snapshot(), desk.draft.n - 1
    assert desk.total(Account.COMMITTED) == 3
    desk.up([StreamWelcome(key, 1, chains[1])])
    assert (desk.total(Account.COMMITTED), desk.pending()) == (1, 3)
    after = desk.outbox.snapshot(), desk.draft.n - 1
    for other in (desk.replayed(), desk.replayed(*before), desk.replayed(*after)):
        assert other.state.find(key).elsewhere == {2}
    sent = desk.send()
    assert [type(entry) for entry in sent] == [GapEntry, BlockEntry, BlockEntry]
    assert (sent[0].p_from, sent[0].p_to, sent[0].ranges) == (2, 2, ())
    desk.answer(key, 4)
    assert (desk.total(Account.COMMITTED), desk.pending()) == (3, 1)
    desk.advance(60)
    (again,) = desk.send()
    desk.answer(again.stream, again.p)
    assert (desk.total(Account.COMMITTED), desk.pending()) == (4, 0)


def test_what_a_handshake_put_aside_waits_for_its_time_though_its_page_had_to_be_read():
    # Kills: a second attempt at once, without the class's timeout.
    desk = Desk(OutboxSettings(page=3))
    for _ in range(4):
        desk.keep()
    desk.commit()
    key, chain = desk.stream().key, desk.stream().chain_at(4)
    desk.spill()
    desk.restart()
    desk.up([StreamWelcome(key, 4, chain, (Later(2),))])
    assert desk.send() == []
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (1, 3)
    assert len(desk.outbox.state.waiting) == 1
    assert desk.outbox.next_wake() > desk.ns


def test_the_same_with_a_forked_parent_freezes():
    desk, chains = answered(10, 10, OutboxSettings(page=3, history=1))
    desk.spill()
    key = desk.stream().key
    desk.restart()
    desk.up([StreamWelcome(key, 4, chains[5])])
    assert desk.send() == []
    assert desk.alarms[-1].kind == "fork"


def test_a_parent_without_history_gets_an_opening_balance_and_everything_not_committed():
    desk, _ = answered(4, 2)
    other = ParentName("other", b"O" * 16)
    desk.up([StreamWelcome(desk.stream().key, -1)], other)
    assert desk.outbox.opening(desk.stream().key)[0] == 2
    assert ks(desk.send()) == [3, 4]


def test_the_same_parent_with_an_empty_store_gets_everything_that_is_still_here():
    desk, _ = answered(4, 3)
    desk.outbox.forget(desk.stream().key, 1, desk.draft)
    desk.commit()
    desk.up([StreamWelcome(desk.stream().key, -1)], ParentName(PARENT.name, b"E" * 16))
    assert desk.outbox.opening(desk.stream().key)[0] == 0
    gap, *blocks = desk.send()
    assert (gap.p_from, gap.p_to, gap.ranges[0].readings) == (1, 1, 1)
    assert ks(blocks) == [2, 3, 4]
    assert (desk.pending(), desk.total(Account.UNKNOWN_BY_RESTORE)) == (3, 1)


def test_a_child_that_went_back_keeps_its_data_and_reports():
    desk, chains = answered(4, 2)
    desk.up([StreamWelcome(desk.stream().key, 9, chains[4])])
    assert [alarm.kind for alarm in desk.alarms] == ["child_went_back"]
    assert desk.send() == []
    assert desk.pending() == 2


def test_epochs_drain_oldest_first_within_a_lane():
    desk = Desk()
    for _ in range(2):
        desk.keep()
    desk.commit()
    first = desk.epoch
    desk.restart()
    for _ in range(2):
        desk.keep()
    desk.commit()
    desk.up()
    assert [entry.stream.epoch for entry in desk.send()] == [first, first, desk.epoch, desk.epoch]


def test_live_goes_before_backlog_and_high_before_low_but_backlog_keeps_its_share():
    # Kills: backlog starves; backlog goes first.
    desk = Desk(OutboxSettings(backlog_share=0.25))
    for _ in range(100):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.up()
    for _ in range(100):
        desk.keep(Priority.NORMAL)
    desk.commit()
    desk.wake()
    assert desk.outbox.next_to_send((1 << 20,) * 4, desk.now).stream.lane == 0
    desk.wake()
    lanes = [entry.stream.lane for entry in desk.send(limit=80)]
    assert 15 <= sum(lanes) <= 25
    assert all(lane == 1 for lane in [e.stream.lane for e in desk.send()][-40:])


def test_a_class_without_credit_is_passed_over_and_others_go_on():
    desk = Desk()
    desk.keep(Priority.HIGH)
    desk.keep(Priority.LOW)
    desk.commit()
    desk.up()
    assert [e.stream.priority for e in desk.send(credit=(1 << 20, 0, 1 << 20, 1 << 20))] == [Priority.LOW]
    assert [e.stream.priority for e in desk.send()] == [Priority.HIGH]


def test_a_class_whose_live_lane_is_behind_seals_into_backlog():
    desk = Desk()
    desk.up()
    assert desk.keep().stream.lane == 0
    desk.commit()
    desk.advance(2.1)
    assert desk.keep().stream.lane == 1
    assert desk.keep(Priority.HIGH).stream.lane == 0
    desk.commit()
    desk.send()
    desk.answer(desk.stream(lane=0).key, 1)
    assert desk.keep().stream.lane == 0


def test_replaying_the_commits_gives_the_same_outbox():
    # Kills: state that only memory has.
    desk, _ = answered(6, 3)
    desk.spill()
    for _ in range(3):
        desk.keep(Priority.LOW)
    desk.commit()
    snapshot, at = desk.outbox.snapshot(), desk.draft.n - 1
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 5)
    desk.down()
    whole, partial = desk.replayed(), desk.replayed(snapshot, at)
    for stream in desk.outbox.state.streams():
        for other in (whole, partial):
            found = other.state.find(stream.key)
            assert (found.tail, found.tail_chain, found.acked, found.acked_chain, found.horizon) == (
                stream.tail, stream.tail_chain, stream.acked, stream.acked_chain, stream.horizon,
            )  # fmt: skip
    assert whole.snapshot()[:1] == partial.snapshot()[:1]


def test_two_hundred_thousand_blocks_in_files_are_a_few_objects_after_a_restart():
    desk = Desk()
    for _ in range(40):
        for _ in range(50):
            desk.keep()
        desk.commit()
        desk.spill()
    other = desk.replayed()
    (stream,) = list(other.state.streams())
    assert stream.tail == 2000
    assert len(stream.pieces) == 40
    assert all(piece.rows is None for piece in stream.pieces)
    assert len(other.snapshot()) < 40 * 400


def test_an_ancestor_settles_what_was_unknown_and_the_books_follow():
    desk, chains = answered(4, 4)
    desk.outbox.forget(desk.stream().key, 3, desk.draft)
    desk.commit()
    desk.up([StreamWelcome(desk.stream().key, 1, chains[1])])
    verdicts = Verdicts()
    verdicts.asked(HERE, desk.outbox.take_questions(), desk.draft)
    first, second = (Verdict("node", desk.epoch, Priority.NORMAL, k, k, k == 2) for k in (2, 3))
    assert verdicts.decided([first, second], desk.draft) == {}
    desk.commit()
    books = (
        desk.total(one) for one in (Account.UNKNOWN_BY_RESTORE, Account.HELD_ABOVE, Account.LOST_BY_RESTORE)
    )
    assert tuple(books) == (0, 1, 1)
    assert desk.outbox.take_questions() == []


def test_pages_asked_for_on_an_earlier_connection_do_not_start_the_file_again():
    # Kills: two pages under way that make each other useless, for ever.
    desk = Desk(OutboxSettings(page=3))
    for _ in range(7):
        desk.keep()
    desk.commit()
    desk.spill()
    desk.up()
    desk.wake()
    late = []
    for _ in range(2):
        desk.outbox.next_to_send(PLENTY, desk.now)
        desk.wake()
        page = desk.outbox.next_to_send(PLENTY, desk.now)
        late.append(page)
        desk.down()
        desk.up()
    assert ks(desk.send(limit=4)) == [1, 2, 3, 4]
    for page in late:
        if page is not None:
            desk.serve(page)
    assert ks(desk.send()) == [5, 6, 7]
