"""What every system is put through: losing, taking, carrying; `draining` is in a module of its own."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter

import msgspec

from benches import generator
from benches.peers.system import Arrival, System
from benches.servers import Server

CLIENTS = 20
RATE = 50.0
"""Readings a second and client in the trial of losses."""
WINDOW = 20
CUT_S, KILL_S, RESTORE_S, END_S = 1.5, 3.0, 4.5, 6.5
KILL_LATER_S = 0.37
"""Not a divisor of anyone's saving interval."""
QUIET_S = 3.0
"""Nothing new arrives for so long: it is drained, or lost."""
LONG_QUIET_S = 30.0
"""The same before anything has arrived: some redial after a long pause only."""
WAIT_MAX_S = 60.0


class Sizes(msgspec.Struct, frozen=True):
    """How much of everything.

    Attributes:
        seconds: Length of one throughput run.
        carry_s: At most, of the trial of costs.
        carry_share: Of the readings that a system can carry in it.
        backlog: Readings that wait when the uplink comes back.
        fill_s: Time that a system is given to take them.
        call_s: Time that it is given to call again once the uplink is back.
        drain_s: And to drain them from then on.
        idle_s: Live readings beside nothing.
    """

    seconds: float = 2.0
    carry_s: float = 6.0
    carry_share: float = 1.0
    backlog: int = 200_000
    fill_s: float = 7.0
    call_s: float = 25.0
    drain_s: float = 8.0
    idle_s: float = 3.0


QUICK = Sizes(seconds=1.0, carry_s=3.0, carry_share=0.3, fill_s=5.0, drain_s=5.0, idle_s=2.0)


class Losing(msgspec.Struct):
    """What became of acknowledged readings when the uplink was cut and the edge killed in the outage."""

    acked: int
    lost: int
    doubled: int
    disordered: int
    overtaken: int
    first_arrival_s: float | None
    drained_s: float | None
    paced_written_bytes_per_reading: float


class Taking(msgspec.Struct):
    """Acknowledgements: 100 connections with 20 and with one in flight, and one connection with one."""

    acks_per_s_window20: float
    acks_per_s_window1: float
    ack_p50_ms: float
    ack_p99_ms: float
    acks_per_s_best: float
    acks_per_s_alone: float
    alone_p99_ms: float


class Carrying(msgspec.Struct):
    """What a reading costs while the uplink is up, every reading kept."""

    readings: int
    cpu_s_per_1000: float
    uplink_bytes_per_reading: float
    written_bytes_per_reading: float
    pss_peak_mb: float
    remarks: list[str]


def losing(system: System, repeat: int) -> Losing:
    """Cut, kill in the middle of the outage, restore, count; each repeat kills a little later."""
    plan = system.directory / "plan.json"
    asked = {"clients": CLIENTS, "rate": RATE, "window": WINDOW, "seconds": END_S, "stamp": system.stamp}
    plan.write_text(json.dumps(asked))
    system.watch("bench")
    clients = subprocess.Popen(system.clients(plan), stdout=subprocess.PIPE)
    printed: list[bytes] = []
    reader = threading.Thread(target=lambda: printed.append(clients.communicate()[0]))
    reader.start()
    begun, written = time.monotonic(), system.edge.write_bytes()
    _until(begun + CUT_S)
    system.wire.cut()
    _until(begun + KILL_S + KILL_LATER_S * (repeat % 4))
    written = system.edge.write_bytes() - written
    system.kill_edge()
    _until(begun + RESTORE_S)
    seen = system.kept()
    since = restored = time.monotonic()
    system.wire.restore()
    first: float | None = None
    while time.monotonic() < restored + WAIT_MAX_S:
        now, kept = time.monotonic(), system.kept()
        if kept > seen:
            first = first if first is not None else now - restored
            seen, since = kept, now
        if not reader.is_alive() and now - since > (QUIET_S if first is not None else LONG_QUIET_S):
            break
        time.sleep(0.05)
    reader.join(60)
    clients.kill()
    if not printed:
        raise RuntimeError("the clients did not end")
    acked = {(topic, number) for topic, number in json.loads(printed[0])}
    written += system.edge.write_bytes()
    return counted(acked, system.arrived(), first, since - restored, written)


