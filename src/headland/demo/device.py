"""The devices of the demo: real clients in a process of their own.

Every client measures its signals at its own pace, with device time and sequence in the payload, writes each
step to its acknowledgement log, and holds a bounded number of unanswered readings, like a device with little
memory: at the bound it measures nothing until answers come. It never sends a newer reading before one that it
sends again. MQTT clients are Eclipse Paho's, at QoS 1 with a session that survives a reconnect; the pusher is
the standard library's HTTP client with an idempotency key a request.

Run as `python -m headland.demo.device PLAN.json`. SIGTERM or SIGINT ends the measuring; the process then
waits up to `settle_s` for what is unanswered and exits with 0, or 1 when something stayed unanswered.
"""

from __future__ import annotations

import heapq
import http.client
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from headland.demo.acklog import AckedLine, AckLog, LoggedReading, PublishedLine, ResentLine
from headland.demo.signals import Sample, Signal, signals_of

UNANSWERED_MAX = 500
REDIAL_S = 0.2
PAHO_REDIAL_S = 1
PUSH_PATH = "/v1/readings?precision=ns"
HTTP_TIMEOUT_S = 10.0


class ClientPlan(msgspec.Struct, frozen=True):
    """One client.

    Attributes:
        name: Client identifier, and the first word of its series.
        kind: Protocol.
        port: Where its node (or the proxy before it) listens on 127.0.0.1.
        origin: The node's `site/name`.
        log: Its acknowledgement log.
        signals: Names of its signals.
        rate: Publishes a second over all its signals.
        window: Publishes in flight at once (MQTT).
        group: Readings of one request (HTTP).
        with_time: Whether the device has a clock.
        with_sequence: Whether it numbers its readings.
    """

    name: str
    kind: Literal["mqtt5", "mqtt311", "http"]
    port: int
    origin: str
    log: str
    signals: list[str]
    rate: float
    window: int = 20
    group: int = 10
    with_time: bool = True
    with_sequence: bool = True


class DevicesPlan(msgspec.Struct, frozen=True):
    """What one process of devices does.

    Attributes:
        clients: Its clients.
        seed: Of the physical model.
        data: Folder of recorded data to replay instead, or "".
        settle_s: How long unanswered publishes are waited for at the end.
    """

    clients: list[ClientPlan]
    seed: int = 1
    data: str = ""
    settle_s: float = 20.0


class Client(Protocol):
    """What the pacing loop knows of a client."""

    plan: ClientPlan

    @property
    def unanswered(self) -> int:
        """Publishes without an acknowledgement."""
        ...

    def measure(self) -> None:
        """Take the next sample and publish it."""
        ...

    def pump(self) -> None:
        """Send what has been measured, as far as the window allows."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...


class _Recorder:
    """Numbers publishes and writes them down. Guarded by one lock: Paho answers from a thread of its own."""

    def __init__(self, plan: ClientPlan) -> None:
        self.plan = plan
        self.lock = threading.RLock()
        self._log = AckLog(Path(plan.log))
        self._next = 0

    def published(self, samples: list[tuple[Sample, int, int]], payload_bytes: int) -> int:
        """Write down a publish that is about to leave; its number."""
        plan = self.plan
        readings = [
            LoggedReading(
                sample.series,
                sample.value,
                at_ns if plan.with_time else None,
                sequence if plan.with_sequence else None,
                sample.severity,
            )
            for sample, at_ns, sequence in samples
        ]
        with self.lock:
            self._next += 1
            self._log.write(
                PublishedLine(plan.name, self._next, time.time_ns(), plan.origin, payload_bytes, readings)
            )
            return self._next

    def acked(self, publish: int) -> None:
        """Write down an acknowledgement."""
        self._log.write(AckedLine(publish, time.time_ns()))

    def resent(self, publish: int) -> None:
        """Write down that a publish leaves once more."""
        self._log.write(ResentLine(publish, time.time_ns()))

    def close(self) -> None:
        """Close the log."""
        self._log.close()


class _Clock:
    """Device time of one client, strictly ascending: no series has two readings of one moment."""

    def __init__(self) -> None:
        self._last = 0

    def read(self) -> int:
        """Ns UTC."""
        self._last = max(time.time_ns(), self._last + 1)
        return self._last


class _Samples:
    """Takes turns over a client's signals and numbers each series."""

    def __init__(self, plan: ClientPlan, signals: list[Signal]) -> None:
        self._turns: Iterator[Signal] = _forever(signals)
        self._clock = _Clock()
        self._sequences: dict[str, int] = {}
        self._plan = plan

    def take(self) -> tuple[Sample, int, int]:
        """The next sample, with its device time and sequence."""
        sample = next(next(self._turns))
        sequence = self._sequences.get(sample.series, -1) + 1
        self._sequences[sample.series] = sequence
        return sample, self._clock.read(), sequence

    def document(self, taken: tuple[Sample, int, int]) -> dict[str, object]:
        """The payload of one reading: time `t` in ns, sequence `s`, value `v`."""
        sample, at_ns, sequence = taken
        parts: dict[str, object] = {}
        if self._plan.with_time:
            parts["t"] = at_ns
        if self._plan.with_sequence:
            parts["s"] = sequence
        parts["v"] = sample.value
        return parts


