"""Errors at both ends of the link: who is answered what, when, and what is believed of whom."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.simulation.mutants.patching import Garden, Patch

from headland.line.outbox.outbox import Outbox
from headland.link import handshake, positions, sending
from headland.link.children import Children, Phase
from headland.link.downlink import ChildLink
from headland.link.positions import Positions
from headland.link.uplink import Uplink

garden = Garden("link")


@garden.mutant(
    "1, committed: the parent's journal is synced before it answers; this one answers at once",
    scenario="crashes",
    seeds=(6,),
)
def children_are_answered_before_the_commit(patch: Patch) -> None:
    def received(self: Children, connection: int, *rest: Any) -> Any:
        actions = original(self, connection, *rest)
        link = self._links.get(connection)
        if link is None or link.phase is not Phase.UP or link.child is None:
            return actions
        for stream in link.child.streams.values():
            stream.durable_p, stream.durable_chain = stream.p, stream.chain
            link.answer(stream)
        return [*actions, *self._flush(link, rest[1])]

    original = patch.put(Children, "received", received)


@garden.mutant(
    "1, committed: every position has its own answer; a refused block is acknowledged here",
    scenario="refusals",
    seeds=(1,),
)
def refusal_is_answered_as_committed(patch: Patch) -> None:
    def answer(self: ChildLink, stream: Any) -> None:
        exceptions, stream.exceptions = stream.exceptions, []
        original(self, stream)
        stream.exceptions = exceptions

    original = patch.put(ChildLink, "answer", answer)


@garden.mutant(
    "4.4: the received position is durable with the block; here a restart forgets it",
    scenario="crashes",
    seeds=(1,),
)
def received_position_is_not_durable(patch: Patch) -> None:
    patch.put(Children, "replay_received", lambda self, data: None)


@garden.mutant(
    "4.4: the received position is durable with the block; a checkpoint forgets it",
    scenario="crashes",
    seeds=(1,),
)
def received_positions_are_not_in_the_snapshot(patch: Patch) -> None:
    def snapshot(self: Positions) -> bytes:
        kept, self.children = self.children, {}
        try:
            return bytes(original(self))
        finally:
            self.children = kept

    original = patch.put(Positions, "snapshot", snapshot)


@garden.mutant(
    "1, committed: a refusal is durable before it is told; this one lives in memory only",
    scenario="refusals",
    seeds=(3,),
)
def refusal_is_not_durable(patch: Patch) -> None:
    def write(self: Positions, record: Any, draft: Any) -> None:
        if isinstance(record, positions.Placed) and record.adds:
            self._apply(record)
        else:
            original(self, record, draft)

    original = patch.put(Positions, "write", write)


@garden.mutant("4.4: a hop takes each position once; here a repeated position is taken again")
def position_is_not_deduplicated(patch: Patch) -> None:
    def turn(self: ChildLink, payload: Any) -> None:
        original(self, payload)
        for stream, p in self._turns.values():
            stream.p = min(stream.p, p - 1)

    original = patch.put(ChildLink, "turn", turn)


@garden.mutant(
    "4.4: a welcome names what is durable; this one is given while a commit is due, and asks for more",
    scenario="crashes",
)
def welcome_does_not_wait_for_the_commit(patch: Patch) -> None:
    def settle(self: Children, link: Any, now: Any, draft: Any) -> Any:
        for stream in link.child.streams.values():
            stream.durable_p, stream.durable_chain = stream.p, stream.chain
        return original(self, link, now, draft)

    original = patch.put(Children, "_settle", settle)


@garden.mutant(
    "4.7: any other epoch of a connected name is a clone, and refused; here the newer one takes over"
)
def clone_takes_over(patch: Patch) -> None:
    patch.put(handshake, "same_process", lambda connected, hello: True)


@garden.mutant("4.7: a clone is refused while the first one answers; here the first one is never asked")
def clone_is_not_probed(patch: Patch) -> None:
    def probed(self: Children, link: Any, now: Any, draft: Any) -> Any:
        return self._settle(link, now, draft)

    patch.put(Children, "_probed", probed)


@garden.mutant(
    "4.1: a refusal is confirmed when it is durable here; this one is confirmed at once", scenario="refusals"
)
def refusal_is_confirmed_before_its_commit(patch: Patch) -> None:
    def durable_ack(self: Outbox, stream: Any) -> int:
        return next(one.acked for one in self.state.streams() if one.key == stream)

    patch.put(Outbox, "durable_ack", durable_ack)


@garden.mutant("5: age travels with a block and does not restart at a hop; here it does")
def age_restarts_at_a_hop(patch: Patch) -> None:
    def as_sent(header: Any, lane: int, age_ms: int) -> Any:
        return original(header, lane, 0)

    original = patch.put(sending, "_as_sent", as_sent)


@garden.mutant(
    "1, stream: a stream is a FIFO; here what is read first leaves first", scenario="tight", seeds=(1,)
)
def blocks_leave_in_the_order_of_their_reads(patch: Patch) -> None:
    def emit(self: Any, now: Any) -> Any:
        for queue in self._queues.values():
            ordered = sorted(queue, key=lambda slot: not slot.ready)
            queue.clear()
            queue.extend(ordered)
        return original(self, now)

    original = patch.put(sending.Sending, "emit", emit)


@garden.mutant("1, stream: live blocks are re-sent in order; after a broken link the newest goes first")
def live_blocks_are_resent_newest_first(patch: Patch) -> None:
    def link_down(self: Outbox, now: Any) -> None:
        reached = {stream.key: stream.sent for stream in self.state.streams()}
        original(self, now)
        for stream in self.state.streams():
            stream.claimed = max(stream.claimed, reached[stream.key])

    original = patch.put(Outbox, "link_down", link_down)


@garden.mutant(
    "4.8: the position of a stream is told by the parent; here what was sent counts as arrived", seeds=(1,)
)
def sent_counts_as_arrived(patch: Patch) -> None:
    def welcome(self: Uplink, message: Any, now: Any, draft: Any) -> Any:
        hopeful = []
        for item in message.positions:
            stream = next((one for one in self._outgoing.state.streams() if one.key == item.stream), None)
            if stream is not None and 0 <= item.p < stream.uncertain <= stream.tail:
                value = stream.chain_at(stream.uncertain)
                if value is not None:
                    item = msgspec.structs.replace(item, p=stream.uncertain, chain=value)
            hopeful.append(item)
        return original(self, msgspec.structs.replace(message, positions=tuple(hopeful)), now, draft)

    original = patch.put(Uplink, "_welcome", welcome)


@garden.mutant("4.1: withheld credit holds a block back and spends nothing; here credit is not counted")
def credit_is_not_counted(patch: Patch) -> None:
    def pull(self: Any, now: Any) -> Any:
        self.granted = [1 << 40] * 4
        return original(self, now)

    original = patch.put(sending.Sending, "pull", pull)
