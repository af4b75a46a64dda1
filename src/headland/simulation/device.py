"""A simulated MQTT device: publishes QoS 1 through the node's real broker, keeps its log, sends again.

It speaks MQTT 3.1.1 with bytes of its own making (no code of the broker). What it was acknowledged is
the promise that the laws are judged by.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import StrEnum
from typing import Protocol

import msgspec

from headland.simulation.voices import Voice, say


class Published(msgspec.Struct):
    """One reading as the device knows it."""

    series: str
    ts: int
    seq: int
    value: float
    sent: int = 0
    acked: bool = False


class PacketIds(StrEnum):
    """How a client numbers its publishes: one after the other, or (as most do) by the smallest free."""

    ASCENDING = "ascending"
    SMALLEST = "smallest"


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """What tells one device from another.

    Attributes:
        series: How many it publishes.
        topic: First part of their names; the client's name if "".
        sequence: First sequence number, and the step to the next: clients that share series take turns.
        interval_ns: Between two readings.
        window: Publishes that may be unacknowledged.
        packet_ids: How it numbers them.
        late_share: Share of its readings that it holds back, and publishes after one to three younger ones.
        voice: In which words it speaks.
        qos: 1, or 0: then nothing is acknowledged, and nothing sent again.
    """

    series: int = 1
    topic: str = ""
    sequence: tuple[int, int] = (0, 1)
    interval_ns: int = 50_000_000
    window: int = 8
    packet_ids: PacketIds = PacketIds.ASCENDING
    late_share: float = 0.0
    voice: Voice = Voice.OWN
    qos: int = 1


LATE_BY = 3
"""A reading that is held back is overtaken by at most so many."""


class Port(Protocol):
    """How a device reaches its node."""

    def connect(self, device: Device) -> None:
        """Dial; later `opened` or `failed` of the device is called."""

    def transmit(self, device: Device, data: bytes) -> None:
        """Bytes to the node."""

    def hang_up(self, device: Device) -> None:
        """Give the connection up."""

    def later(self, device: Device, delay_ns: int) -> None:
        """Call `tick` of the device after a while."""

    def wall_ns(self) -> int:
        """The device's clock, UTC."""

    def now_ns(self) -> int:
        """The same, never jumping."""

    def value(self, device: Device) -> float:
        """The next measurement."""

    def late_by(self, share: float) -> int:
        """How many younger readings overtake the next one: 1 to `LATE_BY` in this share of cases, else 0."""

    def published(self, device: Device, reading: Published) -> None:
        """A reading is on its way (again)."""

    def acknowledged(self, device: Device, reading: Published) -> None:
        """The node has acknowledged a reading."""

    def disordered(self, device: Device, reading: Published) -> None:
        """The node has acknowledged a reading before one that was published earlier on this connection."""


PATIENCE_NS = 3_000_000_000
"""A device that waits for an answer for so long gives its connection up."""


