"""Law: it makes no difference to anybody what else was brought in the same turn."""

from __future__ import annotations

import random
import struct

import pytest

from headland.line.deciding import EventRule, Threshold
from headland.line.filtering.deadband import DeadBand
from headland.line.rules import LineRules, SeriesRule
from headland.mqtt.codec import frame_end
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Publish,
    Subscribe,
    Subscription,
)
from headland.node import events as ev
from headland.node.core import Node
from headland.node.opening import open_node
from headland.node.settings import NodeSettings
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.vocabulary import Instant, RowClass

START = Instant(1_000_000_000, 1_767_225_600_000_000_000)
RULES = LineRules(
    default=SeriesRule(name="default", filter=DeadBand()),
    events=(EventRule(name="hot", match="*", when=Threshold(above=90.0)),),
)
CLIENTS = 4
TOPICS = ("a", "b", "shared")
PAYLOADS = (b"50.0", b"51.0", b"70.0", b"95.0", b"\xff\xfe", b"", b"7")


def _packet(rng: random.Random, client: int, version: int) -> Packet:
    if rng.random() < 0.8:
        qos = rng.choice((0, 1, 1, 1, 2))
        return Publish(
            rng.choice(TOPICS),
            rng.choice(PAYLOADS),
            qos,
            retain=rng.random() < 0.2,
            dup=qos > 0 and rng.random() < 0.1,
            packet_id=rng.randint(1, 4) if qos else 0,
        )
    choices: tuple[Packet, ...] = (
        Ack(PacketType.PUBREL, 1),
        Ack(PacketType.PUBREC, 2),
        Subscribe(7, [Subscription("shared", 1)]),
        Disconnect(),
        Connect(f"client-{client}", version, clean_start=True),
    )
    return rng.choice(choices[:3] if rng.random() < 0.8 else choices)


def _turn(rng: random.Random, rest: dict[int, bytes]) -> list[tuple[int, bytes]]:
    """A part a client: whole packets, cut packets, and now and then what is no packet at all."""
    parts: list[tuple[int, bytes]] = []
    for client in rng.sample(range(1, CLIENTS + 1), rng.randint(1, CLIENTS)):
        version = V5 if client % 2 else V311
        data = rest.pop(client, b"")
        data += b"".join(encode(_packet(rng, client, version), version) for _ in range(rng.randint(1, 6)))
        data += b"\xff\xff" if rng.random() < 0.02 else b""
        if rng.random() < 0.3:
            cut = rng.randint(1, len(data))
            data, rest[client] = data[:cut], data[cut:]
        parts.append((client, data))
    return parts


class Watched:
    """A node, and what its connections have seen."""

    def __init__(self) -> None:
        node_settings = NodeSettings(name="n", line=RULES)
        self.node: Node = open_node(SimulatedDisk(), node_settings, Everybody(), random.Random(1), START).node
        self.sent: dict[int, dict[int, list[bytes]]] = {}
        self.closed: dict[int, str] = {}
        self.paused: dict[int, bool] = {}
        self.actuated: list[ev.Actuate] = []
        self._do(self.node.start(START))
        for client in range(1, CLIENTS + 1):
            self.handle(ev.Opened(client, "mqtt", "here"), START)
            hello = Connect(f"client-{client}", V5 if client % 2 else V311, clean_start=True)
            self.handle(ev.Received([(client, encode(hello, hello.version))]), START)

    def handle(self, event: ev.Event, now: Instant) -> list[ev.Action]:
        return self._do(self.node.handle(event, now))

    def _do(self, actions: list[ev.Action]) -> list[ev.Action]:
        for action in actions:
            match action:
                case ev.Send(connection, data):
                    self._saw(connection, data)
                case ev.Close(connection, reason):
                    self.closed.setdefault(connection, reason)
                case ev.Pause(connection, paused):
                    self.paused[connection] = paused
                case ev.Actuate():
                    self.actuated.append(action)
                case _:
                    pass
        return actions

    def _saw(self, connection: int, data: bytes) -> None:
        """Packets by type: a message may overtake an acknowledgement, but nothing its own kind."""
        seen = self.sent.setdefault(connection, {})
        at = 0
        while at < len(data):
            stop = frame_end(data, at, 1 << 20, True)
            seen.setdefault(data[at] >> 4, []).append(data[at:stop])
            at = stop

    def commit(self, now: Instant) -> None:
        for action in self.handle(ev.Tick(), now):
            if isinstance(action, ev.Commit):
                self.handle(ev.Committed(action.n), now)

    def agrees_with(self, other: Watched) -> None:
        """The same was sent in the same order, as far as it was: an answer may wait for the commit longer."""
        for connection, seen in self.sent.items():
            for kind, packets in seen.items():
                theirs = other.sent[connection].get(kind, [])
                both = min(len(packets), len(theirs))
                assert packets[:both] == theirs[:both]

    def has_caught_up_with(self, other: Watched) -> None:
        """Whoever is still connected has been sent the same."""
        for connection, seen in other.sent.items():
            assert connection in self.closed or seen == self.sent[connection]

    def books(self) -> object:
        draft = self.node.draft
        rows = {cls: draft.rows(cls) for cls in RowClass if draft.row_count(cls)}
        return rows, {key: amount for key, amount in draft.ledger.items() if any(amount)}


@pytest.mark.parametrize("seed", range(60))
def test_parts_of_one_turn_are_taken_as_if_each_had_come_alone(seed: int) -> None:
    """Kills: a client that loses, gains or waits for something because others spoke in the same turn."""
    rng = random.Random(seed)
    full = seed % 5 == 0
    together, alone = Watched(), Watched()
    now = START.later(1.0)
    for watched in (together, alone):
        watched.commit(now)
        if full:
            watched.handle(ev.Received([(1, _small())]), now)
            for action in watched.handle(ev.Tick(), now.later(0.5)):
                if isinstance(action, ev.Commit):
                    watched.handle(ev.NoSpace(action.n), now.later(0.5))
    rest: dict[int, bytes] = {}
    for number in range(8):
        parts = _turn(rng, rest)
        now = START.later(2.0 + number)
        together.handle(ev.Received(parts), now)
        for part in parts:
            alone.handle(ev.Received([part]), now)
        together.agrees_with(alone)
        assert together.closed == alone.closed
        assert together.paused == alone.paused
        assert together.actuated == alone.actuated
        assert together.books() == alone.books()
        for watched in (together, alone):
            watched.commit(now.later(0.5))
        together.agrees_with(alone)
        if not full or number:
            together.has_caught_up_with(alone)
    assert together.node.parts.ledger.balances == alone.node.parts.ledger.balances
    assert together.node.healthy


def _small() -> bytes:
    body = struct.pack(">H", 1) + b"a" + struct.pack(">H", 9) + b"\x00" + b"10.0"
    return bytes((0x32, len(body))) + body
