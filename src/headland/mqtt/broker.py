"""The MQTT broker as a machine: bytes and events in, actions out. MQTT 5.0 and 3.1.1.

Laws:

* A publish is handed over (`Accept`) at once and acknowledged when the commit that its judgement rests on is
  durable.
* Acknowledgements leave in the order in which their packets arrived on the connection (MQTT-4.6.0-2).
* Whatever a client was promised (session, subscription, retained message, QoS 2 identifier) was durable
  before the answer that promised it.
* A peer that breaks the protocol loses its own connection, with the protocol's reason, and nothing else
  happens.
"""

from __future__ import annotations

from heapq import heappop

from headland.mqtt import connecting
from headland.mqtt.codec import INCOMPLETE, body_start, frame_end
from headland.mqtt.config import MqttConfig
from headland.mqtt.connection import Connection
from headland.mqtt.counters import Counters
from headland.mqtt.decoding import decode
from headland.mqtt.encoding import PINGRESP
from headland.mqtt.inbound import Inbound
from headland.mqtt.packets import V5, Connect, Disconnect, Ping
from headland.mqtt.reasons import ProtocolError, Reason
from headland.mqtt.state import State
from headland.mqtt.surface import Action, Authenticator, Close, Draft, Peer, PublishRun
from headland.vocabulary.instant import Instant


