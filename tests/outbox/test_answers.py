"""Laws of answers: what a parent may say, what it costs, and what it cannot make the outbox believe."""

from __future__ import annotations

import pytest
from tests.outbox.desk import Desk, ks

from headland.line.outbox import DEFAULTS, ClassSettings, OutboxSettings
from headland.line.outbox.settings import wait_s
from headland.link.contract import GapEntry, Later, LaterReason, Rejected
from headland.vocabulary import Account, Lane, Priority, Reason


def three_sent() -> Desk:
    desk = Desk()
    for _ in range(3):
        desk.keep()
    desk.commit()
    desk.up()
    assert ks(desk.send()) == [1, 2, 3]
    return desk


def test_nothing_is_handed_out_before_its_commit():
    # Kills: seal after send.
    desk = Desk()
    desk.up()
    desk.keep()
    assert desk.outbox.next_to_send((1 << 20,) * 4, desk.now) is None
    desk.commit()
    assert desk.outbox.next_to_send((1 << 20,) * 4, desk.now) is not None


def test_an_ack_is_cumulative():
    desk = three_sent()
    assert desk.answer(desk.stream().key, 2) == []
    assert desk.stream().acked == 2
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (1, 2)


def test_a_repeated_or_older_ack_changes_nothing():
    # Kills: an ack that books twice.
    desk = three_sent()
    desk.answer(desk.stream().key, 2)
    desk.answer(desk.stream().key, 2)
    desk.answer(desk.stream().key, 1)
    assert (desk.stream().acked, desk.total(Account.COMMITTED)) == (2, 2)
    assert [len(sections) for _, _, sections in desk.frames[-2:]] == [0, 0]


def test_an_ack_beyond_what_was_sent_is_refused_and_nothing_is_reclaimed():
    # Kills: reclaim on the parent's word.
    desk = Desk()
    for _ in range(3):
        desk.keep()
    desk.commit()
    desk.up()
    assert ks(desk.send(limit=2)) == [1, 2]
    (alarm,) = desk.answer(desk.stream().key, 3)
    assert alarm.kind == "lying_ack"
    assert (desk.stream().acked, desk.pending()) == (0, 3)


def test_an_ack_with_another_chain_value_is_refused_and_nothing_is_reclaimed():
    desk = three_sent()
    (alarm,) = desk.answer(desk.stream().key, 2, chain=b"otherval" + bytes(8))
    assert alarm.kind == "lying_ack"
    assert (desk.stream().acked, desk.pending()) == (0, 3)


def test_an_ack_with_a_short_chain_value_is_refused():
    desk = three_sent()
    right = desk.stream().chain_at(2)
    (alarm,) = desk.answer(desk.stream().key, 2, chain=right[:4])
    assert alarm.kind == "lying_ack"


@pytest.mark.parametrize("positions", [(4,), (2, 1), (1, 1), (0,)])
def test_exceptions_outside_what_an_answer_covers_are_refused(positions):
    desk = three_sent()
    (alarm,) = desk.answer(desk.stream().key, 3, *[Later(p) for p in positions])
    assert alarm.kind == "lying_ack"
    assert desk.stream().acked == 0


def test_later_lets_the_lane_go_on_and_the_block_comes_again_with_its_identity_at_a_new_position():
    # Kills: `Later` blocks its lane; a requeued block keeps its position; identity changes.
    desk = three_sent()
    first = desk.stream().rows_at(1).row(1)
    desk.answer(desk.stream().key, 3, Later(1, LaterReason.BUSY))
    assert (desk.stream().acked, desk.pending()) == (3, 1)
    desk.keep()
    desk.commit()
    assert ks(desk.send()) == [1]  # the new block is live, position 1 of that lane
    desk.advance(29 * 0.8)
    desk.wake()
    assert desk.send() == []
    desk.advance(30)
    desk.wake()
    (again,) = desk.send()
    row = desk.stream().rows_at(again.p).row(again.p)
    assert (again.stream.lane, again.p) == (Lane.BACKLOG, 4)
    assert (row.k, row.digest) == (first.k, first.digest)


def test_only_a_later_that_says_so_spends_an_attempt():
    # Kills: attempt spent on a busy parent, on a broken link, on silence.
    desk = three_sent()
    for _ in range(12):
        desk.down()
        desk.advance(100)
        desk.up()
        p = desk.send()[-1].p
        desk.answer(desk.stream().key, p, *[Later(q) for q in range(desk.stream().acked + 1, p + 1)])
        desk.advance(4000)
        desk.wake()
    desk.send()
    assert all(item.letter.row.tries == 0 for item in desk.outbox.state.waiting.values())
    assert not desk.outbox.dead_letters()
    assert desk.pending() == 3


