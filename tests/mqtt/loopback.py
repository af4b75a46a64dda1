"""A broker on a loopback socket: the smallest driver that honours the duties in `headland.mqtt.surface`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Self

from headland.mqtt import (
    Accept,
    Action,
    Broker,
    Claim,
    Close,
    Continue,
    MqttConfig,
    Pause,
    Peer,
    Principal,
    PublishRun,
    Send,
)
from headland.vocabulary import Instant


class OpenDoor:
    """Lets everybody in under their own name, except `nobody`; topics under `forbidden` ones are refused.

    Attributes:
        forbidden: Beginnings of topics.
        gone: Names that are nobody's any more.
    """

    def __init__(self) -> None:
        self.forbidden: tuple[str, ...] = ("forbidden/",)
        self.gone: set[str] = set()

    def authenticate(
        self, client_id: str, username: str | None, password: bytes | None, peer: Peer
    ) -> Principal | Claim | None:
        if username is not None and username.startswith("slow"):
            return Claim(username, password or b"", "")
        who = username or client_id
        return None if who == "nobody" or who in self.gone else Principal(who)

    def proven(self, claim: Claim, right: bool) -> Principal | None:
        return Principal(claim.name) if right else None

    def may_publish(self, principal: Principal, topic: str) -> bool:
        return principal.name not in self.gone and not topic.startswith(self.forbidden)

    def may_subscribe(self, principal: Principal, filter: str) -> bool:  # noqa: A002
        return principal.name not in self.gone and not filter.startswith(self.forbidden)

    def holds(self, principal: Principal, peer: Peer | None) -> bool:
        return principal.name not in self.gone


class MemoryDraft:
    """An open commit that keeps its state sections, as the journal would."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.sections: list[bytes] = []
        self.dirty = False

    def state(self, owner: str, data: bytes) -> None:
        assert owner == "mqtt"
        self.sections.append(data)


class Loopback:
    """Runs a broker in a thread of its own; a commit takes `commit_s` and follows every run.

    Attributes:
        accepted: Every publish handed over: (client, topic, payload, qos).
        journal: State sections of the commits, in order.
    """

    def __init__(self, config: MqttConfig | None = None, commit_s: float = 0.002) -> None:
        self.broker = Broker(config or MqttConfig(), OpenDoor())
        self.commit_s = commit_s
        self.accepted: list[tuple[str, str, bytes, int]] = []
        self.journal: list[bytes] = []
        self.port = 0
        self._draft = MemoryDraft(1)
        self._transports: dict[int, asyncio.Transport] = {}
        self._numbers = 0
        self._committing = False
        self._wake: asyncio.TimerHandle | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Wire(self), "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for transport in list(self._transports.values()):
            transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))

    def now(self) -> Instant:
        return Instant(time.monotonic_ns(), time.time_ns())

    def number(self, transport: asyncio.Transport) -> int:
        self._numbers += 1
        self._transports[self._numbers] = transport
        return self._numbers

    def feed(self, step: Callable[[Instant, MemoryDraft], list[Action]]) -> None:
        self.perform(step(self.now(), self._draft))
        self._commit_soon()

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(connection, data):
                    with contextlib.suppress(KeyError):
                        transport = self._transports[connection]
                        transport.write(data)
                        self.report(connection)
                case Close(connection):
                    if (transport_or_none := self._transports.pop(connection, None)) is not None:
                        transport_or_none.close()
                case Accept(run):
                    self.judge(run)
                case Pause(connection):
                    self._transports[connection].pause_reading()
                case Continue(connection):
                    self._transports[connection].resume_reading()
        self._set_wake()

    def report(self, connection: int) -> None:
        """Tell the broker what waits in the transport."""
        transport = self._transports.get(connection)
        if transport is not None and (waiting := transport.get_write_buffer_size()):
            self.perform(self.broker.buffered(connection, waiting, self.now()))

    def judge(self, run: PublishRun) -> None:
        self.accepted += [
            (one.clients[0], topic, payload, qos)
            for one in run.apart()
            for topic, payload, qos in zip(one.topics, one.payloads, one.qos, strict=True)
        ]
        self._draft.dirty = True
        self.perform(self.broker.rest_on(run, self._draft.n, self.now()))

    def _commit_soon(self) -> None:
        if not self._committing and (self._draft.sections or self._draft.dirty):
            self._committing = True
            self._loop.call_later(self.commit_s, self._committed, self._draft)
            self._draft = MemoryDraft(self._draft.n + 1)

    def _committed(self, draft: MemoryDraft) -> None:
        self.journal += draft.sections
        self._committing = False
        self.perform(self.broker.committed(draft.n, self.now()))
        if self._draft.sections or self._draft.dirty:
            self._commit_soon()

    def _set_wake(self) -> None:
        at = self.broker.next_wake()
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if at is not None:
            delay = max(0.0, (at - time.monotonic_ns()) / 1e9)
            self._wake = self._loop.call_later(delay, lambda: self.feed(self.broker.wake))


class _Wire(asyncio.Protocol):
    def __init__(self, harness: Loopback) -> None:
        self.harness = harness

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self.connection = self.harness.number(transport)
        peer = Peer(self.connection, "127.0.0.1")
        self.harness.perform(self.harness.broker.connected(peer, self.harness.now()))

    def data_received(self, data: bytes) -> None:
        broker = self.harness.broker
        self.harness.feed(lambda now, draft: broker.received([(self.connection, data)], now, draft))

    def resume_writing(self) -> None:
        harness = self.harness
        waiting = self.transport.get_write_buffer_size()
        harness.perform(harness.broker.buffered(self.connection, waiting, harness.now()))

    def connection_lost(self, error: Exception | None) -> None:
        self.harness._transports.pop(self.connection, None)
        broker = self.harness.broker
        self.harness.feed(lambda now, draft: broker.closed(self.connection, now, draft))
