"""The devices against real servers: mosquitto for MQTT, a small HTTP server for the pusher."""

from __future__ import annotations

import asyncio
import http.server
import itertools
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from headland.demo import device
from headland.demo.acklog import read_log
from headland.demo.device import ClientPlan, DevicesPlan
from headland.demo.proxies import ClientProxy
from headland.demo.signals import Sample

MOSQUITTO = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(series: str) -> Iterator[Sample]:
        yield from (Sample(series, float(n)) for n in itertools.count())

    def signals(client: str, names: list[str], seed: int, data: Path | None) -> list[Iterator[Sample]]:
        return [count(f"{client}/{name}") for name in names]

    monkeypatch.setattr(device, "signals_of", signals)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[int]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed, so there is no MQTT server to publish to")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n")
    with subprocess.Popen([MOSQUITTO, "-c", str(config)]) as process:
        until(lambda: accepts(port))
        yield port
        process.terminate()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def plan(tmp_path: Path, name: str, kind: str, port: int, **more: object) -> ClientPlan:
    return ClientPlan(
        name, kind, port, "demo/device-1", str(tmp_path / f"{name}.jsonl"), ["a", "b"], 200.0, **more
    )  # type: ignore[arg-type]


class ProxyThread:
    """A client proxy on an event loop in a thread of its own."""

    def __init__(self, target: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.proxy = ClientProxy(target)
        asyncio.run_coroutine_threadsafe(self.proxy.start(), self.loop).result(5)

    def call(self, what: Callable[[], None]) -> None:
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (what(), done.set()))
        assert done.wait(5)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.close(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


@pytest.mark.parametrize("kind", ["mqtt5", "mqtt311"])
def test_a_client_whose_answers_are_lost_sends_again_and_writes_down_each_step(
    kind: str, mosquitto: int, tmp_path: Path
) -> None:
    wire = ProxyThread(mosquitto)
    stop = threading.Event()
    one = plan(tmp_path, "press", kind, wire.proxy.port)
    answers: list[bool] = []
    runner = threading.Thread(target=lambda: answers.append(device.run(DevicesPlan([one]), stop.is_set)))
    runner.start()
    try:
        log = tmp_path / "press.jsonl"
        until(lambda: log.exists() and log.read_text().count('"acked"') > 20)
        wire.call(wire.proxy.hold_answers)
        until(lambda: len(wire.proxy.seen.withheld) >= 5)
        wire.call(wire.proxy.forget_held)
        until(lambda: wire.proxy.seen.resent_after_commit >= 5)
    finally:
        stop.set()
        runner.join(30)
        wire.close()
    publishes = read_log(log.read_text())
    assert answers == [True]
    assert all(publish.acked_ns is not None for publish in publishes)
    assert sum(publish.resends for publish in publishes) >= 5
    readings = [publish.readings[0] for publish in publishes]
    assert [reading.series for reading in readings[:4]] == ["press/a", "press/b", "press/a", "press/b"]
    assert [reading.seq for reading in readings[:4]] == [0, 0, 1, 1]
    times = [reading.ts for reading in readings if reading.ts is not None]
    assert len(times) == len(readings)
    assert times == sorted(set(times))


def test_a_device_without_clock_or_numbers_says_so(mosquitto: int, tmp_path: Path) -> None:
    one = plan(tmp_path, "plain", "mqtt311", mosquitto, with_time=False, with_sequence=False)
    log = tmp_path / "plain.jsonl"
    device.run(DevicesPlan([one]), lambda: log.read_text().count('"acked"') > 10)
    readings = [publish.readings[0] for publish in read_log(log.read_text())]
    assert {(reading.ts, reading.seq) for reading in readings} == {(None, None)}


class Pushed(http.server.BaseHTTPRequestHandler):
    """Refuses, hangs up and accepts in turn."""

    bodies: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        self.bodies.append((key, body))
        attempts = sum(1 for seen, _ in self.bodies if seen == key)
        if attempts == 1:
            self.close_connection = True
        else:
            self.send_response(503 if attempts == 2 else 200)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_push_is_repeated_with_its_key_and_body_until_it_is_accepted(tmp_path: Path) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pushed)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    log = tmp_path / "pusher.jsonl"
    one = plan(tmp_path, "pusher", "http", server.server_address[1], group=5)
    try:
        assert device.run(DevicesPlan([one]), lambda: log.read_text().count('"acked"') >= 3)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    bodies: dict[str, list[bytes]] = {}
    for key, body in Pushed.bodies:
        bodies.setdefault(key, []).append(body)
    assert all(len(same) == 3 and len(set(same)) == 1 for same in bodies.values())
    publishes = read_log(log.read_text())
    assert all(publish.acked_ns is not None and publish.resends == 2 for publish in publishes)
    assert [len(publish.readings) for publish in publishes] == [5] * len(publishes)
    sent = json.loads(bodies["pusher-1"][0])
    assert sent[0] == {"series": "pusher/a", "value": 0.0, "ts": publishes[0].readings[0].ts, "seq": 0}
