"""Laws of Sparkplug B. The golden bytes were written by protobuf 7.36 from the schema of Eclipse Tahu."""

from __future__ import annotations

import contextlib
import importlib
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headland.line.formats import FormatLimits, Mapping, MappingConfig, RebirthRequest, RejectReason, Unfit
from headland.line.formats.sparkplug import read_payload
from headland.line.formats.wire import field, fields, varint
from headland.vocabulary import Batch, SeriesKey, SeriesTable

T = 1_700_000_000_000 * 10**6
MS = 10**6
NODE = (("edge_node", "e1"), ("group", "g"))

NBIRTH = bytes.fromhex(
    "0880d095ffbc3112140a05626453657110011881d095ffbc312008580412230a144e6f646520436f6e74726f6c2f52656269"
    "72746810021882d095ffbc31200b700012150a02693810031883d095ffbc31200150ffffffff0f12160a0369313610041884"
    "d095ffbc31200250d4fdffff0f12160a0369333210051885d095ffbc3120035090ddfbff0f121b0a0369363410061886d095"
    "ffbc31200458fbffffffffffffffff0112120a02753810071887d095ffbc31200550ff0112160a0375333210081888d095ff"
    "bc31200750ffffffff0f121a0a0375363410091889d095ffbc31200858ffffffffffffffff7f12170a05666c6f6174100a18"
    "8ad095ffbc312009650000c03f121c0a06646f75626c65100b188bd095ffbc31200a699a9999999999b93f12120a03796573"
    "100c188cd095ffbc31200b700112310a0474657874100d188dd095ffbc31200c42034201644a120a07656e67556e69741207"
    "080c4203c2b0437a056772c3bc6e12180a047768656e100e188ed095ffbc31200d5880d095ffbc3112160a03726177100f18"
    "8fd095ffbc3120118201030001ff12130a046e6f6e6510101890d095ffbc3120093801123b0a057461626c6510111891d095"
    "ffbc3120108a012608021201611201621803180c220d0a0608ffffffff0f0a0332017822090a0208070a0332017912400a05"
    "6d6f746f7210121892d095ffbc31201392012b120a0a0372706d200350dc0b12080a026f6e200b70011a0a0a0473697a6510"
    "03180422054d6f746f7228001800"
)
NDATA = bytes.fromhex(
    "08e8d795ffbc31120f100318ebd795ffbc3150feffffff0f120e100a18f2d795ffbc3165000010c01214100618eed795ffbc"
    "3158faffffffffffffffff01120e101018f8d795ffbc3165000008411801"
)
NDEATH = bytes.fromhex("0880d095ffbc31120b0a05626453657120085804")
REBIRTH = bytes.fromhex(
    "0880d095ffbc3112210a144e6f646520436f6e74726f6c2f526562697274681880d095ffbc31200b7001"
)


class Host:
    """A host application that hears what is published."""

    def __init__(self) -> None:
        self.table = SeriesTable()
        self.mapping = Mapping([], self.table)
        self.now = T

    def hear(
        self, verb: str, payload: bytes, device: str = "", edge: str = "e1"
    ) -> tuple[dict[str, Any], Any]:
        topic = f"spBv1.0/g/{verb}/{edge}" + (f"/{device}" if device else "")
        batch = Batch()
        rejected = self.mapping.decode_run([topic], [payload], self.now, batch)
        values = {self.table.key(s).name: v for s, v in zip(batch.sid, batch.value, strict=True)}
        self.last = batch
        return values, rejected[0].reason if rejected else None

    def rebirths(self) -> list[str]:
        return [request.reason for request in self.mapping.take_rebirths()]


