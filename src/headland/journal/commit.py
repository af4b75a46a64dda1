"""The journal while it runs: commits become frames, segments turn over, checkpoints let old ones go.

Laws:

* The plan of a commit ends in a sync; a name is durable before anything behind it is written.
* N goes up by one within an epoch; what does not is a defect of the caller and is refused.
* One commit is in flight at a time: the next plan is executed after the one before it (recovery relies on it:
  a bad frame that is followed by a valid one cannot be an unfinished write).
* A segment may be recycled when it lies wholly before the older of the two newest finished checkpoints.
  Whether the blocks in it have been spilled is the caller's question.

While nothing of it is written yet, the end of a segment holds zeros or a recycled file's stale frames.
Other sizes count from the next segment on.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headland.journal import checkpoint
from headland.journal.checkpoint import CheckpointInfo, Place
from headland.journal.draft import Section
from headland.journal.frame import SectionRef, encode_frame, section_refs
from headland.journal.plan import JOURNAL, Create, DiskOp, Rename, Sync, SyncDir, Unlink, Write
from headland.journal.segment import HEADER_BYTES, Mark, encode_header, path_of
from headland.vocabulary import DefectError


class JournalConfig(msgspec.Struct, frozen=True):
    """Sizes of the journal; tests shrink them.

    Attributes:
        segment_bytes: Preallocated size of a segment.
        checkpoint_log_bytes: A checkpoint is wanted when the log since the last exceeds this
        checkpoint_ratio: and this many times the last checkpoint's size.
        segments_max: A checkpoint is wanted above this many segments, too (many restarts).
        spare_segments: Recycled files kept for the next segments; further ones are unlinked.
    """

    segment_bytes: int = 64 << 20
    checkpoint_log_bytes: int = 64 << 20
    checkpoint_ratio: int = 16
    segments_max: int = 32
    spare_segments: int = 1


class SegmentInfo(msgspec.Struct):
    """A segment of the log.

    Attributes:
        id: Its number.
        first: Its first commit.
        last: Its last commit.
        bytes: Bytes in use, header included.
    """

    id: int
    first: Mark
    last: Mark
    bytes: int

    @property
    def first_n(self) -> int:
        """N of its first commit."""
        return self.first.n

    @property
    def last_n(self) -> int:
        """N of its last commit."""
        return self.last.n


class Appended(msgspec.Struct, frozen=True):
    """A commit on its way to disk.

    Attributes:
        plan: Operations; the commit is durable when all have been executed.
        refs: One a section, in order.
        segment: Where it stands.
        bytes: Length of the frame.
    """

    plan: list[DiskOp]
    refs: list[SectionRef]
    segment: int
    bytes: int


class Journal:
    """Decides where commits go; made by `recovery.recover`, also for an empty directory.

    Attributes:
        appended_bytes: Bytes of frames since the process started.
    """

    def __init__(
        self,
        config: JournalConfig,
        segments: list[SegmentInfo],
        last: Mark,
        next_segment: int,
        checkpoints: list[CheckpointInfo],
        log_bytes: int,
        *,
        open_last: bool,
        worn: frozenset[int] = frozenset(),
    ) -> None:
        self._config = config
        self._worn = worn
        self._segments = segments
        self._last = last
        self._next_segment = next_segment
        self._checkpoints = checkpoints
        self._next_seq = max((info.seq for info in checkpoints), default=0) + 1
        self._log_bytes = log_bytes
        self._spares: list[tuple[int, int]] = []
        self._current: SegmentInfo | None = segments[-1] if open_last else None
        # The last segment that recovery began has the configured size, or that of its only frame.
        self._sizes = {info.id: max(config.segment_bytes, info.bytes) for info in segments[-1:] if open_last}
        self.appended_bytes = 0

    @property
    def last(self) -> Mark:
        """The commit appended last (or read last)."""
        return self._last

    @property
    def used_bytes(self) -> int:
        """Bytes in use over all segments."""
        return sum(info.bytes for info in self._segments)

    @property
    def closed_bytes(self) -> int:
        """Bytes that the segments take on the disk; of the open one, what is in use."""
        closed = sum(max(info.bytes, self._sizes.get(info.id, 0)) for info in self._segments[:-1])
        return closed + sum(info.bytes for info in self._segments[-1:])

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of the checkpoints that are kept."""
        return sum(info.bytes for info in self._checkpoints)

    def resize(self, config: JournalConfig) -> None:
        """Go by other sizes: the open segment ends at the smaller one, the next has the new one."""
        self._config = config

    def turn(self) -> None:
        """The next commit begins a segment, so that the open one can be emptied."""
        self._current = None

    def segments(self) -> list[SegmentInfo]:
        """Every segment of the log, oldest first."""
        return list(self._segments)

    def append(
        self, epoch: bytes, n: int, node_ns: int, running_ms: int, sections: Sequence[Section]
    ) -> Appended:
        """Make commit (epoch, n) the next frame.

        Raises:
            DefectError: n is not the next number, or a bound of the frame is broken.
        """
        if epoch == self._last.epoch and n != self._last.n + 1:
            raise DefectError(f"commit {n} after {self._last.n}")
        frame = None
        current = self._current
        if current is not None:
            frame = encode_frame(current.id, epoch, n, node_ns, running_ms, sections)
            if current.bytes + len(frame) > min(self._config.segment_bytes, self._sizes[current.id]):
                current = None
        if current is None or frame is None:
            return self._begin(epoch, n, node_ns, running_ms, sections)
        path, offset = path_of(current.id), current.bytes
        plan: list[DiskOp] = [Write(path, offset, frame), Sync(path)]
        current.bytes += len(frame)
        current.last = Mark(epoch, n)
        return self._appended(plan, current, offset, len(frame), sections)

    def recyclable(self) -> list[int]:
        """Segments that no recovery will read any more, oldest first."""
        if len(self._checkpoints) < checkpoint.KEPT:
            return []
        floor = self._checkpoints[-checkpoint.KEPT].place.segment
        return [info.id for info in self._segments if info.id < floor]

    def recycle(self, segment: int) -> list[DiskOp]:
        """Give up a segment: its file is kept for a later one, or unlinked, as one with bad pages is.

        Raises:
            DefectError: recovery might still read it.
        """
        if segment not in self.recyclable():
            raise DefectError(f"segment {segment:#x} is not recyclable")
        used = next(info.bytes for info in self._segments if info.id == segment)
        size = max(used, self._sizes.pop(segment, 0))
        self._segments = [info for info in self._segments if info.id != segment]
        whole = segment not in self._worn and size <= self._config.segment_bytes
        if whole and len(self._spares) < self._config.spare_segments:
            self._spares.append((segment, size))
            return []
        return [Unlink(path_of(segment))]

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the log since the last checkpoint has become long."""
        size = self._checkpoints[-1].bytes if self._checkpoints else 0
        bound = max(self._config.checkpoint_log_bytes, self._config.checkpoint_ratio * size)
        return self._log_bytes > bound or len(self._segments) > self._config.segments_max

    def start_checkpoint(self, n: int) -> CheckpointInfo:
        """Number a checkpoint of the state after commit n, which must be the one appended last.

        What comes next may happen in another thread, beside the commits: `checkpoint.encode_file`, and once
        commit n is durable the operations of `checkpoint_file_ops`; then `finish_checkpoint`.

        Raises:
            DefectError: n is not the last commit, or nothing was committed yet.
        """
        if n != self._last.n or not self._segments:
            raise DefectError(f"a checkpoint of commit {n} after commit {self._last.n}")
        place = Place(self._segments[-1].id, self._segments[-1].bytes)
        info = CheckpointInfo(self._next_seq, self._last, place)
        self._next_seq += 1
        self._log_bytes = 0
        return info

    def checkpoint_file_ops(self, info: CheckpointInfo, data: bytes) -> tuple[list[DiskOp], int]:
        """Operations that make durable what `checkpoint.encode_file` has made, and the length of its file."""
        superseded = [old.seq for old in self._checkpoints[: -checkpoint.KEPT + 1]]
        return checkpoint.write_ops(info, data, superseded), len(data)

    def finish_checkpoint(self, info: CheckpointInfo, file_bytes: int) -> None:
        """The checkpoint is durable: older segments may become recyclable."""
        self._checkpoints.append(msgspec.structs.replace(info, bytes=file_bytes))
        del self._checkpoints[: -checkpoint.KEPT]

    def _begin(
        self, epoch: bytes, n: int, node_ns: int, running_ms: int, sections: Sequence[Section]
    ) -> Appended:
        segment, self._next_segment = self._next_segment, self._next_segment + 1
        frame = encode_frame(segment, epoch, n, node_ns, running_ms, sections)
        spare, size = self._spares.pop() if self._spares else (None, 0)
        plan = begin_ops(self._config, segment, self._last, frame, spare)
        self._sizes[segment] = max(size, self._config.segment_bytes, HEADER_BYTES + len(frame))
        mark = Mark(epoch, n)
        current = self._current = SegmentInfo(segment, mark, mark, HEADER_BYTES + len(frame))
        self._segments.append(current)
        return self._appended(plan, current, HEADER_BYTES, len(frame), sections)

    def _appended(
        self, plan: list[DiskOp], current: SegmentInfo, offset: int, length: int, sections: Sequence[Section]
    ) -> Appended:
        self._last = current.last
        self._log_bytes += length
        self.appended_bytes += length
        return Appended(plan, section_refs(current.id, offset, sections), current.id, length)


def begin_ops(
    config: JournalConfig, segment: int, after: Mark, frame: bytes, spare: int | None = None
) -> list[DiskOp]:
    """Operations that begin a segment with `frame`, in a new file or in that of the segment `spare`."""
    path = path_of(segment)
    size = max(config.segment_bytes, HEADER_BYTES + len(frame))
    plan: list[DiskOp]
    if spare is None:
        plan = [Create(path, size)]
    else:
        plan = [Create(path_of(spare), size), Rename(path_of(spare), path)]
    plan += [
        SyncDir(JOURNAL),
        Write(path, 0, encode_header(segment, after) + frame),
        Sync(path),
    ]
    return plan
