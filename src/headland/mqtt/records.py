"""What the broker writes into commits and checkpoints: msgpack arrays, one kind of record a change.

A STATE section of the owner "mqtt" is a `Changes`; a checkpoint holds a `Snapshot`. Times are what was left
of them, in milliseconds, when the record was written (-1: no limit), beside the wall clock of that moment
when it was trusted (0 otherwise): off time counts against a deadline only if both ends of it are trusted.
"""

from __future__ import annotations

import msgspec

FOREVER = -1
"""Time left of something that does not end."""


class MessageRecord(msgspec.Struct, frozen=True, array_like=True):
    """An application message; `properties` as on the wire, without their length."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: bytes
    left_ms: int


class HolderRecord(msgspec.Struct, frozen=True, array_like=True):
    """A message in one session's queue."""

    client: str
    position: int
    qos: int
    retain: bool
    identifiers: tuple[int, ...]


class WillRecord(msgspec.Struct, frozen=True, array_like=True):
    """A will; `left_ms` is its delay."""

    message: MessageRecord
    left_ms: int


class Opened(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A lasting session began, or its client came back; `fresh` discards what the client had before."""

    client: str
    principal: str
    version: int
    expiry_s: int
    fresh: bool
    will: WillRecord | None


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A session is no more."""

    client: str


class Departed(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A client left; its session ends and its will is published when what is left has passed."""

    client: str
    expiry_s: int
    left_ms: int
    has_will: bool
    will_left_ms: int


class SubscribedTo(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A subscription was made or replaced."""

    client: str
    filter: str
    qos: int
    no_local: bool
    retain_as_published: bool
    retain_handling: int
    identifier: int


class UnsubscribedFrom(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A subscription was removed."""

    client: str
    filter: str


class RetainedSet(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A message was retained."""

    message: MessageRecord


class RetainedCleared(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """A retained message was cleared."""

    topic: str


class Received(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """QoS 2 identifiers were received."""

    client: str
    identifiers: list[int]


class Released(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """A QoS 2 identifier was released by its client."""

    client: str
    identifier: int


class Queued(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """A message was queued, once, for these sessions; their `position` is the message's."""

    message: MessageRecord
    holders: list[HolderRecord]


class Done(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """A session holds the message at `position` no more."""

    client: str
    position: int


class Evicted(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """No session holds the message at `position` any more: it made room."""

    position: int


class Identified(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """A message of QoS 2 was given an identifier to be sent with."""

    client: str
    position: int
    identifier: int


class Passed(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """The subscriber has received the message under the identifier; PUBREL follows."""

    client: str
    identifier: int


class Completed(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """The handshake of an outgoing QoS 2 identifier is over."""

    client: str
    identifier: int


SessionChange = (
    Ended
    | Departed
    | SubscribedTo
    | UnsubscribedFrom
    | Received
    | Released
    | Done
    | Identified
    | Passed
    | Completed
)
Change = Opened | Queued | RetainedSet | RetainedCleared | Evicted | SessionChange


class Changes(msgspec.Struct, frozen=True, array_like=True):
    """What one call of the broker changed."""

    wall_ms: int
    changes: list[Change]


class FlightRecord(msgspec.Struct, frozen=True, array_like=True):
    """An outgoing QoS 2 handshake; `stage` 1 awaits PUBREC, 2 awaits PUBCOMP."""

    identifier: int
    stage: int
    holder: HolderRecord


class SessionRecord(msgspec.Struct, frozen=True, array_like=True):
    """A whole session."""

    client: str
    principal: str
    version: int
    expiry_s: int
    left_ms: int
    will: WillRecord | None
    subscriptions: list[SubscribedTo]
    received: list[int]
    flights: list[FlightRecord]
    queue: list[HolderRecord]


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """Everything durable of the broker; `messages` pairs a position with its message."""

    wall_ms: int
    position: int
    sessions: list[SessionRecord]
    messages: list[tuple[int, MessageRecord]]
    retained: list[MessageRecord]


encode = msgspec.msgpack.Encoder().encode
decode_changes = msgspec.msgpack.Decoder(Changes).decode
decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode
