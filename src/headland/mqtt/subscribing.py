"""SUBSCRIBE and UNSUBSCRIBE: each filter is judged for itself; the answer rests on their commit."""

from __future__ import annotations

from headland.mqtt.connection import Connection
from headland.mqtt.encoding import encode
from headland.mqtt.outbound import Outbound
from headland.mqtt.packets import V5, PacketType, Suback, Subscribe, Subscription, Unsubscribe
from headland.mqtt.reasons import ProtocolError, Reason
from headland.mqtt.session import Session, Subscribed
from headland.mqtt.state import State
from headland.mqtt.topics import check_filter

FAILURE_V311 = 0x80
"""The one failure code of a 3.1.1 SUBACK."""


def subscribe(state: State, outbound: Outbound, connection: Connection, packet: Subscribe, n: int) -> None:
    """Answer a SUBSCRIBE; its retained messages follow."""
    session = connection.session
    if session is None:
        return
    found = packet.properties.subscription_ids if packet.properties is not None else None
    identifier = found[0] if found else 0
    before = len(state.store.changes)
    reasons = [_grant(state, session, connection, options, identifier) for options in packet.subscriptions]
    if connection.version != V5:
        reasons = [FAILURE_V311 if reason >= 0x80 else reason for reason in reasons]
    needs = n if len(state.store.changes) > before else 0
    answer = Suback(PacketType.SUBACK, packet.packet_id, reasons)
    state.answer(connection, encode(answer, connection.version), needs)
    outbound.pump(session)


def _grant(
    state: State, session: Session, connection: Connection, options: Subscription, identifier: int
) -> int:
    """Reason code of one filter: the QoS granted, or why it is refused."""
    config = state.config
    found = _read(state, connection, options.filter)
    if isinstance(found, Reason):
        return found
    group, pattern = found
    if not state.authenticator.may_subscribe(connection.principal, pattern):
        return Reason.NOT_AUTHORIZED
    old = session.subscriptions.get(options.filter)
    if old is None and (
        len(session.subscriptions) >= config.subscriptions_per_session_max
        or state.store.trie.count >= config.subscriptions_max
    ):
        return Reason.QUOTA_EXCEEDED
    subscribed = Subscribed(session, options, group, pattern, identifier)
    state.store.subscribe(subscribed)
    state.counters.subscribes += 1
    wants_retained = options.retain_handling == 0 or (options.retain_handling == 1 and old is None)
    if wants_retained and not group and state.store.retained.messages:
        connection.feed.append(subscribed)
    return options.qos


def _read(state: State, connection: Connection, text: str) -> tuple[str, str] | Reason:
    """(group, filter) of a topic filter, or the reason code of one that is none.

    Raises:
        ProtocolError: It is none, and 3.1.1 has no reason code for that.
    """
    config = state.config
    try:
        return check_filter(text, config.topic_levels_max, config.topic_characters_max)
    except ProtocolError as error:
        if error.reason is Reason.TOPIC_FILTER_INVALID and (connection.version == V5 or not error.rule):
            return error.reason
        raise


def unsubscribe(state: State, connection: Connection, packet: Unsubscribe, n: int) -> None:
    """Answer an UNSUBSCRIBE."""
    session = connection.session
    if session is None:
        return
    before = len(state.store.changes)
    reasons: list[int] = []
    for text in packet.filters:
        found = _read(state, connection, text)
        if isinstance(found, Reason) and text not in session.subscriptions:
            reasons.append(found)
            continue
        removed = state.store.unsubscribe(session, text)
        state.counters.unsubscribes += removed
        reasons.append(Reason.SUCCESS if removed else Reason.NO_SUBSCRIPTION_EXISTED)
    if connection.version != V5:
        reasons = []
    needs = n if len(state.store.changes) > before else 0
    answer = Suback(PacketType.UNSUBACK, packet.packet_id, reasons)
    state.answer(connection, encode(answer, connection.version), needs)
