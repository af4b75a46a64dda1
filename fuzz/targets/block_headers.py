"""Headers of blocks, one after the other, as on a connection or in a file."""

from __future__ import annotations

from fuzz.target import Target, hold
from headland.blocks.header import BlockHeader, HeaderReader, HeaderWriter, Run, decode_alone, encode_alone
from headland.blocks.wire import Reader
from headland.vocabulary import Lane, PeerError, Priority


def check(data: bytes) -> bytes:
    """Headers that are read are read again from what a writer makes of them, in no more bytes a header."""
    reader, source = Reader(data), HeaderReader()
    found: list[BlockHeader] = []
    while reader.left > 0:
        try:
            found.append(source.decode(reader))
        except PeerError:
            break
    writer, back = HeaderWriter(), HeaderReader()
    for header in found:
        hold(header.rows == sum(run.rows for run in header.runs) > 0, f"{header!r}")
        hold(header.ts_min <= header.ts_max and len(header.epoch) == 16, f"{header!r}")
        hold(back.decode(Reader(writer.encode(header))) == header, f"{header!r} came back as another")
        hold(decode_alone(Reader(encode_alone(header))) == header, f"{header!r} came back alone as another")
    return repr(found).encode()


def headers() -> list[BlockHeader]:
    """Headers of two origins, of every option."""
    found = [_header(origin, k) for k in range(1, 4) for origin in ("a", "örtlich")]
    found.append(
        BlockHeader(
            origin="a", epoch=bytes(16), priority=Priority.LOW, k=1, lane=Lane.LIVE, rows=1, size=0,
            runs=(Run(1, 0, 1),),
        )
    )  # fmt: skip
    return found


def _header(origin: str, k: int) -> BlockHeader:
    return BlockHeader(
        origin=origin,
        epoch=bytes(range(16)),
        priority=Priority(k),
        k=k * k,
        lane=Lane(k & 1),
        rows=2 * k,
        size=k * 1_000,
        runs=(Run(k, k * 10**15, k), Run(k + 1, k * 10**15 + 10**6, k)),
        ts_min=k * 10**15,
        ts_max=k * 10**15 + 7,
        age_ms=k,
        digest=bytes(16) if k & 1 else b"",
        groups=("g", "h") if k == 2 else (),
        backlog_hops=k - 1,
        key_id=k - 1,
        signature=b"s" * (k - 1),
    )


def seeds() -> dict[str, bytes]:
    """Each alone, and all on one connection."""
    writer = HeaderWriter()
    made = {f"{index}": encode_alone(header) for index, header in enumerate(headers())}
    return made | {"all": b"".join(writer.encode(header) for header in headers())}


TARGET = Target(
    name="block_headers",
    law="a header that is read is read again from what a writer makes of it",
    check=check,
    seeds=seeds,
    words=(b"\xff" * 9 + b"\x01", b"\xfe" + b"\xff" * 8 + b"\x01", b"\x80", b"\xff\xff\xff\xff\x0f"),
    rounds=6_000,
)
