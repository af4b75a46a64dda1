"""Recorded rates and delays of mobile links, as waits of chunks.

Where recordings are at hand (`../shared/data` beside the checkout): `mahimahi` (cellular: one line for each
moment, ms, at which a packet of 1,500 bytes could leave), `starlink_autobahn` (measured Mbit/s, second by
second) and `cicv5g` (5G, measured delays in ms). Without them a made-up link of the same kind is used, and
its name says so.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path

from campaign.nodes import ROOT
from campaign.wire import Delay

DATA = ROOT.parent / "shared" / "data"
PACKET_BYTES = 1500
LINES_MAX = 200_000


def choose(chance: random.Random) -> tuple[str, Delay]:
    """A recording and where in it to begin, both by chance: its name, and the waits that it makes."""
    cellular = sorted((DATA / "mahimahi").glob("*.gz"))
    satellite, mobile = DATA / "starlink_autobahn/throughput.csv.gz", DATA / "cicv5g/delay.csv.gz"
    found: list[Path] = [*cellular, *(path for path in (satellite, mobile) if path.exists())]
    if not found:
        return "made up: 80 packets a second with pauses", paced(_made_up(chance))
    path = chance.choice(found)
    if path == satellite:
        return path.parent.name, paced(_from_rates(path, chance))
    if path == mobile:
        return path.parent.name, delayed(path, chance)
    return f"mahimahi {path.name.removesuffix('.gz')}", paced(_opportunities(path, chance))


def paced(moments_ms: Iterator[float]) -> Delay:
    """A link on which a packet leaves at each of these moments, counted from now; its queue is never full."""
    began = time.monotonic()
    left = 0
    free_s = 0.0

    def delay(size: int) -> float:
        nonlocal left, free_s
        now = time.monotonic() - began
        while left < size:
            at = next(moments_ms) / 1000
            if at >= now or left > 0:
                left += PACKET_BYTES
                free_s = max(free_s, at)
            else:
                left = 0
        left -= size
        return max(0.0, free_s - now)

    return delay


def delayed(path: Path, chance: random.Random) -> Delay:
    """A link on which each chunk takes half of the next recorded round trip."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = itertools.islice(csv.DictReader(file), LINES_MAX)
        delays = [float(row["delay_ms"]) for row in rows]
    turns = itertools.islice(itertools.cycle(delays), chance.randrange(len(delays)), None)
    return lambda _size: next(turns) / 2000


def _opportunities(path: Path, chance: random.Random) -> Iterator[float]:
    with gzip.open(path, "rt", encoding="ascii") as file:
        moments = [int(line) for line in itertools.islice(file, LINES_MAX)]
    return _from(moments, chance.randrange(len(moments)))


def _from(moments: list[int], start: int) -> Iterator[float]:
    """From somewhere on, again and again, counted from there."""
    offset = -float(moments[start])
    while True:
        for moment in moments[start:]:
            yield moment + offset
        offset += moments[-1] - (moments[0] if start == 0 else 0)
        start = 0


def _from_rates(path: Path, chance: random.Random) -> Iterator[float]:
    """Second by second; one of a hundred dishes' users gets this much."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rates = [float(row["upload_mbps"] or 0) / 100 for row in csv.DictReader(file)]
    at_ms, index = 0.0, chance.randrange(len(rates))
    while True:
        rate = rates[index % len(rates)]
        until_ms = at_ms + 1000
        step_ms = PACKET_BYTES * 8 / (rate * 1000) if rate > 0 else 1000.0
        while at_ms < until_ms:
            yield at_ms
            at_ms += step_ms
        index += 1


def _made_up(chance: random.Random) -> Iterator[float]:
    at_ms = 0.0
    while True:
        at_ms += 500.0 if chance.random() < 0.01 else chance.expovariate(1 / 12.5)
        yield at_ms
