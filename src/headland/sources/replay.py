"""Recorded files, at any speed.

Files follow each other in the order of their names. A record is due when, since the start, the recorded time
that lies before it has passed, divided by the speed; a step back in time (another run in the same file) and a
gap longer than `gap_max_s` count as none. At ``speed = "max"`` every record is due at once.

Times: ``recorded`` gives them as they are; ``now`` gives each record the moment at which it is due, strictly
increasing by at least 1 us, as if the machine were here.

The position is the number of the file and of the record in it; a source made with a position skips to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from headland.sources.contract import SeriesList, Source, SourceBatch, SourceContext, SourceDeclaration
from headland.sources.recordings import Hint, Record, is_recording, records
from headland.vocabulary import ConfigurationError, Instant, PeerError

_SKIP_AT_ONCE: Final = 100_000


class ReplayConfig(Hint, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Replay of recorded files."""

    path: Annotated[
        str,
        Meta(
            description="A file (CSV, NPZ, JSON lines, log, each also .gz) or a directory of them.",
            min_length=1,
        ),
    ]
    speed: Annotated[
        float | Literal["max"], Meta(description="1 as recorded, 60 sixty times as fast, or `max`.")
    ] = 1.0
    times: Annotated[
        Literal["recorded", "now"], Meta(description="Device times as recorded, or the moment of the replay.")
    ] = "recorded"
    loop: Annotated[bool, Meta(description='Whether it begins again at the end; wants `times = "now"`.')] = (
        False
    )
    prefix: Annotated[
        str, Meta(description="First part of the series names; empty takes each file's name.")
    ] = ""
    gap_max_s: Annotated[
        float, Meta(description="Longest recorded pause that is waited for, seconds.", ge=0)
    ] = 3600.0


class ReplaySource:
    """Plays recordings.

    Raises:
        ConfigurationError: There is no recording at the path, the speed is not above 0, or `loop` is set
            with recorded times.
    """

    def __init__(self, config: ReplayConfig, context: SourceContext) -> None:
        self.counters: dict[str, int] = {}
        self._config = config
        self._series = SeriesList()
        self._max, self._max_bytes = context.max_readings, context.max_bytes
        self._speed = 0.0 if config.speed == "max" else float(config.speed)
        if config.speed != "max" and not 0 < self._speed < 1e9:
            raise ConfigurationError("speed is above 0, or `max`", path="speed")
        if config.loop and config.times != "now":
            raise ConfigurationError("a loop repeats recorded times", path="loop", hint='set times = "now"')
        self._files = _files(Path(context.directory, config.path))
        self._start = context.started
        self._elapsed_ns = 0.0
        self._last_at: int | None = None
        self._last_now = 0
        self._file, self._record = _position(context.position)
        self._confirmed = context.position
        self._skip = self._record
        self._record = 0
        self._records: Iterator[Record] | None = None
        self._next: Record | None = None
        self._ended = self._file >= len(self._files)
        self._sent = False

    def poll(self, now: Instant) -> SourceBatch:
        """Records that are due."""
        batch = SourceBatch(self._series.all)
        taken = 0
        while len(batch) < self._max and taken < self._max_bytes:
            record = self._peek()
            if record is None or self._due(record, now) > now.monotonic_ns:
                break
            if len(batch) and len(batch) + len(record.row) > self._max:
                break
            self._advance(record)
            taken += record.size
            self._next = None
            self._record += 1
            at = record.at_ns if self._config.times == "recorded" else self._moment(now)
            share, rest = divmod(record.size, len(record.row))
            batch.row += record.row
            batch.ts += [at] * len(record.row)
            batch.value += record.value
            batch.size.append(share + rest)
            batch.size += [share] * (len(record.row) - 1)
        if len(batch):
            batch.position = msgspec.msgpack.encode((self._file, self._record))
        return batch

    def next_poll(self, now: Instant) -> int | None:
        """When the next record is due."""
        record = self._peek()
        if record is None:
            return None if self._ended else now.monotonic_ns
        return max(now.monotonic_ns, self._due(record, now))

    def confirmed(self, position: bytes) -> None:
        """The records up to there are durable."""
        self._confirmed = position

    def snapshot(self) -> bytes:
        """The last confirmed position."""
        return self._confirmed

    def close(self) -> None:
        """Play no more."""
        self._ended = True
        self._next = None
        if self._records is not None and hasattr(self._records, "close"):
            self._records.close()
        self._records = None

    def _peek(self) -> Record | None:
        skipped = 0
        while self._next is None and not self._ended and skipped < _SKIP_AT_ONCE:
            if self._records is None:
                path = self._files[self._file]
                prefix = self._config.prefix or path.name.partition(".")[0]
                self._records = records(path, prefix, self._config, self._series, self._count)
            try:
                self._next = next(self._records, None)
            except (OSError, EOFError, PeerError, ConfigurationError):
                self._count("unreadable_file")
                self._next = None
            if self._next is None:
                self._next_file()
            elif self._skip:
                self._skip -= 1
                self._record += 1
                skipped += 1
                self._next = None
        return self._next

    def _next_file(self) -> None:
        self._records = None
        self._file += 1
        self._record = self._skip = 0
        self._last_at = None
        if self._file >= len(self._files):
            if self._config.loop and self._sent:
                self._file = 0
                self._sent = False
            else:
                self._ended = True

    def _due(self, record: Record, now: Instant) -> int:
        if not self._speed:
            return now.monotonic_ns
        return self._start.monotonic_ns + round((self._elapsed_ns + self._step(record)) / self._speed)

    def _step(self, record: Record) -> int:
        step = 0 if self._last_at is None else record.at_ns - self._last_at
        return step if 0 <= step <= self._config.gap_max_s * 1e9 else 0

    def _advance(self, record: Record) -> None:
        self._elapsed_ns += self._step(record)
        self._last_at = record.at_ns
        self._sent = True

    def _moment(self, now: Instant) -> int:
        due = now.wall_ns
        if self._speed:
            due = self._start.wall_ns + round(self._elapsed_ns / self._speed)
        self._last_now = max(due // 1000 * 1000, self._last_now + 1000)
        return self._last_now

    def _count(self, reason: str) -> None:
        self.counters[reason] = self.counters.get(reason, 0) + 1


def _files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if is_recording(p))
    if not found or not is_recording(found[0]):
        raise ConfigurationError(
            "no recording there", file=str(path), path="path",
            hint="CSV, NPZ, JSON lines or log files, each also .gz",
        )  # fmt: skip
    return found


def _position(position: bytes) -> tuple[int, int]:
    if not position:
        return 0, 0
    try:
        return msgspec.msgpack.decode(position, type=tuple[int, int])
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"not a position of a replay: {error}", path="position") from error


def _make(config: ReplayConfig, context: SourceContext) -> Source:
    return ReplaySource(config, context)


REPLAY: Final = SourceDeclaration(
    kind="replay",
    summary="Recorded files (CSV, NPZ, JSON lines, logs) at any speed.",
    config=ReplayConfig,
    make=_make,
    durable=True,
    example='kind = "replay"\npath = "recordings/pump.csv"\nspeed = 60\ntimes = "now"\n',
)
