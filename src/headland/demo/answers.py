"""The cloud's answer to the demo's one question, as rows that the checker understands."""

from __future__ import annotations

from typing import Any

from headland.demo.evidence import WINDOW, CloudRow, Window
from headland.vocabulary import SeriesKey


def rows_of(answer: Any) -> list[CloudRow]:
    """Rows of a query's JSON answer, in its order."""
    return [_row(one) for one in answer["rows"]]


def _row(one: dict[str, Any]) -> CloudRow:
    kind = int(one["kind"])
    value = one["value"]
    return CloudRow(
        origin=one["_origin"],
        series=_series(one),
        kind=kind,
        ts=one["ts"],
        seq=one["seq"],
        value=None if kind == WINDOW else value,
        row_class=str(one["_class"]),
        lane=str(one["_lane"]),
        arrival=int(one["_arrival"]),
        window=_window(value) if kind == WINDOW else None,
        rule_version=str(value["version"] if kind == WINDOW else one["_rule_version"]),
        late=bool(one["_late"]),
        boosted=bool(one["_boost"]),
    )


def _series(one: dict[str, Any]) -> str:
    """The series as its publisher knows it: without the label that the node of its site has put on it."""
    labels = one["labels"].items() - {("site", one["_site"])}
    return str(SeriesKey(one["name"], tuple(sorted(labels))))


def _window(value: dict[str, Any]) -> Window:
    return Window(
        value["rule"],
        value["start"],
        value["end"],
        value["count"],
        value["min"],
        value["max"],
        value["sum"],
        value["revision"],
        value["complete"],
        value.get("since", 0),
    )
