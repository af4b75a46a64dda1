"""A node as a process: configuration, disk, loop, listeners, sources, signals, around the pure core."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
from pathlib import Path

import msgspec
import uvloop

from headland.config import Loaded, NodeConfig, load
from headland.config.apportioning import LEAST_BUDGET_BYTES
from headland.config.checking import source_name
from headland.config.sections import ListenSection
from headland.drivers import memory, scheduling
from headland.drivers import network as net
from headland.drivers.clock import Clock, earliest_ns
from headland.drivers.disk import RealDisk
from headland.drivers.http_messages import HttpLimits
from headland.drivers.http_server import HttpServer, Response
from headland.drivers.randomness import generator
from headland.line.deciding import Actuation, Outcome, Reference
from headland.node import events as ev
from headland.node.http_api import ANSWER_BYTES_MAX, Api
from headland.node.http_guard import Guard
from headland.node.logbook import LogBook
from headland.node.loop import Runner
from headland.node.notify import Supervisor, keep_alive, on_signals
from headland.node.opening import open_node
from headland.node.settings import apportioned
from headland.node.watching import CurrentUsers, Watching, base_of, tokens_of, users_of
from headland.sinks.actuators import Actuators
from headland.sources.contract import Source, SourceContext
from headland.sources.registry import configs, kinds, make_source
from headland.trust import identity
from headland.trust.contexts import device_server, link_client, link_server
from headland.trust.validity import begins
from headland.vocabulary import CapacityError

DRAIN_S = 10.0
GC_THRESHOLDS = (50_000, 20, 100)
"""Readings make no cycles; a full collection is a pause that every decision would wait for."""
SOURCE_AGAIN_S = 10.0
"""A source that failed is asked again after so long."""
LINK_LIMITS = net.Limits(read_while_full=True, write_high_bytes=64 << 10, write_max_bytes=64 << 20)


def run(path: Path) -> int:
    """Run the node of a configuration file until it is told to stop; the exit code.

    Raises:
        ConfigurationError: The file, the data directory or a certificate is not usable.
    """
    loaded = load(path, os.environ, configs())
    memory.settle_heap()
    scheduling.short_turns()
    refused = scheduling.real_time() if loaded.config.decide.real_time else ""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that comes while it starts must not end it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Server(loaded, refused).serve())


def endpoint(listen: ListenSection) -> str:
    """What the network calls an MQTT listener: `mqtt:NAME`, or `ws:NAME` where WebSocket lies between."""
    return f"{'ws' if listen.transport in ('ws', 'wss') else 'mqtt'}:{listen.name}"


class Server:
    """Owns what a process owns; executes what the runner hands over (`headland.node.loop.Hands`)."""

    def __init__(self, loaded: Loaded, refused_real_time: str) -> None:
        self._loaded = loaded
        self._config = loaded.config
        self._refused_real_time = refused_real_time
        self._log = LogBook(loaded.config.log.level)
        self._exit: asyncio.Future[int] | None = None
        self._stopped = asyncio.Event()
        self._http: HttpServer | None = None
        self._sources: dict[str, Source] = {}
        self._actuators = Actuators(self._acted, self._revealed)
        self._actuators.expect(_kinds_of_acts(loaded.config))
        self._users = CurrentUsers(users_of(loaded, loaded.config))
        self._contexts: list[ssl.SSLContext] = []

    async def serve(self) -> int:
        """Open, listen, turn, drain."""
        loop = self._loop = asyncio.get_running_loop()
        self._exit = loop.create_future()
        supervisor = Supervisor(os.environ)
        clock = Clock()
        disk = RealDisk(self._loaded.data_dir, str(self._config.identity))
        base = base_of(self._loaded, self._config)
        settings = base.settings
        if not settings.budget_bytes:
            # However little is free: what is here already has to get away.
            settings = apportioned(settings, max(LEAST_BUDGET_BYTES, disk.usable_bytes() // 2))
            base = msgspec.structs.replace(base, settings=settings)
        entropy = generator()
        opening = open_node(disk, settings, self._users, entropy, clock.now(), base)
        try:
            for op in opening.ops:
                disk.apply(op)
        except OSError as error:
            raise CapacityError(
                f"{self._loaded.data_dir}: the log cannot be opened: {error.strerror}",
                hint=f"a start takes a segment of {settings.journal.segment_bytes} bytes; nothing is lost",
            ) from None
        clock.at_least(earliest_ns(opening.newest_ns, self._certified_s()))
        for warning in self._config.rules.warnings():
            self._log("warning", "rules", {"detail": warning})
        for damage in opening.damage:
            self._log("error", "damage", {"what": damage.what, "detail": damage.detail})
        runner = Runner(opening.node, disk, clock, self, self._parent())
        self._runner = runner
        api = self._start_http(runner)
        watching = Watching(
            self._loaded, runner, self._users, api, self._contexts, self._log, self._reconfigured
        )
        on_signals(loop, stop=lambda: self._stop(runner, supervisor), reload=watching.reload)
        runner.start()
        await self._listen(runner)
        if not self._stopped.is_set():
            self._make_sources(runner)
        watching.start()
        memory.give_back()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        runner.ready = not self._stopped.is_set()
        keep_alive(supervisor, loop, lambda: not runner.node.failed)
        supervisor.ready(f"{settings.name}: listening")
        self._log(
            "info",
            "started",
            {
                "node": settings.name,
                "frames": opening.frames,
                "real_time": self._refused_real_time or "granted",
            },
        )
        code = await self._exit
        supervisor.stopping()
        await runner.network.shutdown(2.0)
        runner.committer.stop()
        runner.beside.stop()
        runner.queries.stop()
        runner.passwords.stop()
        runner.garbage.close()
        for source in self._sources.values():
            source.close()
        self._actuators.close()
        disk.close()
        supervisor.close()
        return code

    def _certified_s(self) -> float:
        """When this node's certificate begins (UTC seconds since 1970); 0 where it has none."""
        path = self._loaded.certificates.certificate
        if not path.exists():
            return 0.0
        return begins(path)

    # ── making ─────────────────────────────────────────────────────────────────────────────────────
    def _parent(self) -> net.Dial | None:
        parent = self._config.link.parent
        if parent is None:
            return None
        site, _, name = parent.name.partition("/")
        return net.Dial(
            name="parent",
            host=parent.host,
            port=parent.port,
            tls=self._renewable(link_client(self._loaded.certificates)),
            identify=identity.expect(identity.Identity(site, name)),
            limits=LINK_LIMITS,
        )

    async def _listen(self, runner: Runner) -> None:
        for one in self._config.listen:
            tls = one.transport in ("tls", "wss")
            listener = net.Listener(
                name=endpoint(one),
                address=one.address,
                port=one.port,
                tls=self._device_tls(one.client_certificates) if tls else None,
                identify=identity.client_name if tls else None,
                limits=net.Limits(
                    max_connections=one.connections_max,
                    max_per_address=one.connections_per_address_max,
                    tls_s=one.tls_handshake_s,
                ),
            )
            if one.transport in ("ws", "wss"):
                runner.websockets.serve(listener.name, one.path, one.origins)
            await self._open(runner, listener)
        link = self._config.link.listen
        if link is not None:
            listener = net.Listener(
                name="link",
                address=link.address,
                port=link.port,
                tls=self._renewable(link_server(self._loaded.certificates)),
                identify=identity.Members(link.children),
                limits=LINK_LIMITS,
            )
            await self._open(runner, listener)
        http = self._config.http
        if http.enabled:
            listener = net.Listener(
                name="http",
                address=http.address,
                port=http.port,
                tls=self._device_tls(http.client_certificates) if http.transport == "tls" else None,
                identify=identity.client_name if http.transport == "tls" else None,
                limits=net.Limits(max_connections=http.connections_max, write_max_bytes=2 * ANSWER_BYTES_MAX),
            )
            await self._open(runner, listener)

    async def _open(self, runner: Runner, listener: net.Listener) -> None:
        """Listen, unless a stop has come first or comes meanwhile."""
        if self._stopped.is_set():
            return
        port = await runner.network.listen(listener)
        if self._stopped.is_set():
            runner.network.unlisten(listener.name)
            return
        self._log("info", "listening", {"listener": listener.name, "port": port})

    def _device_tls(self, client_certificates: str) -> ssl.SSLContext:
        return self._renewable(
            device_server(self._loaded.certificates, client_certificates=client_certificates)
        )

    def _renewable(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Renewed certificates go into this context, too."""
        self._contexts.append(context)
        return context

    def _start_http(self, runner: Runner) -> Api:
        http = self._config.http
        own = self._config.identity
        names = (socket.gethostname(), own.dns, *http.hosts)
        guard = Guard(frozenset(name.lower() for name in names), http.transport == "tls")
        api = Api(tokens_of(self._loaded, self._config), anonymous=http.anonymous, guard=guard)
        limits = HttpLimits(
            body_bytes_max=http.body_bytes_max,
            bodies_bytes_max=max(http.bodies_bytes_max, http.body_bytes_max),
            request_s=http.request_s,
            keep_alive_s=http.keep_alive_s,
        )
        self._http = HttpServer(runner.network, api, limits, api.gate)
        api.attach(runner, self._http.answer)
        runner.http = self._http
        return api

    def _make_sources(self, runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        known = kinds()
        for table in self._config.source:
            name = source_name(table)
            context = SourceContext(
                name,
                generator(),
                runner.clock.now(),
                runner.node.parts.positions.get(name, b""),
                str(self._loaded.file.parent),
            )
            source = make_source(table, context, known)
            self._sources[name] = source
            durable = known[str(table.get("kind"))].durable
            loop.call_soon(self._poll, runner, loop, name, source, durable)

    def _poll(
        self, runner: Runner, loop: asyncio.AbstractEventLoop, name: str, source: Source, durable: bool
    ) -> None:
        now = runner.clock.now()
        if runner.node.holds_back(durable):
            loop.call_later(1.0, self._poll, runner, loop, name, source, durable)
            return
        try:
            brought = source.poll(now)  # what it takes counts: the readings were there when it was asked
        except Exception as error:  # noqa: BLE001 - one bad source must not end the others, nor be silent
            detail = f"{name}: {type(error).__name__}: {error}"
            self._log("alarm", "source_failed", {"detail": detail})
            runner.node.alarm("source_failed", detail)
            loop.call_later(SOURCE_AGAIN_S, self._poll, runner, loop, name, source, durable)
            return
        if len(brought) or brought.position is not None:
            runner.feed(ev.Offered(name, brought), now.monotonic_ns)
        due = source.next_poll(now)
        if due is not None and not runner.node.stopping:
            wait_s = max(0.001, (due - runner.clock.now().monotonic_ns) / 1e9)
            loop.call_later(wait_s, self._poll, runner, loop, name, source, durable)

    # ── signals ────────────────────────────────────────────────────────────────────────────────────
    def _stop(self, runner: Runner, supervisor: Supervisor) -> None:
        self._stopped.set()
        supervisor.stopping("draining")
        for name in [*map(endpoint, self._config.listen), "link", "http"]:
            runner.network.unlisten(name)
        runner.feed(ev.Stop())
        asyncio.get_running_loop().call_later(DRAIN_S, self._give_up)

    def _give_up(self) -> None:
        if self._exit is not None and not self._exit.done():
            self._log("warning", "drain_timed_out", {"after_s": DRAIN_S})
            self._exit.set_result(0)

    def _reconfigured(self, config: NodeConfig) -> None:
        """Another configuration is in force."""
        self._log.level = config.log.level
        self._actuators.expect(_kinds_of_acts(config))

    # ── hands of the runner ────────────────────────────────────────────────────────────────────────
    def actuate(self, action: ev.Actuate) -> None:
        """An HTTP call or a command; MQTT is the broker's own."""
        self._actuators.start(action.actuation)

    def _acted(self, actuation: Actuation, outcome: Outcome, why: str) -> None:
        """On any thread: the node hears of it in its turn, while there is a loop to tell it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._runner.feed, ev.Acted(actuation, outcome, why))

    def _revealed(self, reference: Reference) -> str:
        return self._loaded.reveal(reference, os.environ)

    def confirm(self, action: ev.Confirm) -> None:
        """A source's readings are durable."""
        source = self._sources.get(action.source)
        if source is not None:
            source.confirmed(action.position)

    def reply(self, action: ev.Reply) -> None:
        """Answer an HTTP request."""
        assert self._http is not None
        kinds_of = dict(action.headers)
        content = kinds_of.pop("content-type", "application/json")
        self._http.answer(
            action.token, Response(action.status, action.body, content, tuple(kinds_of.items()))
        )

    def say(self, action: ev.Say) -> None:
        """One line of the log."""
        self._log(action.level, action.event, dict(action.fields))

    def exit(self, action: ev.Exit) -> None:
        """End the process."""
        if self._exit is not None and not self._exit.done():
            self._exit.set_result(action.code)


def _kinds_of_acts(config: NodeConfig) -> frozenset[str]:
    return frozenset(act.kind for rule in config.rule for act in rule.act)
