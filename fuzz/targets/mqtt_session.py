"""Whole sessions through the broker: a script of steps by up to four clients.

A step is one byte, the client in its lower two bits and what happens above: 0-7 bytes come (a chunk), 8 the
client is gone, 9 everything handed over is judged and the draft committed, 10 time passes (a byte of
seconds), 11 power is lost and the broker starts from its journal, 12 and 13 the client's transport fills and
empties, 14 a checkpoint. The first byte of the script says whether the bounds are tiny (bit 0), and whether
it is played again with every client's bytes one by one (bit 1).
"""

from __future__ import annotations

from tests.mqtt.client import Client, World, packets_of

from fuzz.target import Script, Target, chunk, hold
from fuzz.targets.mqtt_packets import packets
from headland.mqtt import Broker, MqttConfig, records
from headland.mqtt.encoding import encode
from headland.mqtt.packets import V5, V311, Connect, Disconnect, Properties, Publish, Subscribe, Subscription

TINY = MqttConfig(
    receive_maximum=3,
    inflight_max=2,
    sessions_max=2,
    send_budget_bytes=1_024,
    session_queue_bytes_max=1_024,
    queue_bytes_max=2_048,
    retained_max=2,
    retained_bytes_max=2_048,
    connection_queue_bytes_max=2_048,
    subscriptions_max=8,
    topics_cached_max=2,
    matches_cached_max=2,
)
ROOMY = MqttConfig()
STEPS_MAX = 64


class Heard(Client):  # type: ignore[misc]
    """A client that finds out by its CONNACK which version is spoken to it."""

    said: list[bytes]

    def take(self, data: bytes) -> None:
        """What the broker sends is whole packets of the version spoken."""
        if not self.said:
            self.version = V311 if data.startswith(b"\x20\x02") else V5
        self.said.append(data)
        self.got += packets_of(data, self.version)


class Play:
    """A script played to a broker.

    Attributes:
        heard: What each client was sent, by the number of its connection.
        clients: Every client there was.
    """

    def __init__(self, data: bytes, cut: bool) -> None:
        script = Script(data)
        tiny = bool(script.byte() & 1)
        self.config = TINY if tiny else ROOMY
        self.world = World(self.config, automatic=False)
        self.heard: dict[int, list[bytes]] = {}
        self.clients: list[Heard] = []
        self.cut = cut
        self._clients: dict[int, Heard] = {}
        for _ in range(STEPS_MAX):
            if script.left <= 0:
                break
            self._step(script.byte(), script)

    def _client(self, who: int) -> Heard:
        client = self._clients.get(who)
        if client is None or client.closed:
            made = self.world.client("")
            client = Heard(self.world, made.number, "", V5)
            client.said = self.heard[client.number] = []
            client.closed = made.closed
            self.world.clients[client.number] = client
            self._clients[who] = client
            self.clients.append(client)
        return client

    def _step(self, step: int, script: Script) -> None:
        world = self.world
        client = self._client(step & 3)
        match step >> 2 & 15:
            case 8:
                client.drop()
                client.closed = "dropped"
            case 9:
                for run in world.runs:
                    world.perform(world.broker.rest_on(run, world.draft.n, world.now))
                world.runs.clear()
                world.commit()
                world.settle()
            case 10:
                world.pass_time(script.byte())
            case 11:
                world.crash(off_s=0.5)
            case 12 | 13 as what:
                world.perform(world.broker.buffered(client.number, 2_000 * (what == 12), world.now))
                world.settle()
            case 14:
                if not world.draft.sections:
                    world.take_checkpoint()
            case _:
                data = script.chunk()
                for part in [data[at : at + 1] for at in range(len(data))] if self.cut else [data]:
                    client.send_bytes(part)

    def check(self) -> None:
        """The bounds hold, and what is kept is kept by a restart."""
        sizes = self.world.broker.sizes()
        config = self.config
        hold(sizes["sessions"] <= config.sessions_max, f"{sizes}")
        hold(sizes["retained_messages"] <= config.retained_max, f"{sizes}")
        hold(sizes["retained_bytes"] <= config.retained_bytes_max, f"{sizes}")
        hold(sizes["queued_bytes"] <= config.queue_bytes_max, f"{sizes}")
        hold(sizes["subscriptions"] <= config.subscriptions_max, f"{sizes}")
        before = self.world.broker.snapshot()
        again = Broker(config, self.world.door)
        again.restore(before)
        hold(_kept(again.snapshot()) == _kept(before), "a snapshot is not what it restores")

    @property
    def calm(self) -> bool:
        """Whether nobody broke the protocol or passed a bound."""
        return all(client.closed in ("", "dropped", "crash", "disconnect") for client in self.clients)

    def packets(self) -> list[list[str]]:
        """What each client was sent, as packets without their order."""
        return [sorted(map(repr, client.got)) for client in self.clients]


