"""The backlog on disk: what a note covers is there, what none covers is not."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from tests.journal.harness import EPOCH, execute

from headland.blocks.block import open_block, seal
from headland.blocks.header import BlockHeader, Run
from headland.journal.outbox_files import (
    BadRecord,
    BlockFiles,
    FileInfo,
    StoredBlock,
    outbox_directory,
    read_blocks,
)
from headland.journal.plan import DiskOp, Sync, SyncDir, Truncate, Unlink, Write
from headland.journal.read_ahead import PAGE_BYTES
from headland.simulation.disk import SimulatedDisk, crash_states
from headland.vocabulary import Columns, Lane, Priority

DIRECTORY = outbox_directory(Priority.HIGH)
Block = tuple[BlockHeader, bytes]


def block(k: int, rows: int = 30) -> Block:
    columns = Columns()
    noise = random.Random(k)
    for row in range(rows):
        value = float(k) if row == 0 else noise.random()
        columns.append(1, 1_700_000_000_000_000_000 + k * 10**9 + row, value, size=40)
    return seal(
        columns,
        origin="dev-1",
        epoch=EPOCH,
        priority=Priority.HIGH,
        k=k,
        lane=Lane.BACKLOG,
        runs=(Run(k, 1_700_000_000_000_000_000, rows),),
    )


def files(noted: list[FileInfo] | None = None) -> BlockFiles:
    made = BlockFiles(DIRECTORY, file_bytes=1_500)
    made.restore(noted or [])
    return made


def ks(disk: SimulatedDisk, made: BlockFiles) -> list[int]:
    out = []
    for info in made.files():
        for item in made.blocks(disk, info.number):
            assert isinstance(item, StoredBlock)
            assert (item.header, item.body) == block(item.header.k)
            out.append(item.header.k)
    return out


def test_blocks_come_back_in_order_as_they_were_sealed() -> None:
    """Kills: a body encoded anew; a file that is closed too late or too early."""
    disk, made = SimulatedDisk(), files()
    spilled = made.append([block(k) for k in range(1, 20)])
    execute(disk, spilled.plan)
    execute(disk, made.append([block(k) for k in range(20, 23)]).plan)
    assert ks(disk, made) == list(range(1, 23))
    assert len(made.files()) > 2
    assert all(info.full for info in made.files()[:-1])
    assert sum(info.blocks for info in made.files()) == 22
    assert sum(info.readings for info in made.files()) == 22 * 30
    assert sum(info.payload_bytes for info in made.files()) == 22 * 30 * 40
    assert made.files()[0].ts_min == block(1)[0].ts_min
    found = next(made.blocks(disk, spilled.refs[4].number, spilled.refs[4].offset))
    assert isinstance(found, StoredBlock)
    assert open_block(found.header, found.body)[0].value[0] == 5.0


def spill_twice() -> tuple[SimulatedDisk, list[FileInfo], list[DiskOp]]:
    """A noted spill of blocks 1-9, then the operations of a spill of 10-20 that nobody has noted yet."""
    disk, made = SimulatedDisk(), files()
    execute(disk, made.append([block(k) for k in range(1, 10)]).plan)
    noted = made.files()
    return disk, noted, made.append([block(k) for k in range(10, 21)]).plan


def test_an_interrupted_spill_leaves_what_was_noted_and_can_be_done_again() -> None:
    """Kills: noting before the sync; keeping an unnoted file; cutting a file below its note."""
    disk, noted, ops = spill_twice()
    for _, state in crash_states(ops, disk, limit=48):
        again = files(noted)
        execute(state, again.reconcile(state))
        assert ks(state, again) == list(range(1, 10))
        assert all(state.size(f"{DIRECTORY}/{info.number:016x}.blk") == info.bytes for info in noted)
        known = {f"{info.number:016x}.blk" for info in noted}
        assert set(state.names(DIRECTORY)) == known
        execute(state, again.append([block(k) for k in range(10, 21)]).plan)
        survivor = state.power_cut()
        execute(survivor, again.reconcile(survivor))
        assert ks(survivor, again) == list(range(1, 21))


@pytest.mark.parametrize("kind", [Sync, SyncDir])
def test_the_crash_states_catch_a_spill_that_is_noted_before_it_is_synced(kind: type) -> None:
    """Mutants of the trace: blocks or names not synced when the note is committed."""
    disk, made = SimulatedDisk(), files()
    ops = made.append([block(k) for k in range(1, 20)]).plan
    mutant = [op for op in ops if not isinstance(op, kind)]
    broken = 0
    for executed, state in crash_states(mutant, disk, limit=48):
        if executed < len(mutant):
            continue
        again = files(made.files())
        execute(state, again.reconcile(state))
        broken += bool(again.lost) or any(isinstance(item, BadRecord) for item in everything(state, again))
    assert broken > 0


def everything(disk: SimulatedDisk, made: BlockFiles) -> Iterator[StoredBlock | BadRecord]:
    for info in made.files():
        yield from made.blocks(disk, info.number)


def test_a_damaged_record_is_stepped_around_and_reported() -> None:
    """Kills: losing the rest of a file for one record; handing out bytes that were changed."""
    disk, made = SimulatedDisk(), files()
    spilled = made.append([block(k) for k in range(1, 7)])
    execute(disk, spilled.plan)
    ref = next(ref for ref in spilled.refs[1:] if ref.number == spilled.refs[1].number)
    path = f"{DIRECTORY}/{ref.number:016x}.blk"
    for at in range(ref.offset, ref.offset + ref.length):
        damaged = disk.process_kill()
        damaged.flip(path, at, at % 8)
        items = list(everything(damaged, made))
        good = [item.header.k for item in items if isinstance(item, StoredBlock)]
        bad = [(item.offset, item.end) for item in items if isinstance(item, BadRecord)]
        assert good == [1, 3, 4, 5, 6]
        assert bad == [(ref.offset, ref.offset + ref.length)]


def test_a_record_counts_in_its_own_file_only() -> None:
    """Kills: a CRC that does not know its file."""
    disk, made = SimulatedDisk(), files()
    execute(disk, made.append([block(k) for k in range(1, 12)]).plan)
    first, second = made.files()[:2]
    data = disk.read(f"{DIRECTORY}/{first.number:016x}.blk", 0, first.bytes)
    disk.overwrite(f"{DIRECTORY}/{second.number:016x}.blk", 0, data[: second.bytes])
    assert all(isinstance(item, BadRecord) for item in made.blocks(disk, second.number))


def test_a_noted_file_that_is_gone_or_cut_short_is_damage_and_nothing_more_is_appended_to_it() -> None:
    """Kills: silence about a lost file; a start that it prevents; blocks behind a hole."""
    disk, made = SimulatedDisk(), files()
    execute(disk, made.append([block(k) for k in range(1, 12)]).plan)
    numbers = [info.number for info in made.files()]
    execute(disk, [Unlink(f"{DIRECTORY}/{numbers[0]:016x}.blk")])
    last = made.files()[-1]
    execute(disk, [Truncate(f"{DIRECTORY}/{last.number:016x}.blk", last.bytes - 1)])
    execute(disk, made.reconcile(disk))
    assert made.lost == [numbers[0], last.number]
    spilled = made.append([block(12)])
    assert [info.number for info in spilled.files] == [last.number + 1]
    execute(disk, spilled.plan)
    assert len([item for item in made.blocks(disk, last.number) if isinstance(item, BadRecord)]) == 1


class Worn:
    """A disk of which some pages cannot be read."""

    def __init__(self, disk: SimulatedDisk, pages: set[int]) -> None:
        self.disk = disk
        self.pages = pages

    def names(self, directory: str) -> list[str]:
        return self.disk.names(directory)

    def size(self, path: str) -> int:
        return self.disk.size(path)

    def read(self, path: str, offset: int, length: int) -> bytes:
        if self.pages & set(range(offset // PAGE_BYTES, (offset + length - 1) // PAGE_BYTES + 1)):
            raise OSError(5, "Input/output error")
        return self.disk.read(path, offset, length)


def test_a_page_that_the_medium_does_not_give_costs_the_records_on_it_and_no_others() -> None:
    """Kills: a read-ahead that loses what stands before and behind a bad page."""
    disk, made = SimulatedDisk(), BlockFiles(DIRECTORY)
    refs = made.append([block(k) for k in range(1, 41)])
    execute(disk, refs.plan)
    (info,) = made.files()
    assert info.bytes > 3 * PAGE_BYTES
    on_it = [
        k
        for k, ref in enumerate(refs.refs, start=1)
        if ref.offset < 2 * PAGE_BYTES and ref.offset + ref.length > PAGE_BYTES
    ]
    items = list(
        read_blocks(Worn(disk, {1}), f"{DIRECTORY}/{info.number:016x}.blk", info.number, 0, info.bytes)
    )
    assert [item.header.k for item in items if isinstance(item, StoredBlock)] == [
        k for k in range(1, 41) if k not in on_it
    ]
    assert 0 < len(on_it) < 39


def test_a_file_is_forgotten_whole_and_its_number_with_it() -> None:
    """Kills: a number used twice while notes of it may be read."""
    disk, made = SimulatedDisk(), files()
    execute(disk, made.append([block(k) for k in range(1, 12)]).plan)
    oldest = made.files()[0].number
    execute(disk, made.remove(oldest))
    assert oldest not in [info.number for info in made.files()]
    for info in made.files():
        execute(disk, made.remove(info.number))
    following = made.append([block(12)])
    assert following.files[0].number == made.next_number - 1 > oldest
    assert disk.names(DIRECTORY) == []


def test_a_block_larger_than_a_file_gets_one_of_its_own() -> None:
    disk, made = SimulatedDisk(), files()
    large = block(2, rows=900)
    assert len(large[1]) > 1_500
    execute(disk, made.append([block(1), large, block(3)]).plan)
    assert [item.header.k for item in everything(disk, made) if isinstance(item, StoredBlock)] == [1, 2, 3]
    assert len(made.files()) == 3


def test_reading_a_file_holds_a_read_ahead_not_the_file() -> None:
    """Kills: a drain whose memory grows with the backlog."""
    disk = SimulatedDisk()
    made = BlockFiles(DIRECTORY, file_bytes=2 << 20)
    execute(disk, made.append([block(k, rows=1000) for k in range(1, 150)]).plan)
    assert made.files()[0].bytes > 512 << 10
    largest = 0
    plain = disk.read

    def watching(path: str, offset: int, length: int) -> bytes:
        nonlocal largest
        data = plain(path, offset, length)
        largest = max(largest, len(data))
        return data

    disk.read = watching  # type: ignore[method-assign]
    assert sum(1 for _ in everything(disk, made)) == 149
    assert largest <= 256 << 10
    assert [op for op in made.append([]).plan if isinstance(op, Write)] == []
