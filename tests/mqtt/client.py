"""A client made of our own codec, and a broker whose commits the test decides."""

from __future__ import annotations

from collections.abc import Iterator

from tests.mqtt.loopback import MemoryDraft, OpenDoor
from tests.mqtt.watching import Watcher

from headland.mqtt import (
    Accept,
    Action,
    Broker,
    Close,
    Continue,
    MqttConfig,
    Pause,
    Peer,
    PublishRun,
    Send,
)
from headland.mqtt.codec import body_start, frame_end
from headland.mqtt.decoding import decode
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    V5,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Properties,
    Publish,
    Subscribe,
    Subscription,
    Will,
)
from headland.vocabulary import Instant

START = Instant(1_000_000_000_000, 1_700_000_000_000_000_000)


def sized_packets_of(data: bytes, version: int) -> Iterator[tuple[Packet, int]]:
    """Every packet in `data`, which must end with a whole one, and its bytes."""
    at = 0
    while at < len(data):
        stop = frame_end(data, at, 1 << 28, True)
        assert 0 < stop <= len(data)
        yield decode(data[at], data, body_start(data, at), stop, version), stop - at
        at = stop


def packets_of(data: bytes, version: int) -> list[Packet]:
    """Every packet in `data`, which must end with a whole one."""
    return [packet for packet, _ in sized_packets_of(data, version)]


