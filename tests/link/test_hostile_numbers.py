"""Laws of numbers that a peer makes up: refused where they come in, or harmless; never a dead node."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from tests.link.test_children import E1, Wire, hello
from tests.link.world import Clock, Pair, ParentNode

from headland.link import protocol
from headland.link.contract import (
    EpochHello,
    GapRange,
    Later,
    Rejected,
    StreamHello,
    StreamKey,
    StreamWelcome,
    Verdict,
)
from headland.link.protocol import Clock as PeerClock
from headland.link.protocol import (
    Closing,
    Define,
    ExceptionsUpTo,
    Gap,
    Heard,
    IntentChunk,
    IntentStatus,
    Noted,
    Open,
    Settled,
    Welcome,
)
from headland.vocabulary import Reason

MADE_UP = (-(1 << 63), -1, 0, 1, 8, 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
GAP = GapRange("child", E1, 2, 1, 1, Reason.LOST_BY_RESTORE, 1, 8, 0, 0, ("any",), ((1, 8),))
FROM_CHILD = (
    hello(E1, b"", EpochHello(E1, b"", 0, (StreamHello(2, 0, 1, 0, bytes(16)),)), intents=(("config", 1),)),
    EpochHello(b"4" * 16),
    Open(4, 0, 1, bytes(16)),
    Define("child", E1, ((1, "a", ()),)),
    Gap(4, 0, 1, 1, bytes(16), (GAP,)),
    Heard(4, 0, 1),
    IntentStatus("config", 1, "applied"),
    Noted(1),
    PeerClock(1, True),
    Closing(1),
)
FROM_PARENT = (
    Welcome(1, "parent", b"S" * 16, (StreamWelcome(StreamKey(E1, 2, 0), 0),), (1 << 20,) * 4),
    ExceptionsUpTo(4, 0, 1, bytes(8), (Later(1), Rejected(1))),
    IntentChunk("config", 1, bytes(16), 0, 4, b"body"),
    Settled(1, (Verdict("child", E1, 2, 1, 1, True),)),
    PeerClock(1, True),
    Closing(1),
)


def made_up(message: object) -> Iterator[Any]:
    """The message's fields as the wire has them, each number in turn made up."""
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    spots = list(_numbers(fields, ()))
    for spot in spots:
        for number in MADE_UP:
            yield _with(fields, spot, number)


def _numbers(value: Any, at: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _numbers(one, (*at, index))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield at


def _with(value: Any, spot: tuple[int, ...], number: int) -> Any:
    if not spot:
        return number
    return [_with(one, spot[1:], number) if i == spot[0] else one for i, one in enumerate(value)]


def frame(kind: int, fields: Any) -> bytes:
    out = bytearray()
    protocol.put_frame(out, kind, msgspec.msgpack.encode(fields))
    return bytes(out)


def kind_of(message: object) -> int:
    return int(protocol._KINDS[type(message)])


@pytest.mark.parametrize("message", FROM_CHILD, ids=lambda message: type(message).__name__)
def test_no_number_of_a_child_ends_its_parent_now_or_at_its_next_start(message: object) -> None:
    """Kills: an index of -1, a position that is written and cannot be read, books beyond 64 bits."""
    for fields in made_up(message):
        clock = Clock()
        parent = ParentNode(clock, Random(1))
        wire = Wire(parent, 1)
        if not isinstance(message, protocol.Hello):
            wire.send(FROM_CHILD[0])
        for _ in range(3):  # three times what is taken once is more than it, in the books
            wire.send(raw=frame(kind_of(message), fields))
        parent.commit()
        parent.commit()
        ParentNode(clock, Random(2), parent.frames)


@pytest.mark.parametrize("message", FROM_PARENT, ids=lambda message: type(message).__name__)
def test_no_number_of_a_parent_ends_its_child(message: object) -> None:
    for fields in made_up(message):
        pair = Pair()
        pair.gather()
        pair.child.keep()
        pair.child.commit()
        data = frame(kind_of(message), fields)
        if not isinstance(message, Welcome):
            data = frame(kind_of(FROM_PARENT[0]), FROM_PARENT[0]) + data
        pair.child.do(pair.child.uplink.received(pair.connection, data, pair.clock.now, pair.child.draft))
        pair.child.commit()
        pair.child.wake()
