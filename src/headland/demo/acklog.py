"""What a client wrote down about its own publishes: the outside checker's first input.

One JSON object a line, appended by the client itself and by nobody else. A publish is written down *before*
its first byte is handed to the network, an acknowledgement before the client counts it, so that a client
killed at any moment has recorded at least what the node may know::

    {"event":"published","client":"press-07","publish":7,"at":1760000000000000000,"origin":"device-1",
     "bytes":52,"readings":[{"series":"press/vibration","ts":1760000000000000000,"seq":7,"value":0.25}]}
    {"event":"acked","publish":7,"at":1760000000004000000}
    {"event":"resent","publish":7,"at":1760000001000000000}

`ts` is the device time in ns UTC, absent when the device has no clock; `seq` a declared sequence number,
absent when there is none; `at` is the client's wall clock in ns. A last line without its newline was cut by
a crash of the client and is ignored; any other line that does not parse is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import msgspec

from headland.vocabulary import StorageDamage

Scalar = float | int | bool | str


class LoggedReading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reading of a publish.

    Attributes:
        series: Name with labels, as the cloud's query prints it.
        value: What the device measured.
        ts: Device time, ns UTC; None without a clock.
        seq: Declared sequence; None without one.
        severity: RFC 5424 severity the device declared for a log line (0 emergency ... 7 debug); None
            otherwise.
    """

    series: str
    value: Scalar
    ts: int | None = None
    seq: int | None = None
    severity: int | None = None


class PublishedLine(msgspec.Struct, frozen=True, tag_field="event", tag="published"):
    """A publish is about to be handed to the network for the first time."""

    client: str
    publish: int
    at: int
    origin: str
    bytes: int
    readings: list[LoggedReading]


class AckedLine(msgspec.Struct, frozen=True, tag_field="event", tag="acked"):
    """The node acknowledged the publish."""

    publish: int
    at: int


class ResentLine(msgspec.Struct, frozen=True, tag_field="event", tag="resent"):
    """The client handed the same publish to the network once more."""

    publish: int
    at: int


class Publish(msgspec.Struct):
    """One publish with everything its client wrote down about it.

    Attributes:
        client: Who published.
        order: Position in that client's own order, 0, 1, 2 ...
        origin: Node that the client talked to.
        published_ns: Wall clock of the client before the first send.
        acked_ns: Wall clock at the acknowledgement; None without one.
        resends: How often it was sent again.
    """

    client: str
    order: int
    origin: str
    published_ns: int
    readings: list[LoggedReading]
    payload_bytes: int = 0
    acked_ns: int | None = None
    resends: int = 0


Line = PublishedLine | AckedLine | ResentLine

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


class AckLog:
    """The writing half: append-only, flushed line by line, never synced (the client is not under test)."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8")

    def write(self, line: Line) -> None:
        """Append `line` and hand it to the kernel before returning."""
        self._file.write(_encoder.encode(line).decode() + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; further writes raise ValueError."""
        self._file.close()


def read_log(text: str, name: str = "") -> list[Publish]:
    """Fold the lines of one client's log into its publishes, in its own order.

    Raises:
        StorageDamage: A complete line that is not one of the three, or an answer to an unknown publish.
    """
    publishes: dict[int, Publish] = {}
    lines = text.split("\n")
    for number, raw in enumerate(lines[:-1], start=1):
        if not raw:
            continue
        try:
            line: Line = _decoder.decode(raw)
        except msgspec.MsgspecError as problem:
            raise StorageDamage(f"{name or 'acknowledgement log'}:{number}: {problem}") from problem
        match line:
            case PublishedLine():
                publishes[line.publish] = Publish(
                    line.client, len(publishes), line.origin, line.at, line.readings, line.bytes
                )
            case AckedLine() | ResentLine():
                publish = publishes.get(line.publish)
                if publish is None:
                    raise StorageDamage(
                        f"{name or 'acknowledgement log'}:{number}: publish was never written down"
                    )
                if isinstance(line, ResentLine):
                    publish.resends += 1
                elif publish.acked_ns is None:
                    publish.acked_ns = line.at
    return list(publishes.values())


def read_logs(paths: Iterable[Path]) -> list[Publish]:
    """All publishes of several logs, one file a client."""
    found: list[Publish] = []
    for path in sorted(paths):
        found += read_log(path.read_text(encoding="utf-8"), str(path))
    return found
