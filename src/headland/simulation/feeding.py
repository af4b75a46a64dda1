"""Readings that come by other ways than MQTT: an HTTP client that pushes, a source of the node itself.

Neither crosses a simulated network: a request reaches the node when it is made, and its answer is lost with
the process. The client says everything again until it is answered, under the same idempotency key; the
source begins behind the position that the journal holds, as one that reads a file does.
"""

from __future__ import annotations

import gzip
from random import Random

import msgspec

from headland.node import events as ev
from headland.simulation.device import Published
from headland.simulation.voices import CLOUDEVENTS, INFLUX
from headland.simulation.world import START_WALL_NS, Host, World
from headland.sources.contract import SourceBatch
from headland.vocabulary import NO_TIME, SeriesKey

PATIENCE_NS = 3_000_000_000
JSON = {"content-type": "application/json"}
GZIP = {**JSON, "content-encoding": "gzip"}
NDJSON = {"content-type": "application/x-ndjson"}
EVENT = {"content-type": "application/cloudevents+json"}
BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/p", "ce-type": "temp"}
Request = tuple[str, str, dict[str, str], bytes]

ODD: tuple[Request, ...] = (
    ("GET", "/ping", {}, b""),
    ("GET", "/v1/readings", {}, b""),
    ("POST", "/nowhere", {}, b"1"),
    ("POST", "/v1/readings", JSON, b"{"),
    ("POST", "/v1/readings", JSON, b"[]"),
    ("POST", "/v1/readings", JSON, b'[{"series":"push/list","value":1},{"series":"push/list","value":"x"}]'),
    ("POST", "/v1/readings", JSON, b'{"series":"","value":1}'),
    (
        "POST",
        "/v1/readings",
        NDJSON,
        b'{"series":"push/lines","value":1}\n',
    ),
    (
        "POST",
        "/v1/readings",
        GZIP,
        gzip.compress(b'{"series":"push/z","value":1}'),
    ),
    ("POST", "/v1/readings", GZIP, b"not gzip"),
    ("POST", "/v1/readings", {**JSON, "content-encoding": "brotli"}, b"{}"),
    ("POST", "/v1/readings", {**JSON, "idempotency-key": "\n"}, b'{"series":"push/k","value":1}'),
    ("POST", "/v1/readings", {**JSON, "idempotency-key": "one"}, b'{"series":"push/k","value":1}'),
    ("POST", "/v1/readings", {**JSON, "idempotency-key": "one"}, b'{"series":"push/k","value":2}'),
    ("POST", "/v1/influx?precision=ms", {}, INFLUX[2][1] % {b"v": 1.5}),
    ("POST", "/v1/influx?precision=fortnight", {}, b"cpu value=1"),
    ("POST", "/api/v2/write", {}, b"cpu,host=a value=1"),
    (
        "POST",
        "/v1/cloudevents",
        EVENT,
        CLOUDEVENTS[3][1] % {b"n": 1},
    ),
    ("POST", "/v1/cloudevents", {**JSON, **BINARY}, b'{"value":2.5}'),
    ("POST", "/v1/cloudevents", {**BINARY, "content-type": "text/plain"}, b"2.5"),
    ("POST", "/v1/cloudevents", {**BINARY, "content-type": "application/octet-stream"}, b"\x00\x01"),
    ("POST", "/v1/cloudevents", {**BINARY, "ce-specversion": "9"}, b""),
    ("POST", "/v1/cloudevents", BINARY, b""),
    ("POST", "/v1/topics/push/topic", {}, b"21.5"),
    ("POST", "/v1/topics/state/door", {}, b"ON"),
    ("POST", "/v1/topics/push/topic", {}, b"\xff\xff"),
)


class Pusher:
    """An HTTP client: one request at a time, its own readings among odd requests of every kind."""

    def __init__(self, world: World, host: Host, name: str, interval_ns: int, limit: int) -> None:
        self._world = world
        self._host = host
        self._every_ns = interval_ns
        self._asked: tuple[int, int, int] | None = None
        self._reading: Published | None = None
        self._odd = 0
        self._pushed = 0
        self._limit = limit
        self.name = name

    @property
    def done(self) -> bool:
        """Whether everything is pushed and answered."""
        return self._pushed >= self._limit and self._reading is None

    def start(self) -> None:
        """Begin."""
        self._world.after(self._every_ns, self.tick)

    def tick(self) -> None:
        """See what was answered; push the next, or the last again."""
        world, host = self._world, self._host
        if self._asked is not None:
            token, life, since = self._asked
            status, _ = host.answers.pop(token, (0, b""))
            if status in (200, 204) and self._reading is not None:
                self._reading.acked = True
                world.observer.acknowledged(host, self.name, self._reading)
                self._reading, self._asked = None, None
            elif status or life != host.life or world.now_ns - since > PATIENCE_NS:
                self._asked = None
        if self._asked is None and host.up and not self.done:
            self._push()
        if not self.done:
            world.after(self._every_ns, self.tick)

    def _push(self) -> None:
        world, host = self._world, self._host
        if self._reading is None:
            host.push(self.name, *ODD[self._odd % len(ODD)])
            self._odd += 1
            wall_ns = START_WALL_NS + world.now_ns
            value = round(world.rng.gauss(20, 5), 3)
            self._reading = Published(f"{self.name}/s0", wall_ns, self._pushed, value)
            self._pushed += 1
        reading = self._reading
        world.observer.published(host, self.name, reading)
        ms = reading.ts // 1_000_000
        body = {"series": reading.series, "ts": ms, "seq": reading.seq, "value": reading.value}
        headers = {**JSON, "idempotency-key": f"{self.name}-{reading.seq}"}
        path = "/v1/readings?precision=ms"
        token = host.push(self.name, "POST", path, headers, msgspec.json.encode(body))
        self._asked = token, host.life, world.now_ns


class Tailer:
    """A source of the node itself with positions: after a crash it begins where the journal says."""

    def __init__(self, world: World, host: Host, name: str, interval_ns: int, limit: int) -> None:
        self._world = world
        self._host = host
        self._every_ns = interval_ns
        self._limit = limit
        self._life = -1
        self._next = 0
        self.name = name

    @property
    def done(self) -> bool:
        """Whether everything was brought."""
        return self._next >= self._limit

    def start(self) -> None:
        """Begin."""
        self._world.after(self._every_ns, self.tick)

    def tick(self) -> None:
        """Bring what is there."""
        host = self._host
        if host.node is not None and not host.node.full and not host.node.crowded:
            if host.life != self._life:
                self._life = host.life
                self._next = int(host.node.parts.positions.get(self.name, b"0"))
            if self._next < self._limit:
                host.feed(ev.Offered(self.name, self._brought()))
        self._world.after(self._every_ns, self.tick)

    def _brought(self) -> SourceBatch:
        """Some lines: numbers, texts, times that are none, whole numbers that are too large."""
        number, chance = self._next, Random(self._next)
        names = [SeriesKey(f"{self.name}/{i}", (("unit", "s"),)) for i in range(3)]
        batch = SourceBatch(names)
        wall_ns = START_WALL_NS + self._world.now_ns
        batch.add(0, wall_ns, chance.gauss(20, 5), 8)
        batch.add(1, NO_TIME if number % 3 else 1 << 70, f"line {number}", 12)
        batch.add(2, wall_ns, (number, 1 << 70, -(1 << 2000), True)[number % 4], 8)
        self._next += 1
        return msgspec.structs.replace(batch, position=str(self._next).encode())