class Broker:
    """One broker for all listeners of a node."""

    def __init__(self, config: MqttConfig, auth: Authenticator) -> None:
        self._state = State(config, auth)
        self._inbound = Inbound(self._state)

    @property
    def counters(self) -> Counters:
        """What has been counted so far."""
        return self._state.counters

    def connected(self, peer: Peer, now: Instant) -> list[Action]:
        """A transport was accepted."""
        state = self._state
        if len(state.connections) >= state.config.connections_max:
            state.counters.connects_refused += 1
            return [Close(peer.connection, False, "connections_max")]
        state.connections[peer.connection] = Connection(peer, now.monotonic_ns)
        until = now.monotonic_ns + state.config.connect_timeout_s * 1_000_000_000
        state.timer(until, connecting.KEEP_ALIVE, peer.connection)
        return []

    def received(self, connection: int, data: bytes, now: Instant, draft: Draft) -> list[Action]:
        """Bytes came in."""
        state = self._state
        link = state.connections.get(connection)
        if link is None:
            return []
        link.heard_ns = now.monotonic_ns
        if link.rest:
            link.rest += data
            if len(link.rest) < link.need:
                return []
            data = bytes(link.rest)
            link.rest.clear()
        try:
            self._consume(link, data, now, draft)
            self._inbound.finish(link, draft)
        except ProtocolError as error:
            self._broken(link, error, draft)
        if link.closed:
            self._forget(link)
        return state.collect()

    def _consume(self, link: Connection, data: bytes, now: Instant, draft: Draft) -> None:
        inbound = self._inbound
        at = 0
        end = len(data)
        while at < end and not link.closed:
            first = data[at]
            if first & 0xF0 == 0x30 and link.opened:
                at = inbound.take_plain(link, data, at)
                if at == end:
                    return
                first = data[at]
            config = self._state.config
            limit = config.packet_bytes_max if link.opened else config.connect_bytes_max
            if not link.opened:
                connecting.first_packet(first)
            stop = frame_end(data, at, limit, link.opened and link.version == V5)
            if stop == INCOMPLETE or stop > end:
                link.rest += data[at:]
                link.need = 0 if stop == INCOMPLETE else stop - at
                return
            body = body_start(data, at)
            if first & 0xF0 == 0x30:
                inbound.take(link, data, first, body, stop, draft)
            else:
                self._packet(link, first, data, body, stop, now, draft)
            at = stop

    def _packet(
        self, link: Connection, first: int, data: bytes, body: int, stop: int, now: Instant, draft: Draft
    ) -> None:
        state = self._state
        try:
            packet = decode(first, data, body, stop, link.version)
        except ProtocolError as error:
            if not link.opened and error.rule == "MQTT-3.1.2-2":
                connecting.unsupported(state, link, data, body)
                return
            raise
        match packet:
            case Connect():
                if link.opened:
                    raise ProtocolError("a second CONNECT", Reason.PROTOCOL_ERROR, "MQTT-3.1.0-2")
                connecting.connect(state, link, packet, now)
            case Ping(12):
                state.send(link, PINGRESP)
            case Disconnect():
                link.will = None
                state.actions.append(Close(link.number, True, "disconnect"))
                link.closed = True
            case _:
                raise ProtocolError("a packet that only a server sends", Reason.PROTOCOL_ERROR)

    def _broken(self, link: Connection, error: ProtocolError, draft: Draft) -> None:
        """Close the connection of a peer that broke the protocol; what it sent before stays handed over."""
        state = self._state
        state.counters.protocol_errors += 1
        self._inbound.run = None
        state.close(link, error.reason, error.reason.name.lower(), str(error))

    def _forget(self, link: Connection) -> None:
        if self._state.connections.pop(link.number, None) is not None:
            self._state.counters.disconnects += 1

    def closed(self, connection: int, now: Instant, draft: Draft) -> list[Action]:
        """The transport is gone."""
        link = self._state.connections.get(connection)
        if link is None:
            return []
        link.closed = True
        self._forget(link)
        return self._state.collect()

    def rest_on(self, connection: int, run: PublishRun, needs: list[int] | int, now: Instant) -> list[Action]:
        """The publishes of `run` have been judged.

        Args:
            connection: Where the run came from.
            run: The run of an `Accept`.
            needs: Commit number that each publish's disposition rests on, or one for all; a number that is
                already durable (0 always is) holds nothing back.
            now: The moment.
        """
        owed = run.owed
        link = self._state.connections.get(connection)
        if owed is None or link is None or link.closed:
            return []
        run.owed = None
        owed.rest(needs)
        if link.owed[0] is not owed:
            return []
        self._state.release(link)
        return self._state.collect()

    def committed(self, n: int, now: Instant) -> list[Action]:
        """Everything up to commit `n` is on disk: what rested on it leaves, one `Send` a connection."""
        state = self._state
        state.durable = max(n, state.durable)
        waiting = state.waiting
        for number in sorted(number for number in waiting if number <= n):
            for link in waiting.pop(number):
                if link.waits_for == number:
                    link.waits_for = 0
                if not link.closed:
                    state.release(link)
        return state.collect()

    def hold(self) -> None:
        """The disk is full: go on receiving and handing over, acknowledge no publish."""
        self._state.held = True

    def resume(self, now: Instant) -> list[Action]:
        """There is room again: acknowledge what has become durable."""
        state = self._state
        state.held = False
        for link in state.connections.values():
            state.release(link)
        return state.collect()

    def next_wake(self) -> int | None:
        """Monotonic ns of the earliest timer."""
        timers = self._state.timers
        return timers[0][0] if timers else None

    def wake(self, now: Instant, draft: Draft) -> list[Action]:
        """Do what has come due."""
        state = self._state
        while state.timers and state.timers[0][0] <= now.monotonic_ns:
            _, _, kind, key = heappop(state.timers)
            link = state.connections.get(key) if isinstance(key, int) else None
            if kind == connecting.KEEP_ALIVE and link is not None:
                self._check_heard(link, now)
        return state.collect()

    def _check_heard(self, link: Connection, now: Instant) -> None:
        state = self._state
        if not link.opened:
            state.counters.protocol_errors += 1
            state.close(link, Reason.MAXIMUM_CONNECT_TIME, "connect_timeout")
        elif link.keep_alive_ns:
            silent_until = link.heard_ns + link.keep_alive_ns
            if silent_until > now.monotonic_ns:
                if link.deadline_ns != silent_until:
                    state.timer(silent_until, connecting.KEEP_ALIVE, link.number)
                    link.deadline_ns = silent_until
                return
            state.counters.keep_alive_timeouts += 1
            state.close(link, Reason.KEEP_ALIVE_TIMEOUT, "keep_alive_timeout")
        if link.closed:
            self._forget(link)
