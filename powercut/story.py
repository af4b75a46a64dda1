"""A run of three composed nodes whose files are written by the real driver, which is listened to.

The nodes, their clocks, devices and network are those of the simulation; the operations of each disk are
executed twice: in memory, and by `drivers.disk.RealDisk` in a directory. What that asked the kernel is the
trace. When a process dies the page cache may stay, and the next one goes on with it; or the power is cut, and
it goes on with what that has left. So there are power cuts after recoveries from power cuts.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from headland.journal import DiskOp
from headland.link import actions as link
from headland.link.received import ReceivedBlock
from headland.node.core import Node
from headland.node.open_blocks import OpenBlock
from headland.node.opening import Opening
from headland.node.settings import NodeSettings
from headland.simulation.device import Device, Published
from headland.simulation.device_port import DevicePort
from headland.simulation.observer import Observer
from headland.simulation.readings import Identity
from headland.simulation.scenario import Scenario, load
from headland.simulation.wire import Weather
from headland.simulation.world import Host, World
from headland.vocabulary import HeadlandError, Instant
from powercut.calls import Call, PowerCut, Rename, Unlink, Write
from powercut.listening import Directory
from powercut.summary import Summary, given_up, summary

SCENARIO = Path(__file__).parent / "line.toml"
S = 1_000_000_000
DEFECTS = (HeadlandError, OSError, LookupError, ValueError, AssertionError, TypeError)
"""What a node may not raise, whatever a power cut has left."""
DEATHS = 3
"""Of each process, at any moment."""


class Acked(msgspec.Struct, frozen=True):
    """A promise: from this length of the trace on, this is durable."""

    calls: int
    n: int = 0
    reading: Published | None = None


class Trace(msgspec.Struct):
    """What one node's process asked of its files, and what it had promised when.

    Attributes:
        settings: The node.
        calls: In order.
        stamps: When each was made, on a clock that all nodes share.
        acked: Promises, in order.
        states: What the node knew after commit n of an epoch, as it closed it.
        issued: Highest commit so far, at each length of the trace where it changed.
        blocks: Blocks that it sealed or received, and in which commit of which epoch.
        readings: Series and sequence numbers in blocks that it sealed.
        given_up: Blocks in whose place a tombstone stood in some commit, for want of room.
    """

    settings: NodeSettings
    calls: list[Call] = []
    stamps: list[int] = []
    acked: list[Acked] = []
    states: dict[tuple[bytes, int], Summary] = {}
    issued: list[tuple[int, int]] = []
    blocks: dict[Identity, list[tuple[bytes, int]]] = {}
    readings: dict[Identity, list[tuple[str, int]]] = {}
    given_up: set[Identity] = set()


class Told(msgspec.Struct):
    """What a run leaves.

    Attributes:
        traces: By node.
        durable_at: (node, block) -> when its commit was reported durable there.
        wall_ns: When it ended.
        counts: What it went through.
        parents: Of every node, its parent.
        failed: What ended it before its time, "" for nothing: a node that could not go on after a power cut.
    """

    traces: dict[str, Trace]
    durable_at: dict[tuple[str, Identity], int]
    wall_ns: int
    counts: dict[str, int]
    parents: dict[str, str | None]
    failed: str = ""


class Clerk(Observer):
    """Writes down what nodes promise, and when."""

    def __init__(self, world: World, traces: dict[str, Trace]) -> None:
        self._world = world
        self._traces = traces
        self._clock = itertools.count(1)
        self._in_commit: dict[tuple[str, int], list[Identity]] = {}
        self.durable_at: dict[tuple[str, Identity], int] = {}
        world.observer = self

    def heard(self, name: str, call: Call) -> None:
        """A node's driver has made a call."""
        trace = self._traces[name]
        trace.calls.append(call)
        trace.stamps.append(next(self._clock))

    def opened(self, host: Host, opening: Opening) -> None:
        """A process has made its recovery durable, and may tell anybody."""
        node = opening.node
        trace = self._traces[host.name]
        if node.parts.last_n:
            trace.acked.append(Acked(len(trace.calls), node.parts.last_n))
        stale = [key for key in self._in_commit if key[0] == host.name]
        for key in stale:
            identities = self._in_commit.pop(key)
            if key[1] <= node.parts.last_n:
                self._durable(host, identities)
        self._listen(host, node, trace)

    def committing(self, host: Host, n: int, ops: Sequence[DiskOp]) -> None:
        """A commit is on its way."""
        trace = self._traces[host.name]
        trace.issued.append((len(trace.calls), n))

    def committed(self, host: Host, n: int, ops: Sequence[DiskOp]) -> None:
        """A commit was reported durable."""
        trace = self._traces[host.name]
        trace.acked.append(Acked(len(trace.calls), n))
        self._durable(host, self._in_commit.pop((host.name, n), []))

    def acknowledged(self, host: Host, client: str, reading: Published) -> None:
        """A client was told that a reading is durable."""
        trace = self._traces[host.name]
        trace.acked.append(Acked(len(trace.calls), reading=reading))

    def told(self, host: Host, level: str, event: str, fields: dict[str, str | int | float]) -> None:
        """Alarms are counted."""
        if level == "alarm":
            self._world.count(f"alarm_{event}")

    def _durable(self, host: Host, identities: Sequence[Identity]) -> None:
        for identity in identities:
            self.durable_at.setdefault((host.name, identity), next(self._clock))

    def _listen(self, host: Host, node: Node, trace: Trace) -> None:
        shelving = node.parts.shelving
        closed, receive, seal = shelving.closed, shelving.receive, shelving.seal

        def heard_closed(node: Node, n: int) -> None:
            closed(node, n)
            trace.states[node.parts.epoch, n] = summary(node)
            trace.given_up.update(given_up(node))

        def heard_receive(node: Node, deliver: link.Deliver, now: Instant) -> None:
            receive(node, deliver, now)
            if isinstance(deliver.item, ReceivedBlock):
                header = deliver.item.header
                self._came(host, node, trace, (header.origin, header.epoch, int(header.priority), header.k))

        def heard_seal(node: Node, block: OpenBlock, now: Instant) -> None:
            priority, keys = block.priority, _keys(node, block)
            seal(node, block, now)
            k = shelving.k if shelving.outbox is None else shelving.outbox.state.k
            identity = (node.settings.name, shelving.epoch, int(priority), k[priority])
            self._came(host, node, trace, identity)
            trace.readings[identity] = keys

        shelving.closed = heard_closed  # type: ignore[method-assign]
        shelving.receive = heard_receive  # type: ignore[method-assign]
        shelving.seal = heard_seal  # type: ignore[method-assign]

    def _came(self, host: Host, node: Node, trace: Trace, identity: Identity) -> None:
        trace.blocks.setdefault(identity, []).append((node.parts.epoch, node.draft.n))
        self._in_commit.setdefault((host.name, node.draft.n), []).append(identity)