class Device:
    """One client with a window of unacknowledged publishes.

    Attributes:
        name: Client identifier; also the first part of its topics.
        log: Everything it published, by sequence number.
        limit: Readings it publishes in all.
    """

    def __init__(self, name: str, port: Port, habits: Habits, limit: int) -> None:
        self.name = name
        self.log: list[Published] = []
        self.limit = limit
        self.habits = habits
        self._port = port
        self._order: deque[int] = deque()
        self._inflight: OrderedDict[int, Published] = OrderedDict()
        self._back: list[tuple[int, Published]] = []
        self._packet_id = 0
        self._connected = False
        self._connecting = False
        self._heard_ns = 0
        self._buffer = b""
        self.resent = 0

    @property
    def voice(self) -> Voice:
        """In which words it speaks."""
        return self.habits.voice

    @property
    def done(self) -> bool:
        """Whether everything is published and acknowledged."""
        return len(self.log) >= self.limit and not self._inflight and not self._back

    def start(self) -> None:
        """Begin."""
        self._dial()
        self._port.later(self, self.habits.interval_ns)

    def opened(self) -> None:
        """The transport is there; it is connected when the broker has said so."""
        self._order.clear()
        self._buffer = b""
        client = self.name.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x1e" + len(client).to_bytes(2) + client
        self._port.transmit(self, bytes((0x10, len(body))) + body)

    def failed(self) -> None:
        """The transport is gone or did not come to be."""
        self._connected = self._connecting = False

    def received(self, data: bytes) -> None:
        """Bytes of the broker."""
        self._heard_ns = self._port.now_ns()
        self._buffer += data
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + self._buffer[1]:
            kind, length = self._buffer[0] >> 4, self._buffer[1]
            body, self._buffer = self._buffer[2 : 2 + length], self._buffer[2 + length :]
            if kind == 2:
                self._connected = True
                self._connecting = False
                for packet_id, reading in self._inflight.items():
                    self.resent += 1
                    self._publish(packet_id, reading, dup=True)
            elif kind == 4:
                number = int.from_bytes(body)
                in_turn = bool(self._order) and self._order.popleft() == number
                answered = self._inflight.pop(number, None)
                if answered is not None:
                    if not in_turn:
                        self._port.disordered(self, answered)
                    answered.acked = True
                    self._port.acknowledged(self, answered)

    def tick(self) -> None:
        """One interval has passed."""
        waits = self._connecting or (self._connected and self._inflight)
        if waits and self._port.now_ns() - self._heard_ns > PATIENCE_NS:
            self._port.hang_up(self)
        if not self._connected and not self._connecting:
            self._dial()
        if self._connected and len(self._inflight) < self.habits.window:
            self._next()
        if not self.done:
            self._port.later(self, self.habits.interval_ns)

    def _next(self) -> None:
        """Measure, and publish what is due: the new reading, or one that was held back for its sake."""
        if len(self.log) < self.limit:
            number = len(self.log)
            name = f"{self.habits.topic or self.name}/s{number % self.habits.series}"
            first, step = self.habits.sequence
            value = self._port.value(self)
            reading = Published(name, self._port.wall_ns(), first + number * step, value)
            self.log.append(reading)
            late_by = self._port.late_by(self.habits.late_share)
            if late_by:
                self._back.append((late_by, reading))
                return
        elif self._back:
            reading = self._back.pop(0)[1]
        else:
            return
        self._send(reading)
        self._back = [(left - 1, one) for left, one in self._back]
        while self._back and self._back[0][0] <= 0 and len(self._inflight) < self.habits.window:
            self._send(self._back.pop(0)[1])

    def _send(self, reading: Published) -> None:
        if self.habits.packet_ids is PacketIds.SMALLEST:
            self._packet_id = next(number for number in range(1, 65_536) if number not in self._inflight)
        else:
            self._packet_id = self._packet_id % 65_535 + 1
        if self.habits.qos:
            self._inflight[self._packet_id] = reading
        self._publish(self._packet_id, reading, dup=False)

    def _dial(self) -> None:
        self._connecting = True
        self._heard_ns = self._port.now_ns()
        self._port.connect(self)

    def _words(self, reading: Published) -> tuple[str, bytes]:
        if self.habits.voice is not Voice.OWN:
            return say(self.habits.voice, self.name, reading.seq, reading.ts, reading.value)
        value = repr(reading.value).encode()
        return reading.series, b'{"ts":%d,"seq":%d,"value":%s}' % (
            reading.ts // 1_000_000,
            reading.seq,
            value,
        )

    def _publish(self, packet_id: int, reading: Published, *, dup: bool) -> None:
        reading.sent += 1
        if self.habits.qos:
            self._order.append(packet_id)
        self._port.published(self, reading)
        words, payload = self._words(reading)
        topic = words.encode()
        number = packet_id.to_bytes(2) if self.habits.qos else b""
        body = len(topic).to_bytes(2) + topic + number + payload
        head = bytearray((0x30 | self.habits.qos << 1 | 0x08 * dup,))
        length = len(body)
        while True:
            byte, length = length & 0x7F, length >> 7
            head.append(byte | 0x80 * (length > 0))
            if not length:
                break
        self._port.transmit(self, bytes(head) + body)
