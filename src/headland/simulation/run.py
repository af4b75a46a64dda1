"""One run: a scenario, a seed, the faults that the seed draws, and the laws judged during it and at its end.

```
0 ────────── duration_s ──────────► heal ──────────► at rest, at the latest settle_s later ──► judged
   devices publish, faults happen         everything drains
```
"""

from __future__ import annotations

import traceback
from pathlib import Path

import msgspec

from headland.line.filtering import Boost, Vibration
from headland.line.outbox.settings import Sync
from headland.node.queues import name_of_stream
from headland.simulation.device import Device
from headland.simulation.device_port import DevicePort
from headland.simulation.disk import SimulatedDisk
from headland.simulation.faults import plan
from headland.simulation.feeding import Pusher, Tailer
from headland.simulation.filtered import Treatment
from headland.simulation.inflict import Inflict
from headland.simulation.laws import EndLaws
from headland.simulation.readings import Reading
from headland.simulation.scenario import DeviceSpec, FeedSpec, Scenario
from headland.simulation.voices import Voice
from headland.simulation.watching import Watching
from headland.simulation.witness import Violation
from headland.simulation.world import Host, World
from headland.vocabulary import Account, Priority

S = 1_000_000_000
REST_NS = 3 * S
"""Everything has to have been at rest for so long."""
VIOLATIONS_MAX = 20


class Outcome(msgspec.Struct, frozen=True):
    """Of one seed.

    Attributes:
        seed: The seed.
        steps: Steps of the world.
        violations: What was broken.
        trace_hash: Of everything that happened.
        hits: What was hit, how often.
        acked: Readings acknowledged.
        stored: Rows at the root.
        drained_s: Simulated seconds from the last fault's end to rest.
    """

    seed: int
    steps: int
    violations: list[Violation]
    trace_hash: str
    hits: dict[str, int]
    acked: int
    stored: int
    drained_s: float


