"""What a start finds on disk, and what it does before anything listens.

Laws:

* Everything acknowledged is found: frames are read from the newest checkpoint that verifies to the end.
* The last frame is never trusted: it may be in the page cache only. It is written again, same epoch and N, as
  the first frame of a new segment, which voids it and all after it in older ones; synced before any
  listener opens. A frame that a new segment has voided never comes back, whatever the disk brings up later.
* What does not parse at the very end was never acknowledged: it is cut, counted, reported. A bad frame that
  is followed by a valid one is media damage: stepped around and reported with the commits that are missing.
* What the medium does not give is damage too where a valid frame follows. At the end of the log it may be
  commits that were acknowledged: a start refuses, with file and offset, and changes nothing. For a checkpoint
  that cannot be read stands the one before it, with a longer way through the log, if that goes so far.
* Memory is bounded by one frame and one read-ahead, not by the log.

The way through the log: after the frame (epoch, N) comes the youngest begun segment whose header says that it
continues after (epoch, N); else the next frame of the same segment. So a chain of crashed recoveries reads
like one log.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headland.journal import checkpoint
from headland.journal.checkpoint import CheckpointInfo, Place
from headland.journal.commit import Journal, JournalConfig, SegmentInfo, begin_ops
from headland.journal.frame import Frame, encode_frame
from headland.journal.plan import JOURNAL, DiskOp, DiskReader, Truncate, Unlink
from headland.journal.read_ahead import PAGE_BYTES, Worn
from headland.journal.segment import HEADER_BYTES, Bad, Mark, SegmentReader, id_of, path_of
from headland.vocabulary import StorageDamage

RESCUE = (
    "copy what can be read of the file (ddrescue) and put the copy in its place: what is missing then counts "
    "as never written"
)


class Damage(msgspec.Struct, frozen=True):
    """Commits that are missing from the middle of the log, or a checkpoint that does not verify.

    Attributes:
        what: "log", "segment header" or "checkpoint".
        after: The last good commit before it.
        before: The first good commit behind it; its epoch is zeros when nothing follows.
        detail: File and offsets.
    """

    what: str
    after: Mark
    before: Mark
    detail: str

    @property
    def missing(self) -> tuple[int, int] | None:
        """First and last missing N, where both ends are of one epoch and a number is missing."""
        if self.after.epoch != self.before.epoch or self.before.n <= self.after.n + 1:
            return None
        return self.after.n + 1, self.before.n - 1


class Cut(msgspec.Struct, frozen=True):
    """An unfinished write at the end of the log."""

    segment: int
    offset: int


class Recovered:
    """The result of `recover`; `frames()` comes first, the rest is known when it has been exhausted.

    Attributes:
        checkpoint: Snapshot to restore before the frames, or None.
        checkpoint_info: Which commit it was taken at, or None.
        damage: What is missing; grows while the frames are read.
        cut: Unfinished writes at the end (none or one).
        last: The last commit, from the frames or else from the checkpoint.
    """

    def __init__(self, disk: DiskReader, config: JournalConfig) -> None:
        self._disk = disk = Worn(disk)
        self._config = config
        self.damage: list[Damage] = []
        self.cut: list[Cut] = []
        self._old_checkpoints: list[CheckpointInfo] = []
        self._drop: list[DiskOp] = []
        self._unreadable = ""
        self.checkpoint_info, self.checkpoint = self._load_checkpoint()
        ids = sorted(number for number in map(id_of, disk.names(JOURNAL)) if number is not None)
        self._new_segment = (ids[-1] if ids else 0) + 1
        if self.checkpoint_info is not None:
            self._new_segment = max(self._new_segment, self.checkpoint_info.place.segment + 1)
        self.last = self.checkpoint_info.mark if self.checkpoint_info is not None else Mark()
        self._chain = _Chain(disk, ids, self.damage, self.cut)
        self._chain.must_reach = self._unreadable
        self._tail: Frame | None = None
        self._before_tail = self.last
        self._log_bytes = 0
        self._iterator = self._read()

    def frames(self) -> Iterator[Frame]:
        """Every commit after the checkpoint, in order, once.

        The last one already says where it will stand when `plan` has been executed.

        Raises:
            StorageDamage: What cannot be read may be acknowledged commits that nothing stands behind.
        """
        return self._iterator

    @property
    def plan(self) -> list[DiskOp]:
        """What has to be executed before any listener opens; reads the rest of the frames first."""
        self._finish()
        frame = self._tail
        ops: list[DiskOp] = []
        if frame is not None:
            data = encode_frame(
                self._new_segment, frame.epoch, frame.n, frame.node_ns, frame.running_ms, frame.sections
            )
            ops += begin_ops(self._config, self._new_segment, self._before_tail, data)
        used = self._chain.used
        for segment in self._chain.ids:
            if segment < self._chain.started_at:
                continue
            if segment not in used:
                ops.append(Unlink(path_of(segment)))
            elif self._disk.size(path_of(segment)) > used[segment].bytes:
                ops.append(Truncate(path_of(segment), used[segment].bytes))
        return ops + self._drop

    @property
    def journal(self) -> Journal:
        """The journal, ready for the next commit once `plan` has been executed; reads the rest first."""
        self._finish()
        segments = self._chain.infos()
        frame = self._tail
        if frame is not None:
            mark = Mark(frame.epoch, frame.n)
            segments.append(SegmentInfo(self._new_segment, mark, mark, HEADER_BYTES + frame.length))
        known = [*self._old_checkpoints, *([self.checkpoint_info] if self.checkpoint_info else [])]
        return Journal(
            self._config,
            segments,
            self.last,
            self._new_segment + (frame is not None),
            known,
            self._log_bytes,
            open_last=frame is not None,
            worn=frozenset(one for one in self._chain.ids if path_of(one) in self._disk.unread),
        )

    def _finish(self) -> None:
        for _ in self._iterator:
            pass

    def _read(self) -> Iterator[Frame]:
        start = self.checkpoint_info
        held: Frame | None = None
        for frame in self._chain.walk(self.last, start.place if start else None):
            self._log_bytes += frame.length
            if held is not None:
                self._before_tail = Mark(held.epoch, held.n)
                yield held
            held = frame
        if held is not None:
            self._chain.release(held)
            self._tail = msgspec.structs.replace(held, segment=self._new_segment, offset=HEADER_BYTES)
            self.last = Mark(held.epoch, held.n)
        if self._tail is not None:
            yield self._tail

    def _load_checkpoint(self) -> tuple[CheckpointInfo | None, bytes | None]:
        """The newest checkpoint that verifies; the next one that does is kept as its reserve."""
        numbers, leftovers = checkpoint.seqs(self._disk)
        self._drop += [Unlink(path) for path in leftovers]
        newest: tuple[CheckpointInfo, bytes] | None = None
        for seq in numbers:
            if len(self._old_checkpoints) == checkpoint.KEPT - 1:
                self._drop.append(Unlink(checkpoint.path_of(seq)))
                continue
            try:
                info, snapshot = checkpoint.load(self._disk, seq)
            except StorageDamage as error:
                told = str(error)
                if checkpoint.path_of(seq) in self._disk.unread:
                    told = self._unreadable = self._disk.told(checkpoint.path_of(seq))
                self.damage.append(Damage("checkpoint", Mark(), Mark(), told))
                self._drop.append(Unlink(checkpoint.path_of(seq)))
                continue
            if newest is None:
                newest = info, snapshot
            else:
                self._old_checkpoints.append(info)
        return newest if newest is not None else (None, None)


def recover(disk: DiskReader, config: JournalConfig | None = None) -> Recovered:
    """Open the log of a data directory, be it empty, clean or crashed.

    Raises:
        OSError: it cannot be read.
    """
    return Recovered(disk, config or JournalConfig())


class _Chain:
    """Walks segments in the order of the log; remembers how much of each is in use.

    Attributes:
        must_reach: What is said of a checkpoint that cannot be read: without it, the log has to go on from
            where the walk starts. "" if there is none.
    """

    def __init__(self, disk: Worn, ids: list[int], damage: list[Damage], cut: list[Cut]) -> None:
        self.ids = ids
        self.used: dict[int, SegmentInfo] = {}
        self.started_at = ids[0] if ids else 0
        self.must_reach = ""
        self._disk = disk
        self._damage = damage
        self._cut = cut
        self._readers: dict[int, SegmentReader] = {}
        self._after: dict[int, Mark | None] = {}
        self._previous = Mark()

    def walk(self, start: Mark, place: Place | None) -> Iterator[Frame]:
        """Frames after `start`; `place` says where it ends."""
        last = self._previous = start
        if place is not None:
            self.started_at = place.segment
        segment = self._younger(last, place.segment if place is not None else -1)
        offset = HEADER_BYTES
        if place is not None and place.segment in self.ids:
            self.used[place.segment] = SegmentInfo(place.segment, last, last, place.offset)
            if segment is None:
                segment, offset = place.segment, place.offset
        elif place is not None:
            missing = f"{path_of(place.segment)}, where the log goes on after the checkpoint, is not there"
            self._damage.append(Damage("log", start, Mark(), missing))
        if segment is None:
            self._refuse_hole()
            segment = self._anything(last, place.segment if place is not None else -1)
        end = (segment, offset) if segment is not None else (place.segment, place.offset) if place else (0, 0)
        while segment is not None:
            following: int | None = None
            bad: Bad | None = None
            for item in self._reader(segment).frames(offset):
                if isinstance(item, Bad):
                    bad = item
                    continue
                mark = Mark(item.epoch, item.n)
                self._check(last, mark, item, bad)
                bad = None
                self._use(item, mark)
                end = (segment, item.offset + item.length)
                self._previous, last = last, mark
                yield item
                following = self._younger(last, segment)
                if following is not None:
                    break
            if following is None:
                following = self._anything(last, segment)
                if following is None and bad is not None and bad.looks_begun:
                    self._cut.append(Cut(segment, bad.offset))
            segment, offset = following, HEADER_BYTES
        self._account_for_unread(end)

    def _refuse_hole(self) -> None:
        """Nothing goes on from the start of the walk."""
        if self.must_reach:
            raise StorageDamage(
                f"{self.must_reach}, and the log does not reach back to the checkpoint before it", hint=RESCUE
            )

    def _account_for_unread(self, end: tuple[int, int]) -> None:
        """What could not be read of the log is damage before `end` (segment, offset), and not told behind it.

        Raises:
            StorageDamage: Behind it; nothing that verifies follows.
        """
        known = " ".join(damage.detail for damage in self._damage)
        for segment in self.ids:
            path = path_of(segment)
            pages = self._disk.unread.get(path)
            if not pages:
                continue
            if (segment, max(pages) + PAGE_BYTES) > end:
                raise StorageDamage(
                    f"{self._disk.told(path)}, and no commit that verifies follows it; it may hold commits",
                    hint=RESCUE,
                )
            if path not in known:
                self._damage.append(Damage("log", Mark(), Mark(), self._disk.told(path)))

    def release(self, frame: Frame) -> None:
        """The last frame will stand elsewhere: what it occupied is not in use any more."""
        info = self.used[frame.segment]
        if frame.offset == HEADER_BYTES:
            del self.used[frame.segment]
        else:
            info.bytes = frame.offset
            info.last = self._previous

    def infos(self) -> list[SegmentInfo]:
        """Segments of the log, oldest first, those before the checkpoint included.

        One of those ends where the next that is part of the log begins. Between them may stand what a
        crashed recovery left, and a lost unlink brought back: a segment that never began, or a voided one.
        """
        out = []
        older = [segment for segment in self.ids if segment < self.started_at]
        for segment in older:
            frame = self._reader(segment).frame_at(HEADER_BYTES)
            first = Mark(frame.epoch, frame.n) if frame is not None else Mark()
            out.append(SegmentInfo(segment, first, first, self._reader(segment).size))
        out += [self.used[segment] for segment in sorted(self.used)]
        after: Mark | None = None
        for info in reversed(out):
            if info.id < self.started_at and after is not None:
                info.last = after
            begins = self._after_of(info.id)
            if begins is not None and (after is None or begins.n < after.n):
                after = begins
        return out

    def _use(self, frame: Frame, mark: Mark) -> None:
        info = self.used.get(frame.segment)
        if info is None:
            self.used[frame.segment] = SegmentInfo(frame.segment, mark, mark, frame.offset + frame.length)
        else:
            info.last = mark
            info.bytes = frame.offset + frame.length

    def _check(self, last: Mark, mark: Mark, frame: Frame, bad: Bad | None) -> None:
        """Report what is missing between two commits."""
        gap = mark.epoch == last.epoch and mark.n != last.n + 1
        if bad is not None or gap:
            where = (
                f"{path_of(bad.segment)}: bytes {bad.offset}-{bad.end} {self._verb(bad)}"
                if bad
                else (f"{path_of(frame.segment)}: commit {mark.n} follows {last.n}")
            )
            self._damage.append(Damage("log", last, mark, where))

    def _verb(self, bad: Bad) -> str:
        pages = self._disk.unread.get(path_of(bad.segment), ())
        unread = any(at < bad.end and at + PAGE_BYTES > bad.offset for at in pages)
        return "cannot be read" if unread else "do not verify"

    def _reader(self, segment: int) -> SegmentReader:
        reader = self._readers.get(segment)
        if reader is None:
            self._readers.clear()
            reader = self._readers[segment] = SegmentReader(self._disk, segment)
        return reader

    def _after_of(self, segment: int) -> Mark | None:
        """What a segment continues after; None while it has not begun."""
        if segment not in self._after:
            reader = SegmentReader(self._disk, segment)
            after = reader.after
            if not reader.has_frame():
                after = None
            elif after is None:
                first = next(item for item in reader.frames() if isinstance(item, Frame))
                after = Mark(first.epoch, max(first.n - 1, 0))
                detail = f"{path_of(segment)}: its header does not verify"
                self._damage.append(Damage("segment header", after, Mark(first.epoch, first.n), detail))
            self._after[segment] = after
        return self._after[segment]

    def _younger(self, last: Mark, segment: int) -> int | None:
        """The youngest begun segment above `segment` that continues after `last`."""
        for candidate in reversed(self.ids):
            if candidate <= segment:
                return None
            if self._after_of(candidate) == last:
                return candidate
        return None

    def _anything(self, last: Mark, segment: int) -> int | None:
        """Where a broken log goes on: the oldest begun segment above `segment` that no younger one voids."""
        begun = [(number, after) for number in self.ids if (after := self._after_of(number)) is not None]
        for index, (number, after) in enumerate(begun):
            if number <= segment or (after.epoch == last.epoch and after.n < last.n):
                continue
            if any(other.epoch == after.epoch and other.n <= after.n for _, other in begun[index + 1 :]):
                continue
            return number
        return None
