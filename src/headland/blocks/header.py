"""The header of a block: identity, extent, times; and its compact form, on a connection and in a file.

Identity is (origin, epoch, priority, k) and never changes. Everything else is set once at the seal, except
the lane (each sender's own), the hops travelled as backlog and the age (grows while the block waits).

The byte form is written by a `HeaderWriter` and read by a `HeaderReader` that saw every header before it on
this connection (or in this file), in the same order. (origin, epoch) is a number, defined at its first use;
k, N, node time and age are differences from the header before, of the same (origin, epoch, class) or of the
same (origin, epoch). A writer that is new writes what stands alone.

```
u8 bits: 0-1 priority, 2 lane, 3 digest follows, 4 more than one run, 5 groups follow, 6 no device times,
         7 an extension follows
varint number of (origin, epoch); if it is the next unused one: varint length, origin (UTF-8), 16 B epoch
signed  k - (previous k + 1)                     | varint rows | varint payload bytes
signed  age_ms - previous age_ms
runs    [varint count] then each: signed N - previous N, [varint rows], time step of node time
[time step ts_min from the last node time | varint ts_max - ts_min, in the units of a time step]
[16 B digest] [varint count, each: varint length, UTF-8] [extension]
extension: varint key id (0: not signed) | varint length of the rest | u8 backlog hops | signature
```
A time step is one signed varint: a difference in units of 10^(3u) ns, times 4, plus u (0 to 3).
Bounds: 65,536 rows and runs, 16 groups (more are written as "any" by the sealer), 4,096 numbers, 255 hops.
"""

from __future__ import annotations

import msgspec

from headland.blocks.packed import MAX_ROWS
from headland.blocks.plain import put_wide, take_wide
from headland.blocks.wire import Reader, put_signed, put_varint
from headland.vocabulary import NO_TIME, DefectError, Lane, PeerError, Priority

EPOCH_BYTES = 16
MAX_GROUPS = 16
MAX_ORIGINS = 4_096
_MAX_NAME = 1_024
_MAX_EXTENSION = 4_096
MAX_HOPS = 255
"""Hops that are counted; a block that has travelled more says so many."""
_U63 = (1 << 63) - 1

_LANE, _DIGEST, _RUNS, _GROUPS, _TIMELESS, _EXTENDED = 0x04, 0x08, 0x10, 0x20, 0x40, 0x80