def counted(
    acked: set[tuple[str, int]],
    arrivals: list[Arrival],
    first_s: float | None,
    drained_s: float,
    written_bytes: int,
) -> Losing:
    """Compare what clients were told with what is north."""
    counts = Counter((one.topic, one.number) for one in arrivals)
    return Losing(
        acked=len(acked),
        lost=len(acked - set(counts)),
        doubled=sum(count - 1 for count in counts.values()),
        disordered=disordered([(one.topic + one.lane, one.number) for one in arrivals]),
        overtaken=disordered([(one.topic, one.number) for one in arrivals]),
        first_arrival_s=None if first_s is None else round(first_s, 2),
        drained_s=round(drained_s, 2),
        paced_written_bytes_per_reading=written_bytes / max(len(acked), 1),
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


def taking(system: System, sizes: Sizes) -> Taking:
    """As many acknowledgements as it gives."""

    def run(connections: int, window: int, warmup: float) -> dict[str, float]:
        load = system.loading(
            connections=connections, window=window, seconds=sizes.seconds, warmup=warmup, value="jump"
        )
        began = time.monotonic()
        found = generator.finished(load)
        # Some answer in waves, of which none may fall into the measured time.
        whole = found["total_acked"] / (time.monotonic() - began)
        return found | {"acks_per_s": max(found["acks_per_s"], whole)}

    many, each, alone = run(100, 20, 1.0), run(100, 1, 0.3), run(1, 1, 0.1)
    return Taking(
        many["acks_per_s"],
        each["acks_per_s"],
        _latency_ms(each, "p50"),
        _latency_ms(each, "p99"),
        max(many["acks_per_s"], each["acks_per_s"]),
        alone["acks_per_s"],
        _latency_ms(alone, "p99"),
    )


def _latency_ms(found: dict[str, float], which: str) -> float:
    by_name: object = found["latency_us"]
    assert isinstance(by_name, dict)
    return float(by_name[which]) / 1000


def carrying(system: System, sizes: Sizes) -> Carrying:
    """As much as it takes, with the uplink up, until all of it is north; costs until the last arrival."""
    before, sent = system.kept(), system.wire.proxy.bytes_north
    spent, written = cpu_s(system.edge), system.edge.write_bytes()
    total = max(1000, int(system.bulk * sizes.carry_share))
    load = system.loading(
        connections=20, window=100, total=total, seconds=sizes.carry_s, warmup=0, value="jump"
    )
    costs, peak, last, since = spent, 0.0, before, time.monotonic()
    until = since + sizes.carry_s + WAIT_MAX_S
    while time.monotonic() < until:
        kept = system.kept()
        peak = max(peak, system.edge.pss_mb())
        if kept > last or load.poll() is None:
            last, since, costs = kept, time.monotonic(), cpu_s(system.edge)
        elif time.monotonic() - since > QUIET_S:
            break
        time.sleep(0.1)
    acked = int(generator.finished(load)["total_acked"])
    kept = min(acked, last - before)
    if kept < acked / 2:
        raise RuntimeError(f"of {acked:,} readings {kept:,} were carried in {WAIT_MAX_S:g} s")
    missing = [f"{acked - kept:,} of {acked:,} readings did not arrive"] if kept < acked else []
    return Carrying(
        readings=kept,
        cpu_s_per_1000=(costs - spent) / kept * 1000,
        uplink_bytes_per_reading=(system.wire.proxy.bytes_north - sent) / kept,
        written_bytes_per_reading=(system.edge.write_bytes() - written) / kept,
        pss_peak_mb=peak,
        remarks=missing,
    )


def cpu_s(server: Server) -> float:
    """Processor time of a process, ended threads included (clock_getcpuclockid, as Linux encodes it)."""
    return time.clock_gettime((~server.process.pid << 3) | 2)


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
