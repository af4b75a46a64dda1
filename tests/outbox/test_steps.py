"""Room is made in steps: however much waits, none of them looks at all of it."""

from __future__ import annotations

import msgspec
import pytest
from tests.outbox.desk import FILE, Desk

from headland.line.outbox.applying import append_row, current_stream
from headland.line.outbox.rows import PIECE, Row, Rows
from headland.line.outbox.space import FORGET_BLOCKS, SPILL_BLOCKS, SPILL_BYTES
from headland.line.outbox.stream import Extent, Stream
from headland.link.contract import Ref
from headland.vocabulary import Lane, Priority

MANY = 5 * PIECE + 7


class Looks:
    """`inside` up to a commit; counts how often it is asked."""

    def __init__(self, up_to_n: int = FILE - 1) -> None:
        self.count = 0
        self._up_to_n = up_to_n

    def __call__(self, ref: Ref) -> bool:
        self.count += 1
        return ref.space <= self._up_to_n


def _filled(desk: Desk, blocks: int = MANY, length: int = 60) -> Stream:
    state = desk.outbox.state
    stream = current_stream(state, Priority.NORMAL, Lane.BACKLOG)
    ident = state.ident("node", desk.epoch)
    for k in range(1, blocks + 1):
        row = Row(ident, k, 1, 8, k, k, k, k, 0, length, 0, 0, bytes(16), bytes(16))
        append_row(state, stream, row)
    stream.durable = stream.tail
    return stream


def _spill_one(desk: Desk, looks: Looks, number: int) -> int:
    """Note the next run in a file; how many blocks."""
    run = next(iter(desk.outbox.to_spill(looks, desk.now)), None)
    if run is None:
        return 0
    places = [Ref(FILE, number * SPILL_BLOCKS + at, 60) for at in range(len(run.refs))]
    desk.outbox.spilled(run, places, 0, desk.draft)
    return len(run.refs)


def test_a_step_of_the_spill_looks_at_its_own_blocks_and_not_at_all_that_wait() -> None:
    # Kills: every row of the segment walked for every batch (100,000 blocks: 0.3 s of the loop each time).
    desk = Desk()
    stream = _filled(desk)
    sizes = []
    while True:
        looks = Looks(MANY - 100)
        size = _spill_one(desk, looks, len(sizes))
        if not size:
            break
        sizes.append(size)
        assert size <= SPILL_BLOCKS
        assert looks.count <= size + len(stream.pieces) + 1
    assert sum(sizes) == MANY - 100
    assert [piece.last for piece in stream.rows_pieces()] == [5 * PIECE, MANY]
    assert all(isinstance(piece, Extent) for piece in stream.pieces[:-2])


def test_a_step_of_the_spill_stops_at_its_bytes() -> None:
    desk = Desk()
    _filled(desk, 100, SPILL_BYTES // 3)
    runs = list(desk.outbox.to_spill(Looks(), desk.now))
    assert max(len(run.refs) for run in runs) == 4
    assert [p for run in runs for p in range(run.p_from, run.p_from + len(run.refs))] == list(range(1, 101))


def test_what_came_again_is_found_behind_others() -> None:
    desk = Desk()
    stream = _filled(desk, 3000)
    rows = next(stream.rows_pieces())
    rows.move(2900, Ref(1, 0, 60))
    found = {run.p_from: len(run.refs) for run in desk.outbox.to_spill(Looks(10), desk.now)}
    assert found == {1: 10, 2900: 1}


def test_answered_blocks_are_forgotten_in_steps_and_all_of_them_in_the_end() -> None:
    # Kills: 100,000 rows made into objects at one go.
    desk = Desk()
    blocks = 2 * FORGET_BLOCKS + 5
    stream = _filled(desk, blocks)
    stream.acked_to(blocks - 1, stream.chain_at(blocks - 1) or b"")
    floors = []
    for _ in range(3):
        looks = Looks()
        desk.outbox.forget_answered(looks, desk.draft)
        floors.append(stream.floor)
        assert looks.count <= len(stream.pieces) + blocks // PIECE + 1
    assert floors == [FORGET_BLOCKS, 2 * FORGET_BLOCKS, blocks - 1]
    assert desk.outbox.in_memory() == 1


def test_of_answered_blocks_those_that_are_not_inside_stay() -> None:
    desk = Desk()
    stream = _filled(desk)
    stream.acked_to(MANY, stream.tail_chain)
    desk.outbox.forget_answered(Looks(PIECE + 3), desk.draft)
    assert stream.floor == PIECE + 3


def test_a_step_of_shedding_gives_up_the_oldest_few() -> None:
    desk = Desk()
    stream = _filled(desk)
    assert desk.outbox.shed_rows(Looks(), Looks(), desk.draft)
    assert next(stream.rows_pieces()).first == SPILL_BLOCKS + 1
    assert desk.outbox.shed_rows(Looks(), Looks(), desk.draft)
    assert next(stream.rows_pieces()).first == 2 * SPILL_BLOCKS + 1


def test_files_in_use_are_found_among_rows_that_were_sent_again_from_them() -> None:
    desk = Desk()
    stream = _filled(desk)
    rows = next(stream.rows_pieces())
    rows.move(5, Ref(FILE + 2, 0, 60))
    desk.outbox.state.files_known.add(FILE + 2)
    assert desk.outbox.files() == {FILE + 2: False}
    assert desk.outbox.referred({FILE + 1, FILE + 2}) == {FILE + 2}
    rows.move(5, Ref(5, 0, 60))
    assert desk.outbox.files() == {}
    assert desk.outbox.referred({FILE + 1, FILE + 2}) == set()


@pytest.mark.parametrize("floor", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 9])
def test_the_blocks_of_a_stream_are_cut_at_the_same_positions_however_they_came_back(floor: int) -> None:
    # Kills: a snapshot that makes one long piece of them; cuts that depend on what had been forgotten.
    desk = Desk()
    stream = _filled(desk)
    whole = Rows(floor + 1)
    for p in range(floor + 1, MANY + 1):
        rows = stream.rows_at(p)
        assert rows is not None
        whole.append(rows.row(p))
    parts = Rows.load(msgspec.convert(whole.dump(), tuple[int, list[bytes], bytes, bytes])).parts()
    stream.acked_to(floor, stream.chain_at(floor) or b"")
    stream.forget_to(floor)
    assert [(one.first, one.last) for one in parts] == [(one.first, one.last) for one in stream.rows_pieces()]
    assert [one.oldest_space for one in parts] == [one.oldest_space for one in stream.rows_pieces()]
    assert [one.newest_space for one in parts] == [one.newest_space for one in stream.rows_pieces()]
    assert parts[0].row(floor + 1) == whole.row(floor + 1)
