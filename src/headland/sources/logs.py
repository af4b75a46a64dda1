"""Log files that grow, are renamed and begun anew, or truncated.

An event is a line and those that belong to it. With ``multiline = "auto"`` a line belongs to the one before
if it is indented, begins with ``Caused by``, ``Traceback`` or ``...``, or has no time at its head in a file
whose lines do. With `starts`, every line that the expression does not match belongs to the one before. The
last event of a file is complete when another line begins, or after `flush_s`. Its device time is the time at
its head, if any; how severe it is, the filter judges.

Positions are (device, inode, offset, CRC-32 of the first 64 bytes) of each file. They move with the events
they lie behind, so after a crash what was not durable is read again. A file that was renamed while nobody
looked is found by its inode in its directory and read to its end before the new one; one that is gone is
counted as ``lost_rotation``. A batch may carry a position and no readings: the first look at files that are
read from their end.
"""

from __future__ import annotations

import re
import stat
import time
from glob import glob
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from headland.sources.contract import (
    NO_TIME,
    SeriesList,
    Source,
    SourceBatch,
    SourceContext,
    SourceDeclaration,
)
from headland.sources.recordings.log_times import LineClock
from headland.sources.tail import Line, Place, Tail
from headland.vocabulary import ConfigurationError, Instant, SeriesKey

_BELONGS: Final = ("Caused by", "Traceback (most recent call last)", "... ")


class LogsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Log files."""

    paths: Annotated[
        tuple[str, ...], Meta(description="Files, or patterns with * ? [ ] and **.", min_length=1)
    ]
    every_s: Annotated[float, Meta(description="How often to look, seconds.", gt=0, le=3600)] = 1.0
    begin: Annotated[
        Literal["start", "end"],
        Meta(description="Where to begin in files that are there at the first start."),
    ] = "end"
    multiline: Annotated[
        Literal["auto", "none"], Meta(description="Whether following lines are joined to an event.")
    ] = "auto"
    starts: Annotated[
        str, Meta(description="Regular expression that the first line of an event matches at its begin.")
    ] = ""
    zone: Annotated[
        Literal["local", "utc"], Meta(description="Zone of times in the lines that do not say it.")
    ] = "local"
    series: Annotated[str, Meta(description="Series name; the file is its label.", min_length=1)] = "log"
    max_line_bytes: Annotated[int, Meta(description="Longest line; the rest is cut.", ge=64, le=1 << 20)] = (
        16384
    )
    max_event_lines: Annotated[int, Meta(description="Most lines of an event.", ge=1, le=10_000)] = 200
    max_event_bytes: Annotated[
        int, Meta(description="Longest event; further lines begin another.", ge=64, le=1 << 22)
    ] = 65_536
    flush_s: Annotated[
        float, Meta(description="How long an event waits for further lines, seconds.", ge=0)
    ] = 1.0
    max_files: Annotated[int, Meta(description="Most files that are followed.", ge=1, le=10_000)] = 256

    def __post_init__(self) -> None:
        try:
            re.compile(self.starts)
        except re.error as error:
            raise ConfigurationError(f"no regular expression: {error}", path="starts") from None


class _Followed:
    """A file and the event that is being put together.

    Attributes:
        tail: The file.
        row: Local series id.
        clock: Reads the times at the heads of its lines.
        lines: Lines of the open event.
        size: Their bytes in the file, and what was cut off.
        kept: Their bytes without that.
        ts: Device time of the open event.
        offset: Offset behind the last event that was given.
        after: Offset behind the last line that was read.
        grown_ns: When the last line came (monotonic).
    """

    __slots__ = ("after", "clock", "grown_ns", "kept", "lines", "offset", "row", "size", "tail", "ts")

    def __init__(self, tail: Tail, row: int, clock: LineClock) -> None:
        self.tail = tail
        self.row = row
        self.clock = clock
        self.lines: list[bytes] = []
        self.size = 0
        self.kept = 0
        self.ts = NO_TIME
        self.offset = self.after = tail.line_start
        self.grown_ns = 0


class LogSource:
    """Follows files."""

    def __init__(self, config: LogsConfig, context: SourceContext) -> None:
        self.counters: dict[str, int] = {}
        self._config = config
        self._context = context
        self._series = SeriesList()
        self._starts = re.compile(config.starts) if config.starts else None
        self._confirmed = self._given = context.position
        self._places = _places(context.position)
        self._followed: list[_Followed] = []
        self._first = not context.position
        self._bytes = 0
        self._due = context.started.monotonic_ns
        self._closed = False
        self._year = time.gmtime(context.started.wall_ns // 1_000_000_000).tm_year

    def poll(self, now: Instant) -> SourceBatch:
        """Events that are complete."""
        batch = SourceBatch(self._series.all)
        self._bytes = 0
        if self._closed or now.monotonic_ns < self._due:
            return batch
        self._look(batch)
        for followed in list(self._followed):
            self._read(followed, now, batch)
            if followed.tail.replaced and followed.tail.ended and not followed.lines:
                followed.tail.close()
                self._followed.remove(followed)
        full = self._is_full(batch)
        self._due = now.monotonic_ns + (0 if full else round(self._config.every_s * 1e9))
        places = [followed.tail.place(followed.offset) for followed in self._followed]
        unseen = [place for known in self._places.values() for place in known]
        position = msgspec.msgpack.encode((unseen + places)[-2 * self._config.max_files :])
        if len(batch) or position != self._given:
            batch.position = self._given = position
        return batch

    def next_poll(self, now: Instant) -> int | None:
        """When to look again."""
        return None if self._closed else max(self._due, now.monotonic_ns)

    def confirmed(self, position: bytes) -> None:
        """The events up to there are durable."""
        self._confirmed = position

    def snapshot(self) -> bytes:
        """The last confirmed position."""
        return self._confirmed

    def close(self) -> None:
        """Close all files."""
        self._closed = True
        for followed in self._followed:
            followed.tail.close()
        self._followed.clear()

    def _look(self, batch: SourceBatch) -> None:
        found: list[str] = []
        for pattern in self._config.paths:
            path = str(Path(self._context.directory, pattern))
            found += [path] if Path(path).is_file() else sorted(glob(path, recursive=True))  # noqa: PTH207
        seen = set()
        for path in dict.fromkeys(found):
            try:
                status = Path(path).stat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                seen.add(path)
                self._follow(path, status.st_dev, status.st_ino, batch)
        for followed in self._followed:
            if followed.tail.path not in seen:
                followed.tail.replace()
        self._first = False

    def _follow(self, path: str, device: int, inode: int, batch: SourceBatch) -> None:
        place: Place | None = None
        for followed in self._followed:
            tail = followed.tail
            if tail.path == path and not tail.replaced:
                if (tail.device, tail.inode) == (device, inode):
                    if tail.truncated():
                        self._count("truncated")
                        if followed.lines:
                            self._give(followed, batch)
                        followed.offset = followed.after = tail.line_start
                    return
                tail.replace()
                place = Place(path, device, inode)
        kept = self._places.pop(path, [])
        for known in kept:
            if (known.device, known.inode) == (device, inode):
                place = known
            else:
                self._renamed(known)
                place = place or Place(path, device, inode)
        at_end = place is None and self._first and self._config.begin == "end"
        if not self._open(path, path, place, at_end=at_end) and kept:
            self._places[path] = [known for known in kept if known.inode == inode] or kept

    def _renamed(self, place: Place) -> None:
        for sibling in Path(place.path).parent.iterdir():
            try:
                status = sibling.stat()
            except OSError:
                continue
            if (status.st_dev, status.st_ino) == (place.device, place.inode):
                self._open(place.path, str(sibling), place, at_end=False, replaced=True)
                return
        self._count("lost_rotation")

    def _open(
        self, path: str, open_at: str, place: Place | None, *, at_end: bool, replaced: bool = False
    ) -> bool:
        if len(self._followed) >= self._config.max_files:
            self._count("too_many_files")
            return False
        try:
            tail = Tail(path, open_at, place, self._config.max_line_bytes, at_end=at_end)
        except OSError:
            self._count("unreadable_file")
            return False
        if replaced:
            tail.replace()
        row = self._series.row(SeriesKey(self._config.series, (("file", path),)))
        shift = _local_offset_ns if self._config.zone == "local" else None
        self._followed.append(_Followed(tail, row, LineClock(self._year, shift)))
        return True

    def _read(self, followed: _Followed, now: Instant, batch: SourceBatch) -> None:
        while not self._is_full(batch):
            try:
                line = followed.tail.line()
            except OSError:
                self._count("unreadable_file")
                followed.tail.replace()
                followed.tail.ended = True
                followed.lines.clear()
                return
            if line is None:
                waited = now.monotonic_ns - followed.grown_ns
                if followed.lines and (followed.tail.replaced or waited >= self._config.flush_s * 1e9):
                    self._give(followed, batch)
                return
            followed.grown_ns = now.monotonic_ns
            self._line(followed, line, batch)

    def _is_full(self, batch: SourceBatch) -> bool:
        return len(batch) >= self._context.max_readings or self._bytes >= self._context.max_bytes

    def _line(self, followed: _Followed, line: Line, batch: SourceBatch) -> None:
        text = line.raw.decode("utf-8", "replace")
        timed_before = followed.clock.form != ""
        at = followed.clock.at(text)
        if followed.lines and not (
            self._belongs(text, at, timed_before)
            and len(followed.lines) < self._config.max_event_lines
            and followed.kept + len(line.raw) < self._config.max_event_bytes
        ):
            self._give(followed, batch)
        if line.cut:
            self._count("cut_line")
        if not followed.lines:
            followed.ts = NO_TIME if at is None else at
        followed.after = line.after
        if not line.raw and not followed.lines:
            followed.offset = line.after  # an empty line is no event
            return
        followed.lines.append(line.raw)
        followed.size += line.size
        followed.kept += len(line.raw) + 1
        if self._config.multiline == "none" and self._starts is None:
            self._give(followed, batch)

    def _belongs(self, text: str, at: int | None, timed_before: bool) -> bool:
        if self._starts is not None:
            return self._starts.match(text) is None
        if self._config.multiline == "none":
            return False
        return text[:1] in (" ", "\t") or text.startswith(_BELONGS) or (at is None and timed_before)

    def _give(self, followed: _Followed, batch: SourceBatch) -> None:
        raw = b"\n".join(followed.lines).rstrip(b"\n")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("utf-8", "replace")
            batch.replaced.append(len(batch))
            self._count("invalid_utf8")
        batch.add(followed.row, followed.ts, text, followed.size)
        self._bytes += followed.size
        followed.offset = followed.after
        self._cut_off(followed)

    def _cut_off(self, followed: _Followed) -> None:
        if (
            followed.after > followed.tail.line_start
        ):  # truncated: what was being put together is gone with it
            followed.offset = followed.after = followed.tail.line_start
        followed.lines.clear()
        followed.size = followed.kept = 0
        followed.ts = NO_TIME

    def _count(self, reason: str) -> None:
        self.counters[reason] = self.counters.get(reason, 0) + 1


def _local_offset_ns(at_ns: int) -> int:
    """What local time is ahead of UTC by at a local moment, as far as the zone's rules of that day go."""
    return (time.localtime(at_ns // 1_000_000_000).tm_gmtoff or 0) * 1_000_000_000


def _places(position: bytes) -> dict[str, list[Place]]:
    if not position:
        return {}
    try:
        places = msgspec.msgpack.decode(position, type=list[Place])
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"not a position of log files: {error}", path="position") from error
    found: dict[str, list[Place]] = {}
    for place in places:
        found.setdefault(place.path, []).append(place)
    return found


def _make(config: LogsConfig, context: SourceContext) -> Source:
    return LogSource(config, context)


LOGS: Final = SourceDeclaration(
    kind="logs",
    summary="Log files as they grow, through rotation, lines joined to events.",
    config=LogsConfig,
    make=_make,
    durable=True,
    example='kind = "logs"\npaths = ["/var/log/*.log"]\n',
)
