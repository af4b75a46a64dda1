"""How clients come and go: CONNECT, takeover, the end of a connection, wills, the end of a session."""

from __future__ import annotations

from headland.mqtt.connection import Connection, Owed
from headland.mqtt.encoding import encode
from headland.mqtt.outbound import Outbound, message_of
from headland.mqtt.packets import V5, V311, Connack, Connect, Disconnect, Properties, Will
from headland.mqtt.reasons import RETURN_CODES, ProtocolError, Reason, ReturnCode
from headland.mqtt.session import NEVER, Session
from headland.mqtt.state import State, explained
from headland.mqtt.surface import Accept, Claim, Continue, Principal, PublishRun, Verify
from headland.mqtt.topics import check_topic

SECOND_NS = 1_000_000_000


def first_packet(first: int) -> None:
    """Insist that a connection begins with CONNECT.

    Raises:
        ProtocolError: It does not (MQTT-3.1.0-1).
    """
    if first >> 4 != 1:
        raise ProtocolError("the first packet is not CONNECT", Reason.PROTOCOL_ERROR, "MQTT-3.1.0-1")


def unsupported(state: State, connection: Connection, data: bytes, body: int) -> None:
    """Answer a CONNECT of a version that is not served in words its sender knows (MQTT-3.1.2-2)."""
    version = data[body + 2 + (data[body] << 8 | data[body + 1])]
    if version < V5:
        answer = encode(Connack(False, ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION), V311)
    else:
        answer = encode(Connack(False, Reason.UNSUPPORTED_PROTOCOL_VERSION), V5)
    state.counters.connects_refused += 1
    state.send(connection, answer)
    state.finish(connection, "unsupported_protocol_version")


def refuse(state: State, connection: Connection, reason: Reason, text: str) -> None:
    """Answer a CONNECT with a refusal and close."""
    state.counters.connects_refused += 1
    if connection.version == V5:
        answer = explained(connection, text, lambda detail: encode(Connack(False, reason, detail), V5))
    else:
        answer = encode(Connack(False, RETURN_CODES.get(reason, ReturnCode.SERVER_UNAVAILABLE)), V311)
    if answer:
        state.send(connection, answer)
    state.finish(connection, reason.name.lower())


CONNACK_BYTES_MAX = 24
"""Longest CONNACK that accepts a client, without an assigned identifier; who takes less is not let in
(MQTT-3.1.2-24)."""


