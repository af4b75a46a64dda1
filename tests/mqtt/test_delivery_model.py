"""A model of delivery: one publisher, one subscriber, commits and crashes at any moment.

Laws, checked when everything has been let run to its end:

* what was acknowledged to the publisher is on disk for the line, at QoS 2 exactly once;
* what was acknowledged to the publisher reaches the lasting subscriber, at QoS 2 exactly once;
* the subscriber sees first copies of one QoS in the order of publishing;
* acknowledgements leave in the order of publishing.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mqtt.client import Client, World

from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Connack,
    Connect,
    Packet,
    PacketType,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)


class Sender:
    """The publisher's half of QoS 1 and 2."""

    def __init__(self) -> None:
        self.pending: dict[int, tuple[int, int, str]] = {}
        self.acknowledged: list[int] = []
        self.numbers = 0

    def next_packet(self, qos: int) -> Publish | None:
        packet_id = next(number for number in range(1, 100) if number not in self.pending)
        if len(self.pending) > 20:
            return None
        self.numbers += 1
        self.pending[packet_id] = (self.numbers, qos, "sent")
        return Publish(f"q/{qos}", b"%d" % self.numbers, qos, packet_id=packet_id)

    def take(self, packet: Packet) -> list[Packet]:
        assert isinstance(packet, Ack), packet
        assert packet.reason == 0, packet
        number, qos, stage = self.pending[packet.packet_id]
        if packet.type == PacketType.PUBREC:
            assert qos == 2
            if stage == "sent":
                self.acknowledged.append(number)
            self.pending[packet.packet_id] = (number, qos, "released")
            return [Ack(PacketType.PUBREL, packet.packet_id)]
        if packet.type == PacketType.PUBACK:
            assert qos == 1
            self.acknowledged.append(number)
        else:
            assert (packet.type, stage) == (PacketType.PUBCOMP, "released")
        del self.pending[packet.packet_id]
        return []

    def repeats(self) -> list[Packet]:
        found: list[Packet] = []
        for packet_id, (number, qos, stage) in self.pending.items():
            if stage == "released":
                found.append(Ack(PacketType.PUBREL, packet_id))
            else:
                found.append(Publish(f"q/{qos}", b"%d" % number, qos, dup=True, packet_id=packet_id))
        return found


