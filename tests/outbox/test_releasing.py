"""Laws of a stopped stream that an operator lets go on: everything it held is sent, or kept and listed."""

from __future__ import annotations

import pytest
from tests.outbox.desk import Desk

from headland.line.outbox import Outbox, OutboxSettings
from headland.link.contract import BlockEntry, GapEntry, Later, StreamWelcome
from headland.vocabulary import Account, Reason

THEIRS = b"another chain..."


def stopped(count: int = 6, acked: int = 2, *, file: bool = False, restart: bool = False) -> Desk:
    """Blocks 1 to `count` of as many readings each; the parent answers `acked`, then knows others."""
    desk = Desk(OutboxSettings(page=3))
    for k in range(1, count + 1):
        desk.keep(rows=k)
    desk.commit()
    desk.up()
    desk.send()
    desk.answer(desk.stream().key, acked)
    desk.down()
    if file:
        desk.spill()
    key = desk.stream().key
    if restart:
        desk.restart()
    desk.up([StreamWelcome(key, acked + 1, THEIRS)])
    if desk.outbox.state.find(key).verify is not None:
        desk.send()
    assert desk.outbox.state.find(key).frozen
    assert desk.send() == []
    return desk


def release(desk: Desk, *, bury: bool) -> None:
    """An operator's order, and what the node does about runs in files."""
    (stream,) = desk.outbox.stopped()
    assert desk.outbox.why_not_released(stream.key, bury=bury) == ""
    done = desk.outbox.release(stream.key, desk.draft, bury=bury)
    if not bury:
        for number in done.runs:
            resend(desk, number)
    desk.commit()


def resend(desk: Desk, number: int) -> None:
    (run,) = [one for one in desk.outbox.dead_runs() if one.number == number]
    desk.outbox.resend_readable(number, desk.verified(run.info.file), desk.now, desk.draft)


def sent_ks(desk: Desk) -> list[int]:
    out = []
    for entry in desk.send():
        if isinstance(entry, BlockEntry):
            out.append(desk.outbox.state.find(entry.stream).rows_at(entry.p).row(entry.p).k)
    return out


def answer_all(desk: Desk) -> None:
    for stream in list(desk.outbox.state.streams()):
        if not stream.drained:
            desk.answer(stream.key, stream.tail)


@pytest.mark.parametrize("file", [False, True], ids=["journal", "file"])
@pytest.mark.parametrize("restart", [False, True], ids=["this epoch", "old epoch"])
def test_a_released_stream_sends_what_it_held_and_what_is_sealed_from_then_on(
    file: bool, restart: bool
) -> None:
    """Kills: a stream that stays stopped for good; a block left behind; a position of our own."""
    desk = stopped(file=file, restart=restart)
    release(desk, bury=False)
    assert desk.outbox.stopped() == []
    if not restart:
        assert (desk.stream().acked, desk.stream().acked_chain) == (3, THEIRS)
    assert sorted(sent_ks(desk)) == [3, 4, 5, 6]
    desk.keep(rows=7)
    desk.commit()
    assert len(sent_ks(desk)) == 1
    answer_all(desk)
    assert (desk.pending(), desk.total(Account.COMMITTED), desk.total(Account.DEAD)) == (0, 28, 0)
    assert desk.ledger.check() == []


@pytest.mark.parametrize("file", [False, True], ids=["journal", "file"])
@pytest.mark.parametrize("restart", [False, True], ids=["this epoch", "old epoch"])
def test_as_dead_letters_it_is_listed_told_north_and_can_be_sent_again(file: bool, restart: bool) -> None:
    """Kills: blocks given up without a list, or without a tombstone; a dead letter that cannot be sent."""
    desk = stopped(file=file, restart=restart)
    release(desk, bury=True)
    assert (desk.pending(), desk.total(Account.DEAD)) == (0, 18)
    (gap,) = desk.send()
    assert isinstance(gap, GapEntry)
    assert [(one.k_from, one.k_to, one.reason, one.readings) for one in gap.ranges] == [
        (3, 6, Reason.DEAD_LETTER, 18)
    ]
    answer_all(desk)
    for letter in desk.outbox.dead_letters():
        desk.outbox.resend(letter.number, desk.now, desk.draft)
    for run in desk.outbox.dead_runs():
        resend(desk, run.number)
    desk.commit()
    assert sorted(sent_ks(desk)) == [3, 4, 5, 6]
    answer_all(desk)
    assert (desk.pending(), desk.total(Account.COMMITTED), desk.total(Account.DEAD)) == (0, 21, 0)


@pytest.mark.parametrize("bury", [False, True])
@pytest.mark.parametrize("file", [False, True])
def test_a_release_is_the_same_after_a_restart(bury: bool, file: bool) -> None:
    """Kills: a change in memory that no record makes again."""
    desk = stopped(file=file)
    (stream,) = desk.outbox.stopped()
    desk.outbox.release(stream.key, desk.draft, bury=bury)
    desk.commit()
    live, replayed = desk.outbox, desk.replayed()
    assert _held(live) == _held(replayed)
    again = desk.replayed(live.snapshot(), after=desk.draft.n - 1)
    assert _held(again) == _held(live)


def _held(outbox: Outbox) -> object:
    state = outbox.state
    return (
        [(s.key, s.tail, s.tail_chain, s.acked, s.floor, s.frozen) for s in state.streams()],
        sorted((n, one.letter.row.k, one.reason) for n, one in state.waiting.items()),
        sorted((n, one.letter.row.k, one.reason) for n, one in state.dead.items()),
        sorted((n, one.info.p_from, one.info.p_to, one.info.readings) for n, one in state.dead_runs.items()),
        state.next_number,
    )


def test_what_had_been_put_aside_before_it_stopped_is_not_sent_twice() -> None:
    """Kills: a block that waits elsewhere and is taken out of the stopped stream as well."""
    desk = Desk()
    for k in range(1, 5):
        desk.keep(rows=k)
    desk.commit()
    desk.up()
    desk.send()
    chains = [desk.stream().chain_at(p) for p in range(5)]
    desk.answer(desk.stream().key, 4, Later(2))
    desk.down()
    desk.up([StreamWelcome(desk.stream().key, 1, chains[1])])
    desk.down()
    desk.up([StreamWelcome(desk.stream().key, 2, THEIRS)])
    assert desk.stream().frozen
    release(desk, bury=False)
    desk.advance(3600)
    assert sorted(sent_ks(desk)) == [2, 3, 4]
    answer_all(desk)
    assert (desk.pending(), desk.total(Account.COMMITTED)) == (0, 10)


def test_a_stream_is_not_released_before_the_parent_has_said_where_it_stands() -> None:
    """Kills: an opening balance that is a guess."""
    desk = stopped()
    desk.restart()
    (stream,) = desk.outbox.stopped()
    assert "has not said where it stands" in desk.outbox.why_not_released(stream.key, bury=False)
    desk.up([StreamWelcome(stream.key, 3, THEIRS)])
    assert desk.outbox.why_not_released(stream.key, bury=False) == ""


def test_more_than_the_list_of_dead_letters_holds_is_refused_whole() -> None:
    """Kills: dead letters that push each other out of the list."""
    desk = stopped()
    desk.outbox.settings = desk.outbox.state.settings = OutboxSettings(dead_max=3)
    (stream,) = desk.outbox.stopped()
    assert "more than 3 dead letters" in desk.outbox.why_not_released(stream.key, bury=True)
    assert desk.outbox.why_not_released(stream.key, bury=False) == ""
    assert desk.pending() == 18
