"""Runs of blocks in an outbox file that expired unread: listed as one, sent again page by page.

Nobody reads 8 MB of headers in order to throw them away; so such a run is a reference to its file, which
stays until the disk budget needs its room. An order to send it again reads its headers, 256 at a time; where
one cannot be read, what verifies of the rest is sent and the others are lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from headland.line.outbox import records
from headland.line.outbox.applying import apply
from headland.line.outbox.damaged import by_identity, missing_of
from headland.line.outbox.records import DeadRun
from headland.line.outbox.runs import identities_of
from headland.line.outbox.settling import stand
from headland.line.outbox.state import State, book_out
from headland.line.outbox.values import PagedHeader
from headland.link.contract import REASONS, DraftLike, StreamKey
from headland.vocabulary import Account, DefectError, Reason


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
    stand(state.open_stream(state.current, run.priority, run.lane), draft)
    record = records.RunResent(run.number, key, tuple(letters), next_at)
    _write(state, record, draft)
    stream = state.find(key)
    assert stream is not None
    state.drafted.append((draft.n, stream, stream.tail))


def lose_rest(state: State, run: DeadRun, found: Sequence[PagedHeader], draft: DraftLike) -> tuple[int, int]:
    """Of a run that cannot be read on, what does not verify is lost: it is corrupt in the books, too.

    Args:
        state: The outbox.
        run: The run.
        found: Its blocks that verify, which are about to be sent again.
        draft: The open commit.

    Returns:
        Blocks and readings that are lost.
    """
    lost = missing_of(run.info, by_identity(found))
    readings, size = sum(item.rows for item in lost), sum(item.size for item in lost)
    book_out(draft, REASONS[Reason(run.reason)], run.priority, -readings, -size)
    book_out(draft, Account.CORRUPT, run.priority, readings, size)
    return len(lost), readings


def of_run(run: DeadRun, found: Sequence[PagedHeader]) -> list[PagedHeader]:
    """Headers that are of this run's blocks, in its order."""
    at = by_identity(found)
    return [at[identity] for _, identity in identities_of(run.info) if identity in at]


def evict(state: State, number: int, draft: DraftLike) -> None:
    """A run is no longer listed."""
    _write(state, records.Evicted(number), draft)


def drop_file(state: State, file: int, draft: DraftLike) -> None:
    """A file is being deleted: what is in it can no longer be sent again."""
    numbers = [run.number for run in state.dead_runs.values() if run.info.file == file]
    numbers += [item.number for item in state.dead.values() if item.letter.row.space == file]
    for number in numbers:
        evict(state, number, draft)


def _write(state: State, record: records.Record, draft: DraftLike) -> None:
    draft.section(records.OUTBOX, records.encode(record))
    apply(state, record)