def message(seq: int | None, *metrics: bytes) -> bytes:
    body = field(1, T // MS) + b"".join(field(2, metric) for metric in metrics)
    return body if seq is None else body + field(3, seq)


def metric(name: str = "", alias: int | None = None, datatype: int = 4, value: int = 1) -> bytes:
    out = field(1, name.encode()) if name else b""
    out += field(2, alias) if alias is not None else b""
    return out + field(4, datatype) + field(11, value)


def test_a_birth_gives_every_metric_with_its_declared_type() -> None:
    host = Host()
    values, why = host.hear("NBIRTH", NBIRTH)
    assert why is None
    assert values == {
        "online": True,
        "i8": -1,
        "i16": -300,
        "i32": -70000,
        "i64": -5,
        "u8": 255,
        "u32": 2**32 - 1,
        "u64": 2**63 - 1,
        "float": 1.5,
        "double": 0.1,
        "yes": True,
        "text": "grün",
        "when": T // MS,
        "raw": b"\x00\x01\xff",
        "table/a": 7,
        "table/b": "y",
        "motor/rpm": 1500,
        "motor/on": True,
    }
    assert host.table.key(1) == SeriesKey("online", NODE)
    assert host.last.ts[1] == T + 3 * MS
    assert sum(host.last.size) == len(NBIRTH)
    assert host.rebirths() == []


def test_data_by_alias_means_what_the_birth_said() -> None:
    host = Host()
    host.hear("NBIRTH", NBIRTH)
    values, why = host.hear("NDATA", NDATA)
    assert why is None
    assert values == {"i8": -2, "float": -2.25, "i64": -6, "none": 8.5}
    assert host.last.ts == [T + 1003 * MS, T + 1010 * MS, T + 1006 * MS, T + 1016 * MS]
    assert host.rebirths() == []


def test_an_alias_without_a_birth_is_rejected_and_asks_for_rebirth() -> None:
    host = Host()
    assert host.hear("NDATA", NDATA) == ({}, RejectReason.UNKNOWN_ALIAS)
    (request,) = host.mapping.take_rebirths()
    assert request == RebirthRequest("g", "e1", "no birth seen")
    assert request.topic == "spBv1.0/g/NCMD/e1"
    assert request.payload(T) == REBIRTH


def test_rebirth_is_not_asked_for_again_at_once() -> None:
    host = Host()
    host.hear("NDATA", NDATA)
    host.hear("NDATA", NDATA)
    assert len(host.rebirths()) == 1
    host.now += 11 * 10**9
    host.hear("NDATA", NDATA)
    assert len(host.rebirths()) == 1


def test_named_metrics_are_read_without_a_birth_but_one_is_asked_for() -> None:
    host = Host()
    assert host.hear("NDATA", message(5, metric("temp", value=21))) == ({"temp": 21}, None)
    assert host.rebirths() == ["no birth seen"]


def test_a_gap_in_the_sequence_asks_for_rebirth_and_the_message_is_read() -> None:
    host = Host()
    host.hear("NBIRTH", message(0, metric("a", 1)))
    host.hear("DBIRTH", message(1, metric("b", 1)), "d")
    assert host.hear("NDATA", message(2, metric(alias=1, value=5))) == ({"a": 5}, None)
    assert host.hear("DDATA", message(3, metric(alias=1, value=6)), "d") == ({"b": 6}, None)
    assert host.rebirths() == []
    assert host.hear("NDATA", message(5, metric(alias=1, value=7))) == ({"a": 7}, None)
    assert host.rebirths() == ["sequence gap"]


def test_sequences_go_round_after_255() -> None:
    host = Host()
    host.hear("NBIRTH", message(254, metric("a", 1)))
    for seq in (255, 0, 1):
        host.hear("NDATA", message(seq, metric(alias=1)))
    assert host.rebirths() == []


def test_devices_have_tables_and_labels_of_their_own() -> None:
    host = Host()
    host.hear("NBIRTH", message(0, metric("a", 1)))
    host.hear("DBIRTH", message(1, metric("b", 1)), "d")
    values, _ = host.hear("DDATA", message(2, metric(alias=1, value=9)), "d")
    assert values == {"b": 9}
    assert host.table.key(host.last.sid[0]) == SeriesKey("b", (("device", "d"), *NODE))
    assert host.hear("DDEATH", message(3), "d") == ({"online": False}, None)
    assert host.hear("DDATA", message(4, metric(alias=1)), "d") == ({}, RejectReason.UNKNOWN_ALIAS)
    assert host.rebirths() == ["unknown alias"]


def test_a_death_ends_the_tables_and_an_old_death_changes_nothing() -> None:
    host = Host()
    host.hear("NBIRTH", NBIRTH)
    old = message(None, metric("bdSeq", datatype=8, value=3))
    assert host.hear("NDEATH", old) == ({}, None)
    assert host.hear("NDATA", NDATA)[1] is None
    assert host.hear("NDEATH", NDEATH) == ({"online": False}, None)
    assert host.hear("NDATA", NDATA)[1] is RejectReason.UNKNOWN_ALIAS


def test_a_new_birth_replaces_the_table() -> None:
    host = Host()
    host.hear("NBIRTH", message(0, metric("a", 1)))
    host.hear("NBIRTH", message(0, metric("z", 1)))
    assert host.hear("NDATA", message(1, metric(alias=1, value=2))) == ({"z": 2}, None)


def test_a_birth_that_does_not_fit_changes_nothing() -> None:
    host = Host()
    host.hear("NBIRTH", message(0, metric("a", 1)))
    bad = message(0, metric("z", 1), metric("big", 2, 8, 2**63))
    assert host.hear("NBIRTH", bad) == ({}, RejectReason.NUMBER_OUT_OF_RANGE)
    assert host.hear("NDATA", message(1, metric(alias=1, value=2))) == ({"a": 2}, None)


@pytest.mark.parametrize("topic", ["spBv1.0/STATE/host", "spBv1.0/g/NCMD/e", "spBv1.0/g/DCMD/e/d"])
def test_state_and_commands_are_no_readings(topic: str) -> None:
    batch = Batch()
    assert Mapping([], SeriesTable()).decode_run([topic], [b"\xff\xff"], T, batch) == []
    assert batch.message_ends == [0]


@pytest.mark.parametrize(
    "topic", ["spBv1.0/g/NDATA", "spBv1.0/g/NDATA/e/d", "spBv1.0/g/DDATA/e", "spBv1.0/g/XX/e", "spBv1.0/g"]
)
def test_other_topics_of_the_namespace_are_rejected(topic: str) -> None:
    rejected = Mapping([], SeriesTable()).decode_run([topic], [b""], T, Batch())
    assert [r.reason for r in rejected] == [RejectReason.UNSUPPORTED]


def test_floats_that_are_not_numbers_are_passed_on() -> None:
    nan = field(1, b"f") + field(4, 9) + varint(12 << 3 | 5) + struct.pack("<f", math.nan)
    host = Host()
    values, why = host.hear("NBIRTH", message(0, nan))
    assert why is None
    assert math.isnan(values["f"])


def test_the_definition_of_a_template_is_no_reading() -> None:
    template = field(2, metric("rpm", value=5)) + field(5, 1)
    definition = field(1, b"Motor") + field(4, 19) + field(18, template)
    assert Host().hear("NBIRTH", message(0, definition)) == ({"online": True}, None)


@given(payload=st.binary(max_size=200))
@settings(max_examples=500)
def test_any_bytes_are_a_payload_or_unfit(payload: bytes) -> None:
    with contextlib.suppress(Unfit):
        read_payload(payload)


@given(data=st.data())
@settings(max_examples=300)
def test_a_damaged_payload_is_read_or_rejected_and_never_raises(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from([NBIRTH, NDATA, NDEATH])))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    host = Host()
    for verb in ("NBIRTH", "NDATA", "NDEATH"):
        host.hear(verb, bytes(damaged))
        host.hear(verb, bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


@given(values=st.lists(st.tuples(st.integers(1, 2**28), st.integers(0, 2**64 - 1) | st.binary(max_size=300))))
def test_what_the_writer_writes_the_reader_reads(values: list[tuple[int, int | bytes]]) -> None:
    encoded = b"".join(field(number, value) for number, value in values)
    assert [(number, value) for number, _, value in fields(encoded)] == values


def test_edge_nodes_are_bounded() -> None:
    mapping = Mapping([MappingConfig(topic="#", format="sparkplug_b")], SeriesTable(), FormatLimits())
    birth = message(0, metric("a", 1))
    topics = [f"spBv1.0/g/NBIRTH/e{number}" for number in range(10_050)]
    mapping.decode_run(topics, [birth] * len(topics), T, Batch())
    assert len(mapping._sparkplug._nodes) == 10_000


def schema() -> Any:
    """The messages that are needed here, built from their field numbers; skips without the library."""
    pytest.importorskip("google.protobuf", reason="protobuf is not installed; the golden bytes stand for it")
    descriptor = importlib.import_module("google.protobuf.descriptor_pb2")
    pool = importlib.import_module("google.protobuf.descriptor_pool").DescriptorPool()
    factory = importlib.import_module("google.protobuf.message_factory")
    kind = descriptor.FieldDescriptorProto
    file = descriptor.FileDescriptorProto(name="t.proto", package="t", syntax="proto2")
    one, many = kind.LABEL_OPTIONAL, kind.LABEL_REPEATED
    inner = file.message_type.add(name="Metric")
    for name, number, type_ in (
        *(("name", 1, kind.TYPE_STRING), ("alias", 2, kind.TYPE_UINT64), ("timestamp", 3, kind.TYPE_UINT64)),
        *(
            ("datatype", 4, kind.TYPE_UINT32),
            ("is_null", 7, kind.TYPE_BOOL),
            ("int_value", 10, kind.TYPE_UINT32),
        ),
        *(("long_value", 11, kind.TYPE_UINT64), ("double_value", 13, kind.TYPE_DOUBLE)),
        *(("string_value", 15, kind.TYPE_STRING), ("bytes_value", 16, kind.TYPE_BYTES)),
    ):
        inner.field.add(name=name, number=number, type=type_, label=one)
    outer = file.message_type.add(name="Payload")
    outer.field.add(name="timestamp", number=1, type=kind.TYPE_UINT64, label=one)
    outer.field.add(name="metrics", number=2, type=kind.TYPE_MESSAGE, type_name=".t.Metric", label=many)
    outer.field.add(name="seq", number=3, type=kind.TYPE_UINT64, label=one)
    pool.Add(file)
    return factory.GetMessageClass(pool.FindMessageTypeByName("t.Payload"))


@given(
    longs=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    texts=st.lists(st.text(max_size=20), max_size=5),
    doubles=st.lists(st.floats(allow_nan=False), max_size=5),
)
@settings(max_examples=200)
def test_what_protobuf_writes_is_read_exactly(
    longs: list[int], texts: list[str], doubles: list[float]
) -> None:
    payload = schema()(timestamp=T // MS, seq=0)
    for number, long in enumerate(longs):
        payload.metrics.add(name=f"l{number}", datatype=4, long_value=long % 2**64)
    for number, text in enumerate(texts):
        payload.metrics.add(name=f"t{number}", datatype=12, string_value=text)
    for number, double in enumerate(doubles):
        payload.metrics.add(name=f"d{number}", datatype=10, double_value=double)
    values, why = Host().hear("NBIRTH", payload.SerializeToString())
    expected = {
        f"{k}{i}": v for k, vs in (("l", longs), ("t", texts), ("d", doubles)) for i, v in enumerate(vs)
    }
    assert (values, why) == ({"online": True, **expected}, None)
