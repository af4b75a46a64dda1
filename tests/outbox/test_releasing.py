"""Laws of a stopped stream that an operator lets go on: everything it held is sent, or kept and listed."""

from __future__ import annotations

import msgspec
import pytest
from tests.outbox.desk import Desk

from headland.line.outbox import Outbox, OutboxSettings, space
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


def gone_back(monkeypatch: pytest.MonkeyPatch, *, older: bool) -> Desk:
    """Blocks 1 to 3 in a file, 4 to 7 in the journal; 5 answered; then the parent has 1, then others.

    Of an `older` version's file the books say `committed` until its headers are read.
    """
    if older:
        made = space.extent_of
        monkeypatch.setattr(
            space, "extent_of", lambda *given: msgspec.structs.replace(made(*given), each=b"")
        )
    desk = Desk(OutboxSettings(page=3))
    for k in range(1, 4):
        desk.keep(rows=k)
    desk.commit()
    key, one = desk.stream().key, desk.stream().chain_at(1)
    desk.spill()
    for k in range(4, 8):
        desk.keep(rows=k)
    desk.commit()
    desk.up()
    desk.send()
    desk.answer(key, 5)
    desk.down()
    desk.up([StreamWelcome(key, 1, one)])
    desk.down()
    desk.up([StreamWelcome(key, 2, THEIRS)])
    desk.send()
    assert desk.stream().frozen
    assert desk.total(Account.COMMITTED) == (15 if older else 1)
    return desk


@pytest.mark.parametrize(
    ("older", "committed", "in_file", "named"),
    [(False, 1, 5, (2, 3, 5)), (True, 2, 4, (2, 3, 0))],
    ids=["this version", "older"],
)
def test_what_a_restored_parent_lost_again_leaves_committed_when_it_is_released(
    monkeypatch: pytest.MonkeyPatch, older: bool, committed: int, in_file: int, named: tuple[int, int, int]
) -> None:
    """Kills: a block that is `dead` or `pending` and `committed` too; blocks or readings miscounted."""
    desk = gone_back(monkeypatch, older=older)
    (stream,) = desk.outbox.stopped()
    done = desk.outbox.release(stream.key, desk.draft, bury=True)
    desk.commit()
    (run,) = desk.outbox.dead_runs()
    assert (done.blocks, done.readings, done.runs) == (6, 22 + in_file, (run.number,))
    assert (run.info.p_from, run.info.p_to) == (2, 3)
    assert desk.ledger.total(Account.COMMITTED) == (committed, 8 * committed)
    assert desk.ledger.total(Account.DEAD) == (22 + in_file, 8 * (22 + in_file))
    told = [one for entry in desk.send() if isinstance(entry, GapEntry) for one in entry.ranges]
    assert [(one.k_from, one.k_to, one.readings, one.payload_bytes) for one in told] == [
        (4, 7, 22, 8 * 22),
        (*named, 8 * named[2]),
    ]


def test_blocks_that_are_sent_are_counted_with_those_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = gone_back(monkeypatch, older=False)
    (stream,) = desk.outbox.stopped()
    done = desk.outbox.release(stream.key, desk.draft, bury=False)
    desk.commit()
    assert (done.blocks, done.readings) == (6, 27)
    assert (desk.pending(), desk.total(Account.DEAD), desk.total(Account.COMMITTED)) == (22, 5, 1)
    resend(desk, *done.runs)
    desk.commit()
    assert sorted(sent_ks(desk)) == [2, 3, 4, 5, 6, 7]
    assert (desk.pending(), desk.total(Account.DEAD)) == (27, 0)


