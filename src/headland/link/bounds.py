"""Ranges of the numbers that travel, checked where bytes become values.

A number that a peer sends ends up in the journal, in the books and in indexes: what `encode` would write and
`decode` refuse, or what added a few times no longer fits into 64 bits, must not get past the message that
brought it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MAX_EPOCHS = 8192
"""Epochs that one child may name on a connection."""

Number = Annotated[int, Meta(ge=0, le=1 << 62)]
"""A position, block number, version or commit: grows by one, and never comes near."""
READINGS_MAX = 1 << 40
Readings = Annotated[int, Meta(ge=0, le=READINGS_MAX)]
"""Readings of one tombstone."""
PAYLOAD_MAX = 1 << 48
PayloadBytes = Annotated[int, Meta(ge=0, le=PAYLOAD_MAX)]
"""Payload bytes of one tombstone."""
TimeNs = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""ns UTC; `NO_TIME` is the least."""
ClassNumber = Annotated[int, Meta(ge=0, le=3)]
LaneNumber = Annotated[int, Meta(ge=0, le=1)]
LaneCode = Annotated[int, Meta(ge=0, le=7)]
"""Class and lane: class * 2 + lane."""
EpochNumber = Annotated[int, Meta(ge=0, lt=MAX_EPOCHS)]
"""Index of an epoch on its connection."""
Code = Annotated[int, Meta(ge=0, le=255)]
"""A reason: one that is not known here is still one."""
Delay = Annotated[int, Meta(ge=0, le=1 << 32)]
"""Milliseconds."""
Hops = Annotated[int, Meta(ge=0, le=255)]
SeriesNumber = Annotated[int, Meta(gt=0, lt=1 << 31)]
