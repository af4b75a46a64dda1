"""What a crash may take and what it may not: laws of commit and recovery over the crash states of a trace."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.journal.harness import (
    CONFIG,
    EPOCH,
    EPOCH_2,
    Start,
    assert_log,
    execute,
    read,
    sections,
    start,
    trace,
)

from headland.journal import JournalConfig, Mark, Section, recover, section_refs
from headland.journal.checkpoint import encode_file
from headland.journal.frame import (
    HEADER_BYTES,
    SectionRef,
    check_section,
    encode_frame,
    parse_frame,
    parse_head,
)
from headland.journal.plan import Create, DiskOp, Rename, Sync, SyncDir, Unlink, Write
from headland.journal.segment import encode_header, parse_header, path_of
from headland.simulation.disk import SimulatedDisk, crash_states
from headland.vocabulary import DefectError, StorageDamage


def violations(ops: list[DiskOp], durable_after: dict[int, int], before: SimulatedDisk | None = None) -> int:
    """Crash states of a trace in which an acknowledged commit is missing."""
    count = 0
    for executed, state in crash_states(ops, before, limit=64):
        acknowledged = max((n for n, after in durable_after.items() if after <= executed), default=0)
        if read(state).recovered.last.n < acknowledged:
            count += 1
    return count


def test_an_acknowledged_commit_is_found_in_every_crash_state() -> None:
    """Kills: acknowledge before the sync; a frame written to two places; a cut that takes a good frame."""
    ops, durable_after = trace(start(SimulatedDisk()).journal, range(1, 10))
    seen = 0
    for executed, state in crash_states(ops, limit=64):
        acknowledged = max((n for n, after in durable_after.items() if after <= executed), default=0)
        issued = sum(executed >= after - 1 for after in durable_after.values())
        assert_log(start(state), acknowledged, max(issued, acknowledged))
        seen += 1
    assert seen > 60


def test_after_a_crash_the_next_commits_are_as_durable_as_the_first() -> None:
    """Kills: appending behind a torn tail; a new segment without its name synced."""
    ops, durable_after = trace(start(SimulatedDisk()).journal, range(1, 5))
    for executed, state in crash_states(ops, limit=16):
        found = start(state)
        last = found.recovered.last.n
        assert last >= max((n for n, after in durable_after.items() if after <= executed), default=0)
        more, _ = trace(found.journal, range(last + 1, last + 4))
        execute(state, more)
        assert_log(start(state.power_cut()), last + 3, last + 3)


def test_a_crash_during_recovery_loses_nothing_that_recovery_had_seen_durable() -> None:
    """Kills: removing old segments before the rewritten frame is synced; headers voiding without a frame."""
    ops, durable_after = trace(start(SimulatedDisk()).journal, range(1, 7))
    rng = random.Random(1)
    for executed, state in crash_states(ops, limit=24):
        acknowledged = max((n for n, after in durable_after.items() if after <= executed), default=0)
        first = read(state)
        plan = first.recovered.plan
        for done, again in crash_states(plan, state, limit=12):
            second = start(again)
            assert_log(second, acknowledged, len(durable_after))
            if done == len(plan):
                assert second.ns == first.ns
            third = start(again.crash(rng))
            assert third.ns == second.ns


def test_a_frame_in_the_page_cache_only_is_durable_once_recovery_is_done() -> None:
    """Kills: last frame trusted unsynced. The process dies before its sync, later the power goes."""
    disk = SimulatedDisk()
    ops, _ = trace(start(disk).journal, range(1, 4))
    assert isinstance(ops[-1], Sync)
    execute(disk, ops[:-1])
    survivor = disk.process_kill()
    assert read(survivor).ns == [1, 2, 3]
    assert read(survivor.power_cut()).ns == [1, 2]
    assert start(survivor).ns == [1, 2, 3]
    assert read(survivor.power_cut()).ns == [1, 2, 3]


def test_a_voided_frame_never_comes_back() -> None:
    """Kills: a new segment whose header does not say what it continues after.

    Commit 3 was written, not synced, and not there when the node came up; the node wrote another commit 3.
    Then the drive brings up the old one.
    """
    disk = SimulatedDisk()
    old, _ = trace(start(disk).journal, range(1, 4))
    written = old[-2]
    assert isinstance(written, Write)
    execute(disk, old[:-2])
    survivor = disk.power_cut()
    found = start(survivor)
    assert found.ns == [1, 2]
    new, _ = trace(found.journal, [3, 4], word="other!")
    execute(survivor, new)
    survivor.apply(Create(written.path, CONFIG.segment_bytes))
    survivor.overwrite(written.path, written.offset, written.data)
    again = start(survivor)
    assert again.ns == [1, 2, 3, 4]
    assert [frame.sections[0].data[:6] for frame in again.frames] == [
        b"commit",
        b"commit",
        b"other!",
        b"other!",
    ]
    assert again.recovered.damage == []


def test_a_voided_segment_does_not_come_back_after_two_recoveries() -> None:
    """Kills: following the oldest segment that continues after a frame, or the header alone.

    Segment 2 begins with commit 3, which is lost with the page cache; the recovery finds 2 to be the last
    and begins segment 3 with it. Then the drive brings up segment 2 as it was.
    """
    disk = SimulatedDisk()
    config = JournalConfig(segment_bytes=900)
    ops, _ = trace(start(disk, config).journal, range(1, 4))
    turned = [op for op in ops if isinstance(op, Write) and op.path == path_of(2)]
    execute(disk, [op for op in ops if op not in turned])
    survivor = disk.power_cut()
    assert start(survivor, config).ns == [1, 2]
    assert path_of(2) not in {f"journal/{name}" for name in survivor.names("journal")}
    survivor.apply(Create(path_of(2), 900))
    survivor.overwrite(path_of(2), 0, turned[0].data)
    again = start(survivor, config)
    assert again.ns == [1, 2]
    assert again.recovered.damage == []


def without(kind: type) -> Callable[[list[DiskOp]], list[DiskOp]]:
    return lambda ops: [op for op in ops if not isinstance(op, kind)]


def sync_first(ops: list[DiskOp]) -> list[DiskOp]:
    """Every sync happens before the write that it was for."""
    out: list[DiskOp] = []
    for op in ops:
        if isinstance(op, Sync):
            out.insert(len(out) - 1, op)
        else:
            out.append(op)
    return out


@pytest.mark.parametrize(
    "mutate", [without(Sync), without(SyncDir), sync_first], ids=["no sync", "no dir", "early"]
)
def test_the_crash_states_catch_a_journal_that_syncs_too_little(
    mutate: Callable[[list[DiskOp]], list[DiskOp]],
) -> None:
    """Mutants of the trace: this is a test of the simulated disk as much as of the plan."""
    ops, durable_after = trace(start(SimulatedDisk()).journal, range(1, 8))
    assert violations(ops, durable_after) == 0
    mutant = mutate(ops)
    kept = {n: sum(1 for op in mutant if op in ops[:after]) for n, after in durable_after.items()}
    assert violations(mutant, kept) > 0


def small_log(commits: int = 4) -> tuple[SimulatedDisk, list[int]]:
    """A log of tiny commits in one segment, and where each frame begins."""
    disk = SimulatedDisk()
    journal = start(disk).journal
    offsets = []
    for n in range(1, commits + 1):
        offsets.append(journal.segments()[-1].bytes if journal.segments() else 64)
        execute(disk, journal.append(EPOCH, n, n, n, [Section(1, b"%d" % n)]).plan)
    return disk, [*offsets, journal.segments()[-1].bytes]


def test_every_flip_of_a_bit_in_a_frame_is_seen() -> None:
    """Kills: a CRC that leaves out part of the header, or that is not salted."""
    frame = encode_frame(3, EPOCH, 5, 6, 7, [Section(1, b"rows"), Section(2, b"")])
    assert parse_frame(3, 0, frame) is not None
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        assert parse_frame(3, 0, bytes(flipped)) is None
    assert parse_frame(4, 0, frame) is None
    assert parse_frame(3 + (1 << 32), 0, frame) is None


def test_any_flip_in_the_middle_of_the_log_is_reported_and_stepped_around() -> None:
    """Kills: stopping at the first bad frame; passing over a gap in silence."""
    disk, offsets = small_log()
    for bit in range(8 * offsets[1], 8 * offsets[2]):
        damaged = disk.process_kill()
        damaged.flip(path_of(1), bit // 8, bit % 8)
        found = start(damaged)
        assert found.ns == [1, 3, 4]
        assert [damage.missing for damage in found.recovered.damage] == [(2, 2)]
        again = start(damaged)
        assert again.ns == [1, 3, 4]
        assert [damage.missing for damage in again.recovered.damage] == [(2, 2)]


def test_any_flip_in_the_header_of_a_segment_costs_no_commit() -> None:
    """Kills: giving up a segment for its header."""
    disk, _ = small_log()
    for bit in range(8 * 44):
        damaged = disk.process_kill()
        damaged.flip(path_of(1), bit // 8, bit % 8)
        assert start(damaged).ns == [1, 2, 3, 4]


def test_what_does_not_parse_at_the_end_is_cut_and_counted() -> None:
    """Kills: silence about an unfinished write, or an alarm of media damage for it."""
    disk, offsets = small_log()
    disk.flip(path_of(1), offsets[-1] - 1)
    found = start(disk)
    assert found.ns == [1, 2, 3]
    assert found.recovered.damage == []
    assert [(cut.segment, cut.offset) for cut in found.recovered.cut] == [(1, offsets[-2])]
    assert start(disk).recovered.cut == []


def test_a_missing_segment_is_reported_with_its_commits() -> None:
    """Kills: reading on across a hole."""
    disk = SimulatedDisk()
    ops, _ = trace(start(disk).journal, range(1, 12))
    execute(disk, ops)
    assert len(read(disk).journal.segments()) >= 3
    gone = read(disk).journal.segments()[1]
    disk.apply(Unlink(path_of(gone.id)))
    found = start(disk)
    assert found.ns == [n for n in range(1, 12) if not gone.first_n <= n <= gone.last_n]
    assert [damage.missing for damage in found.recovered.damage] == [(gone.first_n, gone.last_n)]


def test_numbers_go_up_by_one_within_an_epoch() -> None:
    """Kills: an epoch reused with another counter; a commit skipped."""
    disk = SimulatedDisk()
    journal = start(disk).journal
    execute(disk, journal.append(EPOCH, 1, 0, 0, []).plan)
    for wrong in (0, 1, 3):
        with pytest.raises(DefectError):
            journal.append(EPOCH, wrong, 0, 0, [])
    execute(disk, journal.append(EPOCH, 2, 0, 0, []).plan)
    execute(disk, journal.append(EPOCH_2, 1, 0, 0, []).plan)
    execute(disk, journal.append(EPOCH_2, 2, 0, 0, []).plan)
    found = start(disk)
    assert [(frame.epoch, frame.n) for frame in found.frames] == [
        (EPOCH, 1),
        (EPOCH, 2),
        (EPOCH_2, 1),
        (EPOCH_2, 2),
    ]
    assert found.recovered.damage == []
    with pytest.raises(DefectError):
        found.journal.append(EPOCH_2, 2, 0, 0, [])


def read_section(disk: SimulatedDisk, ref: SectionRef) -> bytes:
    return check_section(ref, disk.read(path_of(ref.segment), ref.offset, ref.length))


def test_the_last_frame_is_rewritten_unchanged_where_recovery_says_it_stands() -> None:
    """Kills: a new N or epoch for the rewritten frame; references into the segment that was voided."""
    disk = SimulatedDisk()
    ops, _ = trace(start(disk).journal, range(1, 4))
    execute(disk, ops)
    found = start(disk)
    last = found.frames[-1]
    refs = section_refs(last.segment, last.offset, last.sections)
    assert [read_section(disk, ref) for ref in refs] == [part.data for part in sections(3)]
    first = found.frames[0]
    early = section_refs(first.segment, first.offset, first.sections)
    assert read_section(disk, early[0]) == sections(1)[0].data
    disk.flip(path_of(last.segment), refs[0].offset + 5)
    with pytest.raises(StorageDamage):
        read_section(disk, refs[0])


def test_a_node_that_restarts_without_work_does_not_fill_the_disk() -> None:
    """Kills: leaving every voided segment behind."""
    disk = SimulatedDisk()
    ops, _ = trace(start(disk).journal, range(1, 3))
    execute(disk, ops)
    for _ in range(20):
        assert start(disk).ns == [1, 2]
    assert len(disk.names("journal")) <= 2


def test_a_commit_refused_for_space_succeeds_when_its_plan_is_executed_again() -> None:
    """Kills: space taken outside of Create; a plan that is not idempotent."""
    disk = SimulatedDisk(capacity_bytes=2_000)
    journal = start(disk).journal
    refused = []
    for n in range(1, 7):
        plan = journal.append(EPOCH, n, 1_000 + n, 10 * n, sections(n)).plan
        try:
            execute(disk, plan)
        except OSError:
            refused.append(n)
            assert read(disk.power_cut()).ns == list(range(1, n))
            disk.capacity_bytes = 1 << 30
            execute(disk, plan)
    assert len(refused) == 1
    assert_log(start(disk.power_cut()), 6, 6)


def test_recovery_holds_one_frame_and_a_read_ahead_not_the_log() -> None:
    """Kills: collecting frames; reading all segments before the first frame is given."""
    disk = SimulatedDisk()
    config = JournalConfig(segment_bytes=64 << 10)
    ops, _ = trace(start(disk, config).journal, range(1, 60), size=10_000)
    execute(disk, ops)
    reads: list[int] = []
    plain = disk.read

    def counting(path: str, offset: int, length: int) -> bytes:
        data = plain(path, offset, length)
        reads.append(len(data))
        return data

    disk.read = counting  # type: ignore[method-assign]
    frames = recover(disk, config).frames()
    assert max(reads, default=0) <= 256 << 10
    first = next(frames)
    assert first.n == 1
    assert sum(1 for _ in frames) == 58
    assert max(reads) <= 256 << 10


def test_a_recycled_file_brings_no_stale_frame_back() -> None:
    """Kills: a CRC that is not salted with the segment id; a rename whose directory is not synced."""
    disk = SimulatedDisk()
    journal = start(disk).journal
    n = 0
    for _ in range(6):
        for _ in range(5):
            n += 1
            execute(disk, journal.append(EPOCH, n, 1_000 + n, 10 * n, sections(n)).plan)
        info = journal.start_checkpoint(n)
        ops, size = journal.checkpoint_file_ops(info, encode_file(info, b"%d" % n))
        execute(disk, ops)
        journal.finish_checkpoint(info, size)
        for segment in journal.recyclable():
            execute(disk, journal.recycle(segment))
    renamed = []
    while not renamed:
        n += 1
        before = disk.process_kill()
        plan = journal.append(EPOCH, n, 1_000 + n, 10 * n, sections(n)).plan
        renamed = [op for op in plan if isinstance(op, Rename)]
        if renamed:
            for executed, state in crash_states(plan, before):
                assert_log(read(state), n - 1 if executed < len(plan) else n, n)
        execute(disk, plan)
    assert disk.read(renamed[0].target, 0, CONFIG.segment_bytes).count(b"\xabHLf") > 1
    assert_log(start(disk.power_cut()), n, n)


def test_a_recycled_file_that_has_to_grow_may_be_refused_space_and_tried_again() -> None:
    """Kills: a rename before the space is sure; the plan could not be executed a second time."""
    disk = SimulatedDisk()
    journal = start(disk).journal
    n = 0
    for _ in range(3):
        for _ in range(2):
            n += 1
            execute(disk, journal.append(EPOCH, n, 1_000 + n, 10 * n, sections(n)).plan)
        journal = start(disk).journal
        info = journal.start_checkpoint(n)
        ops, size = journal.checkpoint_file_ops(info, encode_file(info, b"%d" % n))
        execute(disk, ops)
        journal.finish_checkpoint(info, size)
    for segment in journal.recyclable():
        execute(disk, journal.recycle(segment))
    disk.capacity_bytes -= disk.free_bytes()
    refused = 0
    while not refused:
        n += 1
        plan = journal.append(EPOCH, n, 1_000 + n, 10 * n, sections(n)).plan
        try:
            execute(disk, plan)
        except OSError:
            refused += any(isinstance(op, Rename) for op in plan)
            disk.capacity_bytes += 4_000
            execute(disk, plan)
    assert_log(start(disk.power_cut()), n, n)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["commit", "commit", "commit", "torn", "checkpoint", "cut", "kill", "crash"]),
            st.integers(0, 1 << 16),
        ),
        max_size=40,
    )
)
def test_the_journal_is_a_list_that_survives(steps: list[tuple[str, int]]) -> None:
    """Model: a list of commits. Whatever is done and whenever it crashes, what is read back is a prefix that
    has every acknowledged one; once seen by a finished recovery, a commit stays.

    Kills: most of what the single tests above kill, in combination; a checkpoint that does not cover its
    commits; segments recycled too early.
    """
    disk = SimulatedDisk()
    journal = start(disk).journal
    durable = issued = 0

    def restart(after: SimulatedDisk) -> Start:
        found = start(after)
        assert_log(found, durable, issued)
        info = found.recovered.checkpoint_info
        assert found.recovered.checkpoint == (b"state after %d" % info.mark.n if info else None)
        return found

    for what, number in steps:
        rng = random.Random(number)
        size = 20 + number % 600
        match what:
            case "commit" | "torn":
                issued = journal.last.n + 1
                plan = journal.append(EPOCH, issued, 1_000 + issued, 10 * issued, sections(issued, 300)).plan
                if what == "commit":
                    execute(disk, plan)
                    durable = issued
                    continue
                execute(disk, plan[: rng.randrange(len(plan))])
                disk = disk.crash(rng)
            case "checkpoint":
                if not journal.segments():
                    continue
                info = journal.start_checkpoint(journal.last.n)
                data = encode_file(info, b"state after %d" % journal.last.n)
                ops, length = journal.checkpoint_file_ops(info, data)
                if size % 3:
                    execute(disk, ops)
                    journal.finish_checkpoint(info, length)
                    for segment in journal.recyclable():
                        execute(disk, journal.recycle(segment))
                    continue
                execute(disk, ops[: rng.randrange(len(ops))])
                disk = disk.crash(rng)
            case "cut":
                disk = disk.power_cut()
            case "kill":
                disk = disk.process_kill()
            case _:
                disk = disk.crash(rng)
        if number % 4 == 0:
            half = read(disk)
            plan = half.recovered.plan
            execute(disk, plan[: rng.randrange(len(plan) + 1)])
            disk = disk.crash(rng)
        found = restart(disk)
        journal = found.journal
        durable = issued = found.recovered.last.n


def test_damage_at_the_end_of_an_epoch_is_reported() -> None:
    """Kills: judging a hole by the numbers alone; a new epoch begins with any number."""
    disk = SimulatedDisk()
    journal = start(disk).journal
    for epoch, n in ((EPOCH, 1), (EPOCH, 2), (EPOCH_2, 1), (EPOCH_2, 2)):
        refs = journal.append(epoch, n, n, n, [Section(1, b"%d" % n)])
        execute(disk, refs.plan)
        if (epoch, n) == (EPOCH, 2):
            offset = refs.refs[0].offset
    disk.flip(path_of(1), offset)
    found = start(disk)
    assert [frame.n for frame in found.frames] == [1, 1, 2]
    (damage,) = found.recovered.damage
    assert (damage.after, damage.before, damage.missing) == (Mark(EPOCH, 1), Mark(EPOCH_2, 1), None)


def test_golden_frame_and_segment_header() -> None:
    """On disks: a change of these bytes needs a new format version."""
    frame = encode_frame(3, EPOCH, 5, 6, 7, [Section(1, b"rows"), Section(200, b"", version=2)])
    assert frame.hex() == (
        "ab484c660300000010000000b3d760ce0100020000000000000102030405060708090a0b0c0d0e0f0500000000000000"
        "06000000000000000700000000000000010104000000726f7773c80200000000"
    )
    header = encode_header(9, Mark(EPOCH, 41))
    assert header.hex() == (
        "484c7365676d310a0900000000000000000102030405060708090a0b0c0d0e0f29000000000000002391ac4200000000"
        "00000000000000000000000000000000"
    )
    assert parse_header(9, header) == Mark(EPOCH, 41)
    assert parse_header(10, header) is None


def test_a_frame_knows_how_many_sections_it_has_beyond_sixteen_bits() -> None:
    """Kills: a count of which the upper part is lost."""
    many = [Section(200, b"")] * 70_000
    data = encode_frame(3, EPOCH, 1, 2, 3, many)
    head = parse_head(3, data)
    assert head is not None
    assert (head.sections, head.body_bytes) == (70_000, len(data) - HEADER_BYTES)
    frame = parse_frame(3, 0, data)
    assert frame is not None
    assert len(frame.sections) == 70_000
