"""One network connection: what is known of its client, and what it is owed.

Laws:

* Acknowledgements leave in the order in which their packets arrived (MQTT-4.6.0-2), whatever commits they
  rest on.
* An answer leaves only when the commit it rests on is durable; one that rests on nothing waits for those
  before it.
* Whatever grows with what the peer sends (`rest`, `known`, `owed`, `out`) has a bound in `MqttConfig`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from headland.mqtt.packets import V5, Connect, Will
from headland.mqtt.surface import Peer, Principal, PublishRun

if TYPE_CHECKING:
    from headland.mqtt.session import Session, Subscribed

UNKNOWN = -1
"""Commit number of an acknowledgement whose publishes have not been judged."""

NOBODY = Principal("")


class Owed:
    """Acknowledgements of one stretch of a run, or one ready answer, in a connection's queue.

    Attributes:
        needs: Commit it rests on, or `UNKNOWN`.
        floor: Commit that the broker's own state of the stretch rests on (0: none).
        data: The ready answer; empty for a stretch.
        run: The run whose acknowledgements are due.
        start: First message of the stretch.
        stop: Index after its last message.
        stretch: Its number in the run.
        connection: Whose queue it is in.
        opens: Whether it is the CONNACK after which the session's messages may be delivered.
    """

    __slots__ = ("connection", "data", "floor", "needs", "opens", "run", "start", "stop", "stretch")

    def __init__(
        self, connection: Connection, needs: int, floor: int, data: bytes, run: PublishRun | None = None
    ) -> None:
        self.connection = connection
        self.needs = needs
        self.floor = floor
        self.data = data
        self.run = run
        self.start = 0
        self.stop = 0
        self.stretch = 0
        self.opens = False


class Connection:
    """State of one network connection.

    Attributes:
        peer: Who is at the other end.
        version: Protocol version once CONNECT has come.
        opened: Whether the client has been accepted (its CONNACK may still wait for a commit).
        delivering: Whether its CONNACK has left, so that messages may follow.
        closed: Whether nothing more is read from it or sent to it.
        heard_ns: Monotonic time of the last bytes from it.
        turned_away: Whether it has sent QoS 1 or 2 publishes that were not taken and will not be answered.
        read_from_ns: Monotonic time since which it has been read, when it is.
        unproven: Its CONNECT, while its password is being checked; what came behind it is in `rest`.
        unread: Whether the node does not read it, for want of room.
        keep_alive_ns: One and a half times its keep alive, 0 for none.
        timer_ns: When the timer for CONNECT or the keep alive comes up.
        rest: The beginning of a packet not yet complete.
        need: Bytes of `rest` below which looking at it is pointless.
        known: Topics this client may publish to, by their bytes.
        unacknowledged: QoS 1 and 2 publishes received and not finally answered.
        second: QoS 2 publishes among them.
        owed: Answers due, oldest first.
        waits_for: Commit number this connection is entered under as waiting for (0: none).
        out: Pieces for the next `Send`.
        out_bytes: Bytes of messages among them.
        backlog_bytes: Bytes that wait in the transport, as last reported.
        pumping: Whether a timer will go on with its session's messages.
        feed: New subscriptions whose retained messages have not been sent.
        feed_topics: Topics of the first of them that remain.
        will: Published when the client leaves without goodbye.
    """

    __slots__ = (
        "aliases_in",
        "aliases_out",
        "aliases_out_max",
        "assigned",
        "backlog_bytes",
        "client",
        "closed",
        "delivering",
        "feed",
        "feed_topics",
        "heard_ns",
        "keep_alive_ns",
        "known",
        "need",
        "number",
        "opened",
        "out",
        "out_bytes",
        "owed",
        "packet_bytes_max",
        "paused",
        "peer",
        "principal",
        "problem_information",
        "pumping",
        "read_from_ns",
        "receive_maximum",
        "rest",
        "second",
        "session",
        "timer_ns",
        "turned_away",
        "unacknowledged",
        "unproven",
        "unread",
        "version",
        "waits_for",
        "will",
    )

    def __init__(self, peer: Peer, heard_ns: int) -> None:
        self.peer = peer
        self.number = peer.connection
        self.version = V5
        self.client = ""
        self.assigned = False
        self.principal = NOBODY
        self.session: Session | None = None
        self.opened = False
        self.delivering = False
        self.closed = False
        self.paused = False
        self.turned_away = False
        self.unproven: Connect | None = None
        self.heard_ns = heard_ns
        self.read_from_ns = heard_ns
        self.unread = False
        self.keep_alive_ns = 0
        self.timer_ns = 0
        self.rest = bytearray()
        self.need = 0
        self.known: dict[bytes, str] = {}
        self.aliases_in: dict[int, str] = {}
        self.aliases_out: dict[str, int] = {}
        self.aliases_out_max = 0
        self.receive_maximum = 65_535
        self.packet_bytes_max = 0
        self.problem_information = True
        self.unacknowledged = 0
        self.second = 0
        self.owed: deque[Owed] = deque()
        self.waits_for = 0
        self.out: list[bytes] = []
        self.out_bytes = 0
        self.pumping = False
        self.feed: deque[Subscribed] = deque()
        self.feed_topics: list[str] = []
        self.backlog_bytes = 0
        self.will: Will | None = None