class Run:
    """See the module.

    Attributes:
        watching: What the witness is.
    """

    watching: type[Watching] = Watching

    def __init__(self, scenario: Scenario, seed: int, *, recording: bool = False) -> None:
        self.scenario = scenario
        self.world = World(seed)
        self._treatments: dict[tuple[str, str], Treatment] = {}
        self.witness = self.watching(self.world, recording=recording, treatment=self._treatment)
        self.hosts = [
            Host(self.world, spec.name, scenario.settings(spec), spec.parent, SimulatedDisk())
            for spec in scenario.node
        ]
        for host, spec in zip(self.hosts, scenario.node, strict=True):
            host.file_bytes = (spec.sizes or scenario.sizes).file_bytes
            if scenario.intents:
                host.base = scenario.base(spec)
        self.ports: list[DevicePort] = []
        self.devices = [device for spec in scenario.device for device in self._devices(spec)]
        self.feeds = [self._feed(spec) for spec in scenario.feed]
        self._spoken = {device.name for device in self.devices if device.voice is Voice.OWN}
        self._spoken |= {feed.name for feed in self.feeds}
        self.inflict = Inflict(self.world, self.witness, scenario, self.hosts, self.ports)

    def _devices(self, spec: DeviceSpec) -> list[Device]:
        port = DevicePort(self.world, self.world.hosts[spec.node])
        self.ports.append(port)
        names = [spec.name] if spec.count == 1 else [f"{spec.name}{i + 1}" for i in range(spec.count)]
        limit = int(self.scenario.duration_s * spec.rate_per_s)
        return [Device(name, port, spec.habits(index), limit) for index, name in enumerate(names)]

    def _feed(self, spec: FeedSpec) -> Pusher | Tailer:
        kind = Pusher if spec.kind == "push" else Tailer
        limit = int(self.scenario.duration_s * spec.rate_per_s)
        return kind(self.world, self.world.hosts[spec.node], spec.name, int(S / spec.rate_per_s), limit)

    def go(self) -> Outcome:
        """Run it to its end."""
        drained, stored = 0.0, 0
        try:
            drained = self._play()
            stored = self._judge() if not self._hopeless() else 0
        except Exception as error:  # noqa: BLE001 - a defect of a node ends the run: it was made to find it
            frames = traceback.extract_tb(error.__traceback__)[-8:]
            places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
            self.witness.break_law("no_defect", f"{type(error).__name__}: {error} ({places})")
        acked = sum(reading.published.acked for reading in self.witness.readings.values())
        world = self.world
        return Outcome(
            world.seed,
            world.steps,
            self.witness.violations,
            world.trace,
            dict(sorted(world.counts.items())),
            acked,
            stored,
            drained,
        )

    def _play(self) -> float:
        """Let it happen; simulated seconds that it took to come to rest."""
        world, duration = self.world, int(self.scenario.duration_s * S)
        for host in self.hosts:
            host.start()
        for device in (*self.devices, *self.feeds):
            device.start()
        for one in plan(self.scenario.faults, world.seed, duration):
            world.after(one.at_ns, lambda fault=one.fault: self.inflict.happen(fault))  # type: ignore[misc]
        world.run(duration, self._hopeless)
        self.inflict.heal()
        healed = world.now_ns
        deadline = healed + int(self.scenario.settle_s * S)
        while world.now_ns < deadline and not self._hopeless():
            world.run(min(deadline, world.now_ns + S // 2))
            self._demand()
            if self._at_rest():
                world.run(world.now_ns + REST_NS)
                if self._at_rest():
                    break
        return (world.now_ns - healed) / S

    def _demand(self) -> None:
        """At the end an operator asks for what waits for it, and clears what fills a disk for good."""
        for host in self.hosts:
            node = host.node
            outbox = node.parts.north.outbox if node is not None else None
            if node is None or outbox is None:
                continue
            if node.full:
                for stream in outbox.stopped():
                    self.witness.released.add(host.name)
                    self.world.count("stopped_stream_released")
                    host.ask("release", stream=name_of_stream(stream.key), **{"as": "dead"})
            for priority in Priority:
                waits = len(node.parts.sealing.open[priority]) or any(
                    stream.key.priority == priority and stream.acked < stream.tail and not stream.frozen
                    for stream in outbox.state.streams()
                )
                if waits and outbox.settings.classes[priority].sync is Sync.ON_DEMAND:
                    host.ask("demand", **{"class": priority.name.lower()})

    def _treatment(self, reading: Reading) -> Treatment:
        if reading.client not in self._spoken:
            return Treatment("any")
        name = self.world.hosts[reading.host].settings.name
        series = reading.published.series
        if (name, series) not in self._treatments:
            self._treatments[name, series] = self.scenario.spec(name).treatment(series)
        return self._treatments[name, series]

    def _hopeless(self) -> bool:
        return len(self.witness.violations) >= VIOLATIONS_MAX

    def _judge(self) -> int:
        if not self._at_rest():
            self.witness.break_law("everything_arrives", "; ".join(self._unrest()))
            return 0
        root = next(host for host in self.hosts if host.parent is None)
        laws = EndLaws(self.witness, self.hosts, root, self.inflict.forgiven)
        contents = laws.judge(list(self.witness.readings.values()))
        return len(contents.rows) if contents is not None else 0

    def _at_rest(self) -> bool:
        return not self._unrest()

    def _holds(self, host: Host) -> bool:
        """Whether readings wait for the end of a window (a ring, and samples short of one, wait for good)."""
        assert host.node is not None
        filters = [rule.filter for rule in (*host.settings.line.series, host.settings.line.default)]
        if any(isinstance(one, Boost | Vibration) for one in filters):
            return False
        return host.node.parts.ledger.total(Account.HELD)[0] > 0

    def _unrest(self) -> list[str]:
        """What still has to happen."""
        clients = (*self.devices, *self.feeds)
        out = [f"{client.name} has not been acknowledged" for client in clients if not client.done]
        for host in self.hosts:
            node = host.node
            if node is None:
                out.append(f"{host.name} is down")
                continue
            if node.commits.in_flight is not None or not node.draft.empty:
                out.append(f"{host.name} commits")
            if self._holds(host):
                out.append(f"{host.name} holds readings")
            if node.parts.sealing.oldest_n() is not None:
                out.append(f"{host.name} has unsealed rows")
            outbox = node.parts.north.outbox
            if outbox is None:
                continue
            if outbox.state.waiting:
                out.append(f"{host.name} has {len(outbox.state.waiting)} blocks waiting for another attempt")
            out += [
                f"{host.name} {stream.key}: acknowledged {stream.acked} of {stream.tail}"
                for stream in outbox.state.streams()
                if stream.acked < stream.tail and not stream.frozen
            ]
        return out


def run_seed(scenario: Scenario, seed: int, *, story: bool = False) -> Outcome:
    """Run one seed; with `story`, a broken law is run again so that its violation tells the whole story."""
    outcome = Run(scenario, seed).go()
    if outcome.violations and story:
        told = Run(scenario, seed, recording=True).go()
        return msgspec.structs.replace(outcome, violations=told.violations)
    return outcome
