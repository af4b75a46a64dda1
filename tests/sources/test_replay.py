"""Laws of recordings and of their replay."""

from __future__ import annotations

import gzip
import json
import os
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from headland.sources.contract import SeriesList, SourceBatch, SourceContext
from headland.sources.recordings import Hint, Record, is_recording, records
from headland.sources.recordings.log_times import LineClock
from headland.sources.replay import ReplayConfig, ReplaySource
from headland.vocabulary import ConfigurationError, Instant, SeriesKey

DATA = Path(os.environ.get("HEADLAND_DATA", Path(__file__).parents[3] / "shared" / "data"))
START = Instant(10**9, 1_700_000_000 * 10**9)
S = 10**9


def play(path: Path, hint: Hint | None = None) -> tuple[list[tuple[int, SeriesKey, object]], dict[str, int]]:
    series, counts = SeriesList(), {}

    def count(reason: str) -> None:
        counts[reason] = counts.get(reason, 0) + 1

    rows = [
        (record.at_ns, series.all[row], value)
        for record in records(path, "r", hint or Hint(), series, count)
        for row, value in zip(record.row, record.value, strict=True)
    ]
    return rows, counts


def source(path: Path, position: bytes = b"", max_readings: int = 1000, **settings: object) -> ReplaySource:
    context = SourceContext("r", random.Random(1), START, position, ".", max_readings)
    return ReplaySource(ReplayConfig(path=str(path), **settings), context)


def columns(batch: SourceBatch) -> list[tuple[int, str, object]]:
    return [(t, batch.series[r].name, v) for t, r, v in zip(batch.ts, batch.row, batch.value, strict=True)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_read_whatever_separates_it(tmp_path: Path, separator: str) -> None:
    lines = [
        "machine,when,temp,rpm,state",
        "m1,2023-11-14 22:13:20,21.5,1500,on",
        "m1,2023-11-14 22:13:21,,1501,off",
    ]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(line.replace(",", separator) for line in lines))
    rows, counts = play(path)
    label = (("machine", "m1"),)
    assert rows == [
        (START.wall_ns, SeriesKey("r/temp", label), 21.5),
        (START.wall_ns, SeriesKey("r/rpm", label), 1500),
        (START.wall_ns, SeriesKey("r/state", label), "on"),
        (START.wall_ns + S, SeriesKey("r/rpm", label), 1501),
        (START.wall_ns + S, SeriesKey("r/state", label), "off"),
    ]
    assert counts == {}


def test_packed_tables_epoch_times_and_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    body = "ts_ms,x\n1700000000000,1\n1700000001000,2\noops,3\n1700000003000,4,5\n1700000004000,huh\n"
    sample = "".join(f"{1700000005000 + i},7\n" for i in range(300))
    path.write_bytes(gzip.compress((body.replace("oops,3\n", "").replace("huh", "8") + sample).encode()))
    rows, counts = play(path)
    assert [(t - START.wall_ns, v) for t, _, v in rows[:3]] == [(0, 1), (S, 2), (4 * S, 8)]
    assert counts == {"long_row": 1}


def test_a_table_without_dates_is_placed_at_the_base(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,x\n0,1\n0.5,2\n")
    rows, _ = play(path, Hint(base="2023-11-14T22:13:20Z"))
    assert [t - START.wall_ns for t, _, _ in rows] == [0, S // 2]
    path.write_text("n,x\n7,1\n8,2\n")
    rows, _ = play(path, Hint(base="2023-11-14T22:13:20Z", period_s=5.0, skip=("n",)))
    assert [t - START.wall_ns for t, _, _ in rows] == [0, 5 * S]


def test_lines_of_json_are_read_like_payloads(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"timestamp": 1700000000000, "a": {"b": 1, "c": "text"}}) + "\n{oops\n")
    rows, counts = play(path)
    assert rows == [(START.wall_ns, SeriesKey("r/a/b"), 1)]
    assert counts == {"not_json": 1}


def test_a_stack_trace_stays_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(
        b"2023-11-14 22:13:20,000 ERROR boom\njava.lang.X: y\n\tat a.b(C.java)\nCaused by: z\n"
        b"2023-11-14 22:13:21,500 INFO fine \xff\n"
    )
    rows, _ = play(path)
    assert rows == [
        (
            START.wall_ns,
            SeriesKey("r/log"),
            "2023-11-14 22:13:20,000 ERROR boom\njava.lang.X: y\n\tat a.b(C.java)\nCaused by: z",
        ),
        (START.wall_ns + 1_500_000_000, SeriesKey("r/log"), "2023-11-14 22:13:21,500 INFO fine �"),
    ]


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("2023-11-14T22:13:20Z x", "iso"),
        ("2023-11-14 23:13:20.000 +0100 x", "iso"),
        ("[2023-11-14 22:13:20,000] INFO x", "iso"),
        ("Nov 14 22:13:20 host app[1]: x", "syslog"),
        ("<34>Nov 14 22:13:20 host app: x", "syslog"),
        ("[Tue Nov 14 22:13:20 2023] [error] x", "apache"),
        ('1.2.3.4 - - [14/Nov/2023:22:13:20 +0000] "GET / HTTP/1.1" 200 1', "clf"),
        ("231114 221320 148 INFO x", "hadoop"),
        ("23/11/14 22:13:20 INFO x", "slashes"),
        ("- 1700000000 2023.11.14 R02 x", "epoch"),
    ],
)
def test_the_time_of_a_log_line_is_found(line: str, form: str) -> None:
    clock = LineClock(2023)
    assert clock.at(line) == START.wall_ns
    assert clock.form == form


