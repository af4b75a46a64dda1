"""The reduction table is made by the line itself, and leaves no column out."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from benches import reduction

from headland.line.filtering import DeadBand, Keep, Severity, Summary

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PAGE = Path(__file__).parents[2] / "docs" / "reduction.md"
recorded = pytest.mark.skipif(not DATA.is_dir(), reason="recorded data is not beside the checkout")


def column(values):
    return [(reduction.START + i * reduction.SECOND, v) for i, v in enumerate(values)]


def columns_of(source, path):
    return next(columns for _, file, columns, _ in source(DATA) if file == path)


def test_a_constant_column_is_one_row_and_everything_kept_is_no_reduction():
    values = column([20.5] * 100)
    assert reduction.run(values, DeadBand()).rows == 0.99
    assert reduction.run(values, Keep()).rows == 0
    assert reduction.run(values, Keep()).bytes == 0


def test_a_summary_counts_its_windows_as_rows_north():
    assert reduction.run(column([1.0] * 600), Summary()).rows == pytest.approx(1 - 11 / 600, abs=1 / 600)


@recorded
@pytest.mark.parametrize("name", ["datatest", "datatraining"])
def test_the_occupancy_recording_has_every_column_and_no_hold_is_further_than_declared(name):
    path = f"occupancy/{name}.csv.gz"
    with gzip.open(DATA / path, "rt") as file:
        header = next(csv.reader(file))
    columns = columns_of(reduction.sensors, path)
    assert list(columns) == header[1:]
    for one in columns.values():
        outcome = reduction.run(one, DeadBand(), hold=True)
        assert outcome.error <= 0.05 * max(abs(float(v)) for _, v in one)


@recorded
def test_every_numeric_column_of_the_car_is_measured():
    with gzip.open(DATA / "carobd" / "obd.csv.gz", "rt") as file:
        header = next(csv.reader(file))
    columns = columns_of(reduction.sensors, "carobd/obd.csv.gz")
    assert list(columns) == header[3:]


@recorded
def test_logs_keep_every_line_that_the_recording_calls_a_warning_or_worse():
    for name, worse in (("Apache", 595), ("BGL", 403), ("HDFS", 80), ("Hadoop", 960), ("Spark", 0)):
        lines = {file: columns for _, file, columns, _ in reduction.logs(DATA)}[f"loghub/{name}_2k.log.gz"][
            "line"
        ]
        assert round((1 - reduction.run(lines, Severity()).rows) * len(lines)) == worse


@recorded
def test_the_committed_table_names_every_recorded_file():
    page = PAGE.read_text(encoding="utf-8")
    for _, file, columns, _ in reduction.logs(DATA):
        assert columns
        assert f"| {file} |" in page
    for path in ("carobd/obd.csv.gz", "skab/valve1.csv.gz", "nab/series.csv.gz", "fan_vibration/fan.npz"):
        assert f"| {path} |" in page
