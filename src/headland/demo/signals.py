"""What the devices of the demo measure: a documented physical model, or recorded data at the demo's pace.

Every client is a machine with several series, or a logger with one. With recorded data each machine replays
a file of its own (CSV, NPZ, JSON lines) from the folder, over and over, its columns as series; a logger
replays one log whose lines name their level. Device times are those of the demo: as if the machine stood
here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headland.demo import loglevels
from headland.demo.acklog import Scalar
from headland.demo.machine import machine_log, machine_samples
from headland.sources.contract import SeriesList
from headland.sources.recordings import Hint, is_recording, kind_of, records
from headland.vocabulary import ConfigurationError

COLUMNS_MAX = 12
"""Series of one replayed file; further columns are left out, so that each series moves at a visible pace."""
LOG_HEAD = 200
LOGS = ("loghub",)
TABLES = (
    "skab",
    "carobd",
    "nab",
    "wsn_multihop",
    "occupancy",
    "fan_vibration",
    "har_phone",
    "starlink_autobahn",
)
"""Folders whose recordings are taken first, in this order; any other recording comes after them."""


class Sample(msgspec.Struct, frozen=True):
    """One value of one series.

    Attributes:
        series: Name in the cloud.
        value: Number, truth value, or a log line.
        severity: RFC 5424 severity that the device gives a log line (0 emergency ... 7 debug); None
            otherwise.
    """

    series: str
    value: Scalar
    severity: int | None = None


Signal = Iterator[Sample]


def signals_of(client: str, names: list[str], seed: int, data: Path | None) -> list[Signal]:
    """Endless signals of one client.

    Args:
        client: Its name, the first word of its series.
        names: `machine` or `log`, each with `:N` for the N-th recording of its kind.
        seed: Of the physical model.
        data: Folder of recordings, or None for the model.

    Raises:
        ConfigurationError: There is no recording of that kind in the folder.
    """
    signals: list[Signal] = []
    for name in names:
        kind, _, number = name.partition(":")
        which = int(number or 0)
        if data is None:
            signals.append(_modelled(client, kind, seed * 1000 + which))
        else:
            signals.append(_recorded(client, kind, data, which))
    return signals


def _modelled(client: str, kind: str, seed: int) -> Signal:
    if kind == "log":
        for line in machine_log(client, seed):
            yield Sample(f"{client}/log", line, loglevels.declared(line, None))
    else:
        for metric, value in machine_samples(seed):
            yield Sample(f"{client}/{metric}", value)


def _recorded(client: str, kind: str, data: Path, which: int) -> Signal:
    files = log_files(data) if kind == "log" else table_files(data)
    if not files:
        raise ConfigurationError(f"no recorded {kind} in {data}", path="--data")
    file = files[which % len(files)]
    while True:
        if kind == "log":
            yield from _lines(client, file)
        else:
            yield from _columns(client, file)


def table_files(data: Path) -> list[Path]:
    """Recordings of numbers, the well-known folders first, one file a folder before second files."""
    found = [path for path in sorted(data.rglob("*")) if is_recording(path) and kind_of(path) != "log"]
    found = [path for path in found if "structured" not in path.name and _has_numbers(path)]
    ranked = sorted(found, key=lambda path: _rank(path.parent.name))
    turns: dict[str, int] = {}
    order = []
    for path in ranked:
        turn = turns[path.parent.name] = turns.get(path.parent.name, 0) + 1
        order.append((turn, _rank(path.parent.name), path))
    return [path for _, _, path in sorted(order)]


def log_files(data: Path) -> list[Path]:
    """Logs whose lines name their level."""
    found = [path for path in sorted(data.rglob("*")) if is_recording(path) and kind_of(path) == "log"]
    found.sort(key=lambda path: (_rank(path.parent.name, LOGS), path))
    return [path for path in found if loglevels.names_levels([*itertools.islice(_texts(path), LOG_HEAD)])]


def _rank(folder: str, first: tuple[str, ...] = TABLES) -> int:
    return first.index(folder) if folder in first else len(first)


def _has_numbers(path: Path) -> bool:
    return any(True for _ in itertools.islice(_columns("probe", path), 1))


def _texts(path: Path) -> Iterator[str]:
    for record in records(path, "", Hint(), SeriesList(), _uncounted):
        yield from (value for value in record.value if isinstance(value, str))


def _lines(client: str, path: Path) -> Iterator[Sample]:
    before: int | None = None
    for line in _texts(path):
        before = loglevels.declared(line, before)
        yield Sample(f"{client}/log", line, before)


def _columns(client: str, path: Path) -> Iterator[Sample]:
    series = SeriesList()
    names: dict[int, str] = {}
    for record in records(path, "", Hint(), series, _uncounted):
        for row, value in zip(record.row, record.value, strict=True):
            if isinstance(value, str | bytes) or value != value:
                continue
            name = names.get(row)
            if name is None:
                if len(names) >= COLUMNS_MAX:
                    continue
                name = names[row] = f"{client}/{_word(series.all[row].name)}"
            yield Sample(name, value)


def _word(name: str) -> str:
    """The last part of a recorded series' name as a topic level."""
    return re.sub(r"[^a-z0-9]+", "_", name.rsplit("/", 1)[-1].lower()).strip("_") or "value"


def _uncounted(_reason: str) -> None:
    """What a recording does wrong is the replay source's business; here it is passed over."""
