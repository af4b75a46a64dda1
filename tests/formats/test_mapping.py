"""Laws of payloads that become readings."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headland.line.formats import Format, FormatLimits, Mapping, MappingConfig, RejectReason
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Batch, ConfigurationError, SeriesKey, SeriesTable


def read(
    topic: str,
    payload: bytes | str,
    *mappings: MappingConfig,
    limits: FormatLimits | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[list[tuple[SeriesKey, int, object]], list[RejectReason]]:
    table = SeriesTable()
    mapping = Mapping(mappings, table, limits)
    raw = payload.encode() if isinstance(payload, str) else payload
    results = []
    for _ in range(3):  # the second and third take the shortcut, where there is one
        batch = Batch()
        rejected = mapping.decode_run([topic], [raw], 0, batch, [headers])
        rows = [(table.key(s), t, v) for s, t, v in zip(batch.sid, batch.ts, batch.value, strict=True)]
        results.append((rows, [r.reason for r in rejected]))
        assert batch.message_ends == [len(rows)]
        assert sum(batch.size) == (len(raw) if rows else 0)
    assert results[0] == results[1] == results[2] or any(
        isinstance(v, float) and math.isnan(v) for _, _, v in results[0][0]
    )
    return results[0]


def values(topic: str, payload: bytes | str, *mappings: MappingConfig) -> dict[str, object]:
    rows, rejected = read(topic, payload, *mappings)
    assert rejected == []
    return {key.name: value for key, _, value in rows}


def reason(
    payload: bytes | str, *mappings: MappingConfig, limits: FormatLimits | None = None
) -> RejectReason:
    rows, rejected = read("a/b", payload, *mappings, limits=limits)
    assert rows == []
    assert len(rejected) == 1
    return rejected[0]


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ("23.5", 23.5),
        (" 23.5\n", 23.5),
        ("42", 42),
        ("-7", -7),
        ("+5", 5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("true", True),
        ("False", False),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("007", "007"),
        ("1_000", "1_000"),
        ("ON", "ON"),
        ('"quoted"', "quoted"),
        ("ünïcode", "ünïcode"),
    ],
)
def test_a_plain_payload_is_a_number_a_boolean_or_text(payload: str, value: object) -> None:
    rows, rejected = read("a/b", payload)
    assert rejected == []
    assert rows == [(SeriesKey("a/b"), NO_TIME, value)]
    assert type(rows[0][2]) is type(value)


def test_a_sensor_may_say_not_a_number() -> None:
    rows, rejected = read("a/b", "NaN")
    assert rejected == []
    assert math.isnan(rows[0][2])


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"9223372036854775808", RejectReason.NUMBER_OUT_OF_RANGE),
        (b"-9223372036854775809", RejectReason.NUMBER_OUT_OF_RANGE),
        (b"1e999", RejectReason.NUMBER_OUT_OF_RANGE),
        (b'{"value": 18446744073709551616}', RejectReason.NUMBER_OUT_OF_RANGE),
        (b'{"value": 1e999}', RejectReason.NUMBER_OUT_OF_RANGE),
        (b'{"value": NaN}', RejectReason.NOT_JSON),
        (b'{"value": null}', RejectReason.NO_VALUE),
        (b"null", RejectReason.NO_VALUE),
        (b'{"value": 1', RejectReason.NOT_JSON),
        (b"\xff\xfe", RejectReason.INVALID_UTF8),
        (b'{"value": "\xff"}', RejectReason.INVALID_UTF8),
        (b"[" * 100_000, RejectReason.TOO_DEEP),
        (b'{"a":' * 20 + b"1" + b"}" * 20, RejectReason.TOO_DEEP),
        (b'{"ts": "yesterday", "value": 1}', RejectReason.BAD_TIME),
        (b'{"ts": true, "value": 1}', RejectReason.BAD_TIME),
        (b'{"ts": 1e300, "value": 1}', RejectReason.BAD_TIME),
        (b'{"name": "only text"}', RejectReason.NO_VALUE),
        (b"{}", RejectReason.NO_VALUE),
        (b'{"x": [%s]}' % b",".join([b"1"] * 50), RejectReason.WRONG_TYPE),
    ],
)
def test_a_payload_that_does_not_fit_is_rejected_with_its_reason(payload: bytes, why: RejectReason) -> None:
    assert reason(payload) is why


def test_an_empty_payload_is_a_message_without_readings() -> None:
    assert read("a/b", b"") == ([], [])


def test_bounds_reject_what_is_beyond_them() -> None:
    limits = FormatLimits(max_payload_bytes=100, max_text_bytes=10, max_readings=3)
    assert reason("x" * 101, limits=limits) is RejectReason.TOO_LARGE
    assert reason("x" * 11, limits=limits) is RejectReason.TOO_LARGE
    assert reason('{"a":1,"b":2,"c":3,"d":4}', limits=limits) is RejectReason.TOO_MANY_READINGS


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.25", 1_700_000_000_250_000_000),
        ("1700000000123", 1_700_000_000_123_000_000),
        ("1700000000123456", 1_700_000_000_123_456_000),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ('"2023-11-14T22:13:20Z"', 1_700_000_000_000_000_000),
        ('"2023-11-14T22:13:20.123456789Z"', 1_700_000_000_123_456_789),
        ('"2023-11-15 00:13:20+02:00"', 1_700_000_000_000_000_000),
        ('"1700000000"', 1_700_000_000_000_000_000),
        ("0", 0),
        ("-1", -1_000_000_000),
        ("4102444800", 4_102_444_800_000_000_000),
        ("null", NO_TIME),
    ],
)
def test_device_times_of_any_age_are_passed_on(time: str, ns: int) -> None:
    rows, rejected = read("a/b", f'{{"ts": {time}, "value": 1.5}}')
    assert rejected == []
    assert rows == [(SeriesKey("a/b"), ns, 1.5)]


def test_a_short_t_is_a_temperature_and_a_long_one_a_time() -> None:
    assert values("d", '{"t": 23.5, "h": 40}') == {"d/t": 23.5, "d/h": 40}
    rows, _ = read("d", '{"t": 1700000000, "h": 40}')
    assert rows == [(SeriesKey("d/h"), 1_700_000_000_000_000_000, 40)]


def test_numeric_leaves_of_an_object_become_series() -> None:
    payload = '{"ts":1700000000,"motor":{"temp":81.5,"on":true,"name":"M1"},"xyz":[1,2,3],"none":null}'
    assert values("p/m1", payload) == {
        "p/m1/motor/temp": 81.5,
        "p/m1/motor/on": True,
        "p/m1/xyz/0": 1,
        "p/m1/xyz/1": 2,
        "p/m1/xyz/2": 3,
    }


def test_an_array_of_objects_is_an_array_of_readings() -> None:
    rows, _ = read("a", '[{"ts":1,"v":1.5},{"ts":2,"v":2.5}]')
    assert [(t, v) for _, t, v in rows] == [(10**9, 1.5), (2 * 10**9, 2.5)]


def test_placeholders_become_labels_or_the_name() -> None:
    config = MappingConfig(
        topic="plant/{site}/dev-{machine}/{metric}",
        format=Format.JSON,
        value="$.r.val",
        time="$.r.at",
        time_unit="ms",
        sequence="$.n",
        series="{metric}",
        unit="mm/s",
        labels={"area": "press-{site}"},
    )
    table = SeriesTable()
    batch = Batch()
    payload = b'{"r":{"val":1.25,"at":1700000000000},"n":7}'
    assert Mapping([config], table).decode_run(["plant/n/dev-9/vib"], [payload], 0, batch) == []
    labels = (("area", "press-n"), ("machine", "9"), ("unit", "mm/s"))
    assert table.key(batch.sid[0]) == SeriesKey("vib", labels)
    assert (batch.ts, batch.seq) == ([1_700_000_000_000_000_000], [7])


def test_names_may_come_from_the_payload() -> None:
    config = MappingConfig(
        topic="gw/#", format="json", array="$.list", series="{$.id}", labels={"gw": "{$.gw}"}
    )
    payload = '{"gw":"g1","ts":1700000000,"list":[{"id":"t1","value":1},{"id":"t2","value":2}]}'
    rows, _ = read("gw/x/y", payload, config)
    label = (("gw", "g1"),)
    assert [(k, v) for k, _, v in rows] == [(SeriesKey("t1", label), 1), (SeriesKey("t2", label), 2)]
    assert {t for _, t, _ in rows} == {1_700_000_000_000_000_000}


def test_elements_without_times_are_an_interval_apart() -> None:
    config = MappingConfig(topic="vib", format="json", array="$.samples", interval_s=0.001, time="$.ts")
    rows, _ = read("vib", '{"ts":1700000000,"samples":[1,2,3]}', config)
    start = 1_700_000_000_000_000_000
    assert [(t - start, v) for _, t, v in rows] == [(0, 1), (1_000_000, 2), (2_000_000, 3)]


def test_several_values_of_one_payload_are_several_series() -> None:
    config = MappingConfig(
        topic="d/{dev}", format="json", values={"temp": "$.a.t", "hum": "$.a.h"}, series="env"
    )
    rows, _ = read("d/1", '{"a":{"t":20.5,"h":null}}', config)
    assert rows == [(SeriesKey("env/temp", (("dev", "1"),)), NO_TIME, 20.5)]


def test_declared_words_are_booleans() -> None:
    config = MappingConfig(topic="sw", format="plain", booleans={"ON": True, "OFF": False})
    assert values("sw", "ON", config) == {"sw": True}
    assert values("sw", "AUTO", config) == {"sw": "AUTO"}


def test_the_first_mapping_that_matches_decides_and_others_may_be_refused() -> None:
    first = MappingConfig(topic="a/+", format="raw")
    second = MappingConfig(topic="a/#", format="json")
    assert values("a/b", "1", first, second) == {"a/b": b"1"}
    batch = Batch()
    rejected = Mapping([first], SeriesTable(), default=False).decode_run(["z"], [b"1"], 0, batch)
    assert [r.reason for r in rejected] == [RejectReason.NO_MAPPING]
    assert batch.message_ends == [0]


def test_what_is_rejected_leaves_nothing_but_its_end() -> None:
    table = SeriesTable()
    batch = Batch()
    topics = ["a", "b", "c", "a"]
    payloads = [b"1.5", b'{"x":1,"y":1e999}', b'{"x":1,"ts":5}', b"2.5"]
    rejected = Mapping([], table).decode_run(topics, payloads, 0, batch)
    assert [r.index for r in rejected] == [1]
    assert batch.message_ends == [1, 1, 2, 3]
    assert batch.value == [1.5, 1, 2.5]
    assert [key.name for _, key in table.all()] == ["a", "c/x"]


def test_sequences_are_padded_for_messages_that_declare_none() -> None:
    config = MappingConfig(topic="s", format="json", sequence="$.n")
    batch = Batch()
    mapping = Mapping([config], SeriesTable())
    mapping.decode_run(["p", "s", "p"], [b"1", b'{"value":2,"n":5}', b"3"], 0, batch)
    mapping.decode_run(["p"], [b"4"], 0, batch)
    assert batch.seq == [NO_SEQUENCE, 5, NO_SEQUENCE, NO_SEQUENCE]


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (MappingConfig(topic="a/#/b"), "mapping[0].topic"),
        (MappingConfig(topic="a/b+"), "mapping[0].topic"),
        (MappingConfig(topic="{x}/{x}"), "mapping[0].topic"),
        (MappingConfig(topic="a", series="{nope}"), "mapping[0].series"),
        (MappingConfig(topic="a", series="{open"), "mapping[0].series"),
        (MappingConfig(topic="a", value="$[x]"), "mapping[0].value"),
        (MappingConfig(topic="a", format="influx", value="$.a"), "mapping[0]"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_place(config: MappingConfig, place: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Mapping([config], SeriesTable())
    assert caught.value.path == place


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["value", "v", "ts", "time", "t", "a", "b"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(payloads=st.lists(st.binary(max_size=80) | JSON.map(lambda d: json.dumps(d).encode()), max_size=12))
@settings(max_examples=300)
def test_any_bytes_give_readings_or_a_rejection_and_never_raise(payloads: list[bytes]) -> None:
    for format_ in Format:
        table = SeriesTable()
        mapping = Mapping([MappingConfig(topic="x/{y}", format=format_)], table)
        batch = Batch()
        rejected = mapping.decode_run(["x/y"] * len(payloads), payloads, 0, batch)
        assert len(batch.message_ends) == len(payloads)
        assert (
            len(batch.sid)
            == len(batch.ts)
            == len(batch.value)
            == len(batch.size)
            == (batch.message_ends or [0])[-1]
        )
        starts = [0, *batch.message_ends][: len(payloads)]
        for index, (start, end) in enumerate(zip(starts, batch.message_ends, strict=True)):
            assert sum(batch.size[start:end]) == (len(payloads[index]) if end > start else 0)
        assert all(batch.message_ends[r.index] == starts[r.index] for r in rejected)


@given(
    payloads=st.lists(
        JSON.map(lambda d: json.dumps(d).encode()) | st.sampled_from([b"1", b"2.5", b"x"]), max_size=30
    )
)
@settings(max_examples=300)
def test_the_shortcut_gives_what_reading_in_full_gives(payloads: list[bytes]) -> None:
    table = SeriesTable()
    learnt = Batch()
    mapping = Mapping([], table)
    mapping.decode_run(["x"] * len(payloads), payloads, 0, learnt)
    for payload, start, end in zip(payloads, [0, *learnt.message_ends], learnt.message_ends, strict=False):
        fresh = Batch()
        Mapping([], table).decode_run(["x"], [payload], 0, fresh)
        assert fresh.sid == learnt.sid[start:end]
        assert fresh.ts == learnt.ts[start:end]
        assert repr(fresh.value) == repr(learnt.value[start:end])


TIMES = [
    1_700_000_000,
    1_700_000_000.5,
    1_700_000_000_123,
    1_700_000_000_123_456_789,
    5,
    -3,
    1e300,
    True,
    None,
]
POOL = st.fixed_dictionaries(
    {},
    optional={
        **{key: st.sampled_from([1, 2.5, True, "x", None, 2**63]) for key in ("value", "v", "a", "b")},
        **{
            key: st.sampled_from(
                [*TIMES, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.5Z", "2023-13-14T22:13:20Z"]
            )
            for key in ("ts", "time", "t")
        },
    },
)
CONFIGS = [
    MappingConfig(topic="x"),
    MappingConfig(topic="x", format=Format.JSON, value="$.value", time="$.ts", time_unit="ms"),
    MappingConfig(topic="x", format=Format.JSON, value="$.a"),
    MappingConfig(topic="x", format=Format.JSON, time="$.t", time_unit="s"),
    MappingConfig(topic="x", format=Format.JSON, time="$.time", leaves="all", booleans={"x": True}),
    MappingConfig(topic="x", format=Format.PLAIN),
]


@given(
    config=st.sampled_from(CONFIGS),
    shapes=st.lists(POOL, min_size=1, max_size=4),
    picks=st.lists(st.integers(0, 3), min_size=4, max_size=40),
)
@settings(max_examples=600)
def test_a_shortcut_never_changes_what_a_payload_means(
    config: MappingConfig, shapes: list[dict[str, object]], picks: list[int]
) -> None:
    payloads = [json.dumps(shapes[pick % len(shapes)]).encode() for pick in picks]
    table, learnt = SeriesTable(), Batch()
    rejected = Mapping([config], table).decode_run(["x"] * len(payloads), payloads, 0, learnt)
    assert (learnt.message_ends or [0])[-1] == len(learnt.sid) == len(learnt.size)
    for index, (start, end) in enumerate(zip([0, *learnt.message_ends], learnt.message_ends, strict=False)):
        fresh = Batch()
        alone = Mapping([config], table).decode_run(["x"], [payloads[index]], 0, fresh)
        assert fresh.sid == learnt.sid[start:end]
        assert fresh.ts == learnt.ts[start:end]
        assert repr(fresh.value) == repr(learnt.value[start:end])
        assert fresh.size == learnt.size[start:end]
        assert [r.reason for r in alone] == [r.reason for r in rejected if r.index == index]


@given(
    words=st.lists(
        st.sampled_from([b"on", b"off", b"1", b"2.5", b"nan", b"true", b'"q"', b"\xff", b""]), max_size=60
    )
)
def test_words_and_numbers_may_alternate(words: list[bytes]) -> None:
    table, learnt = SeriesTable(), Batch()
    mapping = Mapping([], table)
    mapping.decode_run(["x"] * len(words), words, 0, learnt)
    for word, start, end in zip(words, [0, *learnt.message_ends], learnt.message_ends, strict=False):
        fresh = Batch()
        Mapping([], table).decode_run(["x"], [word], 0, fresh)
        assert repr(fresh.value) == repr(learnt.value[start:end])


def test_plans_are_bounded() -> None:
    mapping = Mapping([], SeriesTable(), FormatLimits(max_topics=3))
    for number in range(10):
        mapping.decode_run([f"t{number}"], [b"1"], 0, Batch())
    assert len(mapping._plans) == 3


@pytest.mark.parametrize("key", ['a"b', "a\\b", "\u0000", "\u001f", "a\nb", ""])
def test_keys_that_no_field_can_have_are_read_the_general_way(key: str) -> None:
    """Kills: one publish that ends the node, and again when its client connects."""
    payload = json.dumps({"value": 1.5, key: 2})
    assert values("t", payload) == {"t": 1.5}


ODD = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=6))
DOCUMENTS = st.recursive(
    ODD,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["value", "v", "ts", "time", "t", "seq", "series"]) | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


@given(st.lists(DOCUMENTS, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_document_gets_past_the_reasons_of_the_quarantine(documents: list[object]) -> None:
    """Kills: an exception of a decoder that nobody expected (it would be `decoder_failed`)."""
    table = SeriesTable()
    mapping = Mapping((), table)
    for document in documents:
        payload = json.dumps(document).encode("utf-8", "surrogatepass")
        for _ in range(2):
            rejected = mapping.decode_run(["t"], [payload], 0, Batch())
            assert RejectReason.DECODER_FAILED not in [one.reason for one in rejected]


class Careless(Mapping):
    """A decoder with a mistake in it: it fails halfway."""

    def _whole(self, topic, payload, node_ns, batch, headers):  # type: ignore[no-untyped-def]
        super()._whole(topic, b"1", node_ns, batch, headers)
        if payload == b"bad":
            raise KeyError("nobody thought of that")


def test_a_decoder_that_fails_costs_its_payload_and_leaves_nothing_of_it() -> None:
    mapping = Careless((), SeriesTable())
    batch = Batch()
    rejected = mapping.decode_run(["a", "b", "c"], [b"1", b"bad", b"1"], 0, batch)
    assert [(one.index, one.reason) for one in rejected] == [(1, RejectReason.DECODER_FAILED)]
    assert "nobody thought of that" in rejected[0].detail
    assert batch.message_ends == [1, 1, 2]
    assert len(batch.sid) == len(batch.ts) == len(batch.value) == len(batch.size) == 2
