"""Laws of where bodies are: what moved is found, what cannot be read is corrupt, what may go is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.outbox.desk import FILE, Desk, Priority

from headland.link.contract import BlockEntry, Later, Ref, Rejected, StreamKey
from headland.vocabulary import Account, Reason


def kept(*rows: int, priority: Priority = Priority.NORMAL) -> Desk:
    desk = Desk()
    for count in rows:
        desk.keep(priority, rows=count)
    desk.commit()
    return desk


def test_a_block_that_was_written_elsewhere_is_read_from_there() -> None:
    """Kills: a body looked for in a segment that is gone; the body of another position."""
    desk = kept(1, 2, 3)
    desk.outbox.moved(desk.stream().key, 2, Ref(77, 5, 41))
    desk.up()
    refs = {entry.p: entry.ref for entry in desk.send() if isinstance(entry, BlockEntry)}
    assert refs[2] == Ref(77, 5, 41)
    assert {refs[1].space, refs[3].space}.isdisjoint({77})


def test_what_is_gone_meanwhile_may_be_said_to_have_moved() -> None:
    desk = kept(1, 2)
    key = desk.stream().key
    desk.up()
    assert desk.outbox.unreadable(key, 1, desk.draft)
    desk.commit()
    desk.outbox.moved(key, 1, Ref(77, 5, 41))
    desk.outbox.moved(key, 9, Ref(77, 5, 41))
    desk.outbox.moved(StreamKey(b"n" * 16, 2, 1), 1, Ref(77, 5, 41))
    assert desk.stream().rows_at(2).row(2).ref.space != 77


def test_of_a_block_that_waits_and_cannot_be_read_the_loss_is_told_and_it_is_no_dead_letter() -> None:
    """Kills: a dead letter whose body is not there; a loss that is booked and not told."""
    desk = kept(1, 2)
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 2, Later(2, after_ms=60_000))
    (number,) = desk.outbox.state.waiting
    assert desk.outbox.held(Priority.NORMAL) == (2, 16)
    desk.outbox.letter_lost(number, desk.draft)
    desk.commit()
    assert (desk.ledger.total(Account.CORRUPT), desk.pending()) == ((2, 16), 0)
    assert (desk.outbox.dead_letters(), desk.outbox.state.waiting) == ([], {})
    assert desk.outbox.held(Priority.NORMAL) == (0, 0)
    gaps = [one for entry in desk.send() if not isinstance(entry, BlockEntry) for one in entry.ranges]
    assert [(one.k_from, one.k_to, one.reason) for one in gaps] == [(2, 2, Reason.CORRUPT)]


def test_a_dead_letter_that_cannot_be_read_is_not_listed_any_more() -> None:
    desk = kept(1, 2)
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 2, Rejected(2, 1))
    (letter,) = desk.outbox.dead_letters()
    desk.outbox.letter_lost(letter.number + 1, desk.draft)
    assert desk.outbox.dead_letters() == [letter], "another number"
    desk.outbox.letter_lost(letter.number, desk.draft)
    desk.commit()
    assert desk.outbox.dead_letters() == []


def test_what_is_held_counts_once_what_stands_and_what_waits() -> None:
    """Kills: answered blocks counted; blocks that wait left out, or counted in another class."""
    desk = kept(1, 2, 4, 8)
    desk.keep(Priority.HIGH, rows=16)
    desk.commit()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 3, Later(2, after_ms=60_000))
    assert desk.outbox.held(Priority.NORMAL) == (2 + 8, 80)
    assert desk.outbox.held(Priority.HIGH) == (16, 128)
    assert desk.outbox.held(Priority.LOW) == (0, 0)


def everywhere(_ref: Ref) -> bool:
    return True


def nowhere(_ref: Ref) -> bool:
    return False


@pytest.mark.parametrize(
    ("priority", "answered", "inside", "loose"),
    [
        (Priority.LOW, False, everywhere, True),
        (Priority.LOW, False, nowhere, False),
        (Priority.CRITICAL, False, everywhere, False),
        (Priority.CRITICAL, True, everywhere, True),
        (Priority.CRITICAL, True, nowhere, False),
    ],
)
def test_bodies_may_go_that_are_answered_or_of_a_class_that_sheds_and_where_it_is_asked_about(
    priority: Priority, answered: bool, inside: Callable[[Ref], bool], loose: bool
) -> None:
    """Kills: critical blocks that are shed; room said to be there that is elsewhere."""
    desk = kept(1, priority=priority)
    if answered:
        desk.up()
        desk.send()
        (stream,) = [one for one in desk.outbox.state.streams() if one.tail]
        desk.answer(stream.key, 1)
    assert desk.outbox.loose(inside) is loose


def test_only_a_block_that_was_sent_and_is_open_holds_its_room() -> None:
    desk = kept(1, priority=Priority.CRITICAL)
    desk.keep(Priority.LOW)
    desk.commit()
    desk.up()
    desk.send()
    assert not desk.outbox.loose(everywhere)


def test_that_the_cloud_has_stored_is_remembered_of_known_streams_and_never_goes_back() -> None:
    desk = kept(1, 2, 3)
    state, key = desk.outbox.state, desk.stream().key
    stranger = StreamKey(b"n" * 16, 2, 1)
    for stream, p in ((key, 2), (key, 1), (stranger, 3)):
        state.stored_up_to(stream, p)
    assert state.stored == {key: 2}
    state.stored_up_to(key, 3)
    assert state.stored == {key: 3}


def test_a_dead_letter_in_a_segment_that_goes_is_found_once_and_read_from_the_file_then() -> None:
    """Kills: letters left in a segment that is deleted; ages that grow with every move."""
    desk = kept(1, 2)
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 2, Later(1, after_ms=60_000), Rejected(2, 1))
    desk.advance(5)
    assert desk.outbox.letters_to_spill(nowhere, desk.now) == []
    found = desk.outbox.letters_to_spill(lambda ref: ref.space < FILE, desk.now)
    assert [one.age_ms for one in found] == [5_000, 5_000]
    assert {one.priority for one in found} == {Priority.NORMAL}
    refs = [Ref(FILE, at, 40) for at in range(len(found))]
    desk.outbox.letters_spilled([one.number for one in found], refs, desk.draft)
    desk.commit()
    assert desk.outbox.letters_to_spill(lambda ref: ref.space < FILE, desk.now) == []
    replayed = desk.replayed()
    for outbox in (desk.outbox, replayed):
        places = [one.letter.row.ref for one in (*outbox.state.waiting.values(), *outbox.state.dead.values())]
        assert places == refs


def test_what_is_demanded_of_a_class_is_what_is_here_at_that_moment() -> None:
    desk = Desk()
    desk.keep(rows=1)
    desk.keep(Priority.LOW, rows=1)
    desk.commit()
    desk.outbox.demand(Priority.LOW)
    desk.keep(Priority.LOW, rows=1)
    low = desk.stream(Priority.LOW)
    assert (low.released, low.tail) == (1, 2)
    assert desk.stream().released == 0


def test_a_block_that_the_parent_may_have_is_not_given_up_for_a_damaged_body() -> None:
    """Kills: a tombstone for a block that arrived; one for a block that is elsewhere, or not there at all."""
    desk = kept(1, 2, 3, 4)
    key = desk.stream().key
    desk.up()
    desk.send(limit=2)
    assert not desk.outbox.unreadable(key, 1, desk.draft), "sent, not answered"
    assert not desk.outbox.unreadable(key, 2, desk.draft)
    assert not desk.outbox.unreadable(key, 9, desk.draft), "nothing stands there"
    assert desk.outbox.unreadable(key, 3, desk.draft)
    assert not desk.outbox.unreadable(key, 3, desk.draft), "a tombstone stands there"
    desk.commit()
    assert (desk.total(Account.CORRUPT), desk.pending()) == (3, 7)


def test_without_a_link_a_block_that_may_have_been_sent_before_is_not_given_up() -> None:
    desk = kept(1, 2, 3)
    key = desk.stream().key
    desk.up()
    desk.send(limit=2)
    uncertain = desk.stream().uncertain
    desk.down()
    assert desk.stream().uncertain >= 2
    assert not desk.outbox.unreadable(key, 2, desk.draft)
    assert desk.outbox.unreadable(key, 3, desk.draft) is (uncertain < 3)


def test_a_dead_letter_that_is_sent_again_is_as_young_as_if_it_were_new() -> None:
    """Kills: an age that is forgotten, or counted from the first attempt, also after a restart."""
    desk = kept(1, 2)
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 2, Rejected(2, 1))
    desk.advance(1000)
    (letter,) = desk.outbox.dead_letters()
    assert not desk.outbox.resend(letter.number + 1, desk.now, desk.draft)
    assert desk.outbox.resend(letter.number, desk.now, desk.draft)
    assert not desk.outbox.resend(letter.number, desk.now, desk.draft), "it is no longer listed"
    desk.commit()
    born = desk.outbox.age_clock(desk.now)
    for outbox in (desk.outbox, desk.replayed()):
        rows = outbox.state.find(desk.stream().key).rows_at(4)
        row = rows.row(4)
        assert (row.k, row.born_ms, row.tries) == (2, born, 0)
    entries = [entry for entry in desk.send() if isinstance(entry, BlockEntry)]
    assert [(entry.p, entry.born_ms) for entry in entries] == [(4, born)]


def test_the_last_answered_position_in_a_file_is_that_of_its_own_runs() -> None:
    """Kills: positions of another file; of what is not answered."""
    desk = kept(1, 2)
    desk.commit()
    first = desk.spill()
    desk.keep(rows=3)
    desk.keep(rows=4)
    desk.commit()
    second = desk.spill()
    key = desk.stream().key
    assert desk.outbox.last_positions(first) == []
    desk.up()
    desk.send()
    desk.answer(key, 2)
    assert desk.outbox.last_positions(first) == [(key, 2)]
    assert desk.outbox.last_positions(second) == []
    desk.answer(key, 4)
    assert desk.outbox.last_positions(first) == [(key, 2)]
    assert desk.outbox.last_positions(second) == [(key, 4)]


@pytest.mark.parametrize(("needed", "left"), [(1, [3, 4]), (80, [3, 4]), (81, [4]), (120, [4]), (121, [])])
def test_runs_are_shed_oldest_first_until_there_is_room_and_no_longer(needed: int, left: list[int]) -> None:
    """Kills: a run given up too many; room counted of the last run only."""
    desk = Desk()
    for counts in ((1, 2), (3,), (4,)):
        for rows in counts:
            desk.keep(Priority.LOW, rows=rows)
        desk.commit()
        desk.spill()
    desk.outbox.shed(needed, desk.draft)
    desk.commit()
    desk.up()
    demanded = desk.stream(Priority.LOW)
    desk.outbox.demand(Priority.LOW)
    sent = [entry for entry in desk.send() if isinstance(entry, BlockEntry)]
    assert [demanded.rows_at(entry.p).row(entry.p).k for entry in sent] == left
    assert desk.total(Account.SHED) == 10 - sum(left)


def test_letters_leave_a_segment_a_steps_work_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headland.line.outbox.space.SPILL_BLOCKS", 2)
    desk = kept(1, 2, 3)
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, 3, *(Rejected(p, 1) for p in (1, 2, 3)))
    found = desk.outbox.letters_to_spill(everywhere, desk.now)
    assert [one.number for one in found] == [1, 2]
    assert [(one.lane, one.ref.space) for one in found] == [(desk.stream().key.lane, 1)] * 2
