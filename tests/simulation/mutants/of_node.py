"""Errors in the node's core: acknowledgements, commits, epochs, seals, spills, recovery, the key table."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from tests.simulation.mutants.patching import Garden, Patch

from headland.journal import Draft, SectionType
from headland.mqtt.state import State as BrokerState
from headland.node import events as ev
from headland.node import opening, snapshot
from headland.node.checkpointing import Checkpointing
from headland.node.committing import Committing
from headland.node.core import Node
from headland.node.kept_files import KeptFiles
from headland.node.names import Names
from headland.node.sealing import Sealing
from headland.node.section_index import SectionIndex
from headland.node.shelf import Shelf
from headland.node.shelving import Shelving
from headland.node.spilling import Phase, Spilling
from headland.storage import Applied
from headland.vocabulary import Account

garden = Garden("node")


@garden.mutant(
    "2.1: an acknowledgement waits for its commit; here it leaves when the commit is handed out", seeds=(1,)
)
def acknowledged_when_the_commit_is_closed(patch: Patch) -> None:
    def close(self: Node, now: Any) -> None:
        original(self, now)
        self._mqtt(self.parts.broker.committed(self.commits.durable_n + 1, now))

    original = patch.put(Node, "_close_draft", close)


@garden.mutant("2.1: an acknowledgement waits for its own commit; here for any commit that ends", seeds=(1,))
def acknowledged_by_the_commit_before(patch: Patch) -> None:
    def committed(self: Node, n: int, now: Any) -> None:
        original(self, n, now)
        self._mqtt(self.parts.broker.committed(n + 1, now))

    original = patch.put(Node, "_committed", committed)


@garden.mutant(
    "2.1: acknowledgements leave in arrival order; here one that waits is passed by",
    scenario="shared",
    seeds=(1,),
)
def acknowledged_out_of_arrival_order(patch: Patch) -> None:
    def release(self: BrokerState, connection: Any) -> None:
        owed = connection.owed
        ready = [item for item in owed if item.run is not None and 0 < item.needs <= self.durable]
        late = [item for item in owed if item not in ready]
        if ready and late and all(item.run is not None for item in owed):
            connection.owed = deque([*ready, *late])
        original(self, connection)

    original = patch.put(BrokerState, "release", release)


@garden.mutant(
    "2.6: after a write error the process acknowledges nothing more; here it goes on",
    scenario="failing",
    seeds=(1,),
)
def write_error_is_ignored(patch: Patch) -> None:
    def fail(self: Node, reason: str) -> None:
        self.say("error", "disk_failed", detail=reason)
        if self.commits.in_flight is not None:
            self._committed(self.commits.in_flight, self._now)

    patch.put(Node, "_fail", fail)


@garden.mutant(
    "2.5: a full disk stores and acknowledges nothing; here what found no space counts as stored", seeds=(1,)
)
def full_disk_acknowledges(patch: Patch) -> None:
    def handle(self: Node, event: Any, now: Any) -> Any:
        if isinstance(event, ev.NoSpace) and self.commits.in_flight == event.n:
            event = ev.Committed(event.n)
        return original(self, event, now)

    original = patch.put(Node, "handle", handle)


@garden.mutant("1, epoch: 128 random bits at every start; here the last one goes on", seeds=(1,))
def epoch_is_reused(patch: Patch) -> None:
    def resume(node: Node, replay: Any, now: Any) -> None:
        node.parts.epoch = node.parts.last_epoch or node.parts.epoch
        original(node, replay, now)

    original = patch.put(opening, "_resume", resume)


@garden.mutant("1, epoch: it names its predecessor; here a restart looks like a stranger", scenario="crashes")
def epoch_has_no_predecessor(patch: Patch) -> None:
    def resume(node: Node, replay: Any, now: Any) -> None:
        original(node, replay, now)
        node.parts.last_epoch = b""

    original = patch.put(opening, "_resume", resume)


@garden.mutant(
    "1, block: k goes up without gaps in an epoch; a root counts from one again after a checkpoint",
    scenario="crashes",
)
def block_numbers_start_again(patch: Patch) -> None:
    def restore(self: Shelving, data: bytes) -> None:
        original(self, data)
        self.k = [0, 0, 0, 0]
        if self.outbox is not None:
            self.outbox.state.k.clear()

    original = patch.put(Shelving, "restore", restore)


@garden.mutant(
    "1, block: rows unsealed at a restart are sealed in the new epoch; here they are forgotten", seeds=(1,)
)
def unsealed_rows_are_forgotten_at_a_restart(patch: Patch) -> None:
    def resume(node: Node, replay: Any, now: Any) -> None:
        for block in node.parts.sealing.open:
            node.parts.sealing.sealed(block.priority)
        original(node, replay, now)

    original = patch.put(opening, "_resume", resume)


@garden.mutant(
    "3.3: a checkpoint is the state after its commit; here rows that are not sealed yet are left out",
    seeds=(1,),
)
def unsealed_rows_are_not_in_the_snapshot(patch: Patch) -> None:
    patch.put(Sealing, "resume", lambda self, *arguments: None)


@garden.mutant(
    "3.3: a checkpoint is of a durable commit; here it is written beside one under way",
    scenario="tight",
    seeds=(8,),
)
def checkpoint_overtakes_its_commit(patch: Patch) -> None:
    def closed(self: Checkpointing, node: Node, n: int) -> None:
        original(self, node, n)
        if self._taken is not None and not self._writing:
            self._writing = node.token()
            node.emit(ev.Pack(self._writing, *self._taken))

    original = patch.put(Checkpointing, "closed", closed)


@garden.mutant(
    "3.3: a checkpoint counts when it is on disk; here segments go when it has been begun",
    scenario="tight",
    seeds=(2,),
)
def checkpoint_counts_when_it_is_begun(patch: Patch) -> None:
    def closed(self: Checkpointing, node: Node, n: int) -> None:
        before = self._taken
        original(self, node, n)
        if self._taken is not None and self._taken is not before:
            node.parts.journal.finish_checkpoint(self._taken[0], len(self._taken[1]))

    original = patch.put(Checkpointing, "closed", closed)


@garden.mutant("3.1: blocks leave a segment before it is recycled; here it goes at once", seeds=(1,))
def segment_is_recycled_before_the_spill(patch: Patch) -> None:
    patch.put(Spilling, "_next_batch", lambda self, node, now: self._recycle(node, self._segment))


@garden.mutant(
    "3.1: a block may have rows in an older segment than its seal; here only its seal is looked at",
    seeds=(1,),
)
def block_across_two_segments_is_not_spilled(patch: Patch) -> None:
    patch.put(Spilling, "_limit_n", lambda self, node: self._segment.last_n)


@garden.mutant("3.1: a spill is noted when its writes have ended; here while they are under way", seeds=(1,))
def spill_is_noted_before_it_is_written(patch: Patch) -> None:
    def write(self: Spilling, node: Node, event: Any, now: Any) -> None:
        original(self, node, event, now)
        if self.phase is Phase.WRITE:
            self._note(node)

    original = patch.put(Spilling, "_write", write)


@garden.mutant(
    "3.1: the note of a spill says which file has grown; here the list of files is not written", seeds=(1,)
)
def grown_file_is_not_noted(patch: Patch) -> None:
    def note(self: Spilling, node: Node) -> None:
        state = node.draft.state

        class Deaf:
            def __getattr__(self, name: str) -> Any:
                return getattr(draft, name)

            def state(self, owner: str, data: bytes) -> None:
                if owner != "files":
                    state(owner, data)

        draft = node.draft
        node.commits.draft = Deaf()  # type: ignore[assignment]
        try:
            original(self, node)
        finally:
            node.commits.draft = draft

    original = patch.put(Spilling, "_note", note)


@garden.mutant(
    "3.1: a file is deleted after the commit that says so; here its name goes with the next commit's end",
    scenario="tight",
)
def file_is_unlinked_before_its_tombstone_commit(patch: Patch) -> None:
    def remove(self: KeptFiles, directory: str, number: int, draft: Any) -> None:
        original(self, directory, number, draft)
        self._unlink_after[-1] = (0, self._unlink_after[-1][1])

    original = patch.put(KeptFiles, "remove", remove)


@garden.mutant("6: deltas ride in the frame of their data; here they ride in the next one", seeds=(1,))
def ledger_rides_in_the_next_commit(patch: Patch) -> None:
    late: dict[int, list[Any]] = {}

    def sections(self: Draft) -> Any:
        found = original(self)
        own = [one for one in found if one.type == SectionType.LEDGER]
        rest = [one for one in found if one.type != SectionType.LEDGER]
        pending[0] = own
        return [*rest, *late.pop(id(self), [])]

    def closed(self: Committing[Any], plan: Any, now: Any) -> int:
        own, pending[0] = pending[0], []
        n = before(self, plan, now)
        late[id(self.draft)] = own
        return n

    pending: list[list[Any]] = [[]]
    original = patch.put(Draft, "sections", sections)
    before = patch.put(Committing, "closed", closed)


@garden.mutant(
    "6: kept rows are pending until they are answered; here rows that are kept are booked twice", seeds=(1,)
)
def kept_rows_are_booked_twice(patch: Patch) -> None:
    def book(
        self: Draft, account: Account, group: str, cls: int, rule: str, readings: int, size: int
    ) -> None:
        if account == Account.COMMITTED:
            readings, size = 2 * readings, 2 * size
        original(self, account, group, cls, rule, readings, size)

    original = patch.put(Draft, "book", book)


@garden.mutant(
    "1, commit: names ride in the commit of their first rows; here own names are not written",
    scenario="workshop",
    seeds=(1,),
)
def series_names_are_not_written(patch: Patch) -> None:
    patch.put(Names, "own_section", lambda self: None)


@garden.mutant(
    "1, commit: names of a child's series ride with its block; here they stay in memory", seeds=(5,)
)
def names_of_children_are_not_written(patch: Patch) -> None:
    def learn(self: Names, definitions: Any) -> None:
        original(self, definitions)

    original = patch.put(Names, "learn", learn)


@garden.mutant("4.4: identity is a unique key where blocks are stored; here every block is new", seeds=(6,))
def identity_is_not_unique(patch: Patch) -> None:
    def apply(self: Applied, *identity: Any) -> bool:
        original(self, *identity)
        return True

    original = patch.put(Applied, "apply", apply)


@garden.mutant("4.4: the table of identities survives a restart; a checkpoint forgets it")
def identities_are_not_in_the_snapshot(patch: Patch) -> None:
    def take(self: Applied) -> bytes:
        return bytes(original(Applied()))

    original = patch.put(Applied, "snapshot", take)


@garden.mutant(
    "3.1: a root's blocks are in the journal or in its store; here a restart forgets the shelf", seeds=(1,)
)
def shelf_is_not_in_the_snapshot(patch: Patch) -> None:
    def take(self: Shelf) -> bytes:
        resting, self.resting = self.resting, deque()
        try:
            return bytes(original(self))
        finally:
            self.resting = resting

    original = patch.put(Shelf, "snapshot", take)


@garden.mutant("3.1: places in the journal survive a restart; a checkpoint forgets them", seeds=(1,))
def places_are_not_in_the_snapshot(patch: Patch) -> None:
    patch.put(SectionIndex, "load", lambda self, dumped: None)


@garden.mutant(
    "3.3: what comes after a checkpoint is replayed; here the frame right behind it is not", seeds=(1,)
)
def frame_behind_the_checkpoint_is_skipped(patch: Patch) -> None:
    begun: set[int] = set()

    def frame(self: Any, one: Any) -> None:
        first = id(self) not in begun
        begun.add(id(self))
        if not first or not self.epoch:
            original(self, one)

    original = patch.put(opening._Replay, "frame", frame)


@garden.mutant(
    "3.3: a snapshot holds nothing of the open draft; here the epoch's rows are taken twice", seeds=(1,)
)
def replayed_rows_are_sealed_twice(patch: Patch) -> None:
    patch.put(Sealing, "sealed", lambda self, priority: self._sealer.sealed(priority))


@garden.mutant(
    "6: the books are restored with the state that they speak of; here a restart opens empty books",
    seeds=(1,),
)
def books_are_not_restored(patch: Patch) -> None:
    def restore(parts: Any, data: bytes, now: Any) -> None:
        dumped = msgspec.msgpack.decode(data, type=snapshot.Snapshot)
        dumped.machines["ledger"] = type(parts.ledger)().snapshot()
        original(parts, msgspec.msgpack.encode(dumped), now)

    original = snapshot.restore_snapshot
    patch.everywhere(snapshot.restore_snapshot, restore)
