"""CONNECT: who may come in, and what they are told."""

from __future__ import annotations

from headland.mqtt.connection import Connection, Owed
from headland.mqtt.encoding import encode
from headland.mqtt.packets import V5, V311, Connack, Connect, Properties
from headland.mqtt.reasons import RETURN_CODES, ProtocolError, Reason, ReturnCode
from headland.mqtt.state import State
from headland.mqtt.surface import Close
from headland.vocabulary.instant import Instant

KEEP_ALIVE = 1
"""Kind of the timer that looks whether a connection is still heard, and whether its CONNECT has come."""


def unsupported(state: State, connection: Connection, data: bytes, body: int) -> None:
    """Answer a CONNECT of a version that is not served in words its sender knows (MQTT-3.1.2-2)."""
    version = data[body + 2 + (data[body] << 8 | data[body + 1])]
    if version < V5:
        answer = encode(Connack(False, ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION), V311)
    else:
        answer = encode(Connack(False, Reason.UNSUPPORTED_PROTOCOL_VERSION), V5)
    state.counters.connects_refused += 1
    state.send(connection, answer)
    state.actions.append(Close(connection.number, True, "unsupported_protocol_version"))
    connection.closed = True


def refuse(state: State, connection: Connection, reason: Reason, text: str) -> None:
    """Answer a CONNECT with a refusal and close."""
    state.counters.connects_refused += 1
    if connection.version == V5:
        detail = Properties(reason_string=text) if connection.problem_information else None
        answer = encode(Connack(False, reason, detail), V5)
    else:
        answer = encode(Connack(False, RETURN_CODES.get(reason, ReturnCode.SERVER_UNAVAILABLE)), V311)
    state.send(connection, answer)
    state.actions.append(Close(connection.number, True, reason.name.lower()))
    connection.closed = True


def connect(state: State, connection: Connection, packet: Connect, now: Instant) -> None:
    """Accept or refuse a client."""
    connection.version = packet.version
    wanted = packet.properties
    if wanted is not None:
        connection.problem_information = wanted.request_problem_information != 0
        if wanted.authentication_method is not None:
            refuse(state, connection, Reason.BAD_AUTHENTICATION_METHOD, "no extended authentication here")
            return
    if not packet.client_id:
        if packet.version == V311 and not packet.clean_start:
            refuse(state, connection, Reason.CLIENT_IDENTIFIER_NOT_VALID, "")
            return
        packet.client_id = f"auto-{connection.number}"
        connection.assigned = True
    peer = connection.peer
    principal = state.authenticator.authenticate(packet.client_id, packet.username, packet.password, peer)
    if principal is None:
        refuse(state, connection, Reason.BAD_USER_NAME_OR_PASSWORD, "user name, password or certificate")
        return
    connection.client = packet.client_id
    connection.principal = principal
    connection.will = packet.will
    connection.opened = True
    state.counters.connects += 1
    _accept(state, connection, packet, now)


def _accept(state: State, connection: Connection, packet: Connect, now: Instant) -> None:
    config = state.config
    wanted = packet.properties or Properties()
    keep_alive_s = packet.keep_alive_s
    told = Properties()
    if packet.version == V5:
        if not 0 < keep_alive_s <= config.keep_alive_max_s:
            keep_alive_s = told.server_keep_alive_s = config.keep_alive_max_s
        told.receive_maximum = config.receive_maximum
        told.topic_alias_maximum = config.topic_aliases_max
        told.maximum_packet_bytes = config.packet_bytes_max
        if connection.assigned:
            told.assigned_client_id = connection.client
        connection.receive_maximum = wanted.receive_maximum or 65_535
        connection.packet_bytes_max = wanted.maximum_packet_bytes or 0
        connection.aliases_out_max = wanted.topic_alias_maximum or 0
    connection.keep_alive_ns = keep_alive_s * 1_500_000_000
    if keep_alive_s:
        state.timer(now.monotonic_ns + connection.keep_alive_ns, KEEP_ALIVE, connection.number)
    owed = Owed(0, 0, encode(Connack(False, Reason.SUCCESS, told), packet.version), None)
    owed.opens = True
    state.owe(connection, owed)


def first_packet(first: int) -> None:
    """Insist that a connection begins with CONNECT.

    Raises:
        ProtocolError: It does not (MQTT-3.1.0-1).
    """
    if first >> 4 != 1:
        raise ProtocolError("the first packet is not CONNECT", Reason.PROTOCOL_ERROR, "MQTT-3.1.0-1")
