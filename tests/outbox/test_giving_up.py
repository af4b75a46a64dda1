"""Laws of age, space and tombstones."""

from __future__ import annotations

import pytest
from tests.outbox.desk import PARENT, Desk, ks

from headland.blocks.header import BlockHeader, Run
from headland.line.outbox import OutboxSettings, PagedHeader
from headland.link.contract import GapEntry, ParentName, Ref, StreamWelcome
from headland.vocabulary import Account, Lane, Priority, Reason

DAY = 86_400


def test_what_is_too_old_to_send_becomes_one_tombstone_and_what_is_young_still_goes():
    # Kills: tombstone skipped; TTL counted from the send; younger blocks expired with older ones.
    desk = Desk()
    for _ in range(4):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.advance(DAY + 1)
    desk.keep(Priority.HIGH)
    desk.commit()
    desk.up()
    gap, block = desk.send()
    assert isinstance(gap, GapEntry)
    assert (gap.p_from, gap.p_to) == (1, 4)
    (named,) = gap.ranges
    assert (named.k_from, named.k_to, named.readings, named.payload_bytes) == (1, 4, 4, 32)
    assert (named.reason, named.groups) == (Reason.EXPIRED, ("g",))
    assert block.p == 5
    assert (desk.total(Account.EXPIRED), desk.pending()) == (4, 1)
    assert len(desk.outbox.dead_letters()) == 4


def test_a_tombstone_is_durable_before_it_travels():
    desk = Desk()
    desk.keep(Priority.HIGH)
    desk.commit()
    desk.advance(DAY + 1)
    desk.up()
    assert desk.outbox.next_to_send((1 << 20,) * 4, desk.now) is None
    desk.wake()  # allows backlog to be sent at all
    assert desk.outbox.next_to_send((1 << 20,) * 4, desk.now) is None
    assert desk.outbox.next_wake() == 0
    desk.outbox.wake(desk.now, desk.draft)
    assert desk.outbox.next_to_send((1 << 20,) * 4, desk.now) is None
    desk.commit()
    assert isinstance(desk.outbox.next_to_send((1 << 20,) * 4, desk.now), GapEntry)


def test_the_chain_is_the_same_with_and_without_the_tombstone():
    desk = Desk()
    for _ in range(3):
        desk.keep(Priority.HIGH)
    desk.commit()
    values = [desk.stream(Priority.HIGH).chain_at(p) for p in (1, 2, 3)]
    desk.advance(DAY + 1)
    desk.up()
    (gap,) = desk.send()
    assert gap.chain == values[2]


def test_critical_never_expires():
    desk = Desk()
    desk.keep(Priority.CRITICAL)
    desk.commit()
    desk.advance(4000 * DAY)
    desk.up()
    assert ks(desk.send()) == [1]


def test_nothing_expires_while_it_waits_only_before_it_is_sent():
    desk = Desk()
    desk.keep(Priority.HIGH)
    desk.commit()
    desk.advance(2 * DAY)
    desk.wake()
    assert desk.pending() == 1


def test_age_counts_over_a_restart():
    # Kills: TTL restarts with the process.
    desk = Desk()
    desk.keep(Priority.HIGH)
    desk.commit()
    desk.advance(DAY - 10)
    desk.restart()
    desk.advance(11)
    desk.up()
    assert isinstance(desk.send()[0], GapEntry)


def test_age_does_not_restart_at_a_relay():
    # Kills: a TTL that each hop grants anew, and one that a young block of the same child pays for.
    desk = Desk()
    run = (Run(1, desk.now.wall_ns, 1),)
    for k, age_s in ((1, DAY - 10), (2, 0)):
        header = BlockHeader(
            origin="s/child",
            epoch=bytes(16),
            priority=Priority.HIGH,
            k=k,
            lane=Lane.BACKLOG,
            rows=1,
            size=8,
            runs=run,
            age_ms=age_s * 1000,
            digest=bytes([k]) * 16,
        )
        desk.outbox.relay(header, Ref(desk.draft.n, k), Lane.BACKLOG, desk.now, desk.draft)
    desk.commit()
    desk.advance(11)
    desk.up()
    gap, block = desk.send()
    assert isinstance(gap, GapEntry)
    assert [(item.origin, item.k_from, item.k_to, item.reason) for item in gap.ranges] == [
        ("s/child", 1, 1, Reason.EXPIRED)
    ]
    assert block.p == 2
    assert desk.outbox.age_clock(desk.now) - block.born_ms == 11_000


def unknown_outcome() -> Desk:
    desk = Desk()
    for _ in range(2):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.up()
    assert ks(desk.send()) == [1, 2]
    desk.first_chain = desk.stream(Priority.HIGH).chain_at(1)
    desk.down()
    desk.keep(Priority.HIGH)
    desk.commit()
    desk.spill()
    return desk


