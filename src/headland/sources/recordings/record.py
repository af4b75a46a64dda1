"""What a recording is made of, and what may have to be said about one that cannot be seen in it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from headland.vocabulary import Value


class Record(msgspec.Struct, gc=False):
    """Readings that were recorded together.

    Attributes:
        at_ns: Recorded time, ns UTC. A recording without dates is placed at the base, one without times at
            its period.
        row: Local series ids.
        value: Values.
        size: Bytes that it took in the recording.
    """

    at_ns: int
    row: list[int]
    value: list[Value]
    size: int


class Hint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of a recording beyond its content. Whatever is empty is detected."""

    labels: Annotated[
        tuple[str, ...], Meta(description="Columns whose texts are labels of the series, not readings.")
    ] = ()
    time: Annotated[str, Meta(description="Column or array of the time.")] = ""
    time_unit: Annotated[str, Meta(description="Unit of a numeric time: s, ms, us or ns.")] = ""
    skip: Annotated[tuple[str, ...], Meta(description="Columns that are not readings.")] = ()
    period_s: Annotated[
        float, Meta(description="Seconds from record to record when there is no time.", ge=0)
    ] = 0.0
    rate_hz: Annotated[float, Meta(description="Samples a second of arrays without times.", ge=0)] = 0.0
    base: Annotated[str, Meta(description="RFC 3339 moment at which recordings without dates begin.")] = (
        "2020-01-01T00:00:00Z"
    )


_LOG_PARTS = (
    *("LineId", "EventId", "EventTemplate", "Date", "Time", "Timestamp", "Year", "Month", "Day"),
    *("Pid", "PID", "Process", "Type", "Node", "NodeRepeat", "Label", "User"),
)

KNOWN: tuple[tuple[str, Hint], ...] = (
    # A reading every 5 s of each mote (Suthaharan et al., 2010); a running number, no clock.
    ("wsn_multihop/*", Hint(labels=("mote_id",), skip=("reading",), period_s=5.0)),
    # Seconds since the start of each trip.
    ("carobd/*", Hint(labels=("mode", "trip"), time="t", time_unit="s")),
    ("cicv5g/*", Hint(labels=("run",), time="pub_ms", time_unit="ms")),
    # Windows of 200 samples of three axes, one second each.
    ("fan_vibration/*", Hint(rate_hz=200.0)),
    # The parts of the parsed logs; the content is what is read.
    ("loghub/*_structured.csv*", Hint(labels=("Level", "Component"), skip=_LOG_PARTS)),
)
"""Recordings whose content does not say everything, by the end of their path; first match."""
