"""What goes into an outbox and comes out of it, beside the entries that it hands out."""

from __future__ import annotations

from typing import Protocol

import msgspec

from headland.blocks.header import BlockHeader
from headland.link.contract import Ref, StreamKey


class Random(Protocol):
    """Where jitter comes from."""

    def random(self) -> float:
        """A number in [0, 1)."""


class SealedBlock(msgspec.Struct, frozen=True):
    """A block that this commit sealed.

    Attributes:
        header: As it will travel.
        body: Encoded and compressed rows; empty in a backlog lane, whose blocks are read back from rows.
        stream: Its stream.
        p: Its position.
        index: Its SEALS section in the draft.
    """

    header: BlockHeader
    body: bytes
    stream: StreamKey
    p: int
    index: int


class PagedHeader(msgspec.Struct, frozen=True):
    """A header of an outbox file that `PageIn` asked for, and where its block is."""

    header: BlockHeader
    ref: Ref


class SpillLetter(msgspec.Struct, frozen=True):
    """A block that waits for another attempt, or a dead letter, whose body is in such a segment."""

    number: int
    priority: int
    lane: int
    ref: Ref
    age_ms: int


class SpillRun(msgspec.Struct, frozen=True):
    """Consecutive blocks of one stream whose bodies are in a journal segment that is to be recycled."""

    stream: StreamKey
    p_from: int
    refs: tuple[Ref, ...]
    ages_ms: tuple[int, ...]
