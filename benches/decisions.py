"""Decisions from outside: publish written to actuation received, minus an echo on the same socket path."""

from __future__ import annotations

import time

from benches import generator, tree
from benches.registry import Context, Row, row, say
from benches.servers import KEEP_ALL, free_port

ROWS = ("decisions_over_budget_share",)
BUDGET_MS = 10.0
PROBES_PER_S = 100.0
BACKLOG = 200_000
CONNECTIONS, WINDOW = 100, 20

THRESHOLDS = "".join(
    f'[[rule]]\nname = "limit-{n}"\nmatch = "bench/**"\n'
    f'when = {{ kind = "threshold", above = {5000 + n} }}\n\n'
    for n in range(39)
)
EXPRESSIONS = "".join(
    f'[[rule]]\nname = "free-{n}"\nmatch = "bench/c{n}"\n'
    f'when = {{ kind = "cel", expression = "value > {5000 + n}.0 && age_s < 60.0" }}\n\n'
    for n in range(10)
)
ACTUATION = (
    '[[rule]]\nname = "probe"\nmatch = "probe/**"\nwhen = { kind = "threshold", above = 1000 }\n'
    'act = [{ kind = "mqtt", target = "actuate", payload = "{value}" }]\n\n'
)


def measure(context: Context) -> list[Row]:
    """With and without real-time scheduling of the deciding thread; the first is the row."""
    with_fifo = _one(context, real_time=True)
    without = _one(context, real_time=False)
    how = (
        f"{with_fifo['answered']:.0f} decisions over {BUDGET_MS:g} ms after subtracting the echo's median "
        f"({with_fifo['echo_us']:.0f} us); share over 1 ms {with_fifo['over_1ms_share']:.4f}, "
        f"p50 {with_fifo['p50_ms']:.2f}, p99 {with_fifo['p99_ms']:.2f} ms; without real-time scheduling: "
        f"over 10 ms {without['over_10ms_share']:.4f}, over 1 ms {without['over_1ms_share']:.4f}; load: "
        f"{CONNECTIONS} connections with window {WINDOW} ({with_fifo['acks_per_s']:,.0f} acks/s), draining "
        f"{BACKLOG:,} readings, Zstandard, 50 rules of which 10 are CEL"
    )
    return [row("decisions_over_budget_share", with_fifo["over_10ms_share"], "share", how)]


def _one(context: Context, *, real_time: bool) -> dict[str, float]:
    rules = (
        f"{KEEP_ALL}\n[decide]\nreal_time = {str(real_time).lower()}\n\n{THRESHOLDS}{EXPRESSIONS}{ACTUATION}"
    )
    echo_port = free_port()
    seconds = max(context.seconds, 10.0)
    echo = generator.started("echo", echo_port)
    try:
        with tree.pair(context.work / f"decisions-{real_time}", rules) as (child, _, wire):
            wire.cut()
            generator.load(
                child.port,
                connections=20,
                window=500,
                total=BACKLOG,
                seconds=120,
                warmup=0,
                prefix="old",
                value="jump",
            )
            wire.restore()
            load = generator.started(
                "load",
                child.port,
                connections=CONNECTIONS,
                window=WINDOW,
                seconds=seconds + 1.0,
                warmup=1.0,
                value="jump",
            )
            time.sleep(1.0)
            probes = generator.started(
                "probe",
                child.port,
                rate=PROBES_PER_S,
                seconds=seconds,
                warmup=0.5,
                prefix="probe",
                subscribe="actuate",
                id_base=5000,
            )
            echoes = generator.started(
                "probe", echo_port, rate=PROBES_PER_S, seconds=seconds, warmup=0.5, subscribe="actuate"
            )
            found, echoed, loaded = (generator.finished(one) for one in (probes, echoes, load))
    finally:
        echo.terminate()
        echo.communicate()
    return _shares(found, echoed, loaded)


def _shares(found: dict, echoed: dict, loaded: dict) -> dict[str, float]:  # type: ignore[type-arg]
    """Shares over the budgets; a probe without an answer counts as over both."""
    echo_us = echoed["latency_us"]["p50"]
    missing = found["probes"] - found["answered"]
    over = {"1": 0, "10": 0}
    for low_us, count in found["histogram_us"]:
        for limit in over:
            over[limit] += count if low_us - echo_us > float(limit) * 1000 else 0
    shares = {
        "answered": found["answered"],
        "over_1ms_share": (over["1"] + missing) / found["probes"],
        "over_10ms_share": (over["10"] + missing) / found["probes"],
        "echo_us": echo_us,
        "p50_ms": (found["latency_us"]["p50"] - echo_us) / 1000,
        "p99_ms": (found["latency_us"]["p99"] - echo_us) / 1000,
        "acks_per_s": loaded["acks_per_s"],
    }
    say(f"{shares}")
    return shares
