"""The witness that also sets traps, counts what was hit, and looks at the bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from headland.journal import DiskOp
from headland.line.outbox.stream import Stream
from headland.node import events as ev
from headland.node.opening import Opening
from headland.node.sealing import CACHE_BYTES
from headland.node.spilling import PLACES_MAX, Phase
from headland.simulation.filtered import Treatment
from headland.simulation.lanes import LanesGoOn
from headland.simulation.readings import Reading
from headland.simulation.witness import Witness
from headland.simulation.world import Host, World

SPILLING = (Phase.READ, Phase.WRITE, Phase.NOTE)
LOOK_EVERY = 64


class Trap(msgspec.Struct):
    """A crash that waits for its place.

    Attributes:
        where: "commit:Write", "beside:Rename", "send", "recovery" ...; "spill" is any place while one runs.
        skip: So many times nothing happens there.
    """

    where: str
    skip: int = 0


class Watching(Witness):
    """See the module.

    Attributes:
        traps: By machine.
        draft_bytes_max: Bound on what an open commit may hold.
    """

    def __init__(
        self,
        world: World,
        *,
        recording: bool = False,
        treatment: Callable[[Reading], Treatment] = lambda _: Treatment("keep"),
    ) -> None:
        super().__init__(world, recording=recording, treatment=treatment)
        self._lanes = LanesGoOn(world)
        self.traps: dict[str, list[Trap]] = {}
        self.draft_bytes_max = 64 << 20
        self._events = 0
        self._epochs: set[tuple[str, int]] = set()
        self._overdue: set[tuple[str, object, int]] = set()

    def trap(self, host: Host, where: str) -> bool:
        """Whether a crash was waiting for this place."""
        traps = self.traps.get(host.name)
        if not traps:
            return False
        for trap in traps:
            if trap.where == where or (trap.where == "spill" and _spilling(host)):
                trap.skip -= 1
                if trap.skip < 0:
                    traps.remove(trap)
                    self.tell(host.name, f"is trapped at {where}")
                    self.world.count(f"crash_at_{where}")
                    return True
        return False

    def opened(self, host: Host, opening: Opening) -> None:
        """A process starts."""
        super().opened(host, opening)
        if opening.cut:
            self.world.count("torn_end_cut")
        if opening.damage and host.name not in self.rotten:
            self.break_law("no_damage_by_crash", f"{host.name}: {opening.damage}")

    def committing(self, host: Host, n: int, ops: Sequence[DiskOp]) -> None:
        """The first commit of a process that has a predecessor opens another epoch."""
        super().committing(host, n, ops)
        if host.node is not None and (host.name, host.life) not in self._epochs:
            self._epochs.add((host.name, host.life))
            if host.node.parts.last_epoch:
                self.world.count("epoch_change")

    def crashed(self, host: Host) -> None:
        """What the crash has hit."""
        node = host.node
        assert node is not None
        super().crashed(host)
        self.world.count("crash")
        if node.commits.in_flight is not None:
            self.world.count("crash_in_commit")
        if _spilling(host):
            self.world.count("spill_interrupted")
        outbox = node.parts.north.outbox
        if outbox is not None:
            streams = list(outbox.state.streams())
            if any(stream.sent > stream.acked for stream in streams):
                self.world.count("crash_with_unacked_frames")
            if any(stream.durable > max(stream.sent, stream.acked) for stream in streams):
                self.world.count("seal_unsent")

    def handled(self, host: Host, event: ev.Event) -> None:
        """Every step, and the dearer looks every so many."""
        super().handled(host, event)
        if isinstance(event, ev.NoSpace):
            self.world.count("disk_full")
        elif isinstance(event, ev.DialFailed | ev.Opened):
            self._look_for_overdue(host)
        held_up = self._lanes.look(host)
        if held_up:
            self.break_law("later_blocks_nobody_else", held_up)
        self._events += 1
        if self._events % LOOK_EVERY == 0:
            self._look_at_bounds(host)

    def _look_at_bounds(self, host: Host) -> None:
        node = host.node
        if node is None:
            return
        held = sum(amount[1] for amount in node.draft.ledger.values())
        bounds = (
            ("cache", node.parts.shelving.cache.used_bytes, CACHE_BYTES),
            ("places", len(node.parts.places), PLACES_MAX + 10_000),
            ("draft", held, self.draft_bytes_max),
        )
        for name, value, most in bounds:
            if value > most:
                self.break_law("bounds_hold", f"{host.name}: {name} {value} of {most}")

    def _look_for_overdue(self, host: Host) -> None:
        """Blocks past their age limit whose outcome is unknown: they may not expire."""
        node = host.node
        outbox = node.parts.north.outbox if node is not None else None
        if outbox is None:
            return
        age = outbox.age_clock(host.now())
        for stream in outbox.state.streams():
            ttl = outbox.settings.classes[stream.key.priority].ttl_s
            if ttl is None or stream.uncertain <= stream.acked:
                continue
            born = _born_ms(stream, stream.acked + 1)
            mark = (host.name, stream.key, stream.acked)
            if born is not None and age - born > ttl * 1000 and mark not in self._overdue:
                self._overdue.add(mark)
                self.world.count("ttl_in_flight")


def _born_ms(stream: Stream, p: int) -> int | None:
    rows = stream.rows_at(p)
    return rows.row(p).born_ms if rows is not None else None


def _spilling(host: Host) -> bool:
    return host.node is not None and host.node.parts.shelving.spilling.phase in SPILLING
