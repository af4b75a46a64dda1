"""Laws of following log files."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headland.sources.contract import SourceBatch, SourceContext
from headland.sources.logs import LogsConfig, LogSource
from headland.vocabulary import NO_TIME, ConfigurationError, Instant

START = Instant(10**9, 1_700_000_000 * 10**9)


class Watch:
    """A source that is polled once a second, and the position that would be durable."""

    def __init__(
        self, *paths: Path | str, position: bytes = b"", max_readings: int = 1000, **given: object
    ) -> None:
        config = LogsConfig(
            paths=tuple(map(str, paths)), **{"begin": "start", "flush_s": 0.0, "zone": "utc"} | given
        )
        self.source = LogSource(
            config, SourceContext("l", random.Random(1), START, position, "/", max_readings)
        )
        self.now = START
        self.position = position

    def batch(self) -> SourceBatch:
        batch = self.source.poll(self.now)
        self.now = self.now.later(1)
        if batch.position is not None:
            self.position = batch.position
        return batch

    def texts(self) -> list[object]:
        return self.batch().value


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def test_lines_are_given_as_they_are_completed(log: Path) -> None:
    append(log, "one\ntwo\nthr")
    watch = Watch(log)
    assert watch.texts() == ["one", "two"]
    assert watch.texts() == []
    append(log, "ee\r\n")
    batch = watch.batch()
    assert batch.value == ["three"]
    assert batch.size == [7]
    assert batch.series[batch.row[0]].labels == (("file", str(log)),)


def test_at_the_first_start_old_lines_may_be_left_out(log: Path) -> None:
    append(log, "old\n")
    watch = Watch(log, begin="end")
    assert watch.texts() == []
    assert watch.position != b"", "where it began is a position too"
    append(log, "new\n")
    assert Watch(log, begin="end", position=watch.position).texts() == ["new"]
    append(log.with_name("app.log.new"), "x\n")
    assert watch.texts() == ["new"]


def test_files_that_appear_later_are_read_from_their_start(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "*.log", begin="end")
    assert watch.texts() == []
    append(tmp_path / "b.log", "b1\n")
    assert watch.texts() == ["b1"]


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(log: Path) -> None:
    append(log, "1\n")
    watch = Watch(log)
    assert watch.texts() == ["1"]
    append(log, "2\n3 without end")
    log.rename(log.with_name("app.log.1"))
    append(log, "4\n")
    assert watch.texts() == ["2", "3 without end", "4"]
    append(log, "5\n")
    assert watch.texts() == ["5"]
    assert len(watch.source._followed) == 1


def test_a_file_renamed_while_nobody_looked_is_found_again(log: Path) -> None:
    append(log, "1\n2\n")
    watch = Watch(log)
    assert watch.texts() == ["1", "2"]
    append(log, "3\n")
    log.rename(log.with_name("app.log.1"))
    append(log, "4\n")
    assert Watch(log, position=watch.position).texts() == ["3", "4"]


def test_a_rotated_file_that_is_gone_is_counted(log: Path) -> None:
    append(log, "1\n")
    watch = Watch(log)
    watch.texts()
    with log.open("rb"):  # its inode number is not given to another file meanwhile
        log.unlink()
        append(log, "2\n")
        reborn = Watch(log, position=watch.position)
        assert reborn.texts() == ["2"]
    assert reborn.source.counters == {"lost_rotation": 1}


def test_a_file_that_is_away_for_a_while_keeps_its_position(log: Path) -> None:
    append(log, "1\n")
    other = log.with_name("other.log")
    append(other, "a\n")
    watch = Watch(log, other)
    assert watch.texts() == ["1", "a"]
    away = log.rename(log.with_name("away"))
    append(other, "b\n")
    second = Watch(log, other, position=watch.position)
    assert second.texts() == ["b"]
    away.rename(log)
    append(log, "2\n")
    assert Watch(log, other, position=second.position).texts() == ["2"]


def test_more_files_than_the_bound_are_counted_and_not_followed(tmp_path: Path) -> None:
    for number in range(4):
        append(tmp_path / f"{number}.log", f"{number}\n")
    watch = Watch(tmp_path / "*.log", max_files=2)
    assert watch.texts() == ["0", "1"]
    assert watch.source.counters == {"too_many_files": 2}


@pytest.mark.parametrize("fresh", ["x\n", "longer than what was there before it was truncated\n"])
def test_a_copied_and_truncated_file_is_read_from_its_start(log: Path, fresh: str) -> None:
    append(log, "first line\nsecond line\n")
    watch = Watch(log)
    assert watch.texts() == ["first line", "second line"]
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, fresh)
    assert watch.texts() == [fresh.rstrip()]
    assert watch.source.counters == {"truncated": 1}


def test_the_position_moves_only_with_confirmation(log: Path) -> None:
    append(log, "1\n2\n")
    watch = Watch(log)
    batch = watch.batch()
    assert watch.source.snapshot() == b""
    assert Watch(log, position=watch.source.snapshot()).texts() == ["1", "2"]
    watch.source.confirmed(batch.position)
    assert Watch(log, position=watch.source.snapshot()).texts() == []


def test_an_open_event_is_read_again_after_a_crash(log: Path) -> None:
    append(log, "first\nException\n\tat x\n")
    watch = Watch(log, flush_s=5)
    assert watch.texts() == ["first"]
    append(log, "\tat y\nnext\n")
    assert Watch(log, position=watch.position).texts() == ["Exception\n\tat x\n\tat y", "next"]
    assert watch.texts() == ["Exception\n\tat x\n\tat y"]


def test_lines_are_joined_by_indent_cause_and_missing_time(log: Path) -> None:
    append(
        log,
        "2023-11-14 22:13:20,000 ERROR boom\njava.lang.X: y\n\tat a.b(C.java)\nCaused by: z\n"
        "2023-11-14 22:13:21,000 INFO fine\n",
    )
    batch = Watch(log).batch()
    assert batch.value == [
        "2023-11-14 22:13:20,000 ERROR boom\njava.lang.X: y\n\tat a.b(C.java)\nCaused by: z",
        "2023-11-14 22:13:21,000 INFO fine",
    ]
    assert batch.ts == [START.wall_ns, START.wall_ns + 10**9]


def test_lines_are_joined_by_a_declared_start_or_not_at_all(log: Path) -> None:
    append(log, "> a\nb\n  c\n> d\n")
    assert Watch(log, starts="> ").texts() == ["> a\nb\n  c", "> d"]
    assert Watch(log, multiline="none").texts() == ["> a", "b", "  c", "> d"]
    with pytest.raises(ConfigurationError):
        Watch(log, starts="(")


def test_an_event_waits_for_its_lines_for_a_while(log: Path) -> None:
    append(log, "boom\n")
    watch = Watch(log, flush_s=2)
    assert watch.texts() == []
    append(log, "  more\n")
    assert watch.texts() == []
    assert watch.texts() == []
    assert watch.texts() == ["boom\n  more"]


def test_invalid_utf8_is_replaced_and_said(log: Path) -> None:
    append(log, b"fine\nb\xffd\n")
    watch = Watch(log)
    batch = watch.batch()
    assert batch.value == ["fine", "b�d"]
    assert batch.replaced == [1]
    assert watch.source.counters == {"invalid_utf8": 1}
    assert batch.ts == [NO_TIME, NO_TIME]


def test_long_lines_are_cut_and_long_events_divided(log: Path) -> None:
    append(log, "a" * 300_000 + "\nshort\n" + " b\n" * 10)
    watch = Watch(log, max_line_bytes=100, max_event_lines=4)
    batch = watch.batch()
    assert batch.value[0] == "a" * 100
    assert batch.size[0] == 300_001
    assert batch.value[1] == "short\n b\n b\n b"
    assert sum(batch.size) == log.stat().st_size
    assert watch.source.counters == {"cut_line": 1}


def test_batches_are_bounded_and_the_rest_comes_at_once(log: Path) -> None:
    append(log, "".join(f"{i}\n" for i in range(10)))
    watch = Watch(log, max_readings=4)
    assert [len(watch.batch()) for _ in range(4)] == [4, 4, 2, 0]


def test_a_file_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = tmp_path / "secret.log"
    append(path, "x\n")
    path.chmod(0)
    watch = Watch(path)
    assert watch.texts() == []
    assert watch.source.counters == {"unreadable_file": 1}


STEPS = st.lists(
    st.sampled_from(["append", "part", "rotate", "poll", "crash", "crash after confirm"]),
    min_size=1,
    max_size=30,
)


@given(steps=STEPS, size=st.integers(1, 5))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_line_is_lost_or_doubled_whatever_is_rotated_or_crashes(
    steps: list[str], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("logs") / "app.log"
    written: list[str] = []
    durable: list[object] = []
    watch = Watch(log, max_readings=size, multiline="none")
    rotated, tail = 0, ""

    def poll() -> None:
        batch = watch.batch()
        durable.extend(batch.value)
        if batch.position is not None:
            watch.source.confirmed(batch.position)

    append(log, "")
    poll()
    for step in [*steps, "append", "rotate", "append"]:
        if step == "append":
            append(log, f"{tail and '!'}line {len(written)}\n")
            written.append(f"{tail}{tail and '!'}line {len(written)}")
            tail = ""
        elif step == "part":
            append(log, "p")
            tail += "p"
        elif step == "rotate" and log.exists():
            if tail:
                written.append(tail)
                tail = ""
            rotated += 1
            log.rename(log.with_name(f"app.{rotated}"))
        elif step == "poll":
            poll()
        elif step == "crash":  # a batch was read but never became durable
            watch.batch()
            watch = Watch(log, position=watch.source.snapshot(), max_readings=size, multiline="none")
        elif step == "crash after confirm":
            poll()
            watch = Watch(log, position=watch.source.snapshot(), max_readings=size, multiline="none")
        if step == "rotate":
            append(log, "")
            poll()  # two rotations between two looks would need a directory watch
    for _ in range(40):
        poll()
    assert durable == written