class Refusal(Exception):
    """A client that may not come in."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Connecting:
    """Sessions and their connections."""

    def __init__(self, state: State, outbound: Outbound) -> None:
        self.state = state
        self.outbound = outbound

    def connect(self, connection: Connection, packet: Connect, n: int) -> None:
        """Accept or refuse a client, or have its password checked before; nothing of it is read meanwhile.

        The answer rests on commit `n` when its session is to last.
        """
        connection.version = packet.version
        if packet.properties is not None:
            connection.problem_information = packet.properties.request_problem_information != 0
            connection.packet_bytes_max = packet.properties.maximum_packet_bytes or 0
        try:
            self._check_words(connection, packet)
        except Refusal as refusal:
            refuse(self.state, connection, refusal.reason, str(refusal))
            return
        found = self.state.authenticator.authenticate(
            packet.client_id, packet.username, packet.password, connection.peer
        )
        if isinstance(found, Claim):
            connection.unproven = packet
            self.state.actions.append(Verify(connection.number, found))
            self.state.pause(connection)
        else:
            self._let_in(connection, packet, found, n)

    def proven(self, connection: Connection, principal: Principal | None, n: int) -> None:
        """The client's password has been checked: it is `principal`, or nobody."""
        packet, connection.unproven = connection.unproven, None
        assert packet is not None
        connection.paused = False
        connection.heard_ns = connection.read_from_ns = self.state.now.monotonic_ns
        self.state.actions.append(Continue(connection.number))
        self._let_in(connection, packet, principal, n)

    def _let_in(self, connection: Connection, packet: Connect, principal: Principal | None, n: int) -> None:
        try:
            self._admit(connection, packet, principal)
            session, present = self._session(connection, packet)
        except Refusal as refusal:
            refuse(self.state, connection, refusal.reason, str(refusal))
            return
        connection.opened = True
        connection.session = session
        connection.will = packet.will
        session.connection = connection
        self.state.counters.connects += 1
        told = self._agree(connection, packet, session)
        self.state.store.open(session, not present, packet.will)
        answer = encode(Connack(present, 0, told), packet.version)
        owed = Owed(connection, n if session.lasting else 0, 0, answer)
        owed.opens = True
        self.state.owe(connection, owed)

    def _check_words(self, connection: Connection, packet: Connect) -> None:
        """Check what the client says of itself, and name it if it has no name.

        Raises:
            Refusal: It may not come in.
        """
        state, config = self.state, self.state.config
        if packet.properties is not None and packet.properties.authentication_method is not None:
            raise Refusal(Reason.BAD_AUTHENTICATION_METHOD, "no extended authentication here")
        if not packet.client_id:
            if packet.version == V311 and not packet.clean_start:
                raise Refusal(Reason.CLIENT_IDENTIFIER_NOT_VALID, "a lasting session needs an identifier")
            packet.client_id = f"auto-{state.now.wall_ns:x}-{connection.number}"
            connection.assigned = True
        if len(packet.client_id.encode()) > config.client_id_bytes_max:
            raise Refusal(
                Reason.CLIENT_IDENTIFIER_NOT_VALID, f"identifier over {config.client_id_bytes_max} bytes"
            )

    def _admit(self, connection: Connection, packet: Connect, principal: Principal | None) -> None:
        """Check who the client is, and what that one may.

        Raises:
            Refusal: It may not come in.
        """
        state, config = self.state, self.state.config
        if principal is None:
            raise Refusal(Reason.BAD_USER_NAME_OR_PASSWORD, "user name, password or certificate")
        needed = CONNACK_BYTES_MAX + (3 + len(packet.client_id) if connection.assigned else 0)
        if 0 < connection.packet_bytes_max < needed:
            raise Refusal(Reason.PACKET_TOO_LARGE, f"the answer may take {needed} bytes")
        connection.client = packet.client_id
        connection.principal = principal
        if packet.will is not None:
            try:
                check_topic(packet.will.topic, config.topic_levels_max, config.topic_characters_max)
            except ProtocolError as error:
                raise Refusal(Reason.TOPIC_NAME_INVALID, str(error)) from None
            if packet.will.topic.startswith("$SYS/") or not state.authenticator.may_publish(
                principal, packet.will.topic
            ):
                raise Refusal(Reason.NOT_AUTHORIZED, "not authorised to publish the will")

    def _session(self, connection: Connection, packet: Connect) -> tuple[Session, bool]:
        """The session the client gets, and whether it was there before.

        Raises:
            Refusal: The identifier is another principal's, connected or away, or there are too many sessions.
        """
        state = self.state
        store = state.store
        old = store.sessions.get(packet.client_id)
        if old is not None:
            same = old.principal.name == connection.principal.name
            if not same and (old.connection is not None or not old.ended):
                raise Refusal(Reason.CLIENT_IDENTIFIER_NOT_VALID, "the identifier is another user's")
            if old.connection is not None:
                self.settle()  # it may be closed already, and not have been told
            if old.connection is not None:
                state.counters.takeovers += 1
                state.close(old.connection, Reason.SESSION_TAKEN_OVER, "taken_over")
                self.settle(fresh=packet.clean_start)
            if old.ended:
                old = None
            elif packet.clean_start:
                self.end(old)
                old = None
        if old is None and len(store.sessions) >= state.config.sessions_max:
            raise Refusal(Reason.QUOTA_EXCEEDED, "too many sessions")
        expiry_s = self._expiry_s(packet)
        if old is not None:
            # A session that is no longer to last is forgotten on disk now, in memory with its connection.
            old.will = None
            old.ends_ns = old.will_ns = 0
            if not expiry_s:
                store.forget(old)
            old.expiry_s = expiry_s
            old.version = packet.version
            return old, True
        return Session(packet.client_id, connection.principal, packet.version, expiry_s), False

    def _expiry_s(self, packet: Connect) -> int:
        longest = self.state.config.session_expiry_max_s
        if packet.version == V311:
            return 0 if packet.clean_start else longest
        wanted = packet.properties.session_expiry_s if packet.properties is not None else None
        return min(wanted or 0, longest)

    def _agree(self, connection: Connection, packet: Connect, session: Session) -> Properties | None:
        """Settle the limits of the connection; what MQTT 5 tells the client of them."""
        state, config = self.state, self.state.config
        keep_alive_s = packet.keep_alive_s
        told: Properties | None = None
        if packet.version == V5:
            wanted = packet.properties or Properties()
            told = Properties(
                receive_maximum=config.receive_maximum, maximum_packet_bytes=config.packet_bytes_max
            )
            if config.topic_aliases_max:
                told.topic_alias_maximum = config.topic_aliases_max
            if not 0 < keep_alive_s <= config.keep_alive_max_s:
                keep_alive_s = told.server_keep_alive_s = config.keep_alive_max_s
            if (wanted.session_expiry_s or 0) != session.expiry_s:
                told.session_expiry_s = session.expiry_s
            if connection.assigned:
                told.assigned_client_id = connection.client
            connection.receive_maximum = wanted.receive_maximum or 65_535
            connection.aliases_out_max = min(wanted.topic_alias_maximum or 0, config.topic_aliases_max)
        connection.keep_alive_ns = keep_alive_s * SECOND_NS * 3 // 2
        if keep_alive_s:
            state.watch_connection(connection, state.now.monotonic_ns + connection.keep_alive_ns)
        return told

    # Going

    def disconnect(self, connection: Connection, packet: Disconnect) -> None:
        """The client says goodbye; only reason 0x04 asks for its will (MQTT-3.14.4-3)."""
        session = connection.session
        wanted = packet.properties.session_expiry_s if packet.properties is not None else None
        if wanted and session is not None and not session.lasting:
            # No valid DISCONNECT (section 3.14.2.2.2): the will stays.
            raise ProtocolError("session expiry where there was none", Reason.PROTOCOL_ERROR)
        if packet.reason == Reason.SUCCESS:
            connection.will = None
        if wanted is not None and session is not None:
            if not wanted:
                self.state.store.forget(session)
            session.expiry_s = min(wanted, self.state.config.session_expiry_max_s)
        self.state.finish(connection, "disconnect")

    def settle(self, fresh: bool = False) -> None:
        """Tell the sessions of connections that were closed.

        Args:
            fresh: Whether the session of a connection taken over will be discarded, so that its will is due.
        """
        departing = self.state.departing
        while departing:
            connection = departing.pop(0)
            if self.state.connections.pop(connection.number, None) is None:
                continue
            self.state.counters.disconnects += 1
            self.state.partial_bytes -= len(connection.rest)
            self._leave(connection, fresh)

    def _leave(self, connection: Connection, fresh: bool) -> None:
        state = self.state
        session = connection.session
        will, connection.will = connection.will, None
        connection.session = None
        if session is None or session.connection is not connection:
            return
        now_ns = state.now.monotonic_ns
        session.will = will
        session.outstanding = 0
        self.outbound.keep_feed(session, connection)
        session.connection = None
        session.resend.clear()
        session.resend.extend(session.flights)
        for flight in session.flights.values():
            flight.here = False
        delay_s = will.properties.will_delay_s if will is not None and will.properties is not None else 0
        delay_s = min(delay_s or 0, session.expiry_s, state.config.will_delay_max_s)
        if not session.lasting or fresh or (will is not None and not delay_s):
            self._publish_will(session)
        if not session.lasting:
            self.end(session)
            return
        if session.will is not None:
            session.will_ns = now_ns + delay_s * SECOND_NS
        if session.expiry_s != NEVER:
            session.ends_ns = now_ns + session.expiry_s * SECOND_NS
        state.store.depart(session)
        state.watch_session(session)

    def _publish_will(self, session: Session) -> None:
        """Publish the will of a session, if it has one, for the line and for subscribers alike."""
        will, session.will = session.will, None
        session.will_ns = 0
        if will is None:
            return
        state = self.state
        state.counters.wills_published += 1
        found = without_delay(will)
        run = PublishRun(
            [session.client], [1], [will.topic], [will.payload], [0], [will.qos], [False], [found]
        )
        state.actions.append(Accept(run))
        self.publish(will.topic, will.payload, will.qos, will.retain, found, session.client)

    def publish(
        self, topic: str, payload: bytes, qos: int, retain: bool, found: Properties | None, origin: str
    ) -> None:
        """Retain and fan out a message that no connection waits for."""
        message = message_of(topic, payload, qos, retain, found, self.state.now.monotonic_ns)
        if retain:
            self.state.store.retain(message)
        self.outbound.fan_out(message, origin)

    def end(self, session: Session) -> None:
        """End a session: its will is due, everything it held is forgotten."""
        self._publish_will(session)
        self.state.store.end(session)

    def check_session(self, session: Session) -> None:
        """A deadline of the session may have passed."""
        state = self.state
        now_ns = state.now.monotonic_ns
        if session.connection is not None:
            return
        if 0 < session.ends_ns <= now_ns:
            state.counters.sessions_expired += 1
            self.end(session)
        elif 0 < session.will_ns <= now_ns:
            self._publish_will(session)
            state.store.depart(session)
        if not session.ended:
            state.watch_session(session)

    def recover(self) -> None:
        """After a restart: clients that were connected have lost their connections."""
        state = self.state
        now_ns = state.now.monotonic_ns
        for session in list(state.store.sessions.values()):
            if session.will is not None and not session.will_ns:
                found = session.will.properties
                delay_s = (found.will_delay_s or 0) if found is not None else 0
                delay_s = min(delay_s, session.expiry_s, state.config.will_delay_max_s)
                session.will_ns = now_ns + max(1, delay_s * SECOND_NS)
            if not session.ends_ns and session.expiry_s != NEVER:
                session.ends_ns = now_ns + session.expiry_s * SECOND_NS
                state.store.depart(session)
            state.watch_session(session)


def without_delay(will: Will) -> Properties | None:
    """The properties of a will as those of its publish."""
    found = will.properties
    if found is None or found.will_delay_s is None:
        return found
    copy = Properties(
        payload_format=found.payload_format,
        message_expiry_s=found.message_expiry_s,
        content_type=found.content_type,
        response_topic=found.response_topic,
        correlation_data=found.correlation_data,
        user=found.user,
    )
    return copy if copy != Properties() else None
