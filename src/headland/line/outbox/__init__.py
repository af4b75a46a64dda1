"""The sender's state of store-and-forward: streams, answers, retries, tombstones, dead letters."""

from headland.line.outbox.outbox import Outbox
from headland.line.outbox.records import DeadRun
from headland.line.outbox.sealer import Sealer
from headland.line.outbox.settings import DEFAULTS, ClassSettings, OutboxSettings, Sync
from headland.line.outbox.values import PagedHeader, SealedBlock, SpillLetter, SpillRun

__all__ = [
    "DEFAULTS",
    "ClassSettings",
    "DeadRun",
    "Outbox",
    "OutboxSettings",
    "PagedHeader",
    "SealedBlock",
    "Sealer",
    "SpillLetter",
    "SpillRun",
    "Sync",
]