def test_a_block_with_unknown_outcome_is_neither_shed_nor_expired_before_a_handshake_tells():
    # Kills: tombstone for a block that the parent may hold.
    desk = unknown_outcome()
    desk.outbox.shed(1 << 30, desk.draft)
    desk.commit()
    assert desk.pending() == 3
    desk.advance(2 * DAY)
    stream = desk.stream(Priority.HIGH)
    desk.up([StreamWelcome(stream.key, 1, desk.first_chain)])
    entries = desk.send()
    assert desk.total(Account.COMMITTED) == 1
    assert [(e.p_from, e.p_to) for e in entries if isinstance(e, GapEntry)] == [(2, 3)]


def test_another_parents_handshake_does_not_tell_the_fate_of_what_the_first_may_hold():
    desk = unknown_outcome()
    desk.advance(2 * DAY)
    stream = desk.stream(Priority.HIGH)
    desk.up([StreamWelcome(stream.key, 0)], ParentName("other", b"T" * 16))
    sent = desk.send()
    assert [e.p for e in sent if not isinstance(e, GapEntry)] == [1, 2]
    desk.down()
    desk.outbox.parent_gone(desk.draft)
    desk.commit()
    desk.up([StreamWelcome(stream.key, 0)], ParentName("other", b"T" * 16))
    assert all(isinstance(e, GapEntry) for e in desk.send())


def test_after_a_restart_backlog_below_the_horizon_is_of_unknown_outcome():
    desk = Desk(OutboxSettings(horizon=2))
    for _ in range(5):
        desk.keep(Priority.LOW)
    desk.commit()
    desk.up()
    assert ks(desk.send(limit=1)) == [1]
    desk.restart()
    (stream,) = [s for s in desk.outbox.state.streams() if s.key.priority == Priority.LOW]
    assert stream.touchable == 3


def test_after_a_restart_live_blocks_are_of_unknown_outcome():
    # Kills: a restart that forgets what it may have sent.
    desk = Desk()
    desk.up()
    desk.keep(Priority.LOW)
    desk.commit()
    desk.send()
    key = desk.stream(Priority.LOW, 0).key
    desk.restart()
    assert desk.outbox.state.find(key).touchable == 2
    desk.spill()
    desk.outbox.shed(1 << 40, desk.draft)
    desk.commit()
    assert desk.pending() == 1


def test_blocks_of_one_file_are_each_as_old_as_they_are():
    # Kills: age counted from the spill.
    desk = Desk()
    desk.keep(Priority.HIGH)
    desk.commit()
    desk.advance(DAY - 10)
    desk.keep(Priority.HIGH)
    desk.commit()
    desk.spill()
    desk.restart()
    desk.advance(11)
    desk.up()
    gap, block = desk.send()
    assert isinstance(gap, GapEntry)
    assert (gap.p_from, gap.p_to, block.p) == (1, 1, 2)


def filled() -> Desk:
    desk = Desk()
    for priority in (Priority.CRITICAL, Priority.HIGH, Priority.NORMAL, Priority.LOW):
        for _ in range(5):
            desk.keep(priority)
        desk.commit()
        desk.spill()
    for _ in range(5):
        desk.keep(Priority.LOW)
    desk.commit()
    desk.spill()
    return desk


def test_shedding_takes_the_lowest_class_first_oldest_first():
    # Kills: newest shed first; a higher class shed before a lower one is empty.
    desk = filled()
    desk.outbox.shed(1, desk.draft)
    desk.commit()
    low = desk.stream(Priority.LOW)
    assert (desk.total(Account.SHED), desk.pending()) == (5, 20)
    assert low.touchable == 1
    desk.up()
    gaps = [entry for entry in desk.send() if isinstance(entry, GapEntry)]
    assert [(g.stream.priority, g.p_from, g.p_to) for g in gaps] == [(Priority.LOW, 1, 5)]


def test_critical_is_never_shed():
    desk = filled()
    desk.outbox.shed(1 << 40, desk.draft)
    desk.commit()
    assert (desk.total(Account.SHED), desk.pending()) == (20, 5)
    desk.up()
    sent = desk.send()
    assert [e.p for e in sent if not isinstance(e, GapEntry)] == [1, 2, 3, 4, 5]


def test_shedding_names_the_files_that_may_be_deleted_once():
    desk = filled()
    first = desk.outbox.shed(1, desk.draft)
    assert len(first) == 1
    assert len(desk.outbox.shed(1 << 40, desk.draft)) == 3
    assert desk.outbox.shed(1 << 40, desk.draft) == []


def test_an_old_file_expires_whole_and_unread():
    # Kills: 200,000 headers read in order to throw them away.
    desk = Desk()
    for _ in range(600):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.spill()
    desk.advance(DAY + 1)
    desk.up()
    desk.files.clear()
    (gap,) = desk.send()
    assert (gap.p_from, gap.p_to, gap.ranges[0].readings) == (1, 600, 600)


