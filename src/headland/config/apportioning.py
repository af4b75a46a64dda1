"""What a disk budget is divided into: sizes that fit each other, whatever the budget is.

```
reserve    as configured (the tier's default), at most an eighth of the budget
usable     budget - reserve
segment    as configured, at most a twentieth of what is usable, at least 1 MiB
credit     one segment: what all children may have under way, which still comes when nothing is taken in
file       8 MiB, at most a fortieth, at least 256 KiB; one open for each class, or one at a root
journal    4 segments: beyond it the oldest is emptied into files
slack      4 segments and 4 files: what is allocated and not filled yet, what is copied before its segment
           goes, what comes between two looks
held back  reserve + slack: more is taken in only while the data stay below budget - held back
unstored   as configured, at most a twentieth of what is usable: a commit should fit into a segment
```
Whatever is refused, shed or given back is measured against budget - held back (`headland.node.budget`). The
journal takes at most about half of it, so files can always be filled, shed and given back. With less
than 32 MiB that is not so: such a budget is refused.
"""

from __future__ import annotations

import msgspec

from headland.journal.outbox_files import FILE_BYTES
from headland.vocabulary import ConfigurationError

MIB = 1024 * 1024
LEAST_SEGMENT_BYTES = MIB
LEAST_SEGMENTS = 32
"""A budget holds at least so many of the smallest segments."""
LEAST_BUDGET_BYTES = LEAST_SEGMENTS * LEAST_SEGMENT_BYTES
JOURNAL_SEGMENTS = 4
SLACK_SEGMENTS = 4
OPEN_FILES = 4
RESERVE_SHARE = 8
"""The reserve is at most this part of the budget."""
ROUND_BYTES = 4096


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, divided; all in bytes.

    Attributes:
        held_back_bytes: Kept for what has to be written although nothing more is taken in.
        segment_bytes: Size of the journal's segments.
        checkpoint_log_bytes: Log since the last checkpoint that makes another due.
        journal_bytes: Beyond it the oldest segment is emptied into files.
        file_bytes: Size at which a file of blocks is full.
        unstored_bytes_max: Readings in memory before the next commit.
    """

    held_back_bytes: int
    segment_bytes: int
    checkpoint_log_bytes: int
    journal_bytes: int
    file_bytes: int
    unstored_bytes_max: int


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes as configured, which a large enough budget grants; all in bytes."""

    reserve_bytes: int
    segment_bytes: int
    checkpoint_log_bytes: int
    unstored_bytes_max: int


def apportion(budget_bytes: int, wishes: Wishes, *, least_segment_bytes: int = LEAST_SEGMENT_BYTES) -> Shares:
    """Divide a budget (see the module).

    Args:
        budget_bytes: The budget.
        wishes: Sizes as configured.
        least_segment_bytes: Smallest segment that is worth its while; a simulation makes it small.

    Raises:
        ConfigurationError: No node can work with so little.
    """
    least = LEAST_SEGMENTS * least_segment_bytes
    if budget_bytes < least:
        raise ConfigurationError(
            f"{budget_bytes} bytes: a node cannot work with so little",
            path="disk.budget_bytes",
            hint=f"at least {least}, or 0 for half of what is free",
        )
    reserve = min(wishes.reserve_bytes, budget_bytes // RESERVE_SHARE)
    usable = budget_bytes - reserve
    segment = min(wishes.segment_bytes, max(least_segment_bytes, _round(usable // 20)))
    file = min(FILE_BYTES, max(least_segment_bytes // 4, _round(usable // 40)))
    return Shares(
        held_back_bytes=reserve + SLACK_SEGMENTS * segment + OPEN_FILES * file,
        segment_bytes=segment,
        checkpoint_log_bytes=min(wishes.checkpoint_log_bytes, segment),
        journal_bytes=JOURNAL_SEGMENTS * segment,
        file_bytes=file,
        unstored_bytes_max=min(wishes.unstored_bytes_max, max(least_segment_bytes, usable // 20)),
    )


def _round(size: int) -> int:
    return size - size % ROUND_BYTES
