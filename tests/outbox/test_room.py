"""What leaves a recycled segment: everything whose body is in it; and what replays find of files."""

from __future__ import annotations

import msgspec
from tests.outbox.desk import FILE, PLENTY, Desk, Priority, ks

from headland.line.outbox import OutboxSettings
from headland.link.contract import Later, LaterReason, PageIn, Ref
from headland.vocabulary import Account


def _inside(ref: Ref) -> bool:
    return ref.space < FILE


def _with_ttl(seconds: float) -> OutboxSettings:
    settings = OutboxSettings()
    classes = list(settings.classes)
    classes[Priority.NORMAL] = msgspec.structs.replace(classes[Priority.NORMAL], ttl_s=seconds)
    return msgspec.structs.replace(settings, classes=tuple(classes))


def test_a_block_that_waits_for_another_attempt_leaves_the_segment_with_the_others() -> None:
    # Kills: letters are not spilled (their body is gone when they come again).
    desk = Desk()
    desk.keep()
    desk.commit()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 1, Later(1, LaterReason.FULL))
    (letter,) = desk.outbox.letters_to_spill(_inside, desk.now)
    desk.outbox.letters_spilled([letter.number], [Ref(FILE, 7, 40)], desk.draft)
    desk.commit()
    assert not desk.outbox.letters_to_spill(_inside, desk.now)
    assert desk.outbox.files() == {FILE: False}
    snapshot = desk.outbox.snapshot()
    for other in (desk.outbox, desk.replayed(), desk.replayed(snapshot, after=len(desk.frames))):
        (waiting,) = other.state.waiting.values()
        assert waiting.letter.row.ref == Ref(FILE, 7, 40)
        assert other.files() == {FILE: False}


def test_a_block_that_came_again_from_a_file_is_forgotten_with_the_file() -> None:
    # Kills: it is taken for being here, and a parent that goes back is promised what is gone.
    desk = Desk()
    desk.keep()
    desk.commit()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 1, Later(1, LaterReason.FULL))
    (letter,) = desk.outbox.letters_to_spill(_inside, desk.now)
    desk.outbox.letters_spilled([letter.number], [Ref(FILE, 7, 40)], desk.draft)
    desk.commit()
    desk.advance(600)
    desk.wake()
    (again,) = desk.send()
    desk.answer(again.stream, again.p)
    assert desk.outbox.files() == {FILE: True}
    assert desk.outbox.last_positions(FILE) == [(again.stream, again.p)]
    assert desk.outbox.last_positions(FILE + 1) == []


def test_a_dead_letter_whose_file_is_deleted_can_no_longer_be_sent_again() -> None:
    # Kills: it stays listed, and what is sent again is found to be unreadable.
    desk = Desk(settings=_with_ttl(1.0))
    desk.keep()
    desk.commit()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 1, Later(1, LaterReason.FULL))
    (letter,) = desk.outbox.letters_to_spill(_inside, desk.now)
    desk.outbox.letters_spilled([letter.number], [Ref(FILE, 7, 40)], desk.draft)
    desk.commit()
    desk.advance(600)
    desk.wake()
    desk.commit()
    (dead,) = desk.outbox.dead_letters()
    desk.outbox.drop_file(FILE + 1, desk.draft)
    assert desk.outbox.dead_letters() == [dead]
    desk.outbox.drop_file(FILE, desk.draft)
    desk.commit()
    assert desk.outbox.dead_letters() == desk.replayed().dead_letters() == []
    assert desk.outbox.files() == {}


def test_a_block_that_came_again_behind_younger_ones_leaves_with_its_segment() -> None:
    # Kills: only the front of a stream is looked at.
    desk = Desk()
    desk.keep()
    desk.commit()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 1, Later(1, LaterReason.FULL))
    desk.down()
    for _ in range(3):
        desk.keep()
        desk.commit()
    desk.up()
    desk.advance(3600)
    desk.wake()
    old = desk.frames[0][0]
    runs = list(desk.outbox.to_spill(lambda ref: ref.space <= old, desk.now))
    assert [ref.space for run in runs for ref in run.refs if run.p_from > 1] == [old]


def test_a_tombstone_inside_a_run_of_a_file_is_replayed_without_its_headers() -> None:
    # Kills: a cut that only the process that had read the headers can make.
    desk = Desk(_with_ttl(100.0))
    for _ in range(4):
        desk.keep()
        desk.commit()
        desk.advance(30)
    desk.spill()
    snapshot, n = desk.outbox.snapshot(), len(desk.frames)
    desk.advance(30)
    desk.up()
    sent = desk.send()
    assert [entry.p for entry in sent if hasattr(entry, "ref")]
    assert desk.total(Account.EXPIRED) in (1, 2)
    live = [(piece.first, piece.last) for piece in desk.stream().pieces]
    for other in (desk.replayed(), desk.replayed(snapshot, after=n)):
        stream = other.state.find(desk.stream().key)
        assert [(piece.first, piece.last) for piece in stream.pieces] == live
        assert stream.tail_chain == desk.stream().tail_chain


def test_a_younger_epoch_waits_while_the_headers_of_an_older_one_are_read() -> None:
    # Kills: a lane goes on with the next stream when the first one's page is under way.
    desk = Desk()
    for _ in range(2):
        desk.keep()
        desk.commit()
    desk.spill()
    desk.restart()
    desk.keep()
    desk.commit()
    desk.up()
    entry = None
    for _ in range(5):
        entry = desk.outbox.next_to_send(PLENTY, desk.now)
        if isinstance(entry, PageIn):
            break
        assert entry is None
        desk.wake()
    assert isinstance(entry, PageIn)
    assert desk.outbox.next_to_send(PLENTY, desk.now) is None
    desk.serve(entry)
    assert ks(desk.send())[:2] == [1, 2]
