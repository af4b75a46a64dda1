"""What an operator can set of the MQTT broker: every limit, with its default and its reason."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class MqttConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits and policies of the MQTT broker. Every queue, map and packet has a bound here."""

    connections_max: Annotated[
        int, Meta(ge=1, description="Connections at once; one more is closed unheard.")
    ] = 10_000
    sessions_max: Annotated[
        int, Meta(ge=1, description="Sessions kept, connected or not; one more is refused: quota exceeded.")
    ] = 20_000
    client_id_bytes_max: Annotated[int, Meta(ge=23, description="Longest client identifier, in bytes.")] = 256
    connect_timeout_s: Annotated[
        int, Meta(ge=1, description="Seconds a connection has to send its CONNECT.")
    ] = 10
    connect_bytes_max: Annotated[
        int, Meta(ge=128, description="Largest CONNECT, in bytes: its sender is not yet known.")
    ] = 131_072
    packet_bytes_max: Annotated[
        int, Meta(ge=128, le=268_435_460, description="Largest packet accepted, whole, in bytes.")
    ] = 1_048_576
    partial_bytes_max: Annotated[
        int, Meta(ge=1_024, description="Bytes of packets not yet complete, of all connections together.")
    ] = 67_108_864
    keep_alive_max_s: Annotated[
        int,
        Meta(
            ge=1,
            le=65_535,
            description="Keep alive told to MQTT 5 clients that ask for a longer one or none.",
        ),
    ] = 3_600
    session_expiry_max_s: Annotated[
        int,
        Meta(
            ge=0,
            description="Longest a session outlives its connection, in seconds; also for 3.1.1 sessions.",
        ),
    ] = 604_800
    will_delay_max_s: Annotated[int, Meta(ge=0, description="Longest delay of a will, in seconds.")] = 86_400
    receive_maximum: Annotated[
        int,
        Meta(
            ge=1,
            le=65_535,
            description="Publishes a client may have unacknowledged; beyond it a 3.1.1 client is not read.",
        ),
    ] = 1_000
    topic_aliases_max: Annotated[
        int, Meta(ge=0, le=65_535, description="Topic aliases on a connection, in each direction.")
    ] = 64
    topic_levels_max: Annotated[int, Meta(ge=1, description="Levels of a topic name or filter.")] = 64
    topic_characters_max: Annotated[
        int, Meta(ge=1, le=65_535, description="Characters of a topic name or filter.")
    ] = 1_024
    topics_cached_max: Annotated[
        int, Meta(ge=1, description="Topic names remembered as valid and allowed, per connection.")
    ] = 1_024
    matches_cached_max: Annotated[
        int, Meta(ge=1, description="Topic names whose subscribers are remembered.")
    ] = 20_000
    subscriptions_per_session_max: Annotated[
        int, Meta(ge=1, description="Topic filters one session may subscribe to.")
    ] = 1_000
    subscriptions_max: Annotated[int, Meta(ge=1, description="Topic filters of all sessions together.")] = (
        200_000
    )
    inflight_max: Annotated[
        int, Meta(ge=1, le=65_535, description="Messages sent to a subscriber and not yet acknowledged.")
    ] = 256
    send_budget_bytes: Annotated[
        int,
        Meta(
            ge=1_024,
            description="Bytes waiting in a transport above which QoS 0 is dropped and the rest is queued.",
        ),
    ] = 1_048_576
    send_bytes_max: Annotated[
        int, Meta(ge=1_024, description="Bytes waiting in a transport at which the connection is closed.")
    ] = 8_388_608
    connection_queue_bytes_max: Annotated[
        int,
        Meta(
            ge=1_024,
            description="Bytes queued for a session that ends with its connection: the bound closes it.",
        ),
    ] = 4_194_304
    session_queue_bytes_max: Annotated[
        int, Meta(ge=1_024, description="Bytes queued for a lasting session; the oldest message makes room.")
    ] = 16_777_216
    queue_bytes_max: Annotated[
        int,
        Meta(ge=1_024, description="Bytes queued for all lasting sessions; the oldest message makes room."),
    ] = 67_108_864
    retained_max: Annotated[int, Meta(ge=0, description="Retained messages; one more topic is refused.")] = (
        20_000
    )
    retained_bytes_max: Annotated[int, Meta(ge=0, description="Bytes of all retained messages.")] = 16_777_216
