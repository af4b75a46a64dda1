"""The four classes that travel north, the classes that stay here, lanes, tiers and dispositions."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Tier(StrEnum):
    """Where a node stands. Only a row of defaults depends on it, never a code path."""

    DEVICE = "device"
    LOCAL = "local"
    REGIONAL = "regional"
    CLOUD = "cloud"


class Priority(IntEnum):
    """Class of a row that goes north (published store-and-forward table)."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class RowClass(IntEnum):
    """Class of a row in a commit: 0-3 go north, 8 and above stay on this node."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    HELD = 8
    QUEUE = 9
    QUARANTINE = 10
    DEAD = 11
    WARM = 12


class Lane(IntEnum):
    """Given to a block once, at its seal (at a relay: at its commit)."""

    LIVE = 0
    BACKLOG = 1


class RowKind(IntEnum):
    """What the value of a row is."""

    READING = 0
    WINDOW = 1
    EVENT = 2
    CONFIG = 3
    FEATURES = 4


class RowFlag:
    """Bits of the flags column; bits 8-15 hold a log severity (0 = none, RFC 5424 value + 1)."""

    LATE = 0x01
    TIME_IMPLAUSIBLE = 0x02
    CLOCK_UNTRUSTED = 0x04
    REFERENCE = 0x08
    BOOST = 0x10
    INCOMPLETE = 0x20
    INTERRUPTED = 0x40
    SEVERITY_SHIFT = 8


class Account(IntEnum):
    """Accounts of the books. Sources are positive, every reading leaves into exactly one of the others."""

    OFFERED = 0
    REFUSED = 1
    DUPLICATE = 2
    QUARANTINED = 3
    HELD = 4
    FOLDED = 5
    DROPPED = 6
    KEPT = 7
    DERIVED = 8
    RECEIVED = 9
    PENDING = 10
    COMMITTED = 11
    EXPIRED = 12
    SHED = 13
    DEAD = 14
    CORRUPT = 15
    LOST_BY_RESTORE = 16
    UNKNOWN_BY_RESTORE = 17
    HELD_ABOVE = 18
    RESTORED = 19
    VOLATILE = 20
    UNAPPLIED = 21
    APPLIED = 22
    DUPLICATE_RECEIVED = 23
    WIRE = 24
    """Bytes sent to the parent (before TLS), with no readings: in no equation, and what a month costs."""


class Reason(IntEnum):
    """Why a range of blocks will never be sent: the reason in its tombstone."""

    EXPIRED = 1
    SHED = 2
    CORRUPT = 3
    DEAD_LETTER = 4
    REJECTED = 5
    LOST_BY_RESTORE = 6
