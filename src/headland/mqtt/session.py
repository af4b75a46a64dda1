"""Sessions, the messages queued for them, and what is in flight to a subscriber.

Laws:

* A message for a lasting session is stored once, however many sessions hold it, and is forgotten with its
  last holder.
* A queue is bounded in bytes; the oldest message makes room, and is counted.
* Positions rise: in every queue an evicted message stands before those that are still there.
* An outgoing QoS 2 message of a lasting session is sent when its packet identifier is durable, and released
  when the release is: after any crash the subscriber sees the same identifier again.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING

from headland.mqtt.packets import Properties, Subscription, Will
from headland.mqtt.properties import encode_body
from headland.mqtt.surface import Principal

if TYPE_CHECKING:
    from headland.mqtt.connection import Connection, Owed

NEVER = 0xFFFF_FFFF
"""Session expiry interval of a session that does not expire."""

OVERHEAD_BYTES = 256
"""Counted for each queued message beside its own bytes: what its objects cost in memory, roughly."""


class Message:
    """One application message on its way to subscribers.

    Attributes:
        topic: Topic name.
        payload: The message.
        qos: As published.
        retain: As published.
        properties: As published, without alias and expiry.
        expires_ns: Monotonic ns after which it is not delivered, 0 for never.
        position: Place in the durable queue, 0 when no lasting session holds it.
        holders: Sessions that have it queued or in flight.
        gone: Whether it was evicted.
        size: Bytes it counts for.
        plain: Encoded at QoS 0 without aliases and identifiers, by protocol version.
        wall_ms: Wall clock at which what is left of it was recorded; used in recovery only.
    """

    __slots__ = (
        "expires_ns",
        "gone",
        "holders",
        "payload",
        "plain",
        "position",
        "properties",
        "qos",
        "retain",
        "size",
        "topic",
        "wall_ms",
    )

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        expires_ns: int = 0,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.expires_ns = expires_ns
        self.position = 0
        self.holders = 0
        self.gone = False
        self.size = OVERHEAD_BYTES + len(topic.encode()) + len(payload)
        if properties is not None:
            self.size += len(encode_body(properties)) + 100 * len(properties.user or ())
        self.plain: dict[int, bytes] = {}
        self.wall_ms = 0


class Item:
    """A message in one session's queue, as that session shall get it."""

    __slots__ = ("identifiers", "message", "qos", "retain")

    def __init__(self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...]) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers


class Stage(IntEnum):
    """Where an outgoing message stands."""

    SENT = 1
    RELEASED = 2


class Flight:
    """A message with a packet identifier of a session.

    Attributes:
        item: What is sent.
        stage: `SENT` awaits PUBACK or PUBREC, `RELEASED` awaits PUBCOMP.
        gated: Whether sending waits until the stage is durable.
        dup: Whether it has been sent before.
        here: Whether it counts against the window of the present connection.
    """

    __slots__ = ("dup", "gated", "here", "item", "stage")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.stage = Stage.SENT
        self.gated = False
        self.dup = False
        self.here = False


class Receipt:
    """A QoS 2 identifier received and not yet released.

    Attributes:
        needs: Commit that its PUBREC rests on; -1 while its publish has not been judged.
        waiters: Answers to repeats of it that wait for the judgement.
    """

    __slots__ = ("needs", "waiters")

    def __init__(self, needs: int) -> None:
        self.needs = needs
        self.waiters: list[Owed] = []


class Subscribed:
    """One session's subscription.

    Attributes:
        session: Whose.
        options: As granted; `filter` is the full one, `$share` included.
        group: Group of a shared subscription, or "".
        pattern: The filter to match by.
        identifier: Subscription identifier, 0 for none.
    """

    __slots__ = ("group", "identifier", "options", "pattern", "session")

    def __init__(
        self, session: Session, options: Subscription, group: str, pattern: str, identifier: int
    ) -> None:
        self.session = session
        self.options = options
        self.group = group
        self.pattern = pattern
        self.identifier = identifier


class Session:
    """A client's session.

    Attributes:
        client: Client identifier.
        principal: Who opened it.
        version: Protocol version of its latest connection.
        expiry_s: Seconds it outlives its connection; 0: it ends with it, `NEVER`: it does not end.
        connection: Its connection, or None.
        subscriptions: By full filter.
        received: QoS 2 identifiers received and not released.
        queue: Messages not yet sent, QoS 1 and 2.
        queue_bytes: Bytes of `queue`.
        flights: By packet identifier, in order of first sending.
        resend: Identifiers to send again on the present connection.
        outstanding: Messages in flight on the present connection.
        last_id: Packet identifier given last.
        ends_ns: Monotonic ns at which it ends; 0 while connected or when it does not end.
        will: Will that waits for its delay.
        will_ns: Monotonic ns at which `will` is published.
        timer_ns: When the timer set for it comes up, 0 when none is set.
        ended: Whether it is no longer the broker's.
        wall_ms: Wall clock at which its deadlines were recorded; used in recovery only.
    """

    __slots__ = (
        "client",
        "connection",
        "ended",
        "ends_ns",
        "expiry_s",
        "flights",
        "last_id",
        "outstanding",
        "principal",
        "queue",
        "queue_bytes",
        "received",
        "resend",
        "subscriptions",
        "timer_ns",
        "version",
        "wall_ms",
        "will",
        "will_ns",
    )

    def __init__(self, client: str, principal: Principal, version: int, expiry_s: int) -> None:
        self.client = client
        self.principal = principal
        self.version = version
        self.expiry_s = expiry_s
        self.connection: Connection | None = None
        self.subscriptions: dict[str, Subscribed] = {}
        self.received: dict[int, Receipt] = {}
        self.queue: deque[Item] = deque()
        self.queue_bytes = 0
        self.flights: dict[int, Flight] = {}
        self.resend: deque[int] = deque()
        self.outstanding = 0
        self.last_id = 0
        self.ends_ns = 0
        self.will: Will | None = None
        self.will_ns = 0
        self.timer_ns = 0
        self.ended = False
        self.wall_ms = 0

    @property
    def lasting(self) -> bool:
        """Whether it outlives its connection, and is therefore durable."""
        return self.expiry_s > 0

    def free_id(self) -> int:
        """The next packet identifier not in use; 0 when all are."""
        flights = self.flights
        if len(flights) >= 65_535:
            return 0
        identifier = self.last_id
        while True:
            identifier = identifier % 65_535 + 1
            if identifier not in flights:
                self.last_id = identifier
                return identifier

    def next_deadline(self) -> int:
        """The earlier of its end and its will, 0 for neither."""
        if self.will_ns and self.ends_ns:
            return min(self.will_ns, self.ends_ns)
        return self.will_ns or self.ends_ns
