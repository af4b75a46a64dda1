"""Laws of CloudEvents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headland.line.formats import FormatLimits, Mapping, MappingConfig, RejectReason, Unfit
from headland.line.formats.cloudevents import cloudevent_binary, cloudevents
from headland.vocabulary import NO_TIME, Batch, SeriesKey, SeriesTable

LIMITS = FormatLimits()
T = 1_700_000_000 * 10**9


def event(**changes: Any) -> dict[str, Any]:
    base = {"specversion": "1.0", "id": "1", "source": "/m/1", "type": "temp", "time": "2023-11-14T22:13:20Z"}
    return {key: value for key, value in (base | changes).items() if value is not None}


def read(root: Any) -> list[tuple[Any, int, Any]]:
    found = cloudevents(root, LIMITS)
    return list(zip(found.name, found.ts, found.value, strict=True))


def test_an_event_is_a_series_of_its_type_with_source_and_subject() -> None:
    labels = (("source", "/m/1"), ("subject", "bearing"))
    assert read(event(data=21.5, subject="bearing")) == [(SeriesKey("temp", labels), T, 21.5)]


def test_data_may_be_an_object_and_its_own_time_counts_more() -> None:
    rows = read(event(data={"x": 1, "y": {"z": 2.5}}))
    assert [(key.name, ts, value) for key, ts, value in rows] == [("temp/x", T, 1), ("temp/y/z", T, 2.5)]
    ((_, ts, value),) = read(event(data={"value": 3, "ts": 5}))
    assert (ts, value) == (5 * 10**9, 3)
    ((_, ts, _),) = read(event(data=1, time=None))
    assert ts == NO_TIME


def test_base64_data_is_bytes_and_no_data_is_no_reading() -> None:
    ((_, _, value),) = read(event(data_base64="AAH/"))
    assert value == b"\x00\x01\xff"
    assert read(event()) == []


def test_a_batch_is_all_its_events() -> None:
    assert [value for _, _, value in read([event(data=1), event(data=2)])] == [1, 2]


def test_binary_mode_reads_attributes_from_headers() -> None:
    headers = {f"ce-{key}": value for key, value in event().items()}
    for media, body, value in (
        ("application/json", b'{"value": 2.5}', 2.5),
        ("text/plain; charset=utf-8", b"on", "on"),
        ("application/octet-stream", b"\x00", b"\x00"),
    ):
        found = cloudevent_binary(headers | {"content-type": media}, body, LIMITS)
        assert (found.ts, found.value) == ([T], [value])
    assert cloudevent_binary(headers, b"", LIMITS).value == []


@pytest.mark.parametrize(
    ("root", "why"),
    [
        (event(specversion="0.3"), RejectReason.UNSUPPORTED),
        (event(id=None), RejectReason.NOT_CLOUDEVENT),
        (event(type=7), RejectReason.NOT_CLOUDEVENT),
        ([event(data=1), 5], RejectReason.NOT_CLOUDEVENT),
        (5, RejectReason.NOT_CLOUDEVENT),
        (event(time="noon", data=1), RejectReason.BAD_TIME),
        (event(time=5, data=1), RejectReason.BAD_TIME),
        (event(data_base64="§"), RejectReason.NOT_CLOUDEVENT),
        (event(data_base64=5), RejectReason.NOT_CLOUDEVENT),
        (event(data={"only": "text"}), RejectReason.NO_VALUE),
    ],
)
def test_what_is_no_event_is_rejected(root: Any, why: RejectReason) -> None:
    with pytest.raises(Unfit) as caught:
        read(root)
    assert caught.value.reason is why


def test_events_are_recognised_on_a_topic_without_a_mapping() -> None:
    table, batch = SeriesTable(), Batch()
    mapping = Mapping([], table)
    payload = json.dumps(event(data=1)).encode()
    headers = {f"ce-{key}": value for key, value in event().items()} | {"content-type": "application/json"}
    assert mapping.decode_run(["a", "a"], [payload, b"2"], 0, batch, [None, headers]) == []
    assert batch.value == [1, 2]
    assert {table.key(sid).name for sid in batch.sid} == {"temp"}


def test_a_mapping_may_demand_events() -> None:
    mapping = Mapping([MappingConfig(topic="e", format="cloudevents")], SeriesTable())
    rejected = mapping.decode_run(["e"], [b'{"value": 1}'], 0, Batch())
    assert [r.reason for r in rejected] == [RejectReason.NOT_CLOUDEVENT]