@pytest.mark.parametrize(
    ("priority", "retries"), [(Priority.HIGH, 10), (Priority.NORMAL, 5), (Priority.LOW, 3)]
)
def test_a_block_whose_attempts_are_spent_is_a_dead_letter_with_a_tombstone_that_travels(priority, retries):
    # Kills: off by one in retries; tombstone skipped.
    desk = Desk()
    desk.keep(priority)
    desk.commit()
    desk.up()
    key = desk.stream(priority).key
    for attempt in range(retries + 1):
        (entry,) = desk.send()
        assert not isinstance(entry, GapEntry), attempt
        desk.answer(key, entry.p, Later(entry.p, spends=True))
        assert bool(desk.outbox.dead_letters()) == (attempt == retries)
        desk.advance(4400 if priority == Priority.HIGH else 20_000)
        desk.wake()
    (gap,) = desk.send()
    assert isinstance(gap, GapEntry)
    (named,) = gap.ranges
    assert (named.reason, named.k_from, named.k_to, named.readings) == (Reason.DEAD_LETTER, 1, 1, 1)
    assert (desk.pending(), desk.total(Account.DEAD)) == (0, 1)
    desk.answer(key, gap.p_to)
    assert desk.stream(priority).drained


def test_a_critical_block_is_tried_for_ever():
    desk = Desk()
    desk.keep(Priority.CRITICAL)
    desk.commit()
    desk.up()
    for _ in range(300):
        (entry,) = desk.send()
        desk.answer(entry.stream, entry.p, Later(entry.p, spends=True))
        desk.advance(400)
        desk.wake()
    assert desk.pending() == 1
    assert not desk.outbox.dead_letters()


@pytest.mark.parametrize("priority", list(Priority))
def test_rejected_is_final_in_every_class(priority):
    desk = Desk()
    desk.keep(priority)
    desk.commit()
    desk.up()
    (entry,) = desk.send()
    alarms = desk.answer(entry.stream, 1, Rejected(1))
    assert [alarm.kind for alarm in alarms] == ["rejected"]
    (gap,) = desk.send()
    assert isinstance(gap, GapEntry)
    assert gap.ranges[0].reason == Reason.REJECTED
    assert (desk.pending(), desk.total(Account.DEAD)) == (0, 1)


def test_a_dead_letter_can_be_sent_again_with_its_identity_and_a_new_position():
    desk = Desk()
    desk.keep()
    desk.commit()
    desk.up()
    (entry,) = desk.send()
    desk.answer(entry.stream, 1, Rejected(1))
    desk.send()
    (letter,) = desk.outbox.dead_letters()
    assert desk.outbox.resend(letter.number, desk.now, desk.draft)
    assert not desk.outbox.resend(letter.number, desk.now, desk.draft)
    desk.commit()
    (again,) = desk.send()
    assert (again.p, again.digest) == (3, entry.digest)
    assert (desk.pending(), desk.total(Account.DEAD)) == (1, 0)


def test_not_authorised_parks_that_origin_only_and_alarms_once():
    desk = three_sent()
    alarms = desk.answer(desk.stream().key, 2, Later(1, LaterReason.NOT_AUTHORISED), Later(2, 3))
    assert [alarm.kind for alarm in alarms] == ["not_authorised"]
    desk.keep()
    desk.commit()
    moved = desk.send()
    assert [type(entry) for entry in moved] == [GapEntry]
    assert moved[0].ranges == ()
    assert desk.pending() == 4
    desk.down()
    desk.advance(1)
    desk.up()
    desk.wake()
    entries = [entry for entry in desk.send() if not isinstance(entry, GapEntry)]
    assert len(entries) == 4


def test_waits_grow_as_published_and_stay_within_their_jitter():
    expected = {
        Priority.CRITICAL: [5, 10, 20, 40, 80, 160, 300, 300],
        Priority.HIGH: [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600],
        Priority.NORMAL: [30, 90, 270, 810, 2430, 3600],
        Priority.LOW: [60, 240, 960, 3840, 14_400],
    }
    for priority, waits in expected.items():
        settings = DEFAULTS[priority]
        assert [wait_s(settings, attempt, 0.2, 0.5) for attempt in range(len(waits))] == waits
        assert wait_s(settings, 0, 0.2, 0.0) == pytest.approx(waits[0] * 0.8)
        assert wait_s(settings, 0, 0.2, 1.0) == pytest.approx(waits[0] * 1.2)


def test_the_published_table_is_the_default():
    rows = {
        priority: (
            s.max_retries,
            s.initial_timeout_s,
            s.backoff_factor,
            s.backoff_max_s,
            s.ttl_s,
            str(s.compression),
        )
        for priority, s in DEFAULTS.items()
    }
    assert rows == {
        Priority.CRITICAL: (None, 5, 2, 300, None, "none"),
        Priority.HIGH: (10, 10, 2, 3600, 86_400, "lz4"),
        Priority.NORMAL: (5, 30, 3, 3600, 604_800, "zstd"),
        Priority.LOW: (3, 60, 4, 14_400, 2_592_000, "zstd_9"),
    }


def test_settings_are_values():
    other = ClassSettings(
        max_retries=1,
        initial_timeout_s=1,
        backoff_factor=1,
        backoff_max_s=1,
        ttl_s=1,
        compression=DEFAULTS[Priority.LOW].compression,
    )
    assert OutboxSettings(classes=(other,) * 4).classes[2] is other
