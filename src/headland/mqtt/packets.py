"""The packets of MQTT 5.0 and 3.1.1 as values. `decoding` makes them from bytes, `encoding` the other way."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class PacketType(IntEnum):
    """High nibble of a packet's first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


V311 = 4
"""Protocol level of MQTT 3.1.1."""
V5 = 5
"""Protocol version of MQTT 5.0."""


class Properties(msgspec.Struct, omit_defaults=True):
    """Properties of an MQTT 5 packet (section 2.2.2.2); None is absent. Seconds and bytes."""

    payload_format: int | None = None
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_ids: list[int] | None = None
    session_expiry_s: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive_s: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_s: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user: list[tuple[str, str]] | None = None
    maximum_packet_bytes: int | None = None
    wildcard_available: int | None = None
    subscription_ids_available: int | None = None
    shared_available: int | None = None


class Will(msgspec.Struct):
    """The message a server publishes when a client leaves without goodbye."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None


class Connect(msgspec.Struct):
    """CONNECT."""

    client_id: str
    version: int = V5
    clean_start: bool = True
    keep_alive_s: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties | None = None


class Connack(msgspec.Struct):
    """CONNACK; `reason` is a return code in 3.1.1."""

    session_present: bool
    reason: int
    properties: Properties | None = None


class Publish(msgspec.Struct):
    """PUBLISH; `packet_id` is 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties | None = None


class Ack(msgspec.Struct):
    """PUBACK, PUBREC, PUBREL or PUBCOMP, as `type` says."""

    type: int
    packet_id: int
    reason: int = 0
    properties: Properties | None = None


class Subscription(msgspec.Struct, frozen=True):
    """One filter of a SUBSCRIBE with its options (section 3.8.3.1)."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct):
    """SUBSCRIBE."""

    packet_id: int
    subscriptions: list[Subscription]
    properties: Properties | None = None


class Unsubscribe(msgspec.Struct):
    """UNSUBSCRIBE."""

    packet_id: int
    filters: list[str]
    properties: Properties | None = None


class Suback(msgspec.Struct):
    """SUBACK or UNSUBACK, as `type` says; an UNSUBACK of 3.1.1 has no reasons."""

    type: int
    packet_id: int
    reasons: list[int]
    properties: Properties | None = None


class Ping(msgspec.Struct):
    """PINGREQ or PINGRESP, as `type` says."""

    type: int


class Disconnect(msgspec.Struct):
    """DISCONNECT."""

    reason: int = 0
    properties: Properties | None = None


class Auth(msgspec.Struct):
    """AUTH (MQTT 5 only)."""

    reason: int = 0
    properties: Properties | None = None


Packet = Connect | Connack | Publish | Ack | Subscribe | Unsubscribe | Suback | Ping | Disconnect | Auth