def _forever(signals: list[Signal]) -> Iterator[Signal]:
    while True:
        yield from signals


class MqttDevice:
    """An Eclipse Paho client at QoS 1; Paho sends what is unanswered again after a reconnect, DUP set."""

    def __init__(self, plan: ClientPlan, signals: list[Signal]) -> None:
        # Only this class needs Paho, and only the demo installs it.
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.plan = plan
        self._samples = _Samples(plan, signals)
        self._recorder = _Recorder(plan)
        self._backlog: deque[tuple[int, str, bytes]] = deque()
        self._waiting: dict[int, int] = {}
        self._early: set[int] = set()
        self._ready = False
        self._connected_before = False
        modern = plan.kind == "mqtt5"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=plan.name,
            protocol=paho.MQTTv5 if modern else paho.MQTTv311,
            clean_session=None if modern else False,
        )
        self._client.max_inflight_messages_set(plan.window)
        self._client.reconnect_delay_set(PAHO_REDIAL_S, PAHO_REDIAL_S)
        self._client.on_publish = self._on_publish
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        if modern:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 3600
            self._client.connect_async(
                "127.0.0.1", plan.port, keepalive=30, clean_start=False, properties=properties
            )
        else:
            self._client.connect_async("127.0.0.1", plan.port, keepalive=30)
        self._client.loop_start()

    @property
    def unanswered(self) -> int:
        """Publishes without a PUBACK, sent or not."""
        with self._recorder.lock:
            return len(self._waiting) + len(self._backlog)

    def measure(self) -> None:
        """Take the next sample and send what the window allows."""
        taken = self._samples.take()
        payload = msgspec.json.encode(self._samples.document(taken))
        publish = self._recorder.published([taken], len(payload))
        with self._recorder.lock:
            self._backlog.append((publish, f"demo/{taken[0].series}", payload))
        self.pump()

    def pump(self) -> None:
        """Hand publishes to Paho, oldest first, while it is connected and the window has room."""
        while True:
            with self._recorder.lock:
                if not self._ready or not self._backlog or len(self._waiting) >= self.plan.window:
                    return
                publish, topic, payload = self._backlog.popleft()
            # Not under our lock: Paho holds its own while it calls `_on_publish`. Answers may be early.
            packet = self._client.publish(topic, payload, qos=1).mid
            with self._recorder.lock:
                if packet in self._early:
                    self._early.remove(packet)
                    self._recorder.acked(publish)
                else:
                    self._waiting[packet] = publish

    def close(self) -> None:
        """Disconnect and close the log."""
        self._client.disconnect()
        self._client.loop_stop()
        self._recorder.close()

    def _on_publish(self, _client: object, _data: object, packet: int, *_more: object) -> None:
        with self._recorder.lock:
            publish = self._waiting.pop(packet, None)
            if publish is None:
                self._early.add(packet)
            else:
                self._recorder.acked(publish)
            self._ready = True

    def _on_connect(self, *_arguments: object) -> None:
        """Paho sends what is unanswered again after this; nothing newer may go before the first answer."""
        with self._recorder.lock:
            if self._connected_before:
                for publish in sorted(self._waiting.values()):
                    self._recorder.resent(publish)
            self._connected_before = True
            self._ready = not self._waiting

    def _on_disconnect(self, *_arguments: object) -> None:
        with self._recorder.lock:
            self._ready = False


