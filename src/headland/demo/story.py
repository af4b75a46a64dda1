"""The demo from its first process to its verdict.

Made, started, measured, cut, killed, drained, asked and judged; `faults` has the timeline.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from headland.demo.acklog import read_logs
from headland.demo.answers import rows_of
from headland.demo.checker import check
from headland.demo.device import DevicesPlan
from headland.demo.expectation import rules_of
from headland.demo.faults import cut_link, kill_nodes
from headland.demo.nodes import DemoNode, NodeCommand
from headland.demo.outcome import Judged, Measured, concluded, tell
from headland.demo.processes import Child, ProcessGroup, group
from headland.demo.proxies import ClientProxy, LinkProxy
from headland.demo.site import DEVICES, NODES, Site, client_plans, make_nodes, plan_ports
from headland.demo.verdicts import Report
from headland.demo.view import Picture, View
from headland.vocabulary import HeadlandError

SETTLE_S = 30.0
DRAIN_S = 60.0
LOOK_EVERY_S = 0.25
QUERY_S = 60.0
QUERY_PATH = "/v1/query?order=arrival&revisions=all"
STILL_READINGS = 40
"""Host readings keep coming while everything else is quiet: so many may be on their way at any moment."""


class Options(msgspec.Struct, frozen=True):
    """What the command line says.

    Attributes:
        seconds: How long devices measure.
        cut_s: How long the wire is silent; 0 for no cut.
        kills: How many times a node is killed.
        seed: Of the physical model.
        data: Recordings to replay instead.
        serve: Stay up afterwards.
    """

    seconds: float = 60.0
    cut_s: float = 20.0
    kills: int = 1
    seed: int = 1
    data: Path | None = None
    serve: bool = False


class Demo:
    """Everything that runs, and what is measured while it does."""

    def __init__(
        self, options: Options, site: Site, processes: ProcessGroup, view: View, command: NodeCommand
    ) -> None:
        self.options = options
        self.site = site
        self.view = view
        self.nodes = {plan.name: DemoNode(plan, site, processes, command) for plan in NODES}
        self.picture = Picture()
        self.first_arrival_s: float | None = None
        self.drain_s: float | None = None
        self.kills = 0
        self.links = {
            plan.name: LinkProxy(site.link[plan.parent]) for plan in NODES if plan.parent == "regional"
        }
        self.doors = {
            name: ClientProxy(site.mqtt[name]) for name in dict.fromkeys(device.node for device in DEVICES)
        }
        self._processes = processes
        self._devices: Child | None = None
        self._began = time.monotonic()
        self._log_offsets: dict[Path, int] = {}

    async def prepare(self) -> None:
        """Wires, files, nodes: root first, each ready before its children start."""
        self.view.say(f"making {len(NODES)} nodes with one development authority in {self.site.root}")
        for proxy in (*self.links.values(), *self.doors.values()):
            await proxy.start()
        call = {plan.name: self.site.link[plan.parent] for plan in NODES if plan.parent}
        call.update({name: proxy.port for name, proxy in self.links.items()})
        await make_nodes(self.site, call)
        self.view.say("starting them, the cloud first")
        for tier in ("cloud", "regional", "local", "device"):
            await asyncio.gather(*(node.start() for node in self.nodes.values() if node.plan.tier == tier))

    async def start_devices(self) -> None:
        """Clients in one process of their own."""
        (self.site.root / "acknowledged").mkdir(exist_ok=True)
        clients = client_plans(self.site, {name: door.port for name, door in self.doors.items()})
        plan = DevicesPlan(
            clients, self.options.seed, str(self.options.data) if self.options.data else "", SETTLE_S
        )
        file = self.site.root / "devices.json"
        file.write_bytes(msgspec.json.encode(plan))
        self._devices = await self._processes.start(
            "devices", ["headland.demo.device", str(file)], self.site.root / "devices.log", {}
        )
        self._began = time.monotonic()
        self.picture.phase = "everything flows"

    async def stop_devices(self) -> None:
        """Let them wait for their answers.

        Raises:
            HeadlandError: Something stayed unanswered.
        """
        assert self._devices is not None
        code = await self._devices.stop(SETTLE_S + 10)
        if code not in (0, 1):
            raise HeadlandError(f"the devices ended with {code}:\n{self._devices.last_words()}")

    async def watch(self) -> None:
        """Look at all nodes over and over, for the picture."""
        while True:
            await self.look()
            self.picture.elapsed_s = time.monotonic() - self._began
            self.view.show(self.picture)
            if self._devices is not None and self._devices.process.returncode not in (None, 0, 1):
                raise HeadlandError(f"the devices ended:\n{self._devices.last_words()}")
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """One look at everything."""
        await asyncio.gather(*(node.look() for node in self.nodes.values()))
        ended = [node for node in self.nodes.values() if node.state == "ended"]
        if ended:
            raise HeadlandError(f"{ended[0].plan.name} ended by itself:\n{ended[0].last_words}")
        self.picture.nodes = [node.view for node in self.nodes.values()]
        self.picture.acked += self._newly_acked()
        self.picture.bytes_offered = self.bytes_offered
        self.picture.bytes_north = self.bytes_north

    @property
    def bytes_offered(self) -> int:
        """Payload bytes of all sources, host included, as the nodes' books say."""
        return sum(node.status.payload_bytes("offered") for node in self.nodes.values() if node.status)

    @property
    def bytes_north(self) -> int:
        """Bytes on the two links to the regional node, counted by the proxies."""
        return sum(link.bytes_north for link in self.links.values())

    @property
    def resent_after_commit(self) -> int:
        """Publishes whose acknowledgement was thrown away and which came again."""
        return sum(door.seen.resent_after_commit for door in self.doors.values())

    def _newly_acked(self) -> int:
        """Readings whose acknowledgement was written down since the last look (requests count as ten)."""
        new = 0
        for device in DEVICES:
            path = self.site.log(device.name)
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._log_offsets.get(path, 0))
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._log_offsets[path] = self._log_offsets.get(path, 0) + len(whole)
            new += whole.count(b'"event":"acked"') * (10 if device.kind == "http" else 1)
        return new

    def now(self) -> str:
        """Seconds since the devices began, for sentences."""
        return f"{self.elapsed_s:6.1f} s "

    @property
    def elapsed_s(self) -> float:
        """Since the devices began."""
        return time.monotonic() - self._began

    async def at(self, seconds: float) -> None:
        """Wait until so many seconds after the devices began."""
        await asyncio.sleep(max(0.0, seconds - self.elapsed_s))

    async def drain(self) -> None:
        """Wait until nothing waits anywhere, at most `DRAIN_S`: the checker then says what is missing."""
        until = time.monotonic() + DRAIN_S
        quiet = 0
        while quiet < 3 and time.monotonic() < until:
            statuses = [node.status for node in self.nodes.values()]
            waiting = [one.pending_readings for one in statuses if one is not None]
            quiet = quiet + 1 if len(waiting) == len(statuses) and max(waiting) <= STILL_READINGS else 0
            await asyncio.sleep(LOOK_EVERY_S)
        if quiet < 3:
            left = ", ".join(f"{view.name} {view.waiting:,}" for view in self.picture.nodes if view.waiting)
            self.view.say(f"{self.now()}not drained after {DRAIN_S:g} s; still waiting: {left}")

    async def report(self) -> Report:
        """Ask the cloud and judge."""
        answer = await self.nodes["cloud"].ask(QUERY_PATH, QUERY_S)
        rules = [rule for plan in NODES for rule in rules_of(self.site.file(plan.name), plan.origin)]
        publishes = read_logs((self.site.root / "acknowledged").glob("*.jsonl"))
        return await asyncio.to_thread(check, publishes, rules, rows_of(answer))

    async def close(self) -> None:
        """Close the proxies."""
        for proxy in (*self.links.values(), *self.doors.values()):
            await proxy.close()