def _kept(snapshot: bytes) -> list[object]:
    """What a snapshot holds, apart from how long it will, and from what only connected clients wait for."""
    found = records.decode_snapshot(snapshot)
    sessions = [
        (one.client, one.principal, one.version, one.subscriptions, one.received, one.flights, one.queue)
        for one in found.sessions
    ]
    wanted = {holder.position for one in found.sessions for holder in one.queue}
    wanted |= {flight.holder.position for one in found.sessions for flight in one.flights}
    messages = [position for position, _ in found.messages if position in wanted]
    return [found.position, sessions, messages, len(found.retained)]


def check(data: bytes) -> bytes:
    """The laws of the broker for a script; the same packets however a client's bytes are cut."""
    whole = Play(data, cut=False)
    whole.check()
    if data[:1] and data[0] & 2:
        pieces = Play(data, cut=True)
        hold(pieces.calm == whole.calm, "a mistake in pieces is none at once, or the other way round")
        if whole.calm:  # beside a mistake, what came with it may or may not have been taken
            hold(pieces.packets() == whole.packets(), f"in pieces {pieces.heard}, at once {whole.heard}")
            hold(sorted(pieces.world.accepted) == sorted(whole.world.accepted), "others are accepted")
    return repr((whole.heard, whole.world.accepted, whole.world.broker.sizes())).encode()


def _say(who: int, *data: bytes) -> bytes:
    return bytes((who,)) + chunk(b"".join(data))


def _do(what: int, who: int = 0) -> bytes:
    return bytes((what << 2 | who,))


def seeds() -> dict[str, bytes]:
    """Sessions as clients have them."""
    made = {}
    for version in (V311, V5):
        name = "v5" if version == V5 else "v311"
        lasting = Properties(session_expiry_s=600) if version == V5 else None
        enter = [
            encode(Connect(who, version, False, 5, properties=lasting), version) for who in ("x", "y", "z")
        ]
        wanted = Subscribe(1, [Subscription("a/#", 2), Subscription("$share/g/a/b", 1)])
        wants = encode(wanted, version)
        gives = [
            encode(Publish("a/b", b"1", qos, packet_id=qos and 3, retain=qos == 1), version)
            for qos in (0, 1, 2)
        ]
        bye = encode(Disconnect(), version)
        commit, crash = _do(9), _do(11)
        begin = _say(0, enter[0]) + commit + _say(1, enter[1]) + commit + _say(0, wants) + commit
        made[f"{name}-flow"] = (
            b"\1" + begin + _say(1, *gives) + commit + _say(0, b"\x50\2\0\1\x62\2\0\3") + commit
        )
        made[f"{name}-away"] = (
            b"\0" + begin + _say(0, bye) + _say(1, *gives) + commit + crash + _say(0, enter[0]) + commit
        )
        made[f"{name}-slow"] = b"\1" + begin + _do(12) + _say(1, *gives * 4) + commit + _do(13) + commit
        made[f"{name}-late"] = (
            b"\1" + begin + _do(10) + b"\x09" + _say(2, enter[2]) + commit + _do(14) + crash
        )
        everything = b"".join(encode(packet, version) for packet in packets(version)[3:])
        made[f"{name}-all"] = b"\0" + begin + _say(1, everything) + commit + _do(8, 1) + commit
        made[f"{name}-over"] = (
            b"\1" + begin + _say(2, enter[0]) + commit + _say(2, gives[2]) + commit + _do(10) + b"\xff"
        )
    made |= {f"{name}-cut": bytes((data[0] | 2,)) + data[1:] for name, data in list(made.items())}
    return made


TARGET = Target(
    name="mqtt_session",
    law="no script of a client's bytes, commits, time and crashes raises, passes a bound or is kept wrongly",
    check=check,
    seeds=seeds,
    words=(
        _do(9),
        _do(11),
        _do(14),
        b"\x00\x04MQTT\x04",
        b"\x00\x04MQTT\x05",
        b"\x32\x07\x00\x03a/b",
        b"\x82\x08",
    ),
    compiled=True,
    rounds=500,
    input_bytes_max=2_048,
)
