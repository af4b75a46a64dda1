"""Payloads through declared mappings: a byte that says which topic and a chunk, again and again."""

from __future__ import annotations

import json

from fuzz.laws import check_batch, story_of
from fuzz.target import Script, Target, chunk, hold
from headland.line.formats import Format, FormatLimits, Leaves, Mapping, MappingConfig, TimeUnit
from headland.line.formats.rejection import RejectReason
from headland.vocabulary import Batch, SeriesTable

MAPPINGS = (
    MappingConfig(topic="plain/+", format=Format.PLAIN, booleans={"ON": True, "OFF": False}, unit="C"),
    MappingConfig(
        topic="json/{room}",
        format=Format.JSON,
        value="$.v",
        time="$.t",
        time_unit=TimeUnit.MS,
        sequence="$.n",
    ),
    MappingConfig(
        topic="many/+", format=Format.JSON, values={"a": "$.a.b", "c": "$['c d'][0]"}, series="{$.id}"
    ),
    MappingConfig(topic="array/#", format=Format.JSON, array="$.items", interval_s=0.5, value="$.v"),
    MappingConfig(topic="leaves/#", leaves=Leaves.ALL, series="{topic}", labels={"from": "{$.who}"}),
    MappingConfig(topic="raw/#", format=Format.RAW),
    MappingConfig(topic="lines/#", format=Format.INFLUX, time_unit=TimeUnit.S),
    MappingConfig(topic="events/#", format=Format.CLOUDEVENTS),
    MappingConfig(
        topic="iso/#", format=Format.JSON, value="$.value", time="$.ts", time_unit=TimeUnit.RFC3339
    ),
)
TOPICS = (
    "plain/a", "json/kitchen", "many/x", "array/x/y", "leaves/z", "raw/r", "lines/l", "events/e", "iso/i",
    "any", "any/other",
)  # fmt: skip
HEADERS = {"ce-specversion": "1.0", "ce-type": "t", "ce-source": "/s", "ce-id": "1"}
LIMITS = FormatLimits(max_readings=100, max_text_bytes=200, max_topics=8)
MESSAGES_MAX = 12


def check(data: bytes) -> bytes:
    """What a payload means does not depend on what came before it, and what it means can be kept."""
    script = Script(data)
    topics: list[str] = []
    payloads: list[bytes] = []
    headers: list[dict[str, str] | None] = []
    while script.left > 0 and len(topics) < MESSAGES_MAX:
        which = script.byte()
        topics.append(TOPICS[(which & 0x7F) % len(TOPICS)])
        payloads.append(script.chunk())
        headers.append(HEADERS if which & 0x80 else None)
    table, batch = SeriesTable(), Batch()
    mapping = Mapping(MAPPINGS, table, LIMITS)
    rejected = mapping.decode_run(topics, payloads, 0, batch, headers)
    check_batch(batch, payloads, {one.index for one in rejected}, table)
    hold(not any(one.reason is RejectReason.DECODER_FAILED for one in rejected), f"{rejected}")
    reasons = {one.index: one.reason for one in rejected}
    start = 0
    for index, (topic, payload) in enumerate(zip(topics, payloads, strict=True)):
        end = batch.message_ends[index]
        alone, own = Batch(), SeriesTable()
        refused = Mapping(MAPPINGS, own, LIMITS).decode_run([topic], [payload], 0, alone, [headers[index]])
        hold(
            [one.reason for one in refused] == [one for at, one in reasons.items() if at == index],
            f"{topic} {payload!r}: {refused}",
        )
        part = Batch(
            batch.sid[start:end],
            batch.ts[start:end],
            batch.value[start:end],
            batch.size[start:end],
            None if alone.seq is None or batch.seq is None else batch.seq[start:end],
            None,
            alone.message_ends,
        )
        told, meant = story_of(part, table), story_of(alone, own)
        hold(told == meant, f"{topic} {payload!r} means {meant!r} alone and {told!r} here")
        start = end
    return story_of(batch, table) + repr(sorted(reasons.items())).encode()


DOCUMENTS: tuple[object, ...] = (
    21.5,
    {"v": 21.5, "t": 1_700_000_000_000, "n": 7},
    {"id": "x", "a": {"b": 1}, "c d": [2.5, "x"]},
    {"items": [{"v": 1}, {"v": 2.5, "ts": 1_700_000_000}]},
    {"motor": {"temp": 20, "on": True, "name": "m"}, "ts": "2023-11-14T22:13:20Z", "who": "w"},
    {"value": 1, "ts": "2023-11-14T22:13:20.5+01:00"},
    [1, 2, 3],
    [{"value": 1, "time": 1_700_000_000}, {"value": 2}],
    {
        "specversion": "1.0",
        "type": "t",
        "source": "/s",
        "id": "1",
        "time": "2023-11-14T22:13:20Z",
        "data": {"value": 5},
    },
    {"specversion": "1.0", "type": "t", "source": "/s", "id": "2", "data_base64": "AAE="},
    "text",
    None,
)


def seeds() -> dict[str, bytes]:
    """Every document on every topic, three times, for the shortcuts."""
    texts = [json.dumps(document).encode() for document in DOCUMENTS] + [b"ON", b"-.5", b"", b"m v=1 5"]
    made = {}
    for index, text in enumerate(texts):
        made[f"{index:02}"] = b"".join(bytes((topic,)) + chunk(text) for topic in range(len(TOPICS)))
    for topic in range(len(TOPICS)):
        made[f"topic-{topic:02}"] = b"".join(
            bytes((topic,)) + chunk(text) * 1 for text in texts[:6] + texts[12:14]
        )
        text = texts[topic] if topic < len(texts) else texts[0]
        made[f"thrice-{topic:02}"] = (bytes((topic,)) + chunk(text)) * 4
    made["binary"] = bytes((0x87,)) + chunk(b"5") + bytes((0x89,)) + chunk(b'{"value":5}')
    return made


TARGET = Target(
    name="mappings",
    law="what a payload means depends on the configuration and the payload only, and it can be kept",
    check=check,
    seeds=seeds,
    words=(
        b"null",
        b"true",
        b"NaN",
        b"1e999",
        b"-0",
        b"9223372036854775808",
        b'{"',
        b"[[[[",
        b'":',
        b"\\ud800",
        b"\\u0000",
        b'"v"',
        b'"t"',
        b'"ts"',
        b'"value"',
        b"1700000000",
        b"1700000000000",
        b"2023-11-14T22:13:20Z",
        b"\xff",
        b'"specversion"',
    ),
    rounds=200,
)