def test_of_a_run_that_is_sent_again_what_cannot_be_read_is_corrupt_and_no_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: a lost block that stays `dead`, or is corrupt in its readings only."""
    desk = gone_back(monkeypatch, older=False)
    release(desk, bury=True)
    (run,) = desk.outbox.dead_runs()
    desk.hurt = {(run.info.file, 2)}
    lost = desk.outbox.resend_readable(run.number, desk.verified(run.info.file), desk.now, desk.draft)
    desk.commit()
    assert lost == (1, 3)
    assert desk.ledger.total(Account.CORRUPT) == (3, 24)
    assert desk.ledger.total(Account.DEAD) == (22, 176)
    assert desk.outbox.dead_runs() == []
    assert sent_ks(desk) == [2]


def test_the_last_block_of_a_stream_is_released_too() -> None:
    """Kills: a piece with one unanswered block left behind."""
    desk = stopped(count=3, acked=2)
    release(desk, bury=False)
    assert sent_ks(desk) == [3]


def test_tombstones_of_a_stopped_stream_are_all_told_at_the_tail() -> None:
    """Kills: only the last tombstone told."""
    desk = Desk(OutboxSettings(page=3))
    for k in range(1, 8):
        desk.keep(rows=k)
    desk.commit()
    desk.up()
    for k in (3, 5):
        assert desk.outbox.unreadable(desk.stream().key, k, desk.draft)
    desk.commit()
    key = desk.stream().key
    desk.down()
    desk.up([StreamWelcome(key, 1, THEIRS)])
    assert desk.stream().frozen
    release(desk, bury=True)
    told = [one for entry in desk.send() if isinstance(entry, GapEntry) for one in entry.ranges]
    assert [(one.k_from, one.k_to, one.reason) for one in told] == [
        (3, 3, Reason.CORRUPT),
        (5, 5, Reason.CORRUPT),
        (1, 2, Reason.DEAD_LETTER),
        (4, 4, Reason.DEAD_LETTER),
        (6, 7, Reason.DEAD_LETTER),
    ]
    assert (desk.total(Account.CORRUPT), desk.total(Account.DEAD), desk.pending()) == (8, 20, 0)


@pytest.mark.parametrize(("dead_max", "refused"), [(5, True), (6, False)])
def test_dead_letters_that_just_fit_into_the_list_are_taken(dead_max: int, refused: bool) -> None:
    """Kills: a list that holds one less, or that does not count what is listed."""
    desk = stopped()
    (stream,) = desk.outbox.stopped()
    desk.outbox.release(stream.key, desk.draft, bury=True)
    desk.commit()
    assert len(desk.outbox.dead_letters()) == 4
    desk.down()
    desk.keep(rows=1)
    desk.keep(rows=1)
    desk.commit()
    desk.up([StreamWelcome(stream.key, stream.acked + 1, b"a third chain...")])
    assert stream.frozen
    desk.outbox.settings = desk.outbox.state.settings = OutboxSettings(dead_max=dead_max)
    assert bool(desk.outbox.why_not_released(stream.key, bury=True)) is refused


@pytest.mark.parametrize(("runs_max", "refused"), [(1, True), (2, False)])
def test_runs_that_just_fit_into_the_list_are_taken(
    monkeypatch: pytest.MonkeyPatch, runs_max: int, refused: bool
) -> None:
    """Kills: answered runs counted; runs that are listed not counted."""
    desk = gone_back(monkeypatch, older=False)
    release(desk, bury=True)
    stream = desk.stream()
    desk.down()
    desk.keep(rows=1)
    desk.commit()
    desk.spill()
    desk.up([StreamWelcome(stream.key, stream.acked + 1, b"a third chain...")])
    desk.send()
    assert stream.frozen
    assert len(desk.outbox.dead_runs()) == 1
    monkeypatch.setattr("headland.line.outbox.outbox.DEAD_RUNS_MAX", runs_max)
    assert bool(desk.outbox.why_not_released(stream.key, bury=False)) is refused


def test_why_a_stream_is_not_released_is_said() -> None:
    desk = Desk()
    desk.keep()
    desk.commit()
    desk.up()
    assert desk.outbox.why_not_released(desk.stream().key, bury=False) == "it is not stopped"


def test_a_released_stream_stands_where_the_parent_does_and_remembers_nothing_of_before() -> None:
    """Kills: a position or chain value of ours that outlives its stream; one that is not looked at anew."""
    desk = stopped(count=6, acked=2)
    stream, state = desk.stream(), desk.outbox.state
    assert stream.key in state.history
    version = state.version
    desk.keep(rows=9)
    release(desk, bury=False)
    assert state.version > version
    desk.restart()
    for one in (stream, desk.outbox.state.find(stream.key)):
        positions = (one.tail, one.durable, one.sent, one.acked, one.acked_durable, one.floor, one.base)
        assert positions == (3,) * 7
        assert one.horizon == 3
        assert {one.tail_chain, one.acked_chain, one.floor_chain, one.base_chain} == {THEIRS}
    for left in (state, desk.outbox.state):
        assert stream.key not in left.history
        assert [item for item in (*left.drafted, *left.acks) if item[1].key == stream.key] == []
        assert [one for one in left.held if one.key == stream.key] == []
