from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headland.line.filtering.logformats import LEVELS, begins, continues

DATA = Path(__file__).parents[2].parent / "shared" / "data"

LINES = [
    (2, "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick"),
    (5, "<13>Oct 11 22:14:15 host app: fine"),
    (3, "[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6"),
    (5, "[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok"),
    (4, "[Wed Oct 11 14:32:52.123456 2000] [core:warn] [pid 1] something"),
    (4, "2024/01/01 12:00:00 [warn] 7#7: *1 upstream response is buffered"),
    (6, "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 terminating"),
    (4, "2015-10-18 18:09:00,601 WARN [LeaseRenewer:msrabi] org.apache.hadoop.ipc.Client: Address change"),
    (
        3,
        "2015-10-18 18:07:06,188 ERROR [RMCommunicator Allocator] org.apache.hadoop: ERROR IN CONTACTING RM.",
    ),
    (6, "17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Registered signal handlers"),
    (7, "[2016-12-19 16:31:46,143] DEBUG preferred replicas by broker (kafka.controller)"),
    (
        2,
        "- 1117838570 2005.06.03 R02-M1 2005-06-03-15.42.50.675872 R02 RAS KERNEL FATAL data storage",
    ),
    (6, "2016-09-28 04:30:30, Info                  CBS    Loaded Servicing Stack"),
    (4, "2016-09-28 04:30:31, Info                  CBS    Warning: Unrecognized packageExtended attribute."),
    (4, "Dec 10 09:11:52 LabSZ sshd[24460]: Failed password for sshd from 103.99.0.122 port 51359 ssh2"),
    (3, "Dec 10 09:11:52 LabSZ sshd[24460]: error: Received disconnect from 103.99.0.122"),
    (6, "Mar 29 16:29:41 host sshd[4424]: Accepted password for elastic from 24.151.103.17 port 49990 ssh2"),
    (6, '83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 200 203023 "-" "Mozilla"'),
    (4, '83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 404 12 "-" "Mozilla"'),
    (3, '83.149.9.216 - bob [17/May/2015:10:05:03 +0000] "GET /a \\"b\\" HTTP/1.1" 503 12'),
    (4, "2024-01-01T10:00:00.123Z WARN app - slow"),
    (4, "2024-01-01 10:00:00,123 - app.module - WARNING - slow"),
    (None, "\tat kafka.utils.NetworkClientBlockingOps.apply(NetworkClientBlockingOps.scala:115)"),
    (None, "java.io.IOException: Connection to 1 was disconnected"),
    (None, "free text of no format"),
    (None, ""),
]


@pytest.mark.parametrize(("severity", "line"), LINES)
def test_a_line_of_a_known_format_has_its_severity(severity, line):
    assert begins(line) == severity


def test_the_head_of_a_stack_trace_is_an_error_wherever_it_stands():
    assert continues("java.io.IOException: Connection to 1 was disconnected") == 3
    assert continues("Traceback (most recent call last):") == 3
    assert continues("    Caused by: java.lang.OutOfMemoryError") == 3
    assert continues("\tadvertised.host.name = null") is None


@given(st.text(max_size=300))
def test_any_text_has_a_severity_or_none(text):
    assert begins(text) in (None, *range(8))
    assert continues(text) in (None, 3)


def test_a_hostile_line_is_judged_in_linear_time():
    for line in (
        "[" * 50_000,
        "a " * 50_000,
        "1 2 3 [" + "x" * 50_000,
        "2024-01-01 " + " x" * 50_000,
        "<" + "9" * 50_000,
    ):
        begins(line)
        continues(line)


@pytest.mark.skipif(not (DATA / "loghub").is_dir(), reason="recorded logs are not beside the checkout")
@pytest.mark.parametrize("name", ["Apache", "BGL", "HDFS", "Hadoop", "Spark"])
def test_every_recorded_line_has_the_level_that_the_recording_gives_it(name):
    with (
        gzip.open(DATA / "loghub" / f"{name}_2k.log.gz", "rt", errors="replace") as lines,
        gzip.open(DATA / "loghub" / f"{name}_2k.log_structured.csv.gz", "rt", errors="replace") as levels,
    ):
        for line, row in zip(lines, csv.DictReader(levels), strict=True):
            assert begins(line.rstrip("\r\n")) == LEVELS[row["Level"].upper()], line