class HttpDevice:
    """Pushes groups of readings; a request without an answer is repeated with the same idempotency key."""

    def __init__(self, plan: ClientPlan, signals: list[Signal]) -> None:
        self.plan = plan
        self._samples = _Samples(plan, signals)
        self._recorder = _Recorder(plan)
        self._queue: list[tuple[int, bytes]] = []
        self._changed = threading.Condition(self._recorder.lock)
        self._closing = False
        self._group: list[tuple[Sample, int, int]] = []
        self._thread = threading.Thread(target=self._push, name=plan.name, daemon=True)
        self._thread.start()

    @property
    def unanswered(self) -> int:
        """Requests without an answer."""
        with self._recorder.lock:
            return len(self._queue)

    def measure(self) -> None:
        """Add the next sample to the group; a full group is a request."""
        self._group.append(self._samples.take())
        if len(self._group) < self.plan.group:
            return
        group, self._group = self._group, []
        body = msgspec.json.encode([self._document(taken) for taken in group])
        publish = self._recorder.published(group, len(body))
        with self._changed:
            self._queue.append((publish, body))
            self._changed.notify()

    def _document(self, taken: tuple[Sample, int, int]) -> dict[str, object]:
        parts: dict[str, object] = {"series": taken[0].series, "value": taken[0].value}
        if self.plan.with_time:
            parts["ts"] = taken[1]
        if self.plan.with_sequence:
            parts["seq"] = taken[2]
        return parts

    def pump(self) -> None:
        """A thread of its own does it."""

    def close(self) -> None:
        """Stop pushing and close the log."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(HTTP_TIMEOUT_S)
        self._recorder.close()

    def _push(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.plan.port, timeout=HTTP_TIMEOUT_S)
        repeated = False
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if self._closing:
                    break
                publish, body = self._queue[0]
                if repeated:
                    self._recorder.resent(publish)
            pause_s = self._request(connection, publish, body)
            with self._changed:
                repeated = pause_s is not None
                if pause_s is None:
                    self._recorder.acked(publish)
                    self._queue.pop(0)
                else:
                    self._changed.wait(pause_s)
        connection.close()

    def _request(self, connection: http.client.HTTPConnection, publish: int, body: bytes) -> float | None:
        """None when the node has committed it; otherwise the wait before the next attempt, seconds."""
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self.plan.name}-{publish}",
        }
        try:
            connection.request("POST", PUSH_PATH, body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return REDIAL_S
        if answer.status in (200, 202, 204):
            return None
        if answer.status == 503:
            return float(answer.headers.get("Retry-After", REDIAL_S))
        raise RuntimeError(f"the node answered {answer.status} to a well-formed push")


def run(plan: DevicesPlan, stopping: Callable[[], bool]) -> bool:
    """Measure until `stopping`, then wait for answers; whether all came."""
    clients: list[Client] = []
    for one in plan.clients:
        signals = signals_of(one.name, one.signals, plan.seed, Path(plan.data) if plan.data else None)
        clients.append(HttpDevice(one, signals) if one.kind == "http" else MqttDevice(one, signals))
    try:
        _pace(clients, stopping)
        until = time.monotonic() + plan.settle_s
        while any(client.unanswered for client in clients) and time.monotonic() < until:
            for client in clients:
                client.pump()
            time.sleep(0.02)
        return not any(client.unanswered for client in clients)
    finally:
        for client in clients:
            client.close()


def _pace(clients: list[Client], stopping: Callable[[], bool]) -> None:
    """Let each client measure at its rate; one that is full skips its turn."""
    began = time.monotonic()
    due = [
        (began + 1 / client.plan.rate * index / len(clients), index) for index, client in enumerate(clients)
    ]
    heapq.heapify(due)
    while not stopping():
        at, index = due[0]
        wait_s = at - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, 0.05))
            continue
        client = clients[index]
        if client.unanswered < UNANSWERED_MAX:
            client.measure()
        # After a stop of the whole process the missed turns are not made up for.
        heapq.heapreplace(due, (max(at + 1 / client.plan.rate, time.monotonic() - 1.0), index))


def main(arguments: list[str]) -> int:
    """Entry point: the only argument is a file with a `DevicesPlan`."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    plan = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=DevicesPlan)
    return 0 if run(plan, stop.is_set) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
