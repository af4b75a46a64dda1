"""A node is recovered from what a power cut has left, and judged by what it had promised.

Laws
    1. It starts: recovery raises nothing, and takes nothing for damaged.
    2. Every commit that was reported durable is there, and none that was never issued.
    3. Every reading that a client was told of is there with its value, or durable at the parent.
    4. So is every block of a commit that is there, but for those that were given up for want of room; what is
       there can be read, and is what it says.
    5. Nothing is there twice: no block, no reading.
    6. The books balance, and are, with every number, stream and file, those of the node when it closed that
       commit.
    7. Recovery changes nothing: again after a power cut behind its last operation, or in the middle of
       them, the same is found.
    8. It goes on: the next commit is as durable as the others.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from headland.drivers.disk import Disk, RealDisk
from headland.journal import DiskOp
from headland.node import events as ev
from headland.node.opening import Opening, open_node
from headland.simulation.device import Published
from headland.simulation.disk import SimulatedDisk
from headland.simulation.readings import Identity, label
from headland.simulation.world import Everybody
from headland.vocabulary import HeadlandError, Instant
from powercut.holding import Holding, Row, holding
from powercut.medium import State
from powercut.placing import in_memory, on_disk
from powercut.story import DEFECTS, Told, Trace
from powercut.summary import Summary, difference, summary


class Broken(msgspec.Struct, frozen=True):
    """A law that did not hold, and what was seen instead."""

    law: str
    text: str


class Bar(msgspec.Struct):
    """What had been promised when the power went.

    Attributes:
        stamp: When, on the clock of the run.
        n: Highest commit reported durable.
        issued: Highest commit handed out.
        readings: Readings that clients were told are durable.
    """

    stamp: int = 0
    n: int = 0
    issued: int = 0
    readings: list[Published] = []


class Judge:
    """Judges the states of one node of a run."""

    def __init__(self, told: Told, name: str) -> None:
        self._told = told
        self._name = name
        self._trace: Trace = told.traces[name]
        self._parent = told.parents[name]
        self._at_parent = {
            identity: stamp for (node, identity), stamp in told.durable_at.items() if node == self._parent
        }
        self._epochs: dict[int, list[bytes]] = {}
        self.blocks_read = 0

    def judge(self, state: State, bar: Bar, rng: random.Random) -> Broken | None:
        """Recover in memory, three times, and go on; the first law that does not hold."""
        disk = in_memory(state)
        return self._safely(lambda: self._judge(disk, bar, rng))

    def judge_real(self, state: State, bar: Bar, folder: Path) -> Broken | None:
        """The same through the driver, in a directory, twice."""
        root = on_disk(state, folder)
        try:
            return self._safely(lambda: self._judge_real(root, bar))
        finally:
            shutil.rmtree(folder)

    def _safely(self, judge: Callable[[], None]) -> Broken | None:
        try:
            judge()
        except Broke as broke:
            return broke.broken
        except DEFECTS as error:
            return Broken("it starts", f"{type(error).__name__}: {error}")
        return None

    def _judge(self, disk: SimulatedDisk, bar: Bar, rng: random.Random) -> None:
        first = self._open(disk)
        before = summary(first.node)
        middle = disk.process_kill()
        _execute(middle, first.ops[: rng.randint(0, len(first.ops))])
        _execute(disk, first.ops)
        self._promises(first, before, _read(first, disk), bar)
        self._same(first, before, self._open(middle.crash(rng)), "in the middle of recovery")
        again = disk.power_cut()
        second = self._open(again)
        self._same(first, before, second, "after recovery")
        self._goes_on(second, again)

    def _judge_real(self, root: Path, bar: Bar) -> None:
        real = RealDisk(root, self._name)
        try:
            first = self._open(real)
            before = summary(first.node)
            _execute(real, first.ops)
            self._promises(first, before, _read(first, real), bar)
        finally:
            real.close()
        real = RealDisk(root, self._name)
        try:
            second = self._open(real)
            self._same(first, before, second, "after recovery, by the real driver")
        finally:
            real.close()

    def _open(self, disk: Disk) -> Opening:
        now = Instant(1, self._told.wall_ns, True)
        return open_node(disk, self._trace.settings, Everybody(), random.Random(0), now)

    # ── what has to hold ───────────────────────────────────────────────────────────────────────────
    def _promises(self, opening: Opening, found: Summary, held: Holding, bar: Bar) -> None:
        node = opening.node
        n, epoch = node.parts.last_n, node.parts.last_epoch
        self.blocks_read += len(held.blocks)
        if opening.damage:
            raise Broke("nothing is damaged", f"at commit {n}: {opening.damage[0]}")
        if n < bar.n or n > bar.issued:
            raise Broke(
                "what was committed is there",
                f"commit {n} is the last, {bar.n} was reported, {bar.issued} issued",
            )
        failed = node.parts.ledger.check()
        if failed:
            raise Broke("the books balance", f"at commit {n}: {failed[0]}")
        known = self._trace.states.get((epoch, n))
        if n and known is None:
            raise Broke("it is a commit of this node", f"commit {n} of epoch {epoch.hex()} never was")
        if known is not None and (why := difference(known, found)):
            raise Broke("the state is that of the commit", f"commit {n}: {why}")
        self._blocks(held, n, epoch, bar)
        self._readings(held, bar)

    def _blocks(self, held: Holding, n: int, epoch: bytes, bar: Bar) -> None:
        if not held.given_up <= self._trace.given_up:
            raise Broke("nothing is given up", f"{held.given_up - self._trace.given_up} here only")
        counted = Counter(held.blocks)
        for identity, times in counted.items():
            if times > 1:
                raise Broke("nothing is there twice", f"{label(identity)} is there {times} times")
        for identity, commits in self._trace.blocks.items():
            if (
                identity in counted
                or identity in self._trace.given_up
                or not any(self._stands(one, at, epoch, n) for one, at in commits)
            ):
                continue
            if not self._went_north(identity, bar):
                raise Broke("every block is there", f"{label(identity)} of commit {commits} is not, at {n}")

    def _stands(self, epoch: bytes, at: int, last_epoch: bytes, n: int) -> bool:
        """Whether a commit is in the log that ends with commit n: no later epoch has its number."""
        if at > n or (epoch, at) not in self._trace.states:
            return False
        if not self._epochs:
            for known, number in self._trace.states:
                self._epochs.setdefault(number, []).append(known)
        again = self._epochs[at]
        return len(again) == 1 or (at == n and epoch == last_epoch) or (at < n and epoch == again[-1])

    def _went_north(self, identity: Identity, bar: Bar) -> bool:
        return 0 < self._at_parent.get(identity, 0) <= bar.stamp

    def _readings(self, held: Holding, bar: Bar) -> None:
        rows: dict[tuple[str, int], Row] = {}
        for row in held.rows:
            if (row.series, row.seq) in rows:
                raise Broke("nothing is there twice", f"reading {row.seq} of {row.series}")
            rows[row.series, row.seq] = row
        north = self._readings_north(bar)
        for told in bar.readings:
            if told.series.startswith("window"):
                continue  # folded: the books and the state say that it was counted
            found = rows.get((told.series, told.seq))
            if found is None and (told.series, told.seq) not in north:
                raise Broke("every reading is there", f"({told.series}, {told.seq}) is not")
            if found is not None and found.value != told.value:
                raise Broke("every reading is there", f"({told.series}, {told.seq}) is {found.value!r}")

    def _readings_north(self, bar: Bar) -> set[tuple[str, int]]:
        return {
            key
            for identity, keys in self._trace.readings.items()
            if identity in self._trace.given_up or self._went_north(identity, bar)
            for key in keys
        }

    def _same(self, first: Opening, before: Summary, second: Opening, when: str) -> None:
        one, other = first.node.parts, second.node.parts
        if (one.last_n, one.last_epoch) != (other.last_n, other.last_epoch):
            raise Broke("recovery is idempotent", f"{when}: commit {one.last_n} became {other.last_n}")
        if second.damage:
            raise Broke("recovery is idempotent", f"{when}: {second.damage[0]}")
        why = difference(before, summary(second.node))
        if why:
            raise Broke("recovery is idempotent", f"{when}: {why}")

    def _goes_on(self, opening: Opening, disk: SimulatedDisk) -> None:
        """One more commit, and a power cut right behind it."""
        node = opening.node
        _execute(disk, opening.ops)
        now = Instant(2 * 10**9, self._told.wall_ns + 2 * 10**9, True)
        node.start(now)
        node.draft.state("node", node.parts.store_id)
        n = node.draft.n
        for action in node.handle(ev.Tick(), msgspec.structs.replace(now, monotonic_ns=4 * 10**9)):
            if isinstance(action, ev.Commit):
                _execute(disk, action.ops)
        found = self._open(disk.power_cut())
        if found.node.parts.last_n != n or found.damage:
            left = f"{found.node.parts.last_n} {found.damage}"
            raise Broke("it goes on", f"commit {n} was made after recovery, a power cut leaves {left}")


class Broke(Exception):
    """Ends the judgement of a state."""

    def __init__(self, law: str, text: str) -> None:
        super().__init__(text)
        self.broken = Broken(law, text)


def _read(opening: Opening, disk: Disk) -> Holding:
    try:
        return holding(opening.node, disk)
    except (HeadlandError, OSError) as error:
        raise Broke("what is there can be read", f"{type(error).__name__}: {error}") from None


def _execute(disk: Disk, ops: Iterable[DiskOp]) -> None:
    for op in ops:
        disk.apply(op)
