"""Which readings are on each machine's disk, read from the frames that were written there.

An acknowledgement is judged by it: what is kept or held is in a frame on disk; what a dead band left out
rests on a reference that is, within its bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from headland.journal import DiskOp, SectionType, decode_rows
from headland.journal.frame import Frame, parse_frame
from headland.journal.plan import Write
from headland.journal.segment import HEADER_BYTES, id_of
from headland.simulation.filtered import NO_HOLD, SLACK, Treatment
from headland.simulation.readings import Reading
from headland.simulation.world import Host
from headland.vocabulary import RowClass, RowKind

REFERENCES = 200
"""So many kept rows of each series are remembered as what a drop may rest on."""


class _Row(msgspec.Struct, frozen=True):
    series: str
    seq: int
    ts: int
    value: float
    holds: bool


class _Reference(msgspec.Struct, frozen=True):
    """What a dead band may judge by, and when it was durable."""

    ts: int
    value: float
    durable_ns: int


class DurableReadings:
    """See the module."""

    def __init__(self) -> None:
        self._on_disk: dict[str, set[tuple[str, int]]] = {}
        self._references: dict[tuple[str, str], deque[_Reference]] = {}
        self._in_flight: dict[str, tuple[int, list[_Row]]] = {}

    def committing(self, host: Host, n: int, ops: Sequence[DiskOp]) -> None:
        """Commit n is handed to the disk."""
        self._in_flight[host.name] = n, list(_readings(host, ops))

    def on_disk(self, host: Host, n: int, now_ns: int) -> None:
        """Commits up to n are on the disk; what else was under way is not."""
        at, rows = self._in_flight.pop(host.name, (0, []))
        if not 0 < at <= n:
            return
        here = self._on_disk.setdefault(host.name, set())
        for row in rows:
            here.add((row.series, row.seq))
            if row.holds:
                key = (host.name, row.series)
                reference = _Reference(row.ts, row.value, now_ns)
                self._references.setdefault(key, deque(maxlen=REFERENCES)).append(reference)

    def missing(self, reading: Reading, how: Treatment, *, went_back: bool) -> str:
        """What the acknowledgement of a reading lacks, or "".

        A drop rests on the newest reference: that which was durable when the reading was published, or one
        that has become durable since; on any, where a machine may have gone back.
        """
        told = reading.published
        if how.kind == "any" or (told.series, told.seq) in self._on_disk.get(reading.host, ()):
            return ""
        if how.kind != "band":
            return "it is in no commit on disk"
        ts = told.ts // 1_000_000 * 1_000_000
        for one in reversed(self._references.get((reading.host, told.series), ())):
            if one.ts <= ts and abs(one.value - told.value) <= how.bound + SLACK:
                return ""
            if one.durable_ns < reading.first_ns and not went_back:
                break
        return "no reference that it may rest on is in a commit on disk"


def _readings(host: Host, ops: Sequence[DiskOp]) -> Iterator[_Row]:
    assert host.node is not None
    table = host.node.parts.names.table
    for frame in _frames(ops):
        for section in frame.sections:
            if section.type != SectionType.ROWS:
                continue
            cls, columns = decode_rows(section.data)
            count = len(columns)
            kinds = columns.kind or [0] * count
            seqs, flags = columns.seq or [-1] * count, columns.flags or [0] * count
            for sid, ts, value, kind, seq, flag in zip(
                columns.sid, columns.ts, columns.value, kinds, seqs, flags, strict=True
            ):
                if kind == RowKind.READING and isinstance(value, float | int):
                    holds = cls != RowClass.HELD and not flag & NO_HOLD
                    yield _Row(table.key(sid).name, seq, ts, float(value), holds)


def _frames(ops: Sequence[DiskOp]) -> Iterator[Frame]:
    for op in ops:
        if not isinstance(op, Write):
            continue
        directory, _, name = op.path.rpartition("/")
        segment = id_of(name)
        if directory != "journal" or segment is None:
            continue
        start = HEADER_BYTES if op.offset == 0 else 0
        frame = parse_frame(segment, op.offset + start, bytes(op.data[start:]))
        if frame is not None:
            yield frame
