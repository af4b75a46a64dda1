"""What the devices of the demo measure: a documented physical model, or recorded data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from headland.demo.acklog import Scalar


class Sample(msgspec.Struct, frozen=True):
    """One value of one series.

    Attributes:
        series: Name in the cloud.
        value: Number, or a log line.
        severity: RFC 5424 severity that the device gives a log line (0 emergency ... 7 debug); None
            otherwise.
    """

    series: str
    value: Scalar
    severity: int | None = None


Signal = Iterator[Sample]


def signals_of(client: str, names: list[str], seed: int, data: Path | None) -> list[Signal]:
    """Endless signals of one client."""
    raise LookupError(client)
