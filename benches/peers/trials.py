"""The three trials that every system is put through."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from benches import generator
from benches.peers.nats_leaf import NatsLeaf
from benches.peers.system import Arrival, System

DEVICES = Path(__file__).with_name("devices.py")
CLIENTS = 20
RATE = 50.0
"""Readings a second and client in the trial of losses."""
WINDOW = 20
CUT_S, KILL_S, RESTORE_S, END_S = 2.0, 4.0, 6.0, 7.0
KILL_LATER_S = 0.37
"""Not a divisor of anyone's saving interval."""
QUIET_S = 3.0
"""Nothing new arrives for so long: it is drained, or lost."""
LONG_QUIET_S = 30.0
"""The same before anything has arrived: some redial after a long pause only."""
WAIT_MAX_S = 60.0


class Losing(msgspec.Struct):
    """What became of acknowledged readings when the uplink was cut and the edge killed in the outage."""

    acked: int
    lost: int
    doubled: int
    disordered: int
    overtaken: int
    first_arrival_s: float | None
    drained_s: float | None


class Taking(msgspec.Struct):
    """Acknowledgements at 100 connections."""

    acks_per_s_window20: float
    acks_per_s_window1: float
    ack_p50_ms: float
    ack_p99_ms: float


class Carrying(msgspec.Struct):
    """What a reading costs while the uplink is up, every reading kept."""

    readings: int
    cpu_s_per_1000: float
    uplink_bytes_per_reading: float
    written_bytes_per_reading: float
    pss_peak_mb: float


def losing(system: System, repeat: int) -> Losing:
    """Cut, kill in the middle of the outage, restore, count; each repeat kills a little later."""
    plan = system.directory / "plan.json"
    plan.write_text(json.dumps({"clients": CLIENTS, "rate": RATE, "window": WINDOW, "seconds": END_S}))
    command = [sys.executable, "-P", str(DEVICES), str(system.client_port), str(plan)]
    if isinstance(system, NatsLeaf):
        command = system.load_command(plan)
    clients = subprocess.Popen(command, stdout=subprocess.PIPE)
    printed: list[bytes] = []
    reader = threading.Thread(target=lambda: printed.append(clients.communicate()[0]))
    reader.start()
    begun = time.monotonic()
    _until(begun + CUT_S)
    system.wire.cut()
    _until(begun + KILL_S + KILL_LATER_S * repeat)
    system.kill_edge()
    before = len(system.arrived())
    _until(begun + RESTORE_S)
    restored = time.monotonic()
    system.wire.restore()
    first: float | None = None
    seen, since = before, time.monotonic()
    arrivals: list[Arrival] = []
    while time.monotonic() < restored + WAIT_MAX_S:
        arrivals = system.arrived()
        now = time.monotonic()
        if len(arrivals) > seen:
            first = first if first is not None else now - restored
            seen, since = len(arrivals), now
        if not reader.is_alive() and now - since > (QUIET_S if first is not None else LONG_QUIET_S):
            break
        time.sleep(0.05)
    reader.join(60)
    clients.kill()
    if not printed:
        raise RuntimeError("the clients did not end")
    acked = {(topic, number) for topic, number in json.loads(printed[0])}
    counts = Counter((topic, number) for topic, number, _ in arrivals)
    return Losing(
        acked=len(acked),
        lost=len(acked - set(counts)),
        doubled=sum(count - 1 for count in counts.values()),
        disordered=disordered([(topic + lane, number) for topic, number, lane in arrivals]),
        overtaken=disordered([(topic, number) for topic, number, _ in arrivals]),
        first_arrival_s=None if first is None else round(first, 2),
        drained_s=round(since - restored, 2),
    )


def disordered(arrivals: list[tuple[str, int]]) -> int:
    """Readings that came for the first time after a later one of their topic (or topic and lane)."""
    newest: dict[str, int] = {}
    known: set[tuple[str, int]] = set()
    count = 0
    for topic, number in arrivals:
        if (topic, number) in known:
            continue
        known.add((topic, number))
        if number < newest.get(topic, 0):
            count += 1
        else:
            newest[topic] = number
    return count


def taking(system: System, seconds: float) -> Taking:
    """A hundred connections, twenty and one in flight each."""
    many = generator.load(system.port, connections=100, window=20, seconds=seconds, warmup=1.0, value="jump")
    one = generator.load(system.port, connections=100, window=1, seconds=seconds, warmup=0.5, value="jump")
    latency: Any = one["latency_us"]
    return Taking(many["acks_per_s"], one["acks_per_s"], latency["p50"] / 1000, latency["p99"] / 1000)


def carrying(system: System, readings: int, seconds: float) -> Carrying:
    """As much as it takes, with the uplink up, until all of it is north."""
    edge, proxy = system.edge, system.wire.proxy
    cpu_s, written, sent = edge.cpu_s(), edge.write_bytes(), proxy.bytes_north
    peak = edge.pss_mb()
    load = generator.started(
        "load",
        system.port,
        connections=20,
        window=100,
        total=readings,
        seconds=seconds,
        warmup=0,
        value="jump",
    )
    while load.poll() is None:
        time.sleep(0.2)
        peak = max(peak, edge.pss_mb())
    acked = int(generator.finished(load)["total_acked"])
    quiet, last = time.monotonic(), proxy.bytes_north
    until = quiet + WAIT_MAX_S
    while time.monotonic() < until and (time.monotonic() - quiet < QUIET_S or not system.settled()):
        time.sleep(0.1)
        if proxy.bytes_north > last + 1000:
            quiet, last = time.monotonic(), proxy.bytes_north
    return Carrying(
        readings=acked,
        cpu_s_per_1000=(edge.cpu_s() - cpu_s) / acked * 1000,
        uplink_bytes_per_reading=(proxy.bytes_north - sent) / acked,
        written_bytes_per_reading=(edge.write_bytes() - written) / acked,
        pss_peak_mb=peak,
    )


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
