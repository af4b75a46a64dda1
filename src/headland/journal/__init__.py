"""The durable log: segments, commits, checkpoints and recovery, as decisions over bytes."""

from headland.journal.commit import Appended, Journal, JournalConfig, SegmentInfo
from headland.journal.draft import (
    Draft,
    LedgerEntry,
    Section,
    SectionType,
    decode_rows,
    decode_state,
)
from headland.journal.frame import Frame, SectionRef, section_refs
from headland.journal.plan import DiskOp, DiskReader
from headland.journal.recovery import Damage, Recovered, recover
from headland.journal.segment import Mark

__all__ = [
    "Appended",
    "Damage",
    "DiskOp",
    "DiskReader",
    "Draft",
    "Frame",
    "Journal",
    "JournalConfig",
    "LedgerEntry",
    "Mark",
    "Recovered",
    "Section",
    "SectionRef",
    "SectionType",
    "SegmentInfo",
    "decode_rows",
    "decode_state",
    "recover",
    "section_refs",
]
