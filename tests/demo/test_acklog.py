from __future__ import annotations

from pathlib import Path

import pytest

from headland.demo.acklog import (
    AckedLine,
    AckLog,
    LoggedReading,
    PublishedLine,
    ResentLine,
    read_log,
    read_logs,
)
from headland.vocabulary import StorageDamage


def published(number: int) -> PublishedLine:
    reading = LoggedReading("press/temp", 20.5, 1_760_000_000_000_000_000, number)
    return PublishedLine("press", number, 100 + number, "device-1", 50, [reading])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    log = AckLog(tmp_path / "press.jsonl")
    for line in (published(1), published(2), AckedLine(1, 120), ResentLine(2, 130), AckedLine(2, 140)):
        log.write(line)
    first, second = read_logs([tmp_path / "press.jsonl"])
    log.close()
    assert (first.client, first.order, first.origin, first.acked_ns, first.resends) == (
        "press",
        0,
        "device-1",
        120,
        0,
    )
    assert (second.order, second.acked_ns, second.resends) == (1, 140, 1)
    assert second.readings == published(2).readings


def test_each_line_is_with_the_kernel_before_the_next_step(tmp_path: Path) -> None:
    log = AckLog(tmp_path / "press.jsonl")
    log.write(published(1))
    assert len(read_logs([tmp_path / "press.jsonl"])) == 1
    log.close()


def test_the_first_acknowledgement_counts_and_an_unanswered_publish_has_none() -> None:
    text = (
        '{"event":"published","client":"c","publish":1,"at":1,"origin":"n","bytes":3,"readings":[]}\n'
        '{"event":"published","client":"c","publish":2,"at":1,"origin":"n","bytes":3,"readings":[]}\n'
        '{"event":"acked","publish":1,"at":5}\n{"event":"acked","publish":1,"at":9}\n'
    )
    assert [item.acked_ns for item in read_log(text)] == [5, None]


def test_a_last_line_cut_by_a_crash_is_ignored_and_any_other_damage_is_not() -> None:
    line = '{"event":"published","client":"c","publish":1,"at":1,"origin":"n","bytes":3,"readings":[]}\n'
    assert len(read_log(line + '{"event":"acked","pub')) == 1
    with pytest.raises(StorageDamage, match=r"a\.jsonl:2"):
        read_log(line + '{"event":"ack\n' + line, "a.jsonl")
    with pytest.raises(StorageDamage, match="never written down"):
        read_log('{"event":"acked","publish":7,"at":5}\n')


def test_the_kind_of_a_value_survives() -> None:
    text = (
        '{"event":"published","client":"c","publish":1,"at":1,"origin":"n","bytes":3,"readings":'
        '[{"series":"a","value":1},{"series":"b","value":1.0},{"series":"c","value":true},{"series":"d","value":"x"}]}\n'
    )
    assert [type(reading.value) for reading in read_log(text)[0].readings] == [int, float, bool, str]