class Run(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Consecutive rows of a block that one commit brought: its number N, its node time (ns UTC), the rows."""

    n: int
    node_ns: int
    rows: int


class BlockHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What is said about a block beside its rows.

    Attributes:
        origin: Name of the node that made it.
        epoch: 16 bytes, the origin's epoch.
        priority: Its class.
        k: 1, 2, 3 ... without gaps in (origin, epoch, priority).
        lane: Live or backlog at the node that sends it.
        rows: Rows in the body.
        size: Payload bytes that its rows stand for in the books.
        runs: The commits that its rows came from, in order; their rows sum to `rows`.
        ts_min: Smallest device time, ns UTC, or NO_TIME when no row has one.
        ts_max: Largest device time, or NO_TIME.
        age_ms: Running time since its first row was committed, at the moment the header was written.
        digest: 16 bytes over the decoded rows, or b"" where the receiver is to compute it.
        groups: Series groups in it, at most 16; empty means any.
        backlog_hops: Hops that it has travelled as backlog: with (origin, class) it names the path of lanes
            along which blocks arrive in order. Whoever receives a block counts the hop that it came by.
        key_id: Reserved: the origin's key.
        signature: Reserved: detached, over the chain value.
    """

    origin: str
    epoch: bytes
    priority: Priority
    k: int
    lane: Lane
    rows: int
    size: int
    runs: tuple[Run, ...]
    ts_min: int = NO_TIME
    ts_max: int = NO_TIME
    age_ms: int = 0
    digest: bytes = b""
    groups: tuple[str, ...] = ()
    backlog_hops: int = 0
    key_id: int = 0
    signature: bytes = b""

    @property
    def first_n(self) -> int:
        """Commit of its first row."""
        return self.runs[0].n

    @property
    def last_n(self) -> int:
        """Commit of its last row."""
        return self.runs[-1].n

    @property
    def path(self) -> int:
        """The lanes that it came by: 0 live all the way, n as backlog on the last n hops.

        A block that was written before hops were counted says 1 for any number of them.
        """
        return max(self.backlog_hops, int(self.lane))

    @property
    def base_ns(self) -> int:
        """What times in a PLAIN body are relative to."""
        return 0 if self.ts_min == NO_TIME else self.ts_min


class _Before:
    """What the header before said, for one (origin, epoch)."""

    __slots__ = ("age_ms", "k", "n", "node_ns")

    def __init__(self) -> None:
        self.k = [0, 0, 0, 0]
        self.n = 0
        self.node_ns = 0
        self.age_ms = 0


class HeaderWriter:
    """Writes headers in the order in which they are sent."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._before: list[_Before] = []

    def encode(self, header: BlockHeader, *, with_digest: bool = True) -> bytes:
        """The byte form; without the digest the receiver computes it from the rows.

        Raises:
            DefectError: the header breaks its own bounds.
        """
        if len(header.epoch) != EPOCH_BYTES or not header.runs or len(header.groups) > MAX_GROUPS:
            raise DefectError(f"block {header.origin}/{header.priority}/{header.k} has a malformed header")
        if not 0 <= header.backlog_hops <= MAX_HOPS:
            raise DefectError(f"block {header.k} has travelled {header.backlog_hops} hops as backlog")
        if sum(run.rows for run in header.runs) != header.rows or not 0 < header.rows <= MAX_ROWS:
            raise DefectError(f"the runs of block {header.k} do not sum to its {header.rows} rows")
        with_digest = with_digest and header.digest != b""
        timeless = header.ts_min == NO_TIME
        extended = header.backlog_hops != 0 or header.key_id != 0 or header.signature != b""
        out = bytearray(
            (
                header.priority
                | _LANE * header.lane
                | _DIGEST * with_digest
                | _RUNS * (len(header.runs) > 1)
                | _GROUPS * bool(header.groups)
                | _TIMELESS * timeless
                | _EXTENDED * extended,
            )
        )
        before = self._put_origin(out, header)
        put_signed(out, header.k - before.k[header.priority] - 1)
        before.k[header.priority] = header.k
        put_varint(out, header.rows)
        put_varint(out, header.size)
        put_signed(out, header.age_ms - before.age_ms)
        before.age_ms = header.age_ms
        _put_runs(out, header, before)
        if not timeless:
            put_step(out, header.ts_min - before.node_ns)
            put_step(out, header.ts_max - header.ts_min)
        if with_digest:
            out += header.digest
        if header.groups:
            put_varint(out, len(header.groups))
            for group in header.groups:
                put_bytes(out, group.encode("utf-8"))
        if extended:
            put_varint(out, header.key_id)
            put_bytes(out, bytes((header.backlog_hops,)) + header.signature)
        return bytes(out)

    def _put_origin(self, out: bytearray, header: BlockHeader) -> _Before:
        key = (header.origin, header.epoch)
        number = self._numbers.get(key)
        if number is not None:
            put_varint(out, number)
            return self._before[number]
        number = len(self._before)
        if number >= MAX_ORIGINS:
            raise DefectError(f"more than {MAX_ORIGINS} epochs on one connection")
        put_varint(out, number)
        put_bytes(out, header.origin.encode("utf-8"))
        out += header.epoch
        self._numbers[key] = number
        self._before.append(_Before())
        return self._before[number]

    @property
    def full(self) -> bool:
        """Whether a further (origin, epoch) has no number left: begin a new file or connection."""
        return len(self._before) >= MAX_ORIGINS


class HeaderReader:
    """Reads headers in the order in which a `HeaderWriter` wrote them."""

    def __init__(self) -> None:
        self._origins: list[tuple[str, bytes]] = []
        self._before: list[_Before] = []

    def decode(self, reader: Reader) -> BlockHeader:
        """The next header.

        Raises:
            PeerError: malformed or out of bounds; the connection (or file) cannot be read on.
        """
        bits = reader.byte()
        priority = Priority(bits & 3)
        origin, epoch, before = self._take_origin(reader)
        k = before.k[priority] + 1 + reader.signed()
        rows = reader.varint(MAX_ROWS)
        size = reader.varint(_U63)
        age_ms = before.age_ms + reader.signed()
        if not 0 < k <= _U63 or not rows or not 0 <= age_ms <= _U63:
            raise PeerError(f"block header of {origin}: k {k}, {rows} rows, age {age_ms} ms")
        runs = _take_runs(reader, before, rows if not bits & _RUNS else 0)
        if sum(run.rows for run in runs) != rows:
            raise PeerError(f"block header of {origin}: its runs do not sum to {rows} rows")
        before.k[priority] = k
        before.age_ms = age_ms
        ts_min = ts_max = NO_TIME
        if not bits & _TIMELESS:
            ts_min = _time(before.node_ns + take_step(reader))
            ts_max = _time(ts_min + take_step(reader))
            if ts_max < ts_min:
                raise PeerError("a block's last device time is before its first")
        digest = reader.take(16) if bits & _DIGEST else b""
        groups: tuple[str, ...] = ()
        if bits & _GROUPS:
            groups = tuple(_take_text(reader) for _ in range(reader.varint(MAX_GROUPS)))
        key_id, extension = 0, b"\0"
        if bits & _EXTENDED:
            key_id = reader.varint()
            extension = reader.take(reader.varint(_MAX_EXTENSION)) or extension
        return BlockHeader(
            origin=origin,
            epoch=epoch,
            priority=priority,
            k=k,
            lane=Lane.BACKLOG if bits & _LANE else Lane.LIVE,
            rows=rows,
            size=size,
            runs=runs,
            ts_min=ts_min,
            ts_max=ts_max,
            age_ms=age_ms,
            digest=digest,
            groups=groups,
            backlog_hops=extension[0],
            key_id=key_id,
            signature=bytes(extension[1:]),
        )

    def _take_origin(self, reader: Reader) -> tuple[str, bytes, _Before]:
        number = reader.varint(MAX_ORIGINS - 1)
        if number > len(self._origins):
            raise PeerError(f"origin number {number} was never defined")
        if number == len(self._origins):
            name = _take_text(reader)
            if not name:
                raise PeerError("an origin without a name")
            self._origins.append((name, reader.take(EPOCH_BYTES)))
            self._before.append(_Before())
        return *self._origins[number], self._before[number]


def encode_alone(header: BlockHeader) -> bytes:
    """The self-contained form, digest included."""
    return HeaderWriter().encode(header)


def decode_alone(reader: Reader) -> BlockHeader:
    """A header that `encode_alone` wrote.

    Raises:
        PeerError: malformed or out of bounds.
    """
    return HeaderReader().decode(reader)


def put_bytes(out: bytearray, data: bytes) -> None:
    """Append bytes behind their length as a varint."""
    put_varint(out, len(data))
    out += data


_UNITS = (1, 10**3, 10**6, 10**9)


def put_step(out: bytearray, step_ns: int) -> None:
    """Append a difference of times in the largest unit that holds it exactly."""
    scale = 3 if step_ns % 10**9 == 0 else 2 if step_ns % 10**6 == 0 else 1 if step_ns % 1000 == 0 else 0
    put_wide(out, step_ns // _UNITS[scale] << 2 | scale)


def take_step(reader: Reader) -> int:
    """What `put_step` wrote, in ns.

    Raises:
        PeerError: cut short.
    """
    word = take_wide(reader)
    return (word >> 2) * _UNITS[word & 3]


def _put_runs(out: bytearray, header: BlockHeader, before: _Before) -> None:
    single = len(header.runs) == 1
    if not single:
        put_varint(out, len(header.runs))
    for run in header.runs:
        put_signed(out, run.n - before.n)
        if not single:
            put_varint(out, run.rows)
        put_step(out, run.node_ns - before.node_ns)
        before.n, before.node_ns = run.n, run.node_ns


def _take_runs(reader: Reader, before: _Before, only: int) -> tuple[Run, ...]:
    runs = []
    for _ in range(1 if only else reader.varint(MAX_ROWS)):
        n = before.n + reader.signed()
        if not 0 <= n <= _U63:
            raise PeerError(f"commit number {n}")
        rows = only or reader.varint(MAX_ROWS)
        node_ns = _time(before.node_ns + take_step(reader))
        before.n, before.node_ns = n, node_ns
        runs.append(Run(n, node_ns, rows))
    return tuple(runs)


def _take_text(reader: Reader) -> str:
    try:
        return str(reader.take(reader.varint(_MAX_NAME)), "utf-8")
    except UnicodeDecodeError:
        raise PeerError("a name is not UTF-8") from None


def _time(value: int) -> int:
    if not -(1 << 63) <= value <= _U63:
        raise PeerError("a time is beyond 64 bit")
    return value
