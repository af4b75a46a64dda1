"""What the broker takes and gives: peers, principals, actions, and the two things it is handed.

The driver's duties: `Send` writes all bytes or reports the connection closed; `Close(after_send=True)`
closes when the bytes before it have left; after `Pause` nothing of that connection is read until `Continue`;
whenever bytes wait in the transport after a write, and again when they have left, `Broker.buffered` is told
how many.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from headland.mqtt.packets import Properties


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end, as far as the transport knows.

    Attributes:
        connection: Number the driver gave the connection; never reused within a process.
        address: Remote address as text.
        tls: Whether the transport is encrypted.
        certificate_name: Verified name of the client's certificate, or None.
        listener: Name of the listener it came to.
    """

    connection: int
    address: str
    tls: bool = False
    certificate_name: str | None = None
    listener: str = "mqtt"


class Principal(msgspec.Struct, frozen=True):
    """Who a client has proven to be."""

    name: str


class Claim(msgspec.Struct, frozen=True):
    """A user name and a password whose check takes long: it is made beside the loop.

    Attributes:
        name: User name.
        password: As shown.
        stored: The hash that it has to fit.
    """

    name: str
    password: bytes
    stored: str

    def __repr__(self) -> str:
        return f"Claim({self.name!r})"


class Authenticator(Protocol):
    """Decides who may connect, publish and subscribe. Answers at once: it never waits for a network."""

    def authenticate(
        self, client_id: str, username: str | None, password: bytes | None, peer: Peer
    ) -> Principal | Claim | None:
        """The principal, or None to refuse; a `Claim` has to be checked first (`proven`)."""
        ...

    def proven(self, claim: Claim, right: bool) -> Principal | None:
        """A claim has been checked: the principal, or None to refuse. Once for every one asked about."""
        ...

    def may_publish(self, principal: Principal, topic: str) -> bool:
        """Whether this topic name may be published to."""
        ...

    def may_subscribe(self, principal: Principal, filter: str) -> bool:  # noqa: A002 (the protocol's word)
        """Whether this topic filter (without its `$share` prefix) may be subscribed to."""
        ...

    def holds(self, principal: Principal, peer: Peer | None) -> bool:
        """Whether who was let in once still is somebody; `peer` is None for a session without connection."""
        ...


class Draft(Protocol):
    """The open commit, as far as the broker uses it."""

    @property
    def n(self) -> int:
        """Number the commit will get."""
        ...

    def state(self, owner: str, data: bytes) -> None:
        """Add a piece of a machine's state, replayed in order at recovery."""
        ...


class PublishRun(msgspec.Struct):
    """Publishes in order of arrival, as columns: of one client, or of several, a stretch each.

    Attributes:
        clients: Client identifiers, one a stretch; a client may have several.
        ends: For each stretch, the index after its last message.
        topics: Topic names (aliases resolved).
        payloads: Messages.
        packet_ids: Identifiers, 0 at QoS 0.
        qos: 0, 1 or 2.
        dup: DUP flags: the client says it may have sent this before.
        properties: Properties of each message, or None when none has any.
        owed: The broker's own note of the acknowledgements due; nobody else reads it.
        turned_away: Nothing of it is taken (`Broker.turn_away`): to be decided on, and no more.
    """

    clients: list[str] = []
    ends: list[int] = []
    topics: list[str] = []
    payloads: list[bytes] = []
    packet_ids: list[int] = []
    qos: list[int] = []
    dup: list[bool] = []
    properties: list[Properties | None] | None = None
    owed: list[Any] = []
    turned_away: bool = False

    def apart(self) -> list[PublishRun]:
        """Each stretch as a run of its own (without properties, and owing nothing)."""
        starts = [0, *self.ends]
        return [
            PublishRun(
                [client],
                [stop - start],
                self.topics[start:stop],
                self.payloads[start:stop],
                self.packet_ids[start:stop],
                self.qos[start:stop],
                self.dup[start:stop],
            )
            for client, start, stop in zip(self.clients, starts, self.ends, strict=False)
        ]


class Send(msgspec.Struct, frozen=True, tag=True):
    """Write bytes to a connection, after those before."""

    connection: int
    data: bytes


class Close(msgspec.Struct, frozen=True, tag=True):
    """Close the connection; `Broker.closed` need not be called for it (it may).

    Attributes:
        connection: Which.
        after_send: Whether the bytes sent before shall leave first (within a few seconds).
        reason: Why, as a word for log and metrics.
    """

    connection: int
    after_send: bool = True
    reason: str = ""


class Accept(msgspec.Struct, frozen=True, tag=True):
    """Judge these publishes, then call `Broker.rest_on` with the commits their acknowledgements rest on."""

    run: PublishRun


class Verify(msgspec.Struct, frozen=True, tag=True):
    """Check a client's password beside the loop, then call `Broker.proven`, whatever became of it."""

    connection: int
    claim: Claim


class Pause(msgspec.Struct, frozen=True, tag=True):
    """Read no more from the connection."""

    connection: int


class Continue(msgspec.Struct, frozen=True, tag=True):
    """Read on from the connection."""

    connection: int


Action = Send | Close | Accept | Pause | Continue | Verify