async def play(options: Options, view: View, command: NodeCommand | None = None) -> Judged:
    """Run the demo; every process it started has ended when this returns or raises.

    Args:
        options: What the command line says.
        view: Who watches.
        command: How nodes are started; None for `headland run`.

    Raises:
        HeadlandError: A node or the devices did not do what they had to, with their last words.
    """
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    root = Path(tempfile.mkdtemp(prefix="headland-demo-"))
    try:
        async with group() as processes:
            demo = Demo(options, plan_ports(root), processes, view, command or NodeCommand())
            try:
                return await _play(demo)
            finally:
                await demo.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def _play(demo: Demo) -> Judged:
    options = demo.options
    await demo.prepare()
    await demo.start_devices()
    async with _watched(demo):
        async with asyncio.TaskGroup() as faults:
            faults.create_task(cut_link(demo))
            faults.create_task(kill_nodes(demo))
            await demo.at(options.seconds)
            demo.picture.phase = "devices stop and wait for their answers"
            await demo.stop_devices()
        demo.picture.phase = "draining"
        await demo.drain()
        demo.picture.phase = "asking the cloud, checking every acknowledged reading"
        judged = await _judged(demo)
        demo.view.say(tell(judged, demo.picture))
        if options.serve:
            await _serve(demo)
        return judged


async def _judged(demo: Demo) -> Judged:
    """The verdict; asked again for at most `DRAIN_S` while it is not good: windows may still be open."""
    until = time.monotonic() + DRAIN_S
    while True:
        report = await demo.report()
        if report.good or time.monotonic() >= until:
            break
        await asyncio.sleep(1.0)
    statuses = [node.status for node in demo.nodes.values()]
    return concluded(
        demo.options.seconds,
        demo.options.kills,
        report,
        Measured(
            balanced=all(status is not None and status.balanced for status in statuses),
            resent_after_commit=demo.resent_after_commit,
            bytes_offered=demo.bytes_offered,
            bytes_north=demo.bytes_north,
            decisions=[await node.decisions() for node in demo.nodes.values()],
            first_arrival_s=demo.first_arrival_s,
            drain_s=demo.drain_s,
        ),
    )


async def _serve(demo: Demo) -> None:
    """Stay up with devices running again, until interrupted."""
    await demo.start_devices()
    demo.picture.phase = "serving until Ctrl-C"
    demo.view.say(
        "\n".join(f"{name}: http://127.0.0.1:{port}/v1/status" for name, port in demo.site.http.items())
    )
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def _watched(demo: Demo) -> AsyncIterator[None]:
    """Look at everything meanwhile; what goes wrong there ends what goes on here."""
    here = asyncio.current_task()
    assert here is not None
    problem: list[BaseException] = []

    async def watch() -> None:
        try:
            await demo.watch()
        except HeadlandError as found:
            problem.append(found)
            here.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if problem:
            here.uncancel()
            raise problem[0] from None
        raise
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