def test_a_day_that_the_next_year_does_not_have_is_no_time() -> None:
    clock = LineClock(2024)
    assert clock.at("Dec 31 23:59:59 h a: x") is not None
    assert clock.at("Feb 29 00:00:00 h a: x") is None
    assert clock.at("Dec 31 23:59:59 h a: x") is not None


@pytest.mark.parametrize("line", ["9999-12-31 23:59:59 x", "0001-01-01T00:00:00Z x", "2262-04-11 23:47:17 x"])
def test_a_time_that_64_bit_nanoseconds_cannot_say_is_none(line: str) -> None:
    assert LineClock(2023).at(line) is None


def test_january_after_december_is_the_next_year() -> None:
    clock = LineClock(2023)
    before, after = clock.at("Dec 31 23:59:59 h a: x"), clock.at("Jan  1 00:00:00 h a: x")
    assert before is not None
    assert after == before + S
    assert clock.at("Foo 33 99:99:99 nothing") is None


def test_a_first_time_beyond_all_times_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,v\n1e300,1\n1,2\n")
    rows, counts = play(path)
    assert [value for *_, value in rows] == [2]
    assert sum(counts.values()) == 1


@pytest.mark.parametrize("name", ["a", "a.npy"])
def test_an_archive_with_a_member_that_is_no_array_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"text")
    with pytest.raises(ConfigurationError, match="not an archive of plain arrays"):
        play(path)
    data = path.read_bytes().replace(b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\xff")
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match="not an archive of plain arrays"):
        play(path)


