"""A source that reads one number from a file, as the Linux kernel shows its sensors in ``/sys``.

The whole of a plug-in: a configuration struct (schema, descriptions and defaults at once), a class with the
five methods of `headland.sources.contract.Source`, and one declaration, which `pyproject.toml` names
as an entry point.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from headland.sources.contract import SourceBatch, SourceContext, SourceDeclaration
from headland.vocabulary import Instant, SeriesKey


class FileValueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number in a file."""

    path: Annotated[str, Meta(description="The file; its first word is the number.", min_length=1)]
    series: Annotated[str, Meta(description="Name of the series.", min_length=1)]
    every_s: Annotated[float, Meta(description="Interval of the readings, seconds.", gt=0)] = 10.0
    factor: Annotated[
        float, Meta(description="What the number is multiplied with (0.001 for millidegrees).")
    ] = 1.0


class FileValueSource:
    """Reads the file at an interval. A file that is absent or holds no number is counted."""

    def __init__(self, config: FileValueConfig, context: SourceContext) -> None:
        self.counters: dict[str, int] = {}
        self._config = config
        self._path = Path(context.directory, config.path)
        self._series = [SeriesKey(config.series)]
        self._due = context.started.monotonic_ns
        self._closed = False

    def poll(self, now: Instant) -> SourceBatch:
        """The number, if the interval is over."""
        batch = SourceBatch(self._series)
        if self._closed or now.monotonic_ns < self._due:
            return batch
        self._due = now.monotonic_ns + round(self._config.every_s * 1e9)
        try:
            word = self._path.read_text().split()[0]
            batch.add(0, now.wall_ns, float(word) * self._config.factor, len(word))
        except (OSError, ValueError, IndexError):
            self.counters["unreadable"] = self.counters.get("unreadable", 0) + 1
        return batch

    def next_poll(self, now: Instant) -> int | None:
        """When the interval is over."""
        return None if self._closed else self._due

    def confirmed(self, position: bytes) -> None:
        """A file of the present has no position."""

    def snapshot(self) -> bytes:
        """No position."""
        return b""

    def close(self) -> None:
        """Read no more."""
        self._closed = True


FILE_VALUE = SourceDeclaration(
    kind="file_value",
    summary="A number in a file.",
    config=FileValueConfig,
    make=FileValueSource,
    durable=False,
    example='kind = "file_value"\npath = "/sys/class/thermal/thermal_zone0/temp"\nseries = "cpu"\n',
)
