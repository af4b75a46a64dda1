"""What the tests of the journal share: small segments, recognisable commits, a start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headland.journal import Frame, Journal, JournalConfig, Mark, Recovered, Section, recover
from headland.journal.plan import DiskOp
from headland.simulation.disk import SimulatedDisk

EPOCH = bytes(range(16))
EPOCH_2 = bytes(range(16, 32))
CONFIG = JournalConfig(segment_bytes=1_600, checkpoint_log_bytes=1_000, checkpoint_ratio=1)


def sections(n: int, size: int = 300, word: str = "commit") -> list[Section]:
    """Sections that tell which commit they are of; about `size` bytes."""
    text = f"{word} {n}|".encode()
    return [Section(1, text * (size // len(text))), Section(200, text, version=7)]


def execute(disk: SimulatedDisk, ops: Iterable[DiskOp]) -> None:
    for op in ops:
        disk.apply(op)


class Start(msgspec.Struct):
    """A process start: what it found, and the journal it goes on with."""

    recovered: Recovered
    frames: list[Frame]
    journal: Journal

    @property
    def ns(self) -> list[int]:
        return [frame.n for frame in self.frames]


def read(disk: SimulatedDisk, config: JournalConfig = CONFIG) -> Start:
    """Read the log; nothing is written."""
    recovered = recover(disk, config)
    frames = list(recovered.frames())
    return Start(recovered, frames, recovered.journal)


def start(disk: SimulatedDisk, config: JournalConfig = CONFIG) -> Start:
    """Read the log and execute what recovery wants before anything listens."""
    found = read(disk, config)
    execute(disk, found.recovered.plan)
    return found


def trace(
    journal: Journal, ns: Sequence[int], size: int = 300, word: str = "commit"
) -> tuple[list[DiskOp], dict[int, int]]:
    """Operations of these commits, and for each N how many of them make it durable."""
    ops: list[DiskOp] = []
    durable_after = {}
    for n in ns:
        ops += journal.append(EPOCH, n, 1_000 + n, 10 * n, sections(n, size, word)).plan
        durable_after[n] = len(ops)
    return ops, durable_after


def assert_log(found: Start, acknowledged: int, issued: int, size: int = 300) -> None:
    """Everything acknowledged is there, in order, unchanged; nothing is there that was never written."""
    first = found.recovered.checkpoint_info.mark.n if found.recovered.checkpoint_info else 0
    assert found.ns == list(range(first + 1, first + 1 + len(found.ns)))
    last = found.recovered.last.n
    assert acknowledged <= last <= issued
    for frame in found.frames:
        assert list(frame.sections) == sections(frame.n, size)
        assert (frame.epoch, frame.node_ns, frame.running_ms) == (EPOCH, 1_000 + frame.n, 10 * frame.n)
    assert found.recovered.damage == []
    assert found.recovered.last == (Mark(EPOCH, last) if last else Mark())
