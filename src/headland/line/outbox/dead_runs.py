"""Runs of blocks in an outbox file that expired unread: listed as one, sent again page by page.

Nobody reads 8 MB of headers in order to throw them away; so such a run is a reference to its file, which
stays until the disk budget needs its room. An order to send it again reads its headers, 256 at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from headland.line.outbox import records
from headland.line.outbox.applying import apply
from headland.line.outbox.records import DeadRun
from headland.line.outbox.state import State, book_out
from headland.line.outbox.values import PagedHeader
from headland.link.contract import REASONS, DraftLike, StreamKey
from headland.vocabulary import DefectError, Reason


def resend_page(
    state: State, run: DeadRun, headers: Sequence[PagedHeader], next_at: int, age_ms: int, draft: DraftLike
) -> None:
    """Send the next blocks of a run again: same identity, new positions, and their age begins anew.

    Args:
        state: The outbox.
        run: The run.
        headers: Its next blocks, in order.
        next_at: Offset behind them in the file.
        age_ms: The age clock.
        draft: The open commit.

    Raises:
        DefectError: There is no epoch yet, or these are more blocks than the run has.
    """
    if state.current is None or not 0 < len(headers) <= run.blocks:
        raise DefectError(f"a page of {len(headers)} blocks for a run of {run.blocks}")
    letters = []
    for item in headers:
        ref = item.ref
        row = state.row_of(item.header, age_ms, ref.space, ref.at, ref.length)
        letters.append(state.letter(row))
        book_out(draft, REASONS[Reason(run.reason)], run.priority, -row.rows, -row.size)
    key = StreamKey(state.current.epoch, run.priority, run.lane)
    record = records.RunResent(run.number, key, tuple(letters), next_at)
    draft.section(records.OUTBOX, records.encode(record))
    apply(state, record)
    stream = state.find(key)
    assert stream is not None
    state.drafted.append((draft.n, stream, stream.tail))


def drop_file(state: State, file: int, draft: DraftLike) -> None:
    """A file is being deleted: what is in it can no longer be sent again."""
    numbers = [run.number for run in state.dead_runs.values() if run.info.file == file]
    numbers += [item.number for item in state.dead.values() if item.letter.row.space == file]
    for number in numbers:
        record = records.Evicted(number)
        draft.section(records.OUTBOX, records.encode(record))
        apply(state, record)
