"""Lines of logs: their times, and their severities."""

from __future__ import annotations

import time

from fuzz.target import Target, hold
from headland.line.filtering.logformats import begins, continues, phrases
from headland.sources.recordings.log_times import LineClock

CPU_SECONDS_MAX = 0.5
"""Of one line of at most 4 KiB: an expression that runs wild takes minutes."""


def check(data: bytes) -> bytes:
    """Any line has a severity or none and a time or none, found in bounded time, alone as after others."""
    story = []
    clock = LineClock(2024)
    for line in data.decode("utf-8", "replace").split("\n"):
        before = time.process_time()
        at, severity, more, said = clock.at(line), begins(line), continues(line), phrases(line)
        took = time.process_time() - before
        hold(took < CPU_SECONDS_MAX, f"a line of {len(line)} characters took {took} s")
        hold(at is None or -(1 << 63) < at < 1 << 63, f"a time of {at}")
        for found in (severity, more, said):
            hold(found is None or 0 <= found <= 7, f"a severity of {found}")
        story.append(f"{at} {severity} {more} {said}")
    return "\n".join(story).encode()


LINES = (
    "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop: Created",
    "[2016-12-19T16:31:46.143+01:00] ERROR failed to start",
    "<34>Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; rhost=1.2.3.4",
    "[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok",
    '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 503 203 "-" "Mozilla"',
    "081109 203615 148 INFO dfs.DataNode$PacketResponder: done",
    "17/06/09 20:10:40 WARN executor.Backend: slow",
    "- 1117838570 2005.06.03 R02-M1-N0 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO corrected",
    "Traceback (most recent call last):",
    "\tat java.lang.IllegalStateException: no",
    "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezingDisplayLogs",
    "2024-02-30 25:61:61 FATAL no such day",
    "9999-12-31T23:59:59.999999999Z the end",
    "Feb 29 00:00:00 leap",
)


def seeds() -> dict[str, bytes]:
    """A line of each form, and all of them."""
    made = {f"{index:02}": line.encode() for index, line in enumerate(LINES)}
    return made | {"all": "\n".join(LINES).encode(), "long": b"[" + b"a " * 1_000, "blanks": b" " * 2_000}


TARGET = Target(
    name="log_lines",
    law="a line has a time or none and a severity or none, found in bounded time",
    check=check,
    seeds=seeds,
    words=(
        b"ERROR",
        b"Exception",
        b"[",
        b"]",
        b": ",
        b"    ",
        b"0000",
        b"+99:99",
        b"\xd9\xa0",
        b"\n",
        b" - - [",
        b"Feb 29",
        b"-1",
    ),
    rounds=1_500,
)
