"""Laws of a disk budget, judged on every machine while a run is short of room.

Written from the contract: the lowest class goes first and critical never; then new readings are refused, and
taken in again when there is room; the budget is an upper bound of what is on the disk.
"""

from __future__ import annotations

import msgspec

from headland.config.apportioning import Wishes, apportion
from headland.line.outbox import Outbox
from headland.line.outbox.rows import Rows
from headland.line.outbox.stream import Extent, Stream
from headland.node import events as ev
from headland.node.blocks_on_disk import IN_FILE
from headland.node.core import Node
from headland.simulation.run import Run
from headland.simulation.scenario import Scenario, Sizes
from headland.simulation.watching import Watching
from headland.simulation.world import Host
from headland.vocabulary import Account, Priority

S = 1_000_000_000
PATIENCE_NS = 2 * S
"""So long input may be refused while something could still go, or although nothing is left that waits."""
LOOK_EVERY = 16
DIRECTORIES = ("journal", *(f"outbox/{priority.name.lower()}" for priority in Priority))
SCALE = 4096
"""A simulated byte of disk is so many: segments of 4 KiB are the smallest, not of 16 MiB."""


class RoomWatching(Watching):
    """The witness that knows how much room there is."""

    _looks = 0

    def handled(self, host: Host, event: ev.Event) -> None:
        """After a commit everything may have moved."""
        super().handled(host, event)
        node = host.node
        if node is None or not node.settings.budget_bytes or not isinstance(event, ev.Committed):
            return
        outbox = node.parts.north.outbox
        if outbox is not None:
            self._judge_order(host, node, outbox)
            self._judge_refusal(host, node, outbox)
        self._looks += 1
        if self._looks % LOOK_EVERY == 0:
            self._judge_bound(host, node)

    def _judge_order(self, host: Host, node: Node, outbox: Outbox) -> None:
        shed = {cls for account, _, cls, _ in node.draft.ledger if account == Account.SHED}
        for cls in shed:
            self.world.count(f"shed_{Priority(cls).name.lower()}")
            lower = [one for one in Priority if one > cls and could_go(outbox, one)]
            if lower:
                told = f"{host.name} gives up {Priority(cls).name} while {lower[0].name} could go"
                self.break_law("the_lowest_class_first", told)
        if Priority.CRITICAL in shed:
            self.break_law("critical_stays", f"{host.name} gives up critical")

    def _judge_refusal(self, host: Host, node: Node, outbox: Outbox) -> None:
        key = (host.name, host.life)
        if not node.full:
            if self._refusing.pop(key, None) is not None:
                self.world.count("room_again")
            return
        if key not in self._refusing:
            self.world.count("refused_for_want_of_room")
        waits = any(stream.acked < stream.tail for stream in outbox.state.streams())
        sheds = any(could_go(outbox, priority) for priority in Priority if priority != Priority.CRITICAL)
        if crowded(host, node):
            waits, sheds = True, False  # patience begins when others have left the disk again
        since, were = self._refusing.get(key, (self.world.now_ns, ""))
        why = "something could go" if sheds else "" if waits else "nothing waits"
        if why != were:
            since = self.world.now_ns
        self._refusing[key] = (since, why)
        if why and self.world.now_ns - since > PATIENCE_NS:
            told = f"{host.name} takes nothing in although {why}"
            self.break_law("what_may_go_goes_before_input_is_refused", told)
            self._refusing[key] = (self.world.now_ns, why)

    def _judge_bound(self, host: Host, node: Node) -> None:
        disk = host.disk
        used = sum(disk.size(f"{where}/{name}") for where in DIRECTORIES for name in disk.names(where))
        if used > node.settings.budget_bytes:
            told = f"{host.name} has {used} bytes on its disk, of {node.settings.budget_bytes}"
            self.break_law("the_budget_is_a_bound", told)

    @property
    def _refusing(self) -> dict[tuple[str, int], tuple[int, str]]:
        """Since when a process refuses, and what could be held against it."""
        found: dict[tuple[str, int], tuple[int, str]] = self.__dict__.setdefault("_refuses", {})
        return found


class RoomRun(Run):
    """A run under these laws, too; children may have a segment under way, as with a real budget."""

    watching = RoomWatching

    def __init__(self, scenario: Scenario, seed: int, *, recording: bool = False) -> None:
        super().__init__(scenario, seed, recording=recording)
        for host in self.hosts:
            size = host.settings.journal.segment_bytes
            host.settings = msgspec.structs.replace(host.settings, credit_bytes=size)


def crowded(host: Host, node: Node) -> bool:
    """Whether others fill the disk: less is free than what is held back, and what is allocated next.

    Then nothing is shed and nothing more taken in (`headland.node.budget`), however long that lasts.
    """
    settings = node.settings
    least = settings.reserve_bytes + settings.journal.segment_bytes + settings.file_bytes
    return host.disk.free_bytes() < least


def could_go(outbox: Outbox, priority: Priority) -> bool:
    """Whether a durable block of a class may be given up: nobody else can have it."""
    return any(
        _could_go(stream)
        for stream in outbox.state.streams()
        if stream.key.priority == priority and not stream.frozen
    )


def _could_go(stream: Stream) -> bool:
    for piece in stream.pieces:
        if isinstance(piece, Extent):
            if piece.whole and piece.first >= stream.touchable:
                return True
        elif isinstance(piece, Rows):
            first, last = max(piece.first, stream.touchable), min(piece.last, stream.durable)
            if any(not piece.row(p).space & IN_FILE for p in range(first, last + 1)):
                return True
    return False


def sizes_of(budget_bytes: int) -> Sizes:
    """Sizes of a device's node with such a budget, as a real one gets them, in simulated bytes."""
    wishes = Wishes(
        reserve_bytes=4 * SCALE,
        segment_bytes=4 * SCALE,
        checkpoint_log_bytes=4 * SCALE,
        unstored_bytes_max=4 * SCALE,
    )
    shares = apportion(budget_bytes, wishes, least_segment_bytes=SCALE)
    return Sizes(
        segment_bytes=shares.segment_bytes,
        checkpoint_log_bytes=shares.checkpoint_log_bytes,
        checkpoint_ratio=1,
        journal_bytes=shares.journal_bytes,
        budget_bytes=budget_bytes,
        reserve_bytes=shares.held_back_bytes,
        file_bytes=shares.file_bytes,
    )
