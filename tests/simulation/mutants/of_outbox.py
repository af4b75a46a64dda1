"""Errors in the outbox: what is sent, believed, given up, remembered, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from tests.simulation.mutants.patching import Garden, Patch

from headland.blocks.header import BlockHeader
from headland.line.outbox import applying, catching_up, durable, settling, space
from headland.line.outbox.outbox import Outbox
from headland.line.outbox.scheduling import Scheduler
from headland.line.outbox.state import State
from headland.line.outbox.stream import Extent, Stream
from headland.link.contract import Later
from headland.vocabulary import Lane, Priority, Reason

garden = Garden("outbox")


@garden.mutant(
    "1, block: a seal is durable before the first byte is sent; this block may go at once", seeds=(1,)
)
def block_is_sent_before_its_seal_is_durable(patch: Patch) -> None:
    def place(self: Outbox, header: BlockHeader, *rest: Any) -> Any:
        stream, p = original(self, header, *rest)
        stream.durable = p
        return stream, p

    original = patch.put(Outbox, "_place", place)


@garden.mutant(
    "4.4: positions are p of one stream; after a crash a block goes where the last one went",
    scenario="refusals",
    seeds=(1,),
)
def watermark_is_lost_at_a_restart(patch: Patch) -> None:
    def replay(state: State, kind: int, data: bytes, *rest: Any) -> None:
        if kind == durable.records.OUTBOX:
            record = durable.records.decode_record(data)
            if isinstance(record, durable.records.AckedTo) and record.exceptions:
                durable.apply(state, msgspec.structs.replace(record, exceptions=(), letters=()))
                return
        original(state, kind, data, *rest)

    original = patch.put(durable, "replay", replay)


@garden.mutant(
    "4.1: a refused block comes again; a checkpoint forgets those that wait for their turn",
    scenario="refusals",
    seeds=(2,),
)
def waiting_blocks_are_not_in_the_snapshot(patch: Patch) -> None:
    def snapshot(state: State) -> bytes:
        waiting, state.waiting = state.waiting, {}
        try:
            return original(state)
        finally:
            state.waiting = waiting

    original = patch.put(durable, "snapshot", snapshot)


@garden.mutant(
    "4.1: `Later` never blocks its lane; here a lane waits for the block that was refused",
    scenario="waits",
    seeds=(1,),
)
def later_blocks_its_lane(patch: Patch) -> None:
    def head_of(self: Scheduler, stream: Stream, age_ms: int) -> Any:
        for item in self._state.waiting.values():
            if (item.priority, item.lane) == (stream.key.priority, stream.key.lane):
                return None
        return original(self, stream, age_ms)

    original = patch.put(Scheduler, "_head_of", head_of)


@garden.mutant(
    "4.1: an attempt is spent only by a `Later` that says so; here a full parent spends one",
    scenario="refusals",
    seeds=(1,),
)
def full_parent_spends_an_attempt(patch: Patch) -> None:
    def acked(state: State, record: Any) -> None:
        spending = tuple(
            msgspec.structs.replace(item, spends=True) if isinstance(item, Later) else item
            for item in record.exceptions
        )
        before_acked(state, msgspec.structs.replace(record, exceptions=spending))

    def excepted(state: State, number: int, item: Any, *rest: Any) -> Any:
        spending = msgspec.structs.replace(item, spends=True) if isinstance(item, Later) else item
        return before_excepted(state, number, spending, *rest)

    before_acked = patch.put(applying, "_acked", acked)
    before_excepted = patch.put(settling, "_except", excepted)


@garden.mutant(
    "4.1: a broken link spends no attempt; here what was under way has tried once more, and may die",
    scenario="flaps",
    seeds=(3,),
)
def broken_link_spends_an_attempt(patch: Patch) -> None:
    spent: dict[tuple[int, Any, int], int] = {}

    def down(self: Outbox, now: Any) -> None:
        for stream in self.state.streams():
            for p in range(stream.acked + 1, stream.sent + 1):
                key = (id(self), stream.key, p)
                spent[key] = spent.get(key, 0) + 1
        before_down(self, now)

    def up(self: Outbox, parent: Any, positions: Any, now: Any, draft: Any) -> Any:
        alarms = before_up(self, parent, positions, now, draft)
        for stream in list(self.state.streams()):
            retries = self.settings.classes[stream.key.priority].max_retries
            p = stream.acked + 1
            tried = spent.get((id(self), stream.key, p), 0)
            if retries is not None and tried > retries and stream.rows_at(p) is not None:
                settling.give_up(self.state, stream, p, p, Reason.DEAD_LETTER, draft)
        return alarms

    before_down = patch.put(Outbox, "link_down", down)
    before_up = patch.put(Outbox, "link_up", up)


@garden.mutant(
    "4.5: what will not be sent leaves a tombstone; this one names nothing", scenario="refusals", seeds=(1,)
)
def tombstone_is_skipped(patch: Patch) -> None:
    def entomb(state: State, tombstone: Any, draft: Any) -> None:
        original(state, msgspec.structs.replace(tombstone, ranges=(), letters=()), draft)

    original = patch.put(settling, "_entomb", entomb)


@garden.mutant(
    "4.5: a tombstone names (class, k from-to); this one is short of the last block of a run",
    scenario="refusals",
    seeds=(1,),
)
def tombstone_is_one_block_short(patch: Patch) -> None:
    def ranges(self: State, rows: Any, priority: int, reason: int) -> Any:
        found = original(self, rows, priority, reason)
        if reason != Reason.EXPIRED:
            return found
        return tuple(msgspec.structs.replace(item, k_to=max(item.k_from, item.k_to - 1)) for item in found)

    original = patch.put(State, "ranges", ranges)


@garden.mutant(
    "4.5: a block with unknown outcome may not expire; here everything above the watermark may",
    scenario="tight",
    seeds=(1,),
)
def unknown_outcome_expires(patch: Patch) -> None:
    patch.put(Stream, "touchable", property(lambda self: self.acked + 1))


@garden.mutant("4.5: what may have been sent is known after a restart; here nothing is presumed to be")
def nothing_is_presumed_sent(patch: Patch) -> None:
    def presume(stream: Stream) -> None:
        before = stream.uncertain
        original(stream)
        stream.uncertain = before

    original = patch.put(durable, "presume_sent", presume)


@garden.mutant("4.5: a durable horizon says how far backlog may have been sent; here it is ignored")
def horizon_is_ignored(patch: Patch) -> None:
    def obstacle(self: Scheduler, stream: Stream, p: int, age_ms: int) -> str:
        horizon, stream.horizon = stream.horizon, 1 << 62
        try:
            return original(self, stream, p, age_ms)
        finally:
            stream.horizon = horizon

    original = patch.put(Scheduler, "_obstacle", obstacle)


@garden.mutant(
    "4.5: a tombstone is durable before it is acted on; here it is sent before its commit",
    scenario="refusals",
)
def tombstone_is_sent_before_its_commit(patch: Patch) -> None:
    patch.put(Outbox, "_hold", lambda self, stream, p, draft: None)


@garden.mutant(
    "4.5: a block that expires is booked and named; here it is passed over without a trace",
    scenario="refusals",
    seeds=(2,),
)
def expired_blocks_vanish(patch: Patch) -> None:
    def bury(state: State, number: int, reason: Reason, draft: Any) -> None:
        if reason is Reason.EXPIRED:
            del state.waiting[number]
        else:
            original(state, number, reason, draft)

    original = patch.put(settling, "bury", bury)


@garden.mutant("4.9: an ack beyond what was sent is refused; here it is taken", scenario="lies", seeds=(1,))
def answer_beyond_what_was_sent_is_taken(patch: Patch) -> None:
    def contradiction(stream: Stream, answer: Any) -> str:
        if stream.sent < answer.p <= stream.tail:
            return ""
        return str(original(stream, answer))

    original = patch.put(settling, "_contradiction", contradiction)


@garden.mutant("4.6: both sides compare (p, chain value); here only p", scenario="lies", seeds=(1,))
def chain_value_is_not_compared(patch: Patch) -> None:
    def compare(state: State, stream: Stream, welcome: Any, *rest: Any) -> Any:
        here = catching_up.known_chain(state, stream, welcome.p) if welcome.p >= 0 else None
        if here is not None:
            welcome = msgspec.structs.replace(welcome, chain=here)
        return before(state, stream, welcome, *rest)

    def contradiction(stream: Stream, answer: Any) -> str:
        value = stream.chain_at(answer.p)
        if value is not None:
            answer = msgspec.structs.replace(answer, chain=value)
        return str(original(stream, answer))

    before = patch.put(catching_up, "compare", compare)
    original = patch.put(settling, "_contradiction", contradiction)


@garden.mutant("4.6: a parent that went back is re-sent what is here; here its old word counts", seeds=(2,))
def restored_parent_is_not_resent(patch: Patch) -> None:
    patch.put(catching_up, "rewind", lambda state, stream, p, chain_value, draft: [])


@garden.mutant(
    "4.6: a child that went back keeps its data and reports; here it takes the parent's position", seeds=(4,)
)
def restored_child_takes_the_parents_position(patch: Patch) -> None:
    def freeze(state: State, stream: Stream, *rest: Any) -> Any:
        stream.acked_to(stream.tail, stream.tail_chain)
        return []

    patch.put(catching_up, "freeze", freeze)


@garden.mutant(
    "4.8: a child that changes parent sends everything not committed; here only what was not sent yet",
    seeds=(6,),
)
def new_parent_gets_only_what_was_not_sent(patch: Patch) -> None:
    def compare(state: State, stream: Stream, welcome: Any, same: bool, returns: bool, *rest: Any) -> Any:
        if welcome.p < 0 and not returns and stream.uncertain > stream.acked:
            p = min(stream.uncertain, stream.tail)
            value = stream.chain_at(p)
            if value is not None:
                stream.acked_to(p, value)
        return original(state, stream, welcome, same, returns, *rest)

    original = patch.put(catching_up, "compare", compare)


@garden.mutant(
    "1, lane: a block that arrived as backlog stays backlog; here a relay makes it live again",
    scenario="refusals",
    seeds=(2,),
)
def relay_promotes_backlog(patch: Patch) -> None:
    def lane(self: Outbox, priority: Any, now: Any, arrived: Lane = Lane.LIVE) -> Lane:
        return Lane(original(self, priority, now, Lane.LIVE))

    original = patch.put(Outbox, "lane_of_seal", lane)


@garden.mutant(
    "1, lane: live only while the live lane is not behind; here it is live whenever the link is up"
)
def live_lane_has_no_bound(patch: Patch) -> None:
    def lane(self: Outbox, priority: Any, now: Any, arrived: Lane = Lane.LIVE) -> Lane:
        return Lane.LIVE if self._connected and arrived is Lane.LIVE else Lane.BACKLOG

    patch.put(Outbox, "lane_of_seal", lane)


@garden.mutant(
    "1, lane: epochs drain oldest first within a lane; here the newest goes first",
    scenario="refusals",
    seeds=(1,),
)
def newest_epoch_drains_first(patch: Patch) -> None:
    def streams(self: Scheduler, lane: int, priority: int) -> list[Stream]:
        return list(reversed(original(self, lane, priority)))

    original = patch.put(Scheduler, "_streams", streams)


@garden.mutant("1, stream: live streams go first; here the backlog does")
def backlog_goes_first(patch: Patch) -> None:
    def following(self: Scheduler, credit: Any, backlog_credit: Any, age_ms: int) -> Any:
        self._earned = float(1 << 30)
        return original(self, credit, backlog_credit, age_ms)

    original = patch.put(Scheduler, "next", following)


@garden.mutant(
    "4.1: what a `Later` sent back re-enters its lane; here its letter is dropped",
    seeds=(1,),
    scenario="refusals",
)
def refused_blocks_are_forgotten(patch: Patch) -> None:
    def due(self: Outbox, now: Any) -> Iterator[Any]:
        for item in original(self, now):
            self.state.waiting.pop(item.number)
        return iter(())

    original = patch.put(Outbox, "_due", due)


@garden.mutant(
    "3.1: sealed blocks leave a segment before it is recycled; those that wait for a second try stay",
    scenario="refusals",
    seeds=(1,),
)
def waiting_blocks_are_not_spilled(patch: Patch) -> None:
    patch.put(space, "letters_to_spill", lambda state, inside, age_ms: [])


@garden.mutant(
    "3.1: sealed blocks leave a segment before it is recycled, answered or not; here only the front run",
    scenario="refusals",
    seeds=(1,),
)
def only_the_front_of_a_stream_is_spilled(patch: Patch) -> None:
    def to_spill(state: State, inside: Any, age_ms: int) -> Any:
        first: dict[Any, Any] = {}
        for run in original(state, inside, age_ms):
            stream = applying.must_find(state, run.stream)
            if run.p_from <= stream.acked + 1:
                first.setdefault(run.stream, run)
        return list(first.values())

    original = patch.put(space, "to_spill", to_spill)


@garden.mutant(
    "1, committed: only what is committed is reclaimable; here a file goes whatever its blocks wait for",
    scenario="tight",
    seeds=(2,),
)
def files_are_reclaimed_before_they_are_committed(patch: Patch) -> None:
    def files(self: Outbox) -> dict[int, bool]:
        return dict.fromkeys(original(self), True)

    original = patch.put(Outbox, "files", files)


@garden.mutant("3.1: critical is never shed; here it goes first", scenario="tight", seeds=(1,))
def critical_is_shed(patch: Patch) -> None:
    def shed(state: State, bytes_needed: int, draft: Any, in_journal: Any) -> list[tuple[Stream, int]]:
        out = []
        for stream in [one for one in state.streams() if one.key.priority == Priority.CRITICAL]:
            for extent in [piece for piece in stream.pieces if isinstance(piece, Extent)]:
                if extent.whole and extent.first >= stream.touchable and not stream.frozen:
                    settling.give_up_extent(state, stream, extent, Reason.SHED, draft)
                    out.append((stream, extent.first))
        return out + original(state, bytes_needed, draft, in_journal)

    original = patch.put(space, "shed", shed)


@garden.mutant(
    "4.5: what is shed leaves a tombstone; here its files go and nobody is told", scenario="tight", seeds=(1,)
)
def shed_blocks_vanish(patch: Patch) -> None:
    def give_up(state: State, stream: Stream, extent: Any, reason: Reason, draft: Any) -> Any:
        if reason is not Reason.SHED:
            return original(state, stream, extent, reason, draft)
        ranges, extent.info = extent.info.ranges, msgspec.structs.replace(extent.info, ranges=())
        del ranges
        return original(state, stream, extent, reason, draft)

    original = patch.put(settling, "give_up_extent", give_up)


@garden.mutant("5: TTL is age, and does not restart; here what is spilled is young again")
def age_restarts_in_a_file(patch: Patch) -> None:
    def to_spill(state: State, inside: Any, age_ms: int) -> Any:
        return [
            msgspec.structs.replace(run, ages_ms=tuple(0 for _ in run.ages_ms))
            for run in original(state, inside, age_ms)
        ]

    original = patch.put(space, "to_spill", to_spill)