class World:
    """A broker, its journal and its clients.

    Attributes:
        durable: State sections of finished commits, by their numbers.
        draft: The open commit.
        automatic: Whether every run is judged and every draft committed at once.
        runs: Runs handed over and not yet judged.
        accepted: Everything handed over: (client, topic, payload, qos).
    """

    def __init__(self, config: MqttConfig | None = None, automatic: bool = True) -> None:
        self.config = config or MqttConfig()
        self.door = OpenDoor()
        self.broker = Broker(self.config, self.door)
        self.now = START
        self.automatic = automatic
        self.draft = MemoryDraft(1)
        self.durable: list[tuple[int, list[bytes]]] = []
        self.checkpoint = b""
        self.runs: list[PublishRun] = []
        self.accepted: list[tuple[str, str, bytes, int]] = []
        self.clients: dict[int, Client] = {}
        self._numbers = 0

    def client(self, name: str, version: int = V5) -> Client:
        self._numbers += 1
        client = Client(self, self._numbers, name, version)
        self.clients[self._numbers] = client
        self.perform(self.broker.connected(Peer(self._numbers, "test"), self.now))
        return client

    def judge_again(self, *other_passwords: str) -> None:
        """The door is another."""
        self.perform(self.broker.judge_again(frozenset(other_passwords), self.now, self.draft))
        self.settle()

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(connection, data):
                    self.clients[connection].take(data)
                case Close(connection, _, reason):
                    self.clients[connection].closed = reason
                case Accept(run):
                    self.accepted += [
                        (one.clients[0], topic, payload, qos)
                        for one in run.apart()
                        for topic, payload, qos in zip(one.topics, one.payloads, one.qos, strict=True)
                    ]
                    self.runs.append(run)
                case Pause(connection):
                    self.clients[connection].paused = True
                case Continue(connection):
                    self.clients[connection].paused = False

    def settle(self) -> None:
        """Judge and commit until nothing is left to do."""
        while True:
            self.judge()
            if self.automatic and (self.draft.sections or self.draft.dirty):
                self.commit()
                continue
            at = self.broker.next_wake()
            if at is None or at > self.now.monotonic_ns:
                return
            self.perform(self.broker.wake(self.now, self.draft))

    def judge(self) -> None:
        if self.automatic:
            while self.runs:
                run = self.runs.pop(0)
                self.draft.dirty = True
                self.perform(self.broker.rest_on(run, self.draft.n, self.now))

    def commit(self) -> None:
        draft = self.draft
        self.durable.append((draft.n, draft.sections))
        self.draft = MemoryDraft(draft.n + 1)
        self.perform(self.broker.committed(draft.n, self.now))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, waking the broker at each of its deadlines."""
        until = self.now.later(seconds)
        while (at := self.broker.next_wake()) is not None and at <= until.monotonic_ns:
            self.now = self.now.later(max(0, at - self.now.monotonic_ns) / 1e9)
            self.perform(self.broker.wake(self.now, self.draft))
            self.settle()
        self.now = until

    def take_checkpoint(self) -> None:
        """Snapshot at the last commit: nothing may be in the open draft."""
        assert not self.draft.sections
        self.checkpoint = self.broker.snapshot()
        self.durable.clear()

    def crash(self, off_s: float = 0.0) -> None:
        """Lose every connection, the memory and the open draft; begin again from the journal."""
        self.now = self.now.later(off_s)
        n = self.draft.n
        self.broker = Broker(self.config, self.door)
        if self.checkpoint:
            self.broker.restore(self.checkpoint)
        for _, sections in self.durable:
            for section in sections:
                self.broker.replay(section)
        self.broker.committed(n - 1, self.now)
        self.draft = MemoryDraft(n)
        self.runs.clear()
        for client in self.clients.values():
            client.closed = client.closed or "crash"
        self.clients = {0: Client(self, 0, "", V5)}
        self.settle()


class Client:
    """One connection of a client; `got` is what it was sent and has not looked at."""

    def __init__(self, world: World, number: int, name: str, version: int) -> None:
        self.world = world
        self.number = number
        self.name = name
        self.version = version
        self.got: list[Packet] = []
        self.closed = ""
        self.paused = False
        self.watcher = Watcher(version)

    def take(self, data: bytes) -> None:
        for packet, size in sized_packets_of(data, self.version):
            self.watcher.came(packet, size)
            self.got.append(packet)

    def send_bytes(self, data: bytes) -> None:
        world = self.world
        self.watcher.heard(data)
        world.perform(world.broker.received([(self.number, data)], world.now, world.draft))
        world.settle()

    def send(self, *packets: Packet) -> None:
        self.send_bytes(b"".join(encode(packet, self.version) for packet in packets))

    def drop(self) -> None:
        """The transport fails."""
        world = self.world
        world.perform(world.broker.closed(self.number, world.now, world.draft))
        world.settle()

    def read(self) -> list[Packet]:
        got, self.got = self.got, []
        return got

    def one(self) -> Packet:
        assert len(self.got) == 1, self.got
        return self.got.pop()

    def connect(
        self,
        clean: bool = True,
        *,
        keep_alive_s: int = 0,
        will: Will | None = None,
        username: str | None = None,
        **properties: object,
    ) -> Connack:
        self.send(
            Connect(
                self.name,
                self.version,
                clean,
                keep_alive_s,
                username=username,
                will=will,
                properties=Properties(**properties) if properties else None,  # type: ignore[arg-type]
            )
        )
        answer = self.got.pop(0)
        assert isinstance(answer, Connack)
        return answer

    def subscribe(self, *wanted: Subscription, identifier: int = 0) -> list[Packet]:
        """Subscribe; what came: SUBACK, then retained messages."""
        found = Properties(subscription_ids=[identifier]) if identifier else None
        self.send(Subscribe(7, list(wanted), found))
        return self.read()

    def publish(
        self, topic: str, payload: bytes = b"x", qos: int = 0, packet_id: int = 1, **rest: object
    ) -> None:
        self.send(Publish(topic, payload, qos, packet_id=packet_id if qos else 0, **rest))  # type: ignore[arg-type]

    def disconnect(self) -> None:
        self.send(Disconnect())


def connected(world: World, name: str, version: int = V5, **options: object) -> Client:
    """A client that has been accepted."""
    client = world.client(name, version)
    answer = client.connect(**options)  # type: ignore[arg-type]
    assert answer.reason == 0
    return client
