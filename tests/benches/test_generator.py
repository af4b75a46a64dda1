"""The load generator, against its own echo server and against a broker that misbehaves."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from benches import generator
from benches.servers import free_port


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    try:
        generator.program()
    except generator.NoCompiler as problem:
        pytest.skip(str(problem))
    port = free_port()
    process = generator.started("echo", port)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.01)
    yield port
    process.terminate()
    process.communicate()


def test_every_publish_is_acknowledged_and_counted(echo: int) -> None:
    found = generator.load(echo, connections=5, window=20, total=2000, seconds=20, warmup=0)
    assert found["total_sent"] == found["total_acked"] == found["acks"] == 2000
    assert found["failed"] == 0
    assert 40 <= found["total_payload_bytes"] / 2000 <= 60
    assert 0 < found["latency_us"]["p50"] <= found["latency_us"]["p99"] <= found["latency_us"]["max"]  # type: ignore[index]


def test_bursts_are_whole_groups_and_several_readings_ride_in_one_publish(echo: int) -> None:
    found = generator.load(
        echo, connections=4, window=100, burst=40, readings=10, total=400, seconds=20, warmup=0
    )
    assert found["bursts"] == 10
    assert found["total_acked"] == 400
    assert 400 <= found["total_payload_bytes"] / 400 <= 600


def test_a_paced_load_keeps_its_pace(echo: int) -> None:
    found = generator.load(echo, connections=2, window=100, rate=500, seconds=1.0, warmup=0)
    assert 350 <= found["total_sent"] <= 510


def test_a_long_load_reports_as_it_goes_and_its_reports_sum_up(echo: int) -> None:
    options = {"port": echo, "connections": 3, "window": 50, "rate": 600, "seconds": 1.0, "warmup": 0}
    done = subprocess.run(
        generator.arguments("load", options | {"report": 0.2}), capture_output=True, check=True, text=True
    )
    *reports, found = map(json.loads, done.stdout.splitlines())
    assert len(reports) >= 3
    assert [one["acked"] for one in reports] == sorted(one["acked"] for one in reports)
    assert all(0 < one["p50_us"] <= one["p99_us"] <= one["max_us"] for one in reports)
    assert found["latency_us"]["max"] >= max(one["max_us"] for one in reports) - 0.1
    assert sum(found["acked_by_connection"]) == found["total_acked"] == found["acks"]


def test_a_probe_is_matched_with_the_value_that_comes_back(echo: int) -> None:
    found = generator.probe(echo, rate=100, seconds=0.5, warmup=0.1, subscribe="actuate")
    assert found["probes"] == found["answered"] > 20


def test_idle_time_is_reported_so_that_a_bottleneck_is_seen(echo: int) -> None:
    slow = generator.load(echo, connections=1, window=1, rate=20, seconds=0.5, warmup=0)
    assert slow["idle_share"] > 0.5


def refusing(answer: bytes) -> tuple[int, threading.Thread]:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server:
            one, _ = server.accept()
            with one:
                one.recv(1000)
                one.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return server.getsockname()[1], thread


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x05", b""])
def test_a_refused_connection_is_an_error_and_not_a_slow_server(answer: bytes, echo: int) -> None:
    port, thread = refusing(answer)
    done = subprocess.run(
        generator.arguments("load", {"port": port, "connections": 1}), capture_output=True, check=False
    )
    thread.join()
    assert done.returncode == 1
    assert b"only 0 of 1 connections" in done.stderr


def test_wrong_options_are_refused(echo: int) -> None:
    done = subprocess.run(
        generator.arguments("load", {"port": 1, "window": 0}), capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"usage" in done.stderr


def test_without_a_compiler_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(generator.shutil, "which", lambda name: None)
    with pytest.raises(generator.NoCompiler, match="apt install gcc"):
        generator.program()