def test_archives_are_recognised_by_their_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(
        path,
        speed_t=np.array([1.0, 2.0]),
        speed=np.array([[5.0], [6.0]]),
        x_t=np.array([1.5]),
        x=np.array([7]),
    )
    rows, _ = play(path, Hint(base="1970-01-01T00:00:00Z"))
    assert [(t, k.name, v) for t, k, v in rows] == [
        (S, "r/speed", 5.0),
        (S * 3 // 2, "r/x", 7),
        (2 * S, "r/speed", 6.0),
    ]
    np.savez(path, g=np.array([1.0, 2.0, 3.0]), sr=np.array(2.0), fault=np.array("inner"), load=np.array(5.0))
    rows, _ = play(path, Hint(base="1970-01-01T00:00:00Z"))
    label = (("fault", "inner"),)
    assert [(t, k, v) for t, k, v in rows] == [
        (0, SeriesKey("r/load", label), 5.0),
        (0, SeriesKey("r/g", label), 1.0),
        (S // 2, SeriesKey("r/g", label), 2.0),
        (S, SeriesKey("r/g", label), 3.0),
    ]
    np.savez(path, w=np.arange(8).reshape(2, 2, 2), label=np.array([1, 0]), classes=np.array(["ok", "bad"]))
    rows, _ = play(path, Hint(rate_hz=1.0, base="1970-01-01T00:00:00Z"))
    assert [(t, k.name, k.labels[0][1], v) for t, k, v in rows[:2]] == [
        (0, "r/w/0", "bad", 0),
        (0, "r/w/1", "bad", 1),
    ]
    assert [t for t, _, _ in rows] == [0, 0, S, S, 2 * S, 2 * S, 3 * S, 3 * S]


def test_an_archive_of_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ConfigurationError):
        play(path)
    path.write_bytes(b"PK not really")
    with pytest.raises(ConfigurationError):
        play(path)
    replay = source(path, speed="max")
    assert len(replay.poll(START)) == 0
    assert replay.counters == {"unreadable_file": 1}
    assert replay.next_poll(START) is None


def table(tmp_path: Path, rows: int = 10) -> Path:
    path = tmp_path / "pump.csv"
    path.write_text("t,x,y\n" + "".join(f"{i},{i}.5,{i}\n" for i in range(rows)))
    return path


def test_records_are_due_at_the_recorded_pace_divided_by_the_speed(tmp_path: Path) -> None:
    replay = source(table(tmp_path), speed=2)
    assert [v for _, _, v in columns(replay.poll(START))] == [0.5, 0]
    assert replay.next_poll(START) == START.later(0.5).monotonic_ns
    assert len(replay.poll(START.later(0.4))) == 0
    assert [v for _, _, v in columns(replay.poll(START.later(1.0)))] == [1.5, 1, 2.5, 2]


def test_at_most_speed_everything_is_due_in_batches_of_bounded_size(tmp_path: Path) -> None:
    replay = source(table(tmp_path), speed="max", max_readings=6)
    sizes = [len(replay.poll(START)) for _ in range(5)]
    assert sizes == [6, 6, 6, 2, 0]
    assert replay.next_poll(START) is None


def test_times_may_be_those_of_the_replay_and_never_stand_still(tmp_path: Path) -> None:
    replay = source(table(tmp_path), speed="max", times="now", loop=True, max_readings=30)
    times = replay.poll(START).ts[::2]
    assert times == [START.wall_ns + 1000 * i for i in range(15)]
    paced = source(table(tmp_path), speed=4, times="now")
    assert paced.poll(START.later(0.5)).ts[::2] == [START.wall_ns + i * S // 4 for i in range(3)]


def test_a_replay_goes_on_where_it_was_confirmed(tmp_path: Path) -> None:
    (tmp_path / "z.log").write_text("2023-11-14 22:13:20 a\n2023-11-14 22:13:21 b\n")
    table(tmp_path)
    whole = source(tmp_path, speed="max")
    everything = columns(whole.poll(START))
    for size in (2, 4, 5, 18, 20, 21):
        first = source(tmp_path, speed="max", max_readings=size)
        batch = first.poll(START)
        assert first.snapshot() == b""
        first.confirmed(batch.position)
        second = source(tmp_path, first.snapshot(), speed="max")
        assert columns(batch) + columns(second.poll(START)) == everything


def test_equal_recordings_replay_equally(tmp_path: Path) -> None:
    path = table(tmp_path)
    first, second = (source(path, speed=3, max_readings=4) for _ in range(2))
    for step in range(20):
        now = START.later(step * 0.21)
        assert columns(first.poll(now)) == columns(second.poll(now))


def test_a_step_back_and_a_long_gap_are_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,x\n0,1\n1,2\n0,3\n1,4\n900000,5\n")
    replay = source(path, speed=1)
    assert [v for _, _, v in columns(replay.poll(START.later(2)))] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "settings",
    [{"speed": 0}, {"speed": -1.0}, {"loop": True}],
    ids=["standing", "backwards", "loop of recorded times"],
)
def test_a_replay_that_cannot_work_is_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        source(table(tmp_path), **settings)
    with pytest.raises(ConfigurationError):
        source(tmp_path / "absent")


RECORDED = [
    ("skab/valve1.csv.gz", 181_600, "valve1/Temperature", "file"),
    ("carobd/obd.csv.gz", 3_872_041, "obd/engine_rpm", "trip"),
    ("nab/series.csv.gz", 129_326, "series/value", "series"),
    ("occupancy/datatest.csv.gz", 15_990, "datatest/co2", ""),
    ("wsn_multihop/motes.csv.gz", 37_520, "motes/humidity", "mote_id"),
    ("fan_vibration/fan.npz", 1_260_000, "fan/counts/2", "label"),
    ("mfpt_bearing_NC/inner_1.npz", 146_490, "inner_1/g", "fault"),
    ("har_phone/har.npz", 941_472, "har/x/z_gyro", "subject"),
    ("comma2k19/segment.npz", 173_760, "segment/raw_can_data", "address"),
    ("loghub/HDFS_2k.log.gz", 2_000, "HDFS_2k/log", ""),
    ("kafka_logs/kafka0/server.log.2016-12-19-16.gz", 399, "server/log", ""),
    ("auth_log/auth.log.gz", 7_121, "auth/log", ""),
    ("web_access/apache_access_may17-18.log.gz", 4_525, "apache_access_may17-18/log", ""),
    (
        "nginx_metrics/nginxplus_status_first250.jsonl.gz",
        76_000,
        "nginxplus_status_first250/connections/active",
        "",
    ),
    ("cicv5g/delay.csv.gz", 358_376, "delay/delay_ms", "run"),
    ("starlink_autobahn/throughput.csv.gz", 23_328, "throughput/download_mbps", ""),
]


@pytest.mark.parametrize(("name", "readings", "series", "label"), RECORDED, ids=[r[0] for r in RECORDED])
def test_real_recordings_are_read_whole(name: str, readings: int, series: str, label: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"recorded data is not here: {path}")
    numbering, counts = SeriesList(), []
    total = 0
    previous: Record | None = None
    for record in records(path, path.name.partition(".")[0], Hint(), numbering, counts.append):
        total += len(record.row)
        previous = record
    assert previous is not None
    assert 946_684_800 * S < previous.at_ns < 1_800_000_000 * S
    assert (total, counts) == (readings, [])
    key = next(key for key in numbering.all if key.name == series)
    assert label in dict(key.labels) if label else key.labels == ()


def test_what_is_no_recording_is_left_alone() -> None:
    if not DATA.exists():
        pytest.skip(f"recorded data is not here: {DATA}")
    named = {p.relative_to(DATA).parts[0] for p in DATA.rglob("*") if is_recording(p)}
    assert not named & {"video", "wycheproof", "tuf_static_repo", "mahimahi", "MANIFEST.csv"}