def expired_file(blocks: int = 600) -> Desk:
    desk = Desk()
    for _ in range(blocks):
        desk.keep(Priority.HIGH)
    desk.commit()
    desk.spill()
    desk.advance(DAY + 1)
    desk.up()
    (gap,) = desk.send()
    desk.answer(gap.stream, gap.p_to)
    return desk


def resend_all(desk: Desk, number: int, page: int = 256) -> None:
    (run,) = [item for item in desk.outbox.dead_runs() if item.number == number]
    while run is not None:
        count = min(page, run.blocks)
        found = [
            PagedHeader(header, Ref(run.info.file, at, 40))
            for at, header in enumerate(
                desk.files[run.info.file][run.info.at : run.info.at + count], run.info.at
            )
        ]
        run = desk.outbox.resend_page(number, found, run.info.at + count, desk.now, desk.draft)
        desk.commit()


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_a_file_that_expired_unread_is_one_dead_letter_and_can_be_sent_again(restarts):
    # Kills: 600 blocks nobody can send again; a run listed after it was sent; books that count it twice.
    desk = expired_file()
    if restarts:
        desk.restart()
        desk.up()
    (run,) = desk.outbox.dead_runs()
    assert (run.blocks, run.info.readings, run.reason) == (600, 600, Reason.EXPIRED)
    assert desk.total(Account.EXPIRED) == 600
    assert desk.outbox.files() == {run.info.file: True}, "its file stays, and may go when room is needed"
    resend_all(desk, run.number)
    assert desk.outbox.dead_runs() == []
    assert (desk.total(Account.EXPIRED), desk.pending()) == (0, 600)
    if restarts == 2:
        desk.restart()
        desk.up()
    sent = desk.send()
    assert len(sent) == 600
    assert len({entry.ref.at for entry in sent}) == 600
    desk.answer(sent[-1].stream, sent[-1].p)
    assert (desk.total(Account.COMMITTED), desk.pending()) == (600, 0)


def test_a_run_that_is_sent_again_in_part_keeps_the_rest_over_a_restart_and_a_snapshot():
    desk = expired_file(10)
    (run,) = desk.outbox.dead_runs()
    headers = [
        PagedHeader(one, Ref(run.info.file, at, 40)) for at, one in enumerate(desk.files[run.info.file][:4])
    ]
    left = desk.outbox.resend_page(run.number, headers, 4, desk.now, desk.draft)
    desk.commit()
    assert (left.blocks, left.info.at, left.info.readings) == (6, 4, 6)
    assert desk.replayed().dead_runs() == [left]
    assert desk.replayed(desk.outbox.snapshot(), desk.draft.n - 1).dead_runs() == [left]


def test_when_its_file_is_deleted_an_expired_run_is_no_longer_listed():
    desk = expired_file(10)
    (run,) = desk.outbox.dead_runs()
    desk.outbox.drop_file(run.info.file + 1, desk.draft)
    assert desk.outbox.dead_runs() == [run]
    desk.outbox.drop_file(run.info.file, desk.draft)
    desk.commit()
    assert desk.outbox.dead_runs() == desk.replayed().dead_runs() == []
    assert desk.outbox.files() == {}


def test_a_damaged_block_leaves_a_tombstone_and_the_lane_goes_on():
    desk = Desk()
    for _ in range(3):
        desk.keep()
    desk.commit()
    desk.up()
    assert ks(desk.send(limit=1)) == [1]
    second = desk.outbox.next_to_send((1 << 20,) * 4, desk.now)
    desk.outbox.unreadable(second.stream, second.p, desk.draft)
    desk.commit()
    gap, third = desk.send()
    assert (gap.p_from, gap.p_to, gap.ranges[0].reason) == (2, 2, Reason.CORRUPT)
    assert third.p == 3
    assert desk.total(Account.CORRUPT) == 1


def test_a_tombstone_names_at_most_sixteen_groups():
    desk = Desk()
    for number in range(20):
        desk.keep(Priority.HIGH, groups=(f"g{number}",))
    desk.commit()
    desk.advance(DAY + 1)
    desk.up()
    (gap,) = desk.send()
    assert gap.ranges[0].groups == ("any",)


@pytest.mark.parametrize("restart", [False, True])
def test_answered_bodies_may_be_forgotten_and_unanswered_may_not(restart):
    # Kills: reclaim before committed.
    desk = Desk()
    for _ in range(4):
        desk.keep()
    desk.commit()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 2)
    key = desk.stream().key
    with pytest.raises(Exception, match="may not be forgotten"):
        desk.outbox.forget(key, 3, desk.draft)
    desk.draft = type(desk.draft)(desk.draft.n)
    desk.outbox.forget(key, 2, desk.draft)
    desk.commit()
    if restart:
        desk.restart()
    stream = desk.outbox.state.find(key)
    assert (stream.floor, stream.acked) == (2, 2)
    assert PARENT.name == "parent"