def _keys(node: Node, block: OpenBlock) -> list[tuple[str, int]]:
    columns, table = block.columns, node.parts.names.table
    rows = zip(columns.sid, columns.seq or (), strict=False)
    return [(table.key(sid).name, seq) for sid, seq in rows if seq >= 0]


def tell(folder: Path, seed: int, duration_s: float) -> Told:
    """Let three nodes run for a while in `folder`; what their drivers did, and what was promised."""
    scenario = msgspec.structs.replace(load(SCENARIO), duration_s=duration_s)
    world = World(seed)
    traces = {spec.name: Trace(scenario.settings(spec)) for spec in scenario.node}
    clerk = Clerk(world, traces)
    failed = ""
    with ExitStack() as stack:
        hosts = []
        for spec in scenario.node:
            base = folder / spec.name.replace("/", "-")
            directory = Directory(base, spec.name, partial(clerk.heard, spec.name))
            disk = stack.enter_context(directory.listening())
            host = Host(world, spec.name, traces[spec.name].settings, spec.parent, disk)
            host.file_bytes = (spec.sizes or scenario.sizes).file_bytes
            hosts.append(host)
        try:
            _play(world, scenario, hosts)
        except DEFECTS as error:
            failed = f"{type(error).__name__}: {error}"
    counts = dict(sorted((world.counts | _count(traces)).items()))
    parents = {spec.name: spec.parent for spec in scenario.node}
    return Told(traces, clerk.durable_at, hosts[0].now().wall_ns + S, counts, parents, failed)


def _play(world: World, scenario: Scenario, hosts: Sequence[Host]) -> None:
    """Links are cut so long that blocks are spilled; every process dies, in the middle of something."""
    duration = int(scenario.duration_s * S)
    for host in hosts:
        host.start()
    for spec in scenario.device:
        port = DevicePort(world, world.hosts[spec.node])
        limit = int(scenario.duration_s * spec.rate_per_s)
        names = [spec.name] if spec.count == 1 else [f"{spec.name}{i + 1}" for i in range(spec.count)]
        for index, name in enumerate(names):
            Device(name, port, spec.habits(index), limit).start()
    for host in hosts:
        if host.parent is None:
            continue
        for begin, end in ((0.08, 0.4), (0.55, 0.7)):
            world.after(int(begin * duration), partial(world.cut, host.name, host.parent, Weather.REFUSED))
            world.after(int(end * duration), partial(world.cut, host.name, host.parent, Weather.UP))
    for host in hosts:
        for _ in range(DEATHS):
            at = world.uniform(duration // 10, duration * 9 // 10)
            world.after(at, partial(_die, host))
    world.run(duration + duration // 3)


def _die(host: Host) -> None:
    if host.up:
        host.world.count("process_died")
        host.crash()
        host.restart()


def _count(traces: dict[str, Trace]) -> dict[str, int]:
    """What the traces hold, so that a test can say that nothing was left out."""
    counts: Counter[str] = Counter()
    for trace in traces.values():
        counts["commits"] += len(trace.issued)
        counts["blocks_given_up"] += len(trace.given_up)
        for call in trace.calls:
            counts[f"calls_{type(call).__name__.lower()}"] += 1
            match call:
                case Rename(_, target) if target.endswith(".ckp"):
                    counts["checkpoints"] += 1
                case Rename(_, target) if target.endswith(".seg"):
                    counts["segments_recycled"] += 1
                case Write(path) if path.endswith(".blk"):
                    counts["spills"] += 1
                case Unlink(path) if path.endswith(".blk"):
                    counts["files_given_back"] += 1
                case PowerCut():
                    counts["power_lost"] += 1
                case Unlink(path) if path.endswith(".seg"):
                    counts["segments_removed"] += 1
                case _:
                    pass
    return dict(counts)
