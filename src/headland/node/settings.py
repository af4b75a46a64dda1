"""What a composed node needs to be told, as the rooms' own values: made from a file, or by a simulation."""

from __future__ import annotations

from typing import Any

import msgspec

from headland.config.apportioning import Wishes, apportion
from headland.journal import JournalConfig
from headland.journal.outbox_files import FILE_BYTES
from headland.line.formats import FormatLimits, MappingConfig
from headland.line.outbox import OutboxSettings
from headland.line.rules import LineRules
from headland.mqtt import MqttConfig
from headland.vocabulary import Tier


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the core decides by.

    Attributes:
        name: `site/name`; the origin of its blocks.
        tier: Where it stands (for status; nothing branches on it).
        has_parent: Whether it sends north. A root stores what it receives.
        mqtt: The broker.
        mappings: Payloads to readings.
        limits: Bounds on payloads.
        line: Rules.
        outbox: Classes, retries, backlog.
        journal: Sizes.
        labels: Put on every series that this node numbers: its site first of all.
        journal_bytes: Beyond it the oldest segment is emptied into files.
        file_bytes: Size at which a file of blocks is full.
        commit_gap_ms: Commits begin at least this far apart.
        budget_bytes: Disk for journal, outbox and store together; 0 is no bound of ours.
        reserve_bytes: Of that, held back for what is written although nothing more is taken in, and for what
            is allocated and not filled.
        credit_bytes: What children may have under way together: it still comes when nothing more is taken in.
        unstored_bytes_max: Readings in memory while the disk takes none; beyond it sockets are not read.
        waiting_bytes_max: Bytes read and not yet handled, of all connections; beyond it nothing is read.
        decide_budget_ms: Deadline of the deciding stage.
        price_per_gb: Price of 10^9 bytes on the uplink.
        currency: Of the price.
        metered: Whether redials use the long steps from the start.
    """

    name: str
    tier: Tier = Tier.LOCAL
    has_parent: bool = True
    mqtt: MqttConfig = MqttConfig()
    mappings: tuple[MappingConfig, ...] = ()
    limits: FormatLimits = FormatLimits()
    line: LineRules = msgspec.field(default_factory=LineRules)
    outbox: OutboxSettings = OutboxSettings()
    journal: JournalConfig = JournalConfig()
    labels: tuple[tuple[str, str], ...] = ()
    journal_bytes: int = 256 << 20
    file_bytes: int = FILE_BYTES
    commit_gap_ms: float = 1.0
    budget_bytes: int = 0
    reserve_bytes: int = 64 << 20
    credit_bytes: int = 64 << 20
    unstored_bytes_max: int = 64 << 20
    waiting_bytes_max: int = 64 << 20
    decide_budget_ms: float = 10.0
    price_per_gb: float = 0.0
    currency: str = "EUR"
    metered: bool = False


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told by its own file, before any intent.

    Attributes:
        settings: The file as the core takes it.
        digest: Of the file's bytes; "" for a node without a file.
        tree: The file's tables, for intents to be laid over; None for a node without a file.
    """

    settings: NodeSettings
    digest: str = ""
    tree: dict[str, Any] | None = None


def apportioned(settings: NodeSettings, budget_bytes: int) -> NodeSettings:
    """Settings whose sizes are as configured, with sizes that fit a budget.

    Raises:
        ConfigurationError: No node can work with so little.
    """
    journal = settings.journal
    shares = apportion(
        budget_bytes,
        Wishes(
            reserve_bytes=settings.reserve_bytes,
            segment_bytes=journal.segment_bytes,
            checkpoint_log_bytes=journal.checkpoint_log_bytes,
            unstored_bytes_max=settings.unstored_bytes_max,
        ),
    )
    return msgspec.structs.replace(
        settings,
        budget_bytes=budget_bytes,
        reserve_bytes=shares.held_back_bytes,
        journal_bytes=shares.journal_bytes,
        file_bytes=shares.file_bytes,
        credit_bytes=min(settings.credit_bytes, shares.segment_bytes),
        unstored_bytes_max=shares.unstored_bytes_max,
        journal=msgspec.structs.replace(
            journal,
            segment_bytes=shares.segment_bytes,
            checkpoint_log_bytes=shares.checkpoint_log_bytes,
        ),
    )
