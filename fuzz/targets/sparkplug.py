"""Sparkplug B: messages of one group, a byte that says which topic and a chunk of payload each."""

from __future__ import annotations

from fuzz.laws import check_batch, story_of
from fuzz.target import Script, Target, chunk, hold
from headland.line.formats import Mapping
from headland.line.formats.wire import field, varint
from headland.vocabulary import Batch, SeriesTable

NODE_NS = 1_700_000_000_000 * 10**6
VERBS = ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH", "NCMD", "STATE")
MESSAGES_MAX = 16


def check(data: bytes) -> bytes:
    """Each message gives readings that can be kept, or one rejection; a run is its messages one by one."""
    script = Script(data)
    topics: list[str] = []
    payloads: list[bytes] = []
    while script.left > 0 and len(topics) < MESSAGES_MAX:
        which = script.byte()
        device = f"/d{which >> 4 & 1}" if VERBS[which & 7].startswith("D") else ""
        topics.append(f"spBv1.0/g/{VERBS[which & 7]}/e{which >> 3 & 1}{device}")
        payloads.append(script.chunk())
    table, batch = SeriesTable(), Batch()
    mapping = Mapping([], table)
    rejected = mapping.decode_run(topics, payloads, NODE_NS, batch)
    check_batch(batch, payloads, {one.index for one in rejected}, table)
    hold(not any(one.reason.value == "decoder_failed" for one in rejected), f"{rejected}")
    rebirths = [(one.topic, one.payload(NODE_NS)) for one in mapping.take_rebirths()]
    apart, one_by_one = SeriesTable(), Batch()
    again = Mapping([], apart)
    for topic, payload in zip(topics, payloads, strict=True):
        again.decode_run([topic], [payload], NODE_NS, one_by_one)
    told = story_of(batch, table)
    hold(told == story_of(one_by_one, apart), "a run gives other readings than its messages")
    return told + repr((sorted((one.index, one.reason) for one in rejected), rebirths)).encode()


def metric(name: str, alias: int, datatype: int, number: int, value: bytes | int) -> bytes:
    """A metric with its value in field `number`; eight or four bytes are a fixed number for 12 and 13."""
    out = (field(1, name.encode()) if name else b"") + field(2, alias) + field(3, NODE_NS // 10**6)
    out += field(4, datatype)
    if number == 13 and isinstance(value, bytes):
        return out + varint(13 << 3 | 1) + value
    if number == 12 and isinstance(value, bytes):
        return out + varint(12 << 3 | 5) + value
    return out + field(number, value)


def payload(seq: int, *metrics: bytes) -> bytes:
    """A payload."""
    return field(1, NODE_NS // 10**6) + b"".join(field(2, one) for one in metrics) + field(3, seq)


def seeds() -> dict[str, bytes]:
    """Births, data by alias, deaths; templates and data sets."""
    cells = field(1, field(1, 7)) + field(1, field(5, b"x"))
    table = field(1, 2) + field(2, b"a") + field(2, b"b") + field(3, bytes((7, 12))) + field(4, cells)
    template = field(2, metric("rpm", 9, 3, 10, 596)) + field(2, metric("on", 10, 11, 14, 1))
    birth = payload(
        0,
        metric("bdSeq", 1, 8, 11, 4),
        metric("int", 2, 3, 10, 0xFFFFFFFF),
        metric("float", 3, 9, 12, b"\0\0\xc0\x3f"),
        metric("double", 4, 10, 13, b"\x9a\x99\x99\x99\x99\x99\xb9\x3f"),
        metric("text", 5, 12, 15, "grün".encode()),
        metric("bytes", 6, 17, 16, b"\0\1"),
        metric("table", 7, 16, 17, table),
        metric("motor", 8, 19, 18, template),
        metric("null", 11, 3, 7, 1),
    )
    data = payload(1, metric("", 2, 0, 10, 5), metric("", 4, 0, 13, bytes(8)))
    gap = payload(9, metric("", 99, 0, 10, 5))
    return {
        "birth": b"\0" + chunk(birth),
        "data": b"\0" + chunk(birth) + b"\1" + chunk(data) + b"\1" + chunk(gap),
        "device": b"\0" + chunk(birth) + b"\3" + chunk(birth) + b"\4" + chunk(data) + b"\5" + chunk(b""),
        "death": b"\0"
        + chunk(birth)
        + b"\2"
        + chunk(payload(0, metric("bdSeq", 1, 8, 11, 4)))
        + b"\1"
        + chunk(data),
        "unborn": b"\1" + chunk(data) + b"\x09" + chunk(data),
        "others": b"\6" + chunk(birth) + b"\7" + chunk(b'{"online":true}'),
    }


TARGET = Target(
    name="sparkplug",
    law="a message gives readings that can be kept or one rejection, alone as in a run",
    check=check,
    seeds=seeds,
    words=(
        b"\xff" * 9 + b"\x01",
        b"\x12\x00",
        b"\x0a\x05bdSeq",
        b"\x50\xff\xff\xff\xff\x0f",
        b"\x92\x01",
        b"\x8a\x01",
    ),
    rounds=1_500,
)
