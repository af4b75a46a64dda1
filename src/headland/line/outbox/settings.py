"""What a class does: retries, age limit, compression, when it is sealed (the published table)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from headland.vocabulary import Priority


class Sync(StrEnum):
    """When the rows of a class become blocks and leave."""

    REAL_TIME = "real_time"
    EVERY = "every"
    ON_DEMAND = "on_demand"


class Compression(StrEnum):
    """What a block's body is packed with."""

    NONE = "none"
    LZ4 = "lz4"
    ZSTD = "zstd"
    ZSTD_9 = "zstd_9"


class ClassSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    Attributes:
        max_retries: Attempts that `Later` answers may spend before the block is a dead letter; None: any.
        initial_timeout_s: Wait before a block re-enters its lane for the first time.
        backoff_factor: By which the wait grows with every attempt.
        backoff_max_s: Longest wait.
        ttl_s: Age after which an unsent block expires; None: never.
        compression: Of block bodies.
        sheds: Whether blocks of this class may be given up for disk space.
        sync: When rows are sealed and sent.
        sync_every_s: The interval of `Sync.EVERY`.
    """

    max_retries: int | None
    initial_timeout_s: float
    backoff_factor: float
    backoff_max_s: float
    ttl_s: float | None
    compression: Compression
    sheds: bool = True
    sync: Sync = Sync.REAL_TIME
    sync_every_s: float = 60.0


DAY_S = 86_400.0
DEFAULTS: dict[Priority, ClassSettings] = {
    Priority.CRITICAL: ClassSettings(
        max_retries=None,
        initial_timeout_s=5,
        backoff_factor=2,
        backoff_max_s=300,
        ttl_s=None,
        compression=Compression.NONE,
        sheds=False,
    ),
    Priority.HIGH: ClassSettings(
        max_retries=10,
        initial_timeout_s=10,
        backoff_factor=2,
        backoff_max_s=3600,
        ttl_s=DAY_S,
        compression=Compression.LZ4,
    ),
    Priority.NORMAL: ClassSettings(
        max_retries=5,
        initial_timeout_s=30,
        backoff_factor=3,
        backoff_max_s=3600,
        ttl_s=7 * DAY_S,
        compression=Compression.ZSTD,
    ),
    Priority.LOW: ClassSettings(
        max_retries=3,
        initial_timeout_s=60,
        backoff_factor=4,
        backoff_max_s=14_400,
        ttl_s=30 * DAY_S,
        compression=Compression.ZSTD_9,
    ),
}
"""Retries, timeouts, backoff, TTL and compression as published; critical never expires and is never shed."""


class OutboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an outbox can be told.

    Attributes:
        classes: A row per class, in order of `Priority`.
        backlog_share: Share of the link's bytes that backlog keeps while live data alone would fill it.
        live_age_s: A class whose oldest unanswered live block is older than this seals into backlog.
        live_bytes: So does one with this many unanswered live bytes.
        jitter: Waits are multiplied by 1 - jitter to 1 + jitter.
        horizon: Backlog positions that one durable note allows to be sent.
        history: Answered blocks whose identity and chain value are kept after their body is gone.
        waiting_max: Blocks that may wait for another attempt; at this bound their class stops sending.
        dead_max: Dead letters listed; the oldest makes room.
        page: Headers read at once from an outbox file.
    """

    classes: tuple[ClassSettings, ClassSettings, ClassSettings, ClassSettings] = (
        DEFAULTS[Priority.CRITICAL],
        DEFAULTS[Priority.HIGH],
        DEFAULTS[Priority.NORMAL],
        DEFAULTS[Priority.LOW],
    )
    backlog_share: float = 0.3
    live_age_s: float = 2.0
    live_bytes: int = 1 << 20
    jitter: float = 0.2
    horizon: int = 4096
    history: int = 100_000
    waiting_max: int = 100_000
    dead_max: int = 10_000
    page: int = 256


def wait_s(settings: ClassSettings, attempt: int, jitter: float, drawn: float) -> float:
    """Seconds before a block re-enters its lane.

    Args:
        settings: Its class.
        attempt: 0 for the first time.
        jitter: Largest relative deviation.
        drawn: A random number in [0, 1).
    """
    grown = settings.initial_timeout_s * settings.backoff_factor ** min(attempt, 64)
    return min(grown, settings.backoff_max_s) * (1 + jitter * (2 * drawn - 1))