class Receiver:
    """The subscriber's half."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.delivered: list[tuple[int, int]] = []

    def take(self, packet: Packet) -> list[Packet]:
        if isinstance(packet, Publish):
            number = int(packet.payload)
            if packet.qos == 1:
                self.delivered.append((number, 1))
                return [Ack(PacketType.PUBACK, packet.packet_id)]
            if packet.packet_id not in self.known:
                self.known.add(packet.packet_id)
                self.delivered.append((number, 2))
            return [Ack(PacketType.PUBREC, packet.packet_id)]
        assert isinstance(packet, Ack)
        assert packet.type == PacketType.PUBREL
        self.known.discard(packet.packet_id)
        return [Ack(PacketType.PUBCOMP, packet.packet_id)]


class Delivery:
    def __init__(self) -> None:
        self.world = World(automatic=False)
        self.sender, self.receiver = Sender(), Receiver()
        self.lines: list[tuple[int, int, int]] = []
        self.publisher: Client | None = None
        self.ready = False
        self.subscriber: Client | None = None
        self.connect_subscriber()
        self.commit()
        assert self.subscriber is not None
        self.subscriber.send(Subscribe(1, [Subscription("q/#", 2)]))
        self.commit()
        assert isinstance(self.subscriber.got[0], Connack)
        assert isinstance(self.subscriber.got[1], Suback)
        self.subscriber.got.clear()
        self.connect_publisher()
        self.commit()
        self.publisher_reads(1)

    def _connect(self, name: str, version: int) -> Client:
        client = self.world.client(name, version)
        found = Properties(session_expiry_s=10_000, receive_maximum=3) if version == V5 else None
        client.send(Connect(name, version, False, properties=found))
        return client

    def judge(self) -> None:
        """The line writes what was handed over into the open draft."""
        world = self.world
        for run in world.runs:
            self.lines += [
                (world.draft.n, int(payload), qos) for payload, qos in zip(run.payloads, run.qos, strict=True)
            ]
            world.draft.dirty = True
            world.perform(world.broker.rest_on(run, world.draft.n, world.now))
        world.runs.clear()

    def publish(self, qos: int, count: int) -> None:
        if self.publisher is None or not self.ready:
            return
        packets = [packet for _ in range(count) if (packet := self.sender.next_packet(qos)) is not None]
        self.publisher.send(*packets)

    def commit(self) -> None:
        self.judge()
        self.world.commit()
        self.world.settle()

    def publisher_reads(self, at_most: int) -> None:
        client = self.publisher
        if client is None:
            return
        for _ in range(min(at_most, len(client.got))):
            packet = client.got.pop(0)
            if isinstance(packet, Connack):
                self.ready = True
                client.send(*self.sender.repeats())
            else:
                client.send(*self.sender.take(packet))

    def subscriber_reads(self, at_most: int) -> None:
        client = self.subscriber
        if client is None:
            return
        for _ in range(min(at_most, len(client.got))):
            packet = client.got.pop(0)
            if isinstance(packet, Connack):
                assert packet.session_present or not self.receiver.delivered
            else:
                client.send(*self.receiver.take(packet))

    def connect_subscriber(self) -> None:
        self.subscriber = self._connect("s", V5)

    def connect_publisher(self) -> None:
        if self.publisher is None or self.publisher.closed:
            self.ready = False
            self.publisher = self._connect("p", V311)

    def drop_publisher(self) -> None:
        if self.publisher is not None:
            self.publisher.drop()
            self.publisher = None

    def drop_subscriber(self) -> None:
        if self.subscriber is not None:
            self.subscriber.drop()
            self.subscriber = None

    def connect_read_and_commit(self, rounds: int) -> None:
        self.connect_publisher()
        if self.subscriber is None:
            self.connect_subscriber()
        for _ in range(rounds):
            self.publisher_reads(9)
            self.subscriber_reads(9)
            self.commit()

    def both_read_before_the_commit(self) -> None:
        self.judge()
        self.publisher_reads(9)
        self.subscriber_reads(9)

    def checkpoint(self) -> None:
        if not self.world.draft.sections and not self.world.draft.dirty and not self.world.runs:
            self.world.take_checkpoint()

    def crash(self) -> None:
        n = self.world.draft.n
        self.lines = [line for line in self.lines if line[0] < n]
        self.world.crash(off_s=1.0)
        self.publisher = self.subscriber = None

    def check(self) -> None:
        for _ in range(60):
            self.connect_publisher()
            if self.subscriber is None or self.subscriber.closed:
                self.connect_subscriber()
            self.commit()
            self.publisher_reads(100)
            self.subscriber_reads(100)
        assert not self.sender.pending
        acknowledged = self.sender.acknowledged
        assert len(acknowledged) == self.sender.numbers
        on_disk = [number for _, number, _ in self.lines]
        assert set(acknowledged) <= set(on_disk)
        twice = [number for _, number, qos in self.lines if qos == 2]
        assert len(twice) == len(set(twice))
        got = [number for number, _ in self.receiver.delivered]
        assert set(got) == set(acknowledged)
        got_2 = [number for number, qos in self.receiver.delivered if qos == 2]
        assert len(got_2) == len(set(got_2))
        assert self.world.broker.sizes()["queued_messages"] == 0


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 2), st.integers(1, 4)),
    st.tuples(st.just("connect_read_and_commit"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["publisher_reads", "subscriber_reads"]), st.integers(1, 5)),
    st.tuples(st.sampled_from(["both_read_before_the_commit", "crash"])),
    st.tuples(st.sampled_from(["judge", "commit", "checkpoint"])),
    st.tuples(st.sampled_from(["connect_publisher", "connect_subscriber"])),
    st.tuples(st.sampled_from(["drop_publisher", "drop_subscriber"])),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, min_size=25, max_size=60))
def test_what_is_acknowledged_is_delivered_whatever_happens(
    steps: list[tuple[str, *tuple[int, ...]]],
) -> None:
    delivery = Delivery()
    for name, *arguments in steps:
        getattr(delivery, name)(*arguments)
    delivery.check()
