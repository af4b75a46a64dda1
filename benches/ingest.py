"""Readings acknowledged a second, against mosquitto with persistence, with the same generator in one run."""

from __future__ import annotations

from benches import generator, servers
from benches.registry import Context, Row, median, row, say

ROWS = ("ingest_window20_vs_mosquitto", "ingest_window1_vs_mosquitto")
CONNECTIONS = 100
VARIANTS = {
    "every reading kept": (servers.KEEP_ALL, "jump"),
    "default filter": ("", "walk"),
}


def measure(context: Context) -> list[Row]:
    """Servers take turns, one generator run each; the ratio is that of the medians."""
    rates: dict[tuple[str, int], list[float]] = {}
    idle: list[float] = []
    kept: dict[str, float] = {}
    cpu: dict[tuple[str, int], list[float]] = {}
    with servers.mosquitto(context.work / "mosquitto") as reference:
        for repeat in range(context.repeats):
            for window in (20, 1):
                for name in ("mosquitto", *VARIANTS):
                    if name == "mosquitto":
                        found, used = _one(reference, window, context.seconds, "walk")
                    else:
                        more, value = VARIANTS[name]
                        folder = context.work / f"{name.replace(' ', '-')}-{window}-{repeat}"
                        with servers.headland(folder, more) as node:
                            found, used = _one(node, window, context.seconds, value)
                            kept[name] = node.share("kept")
                    rates.setdefault((name, window), []).append(found["acks_per_s"])
                    cpu.setdefault((name, window), []).append(used)
                    idle.append(found["idle_share"])
                    say(f"window {window}, {name}: {found['acks_per_s']:,.0f} acks/s, server cpu {used:.2f}")
    return [_row(window, rates, cpu, kept, min(idle), context) for window in (20, 1)]


def _one(server: servers.Server, window: int, seconds: float, value: str) -> tuple[dict[str, float], float]:
    before = server.cpu_s()
    found = generator.load(
        server.port, connections=CONNECTIONS, window=window, seconds=seconds, warmup=1.0, value=value
    )
    return found, (server.cpu_s() - before) / (seconds + 1.0)


def _row(
    window: int,
    rates: dict[tuple[str, int], list[float]],
    cpu: dict[tuple[str, int], list[float]],
    kept: dict[str, float],
    least_idle: float,
    context: Context,
) -> Row:
    reference = median(rates["mosquitto", window])
    ratios = {name: median(rates[name, window]) / reference for name in VARIANTS}
    worst = min(ratios, key=lambda name: ratios[name])
    figures = ", ".join(
        f"{name} {median(rates[name, window]):,.0f}/s (cpu {median(cpu[name, window]):.2f}"
        + (f", {kept[name]:.1%} kept)" if name in kept else ")")
        for name in ("mosquitto", *VARIANTS)
    )
    how = (
        f"{figures}; lower ratio of the two is {worst}; {CONNECTIONS} connections, {context.repeats} "
        f"interleaved runs of {context.seconds:g} s, medians; generator idle for at least {least_idle:.0%} "
        "of each run"
    )
    if window == 1:
        how += "; with one in flight each, a round trip waits for the commit gap and one fdatasync"
    return row(f"ingest_window{window}_vs_mosquitto", ratios[worst], "ratio", how)
