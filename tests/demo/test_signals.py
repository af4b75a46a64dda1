from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from headland.demo import loglevels
from headland.demo.machine import machine_log, machine_samples
from headland.demo.signals import Sample, log_files, signals_of, table_files
from headland.line.filtering import logformats
from headland.vocabulary import ConfigurationError


def take(count: int, *arguments: object) -> list[Sample]:
    signals = signals_of(*arguments)  # type: ignore[arg-type]
    return [sample for signal in signals for sample in itertools.islice(signal, count)]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    (tmp_path / "skab").mkdir()
    (tmp_path / "logs").mkdir()
    with gzip.open(tmp_path / "skab" / "run.csv.gz", "wt") as file:
        file.write("datetime,Flow Rate,Temp\n2020-01-01 00:00:00,1.5,20\n2020-01-01 00:00:01,1.6,21\n")
    np.savez(tmp_path / "skab" / "fan.npz", x=np.arange(4.0))
    (tmp_path / "logs" / "a.log").write_text(
        "2024-01-01 00:00:00 INFO up\n\tat more\n2024-01-01 00:00:01 ERROR bad\n"
    )
    (tmp_path / "logs" / "b.log").write_text("nothing here says how bad it is\n" * 5)
    return tmp_path


def test_equal_seeds_give_equal_machines_and_others_differ() -> None:
    assert take(500, "press", ["machine"], 1, None) == take(500, "press", ["machine"], 1, None)
    assert take(500, "press", ["machine"], 1, None) != take(500, "press", ["machine"], 2, None)


def test_a_minute_of_the_model_shows_a_start_and_a_bearing_that_goes_bad() -> None:
    by_metric: dict[str, list[float]] = {}
    for metric, value in itertools.islice(machine_samples(3), 7 * 300):
        by_metric.setdefault(metric, []).append(value)
    assert all(20 < value < 150 for value in by_metric["temperature"])
    assert max(by_metric["rpm"]) > 1300
    assert by_metric["energy"] == sorted(by_metric["energy"])
    assert set(by_metric["alarm"]) == {0, 1}
    assert max(by_metric["vibration"][-100:]) > 2 * max(by_metric["vibration"][:50])


def test_a_modelled_logger_declares_what_the_line_says() -> None:
    lines = list(itertools.islice(machine_log("press", 1), 500))
    samples = take(500, "press", ["log"], 0, None)
    assert {sample.series for sample in samples} == {"press/log"}
    assert all(logformats.begins(line) == loglevels.declared(line, None) for line in lines)
    assert 3 in {sample.severity for sample in samples}


def test_a_recorded_table_becomes_series_of_its_columns_and_repeats(recordings: Path) -> None:
    samples = take(6, "press", ["machine:1"], 1, recordings)
    assert [(sample.series, sample.value) for sample in samples] == [
        ("press/flow_rate", 1.5),
        ("press/temp", 20.0),
        ("press/flow_rate", 1.6),
        ("press/temp", 21.0),
        ("press/flow_rate", 1.5),
        ("press/temp", 20.0),
    ]


def test_only_logs_that_name_their_levels_are_replayed(recordings: Path) -> None:
    assert [path.name for path in log_files(recordings)] == ["a.log"]
    samples = take(3, "logger", ["log"], 1, recordings)
    assert [(sample.value, sample.severity) for sample in samples[:2]] == [
        ("2024-01-01 00:00:00 INFO up\n\tat more", 6),
        ("2024-01-01 00:00:01 ERROR bad", 3),
    ]


def test_tables_come_one_a_folder_before_the_second_of_a_folder(recordings: Path) -> None:
    (recordings / "zoo").mkdir()
    (recordings / "zoo" / "a.csv").write_text("t,v\n1,2\n")
    assert [path.name for path in table_files(recordings)] == ["fan.npz", "a.csv", "run.csv.gz"]


def test_a_folder_without_recordings_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no recorded machine"):
        take(1, "press", ["machine"], 1, tmp_path)


@pytest.mark.parametrize(
    ("line", "before", "severity"),
    [
        ("2024-01-01 00:00:00 WARN x", None, 4),
        ("[Sun Dec 04 04:47:44 2005] [error] mod_jk", None, 3),
        ("\tat java.lang.Thread", 3, 3),
        ("plain words", None, None),
    ],
)
def test_levels_are_read_at_the_head_of_a_line(line: str, before: int | None, severity: int | None) -> None:
    assert loglevels.declared(line, before) == severity
