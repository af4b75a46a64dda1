"""What outlives connections (sessions, subscriptions, messages) and how it becomes durable.

Every change of a lasting session and of the retained messages is made here and noted in `changes`; the broker
writes the notes into the open commit at the end of the call. Replaying them makes the same store.
"""

from __future__ import annotations

from headland.mqtt import properties as wire
from headland.mqtt import records
from headland.mqtt.config import MqttConfig
from headland.mqtt.counters import Counters
from headland.mqtt.packets import Will
from headland.mqtt.records import FOREVER, HolderRecord, MessageRecord
from headland.mqtt.retained import Retained
from headland.mqtt.session import Flight, Item, Message, Session, Stage, Subscribed
from headland.mqtt.topics import Group, Trie
from headland.vocabulary.instant import Instant

MS = 1_000_000


class Store:
    """Sessions by client identifier, and all that belongs to them.

    Attributes:
        sessions: Every session, lasting or not.
        trie: Their subscriptions.
        retained: Retained messages.
        queued: Messages that lasting sessions hold, by position, ascending.
        queued_bytes: Bytes of `queued`.
        routes: Subscribers by topic name, remembered until a subscription changes.
        changes: Changes not yet written into a commit.
        now: The moment of the call in progress.
    """

    def __init__(self, config: MqttConfig, counters: Counters) -> None:
        self.config = config
        self.counters = counters
        self.sessions: dict[str, Session] = {}
        self.trie: Trie[Subscribed] = Trie()
        self.retained = Retained(config.retained_max, config.retained_bytes_max)
        self.queued: dict[int, Message] = {}
        self.queued_bytes = 0
        self.position = 0
        self.routes: dict[str, tuple[list[Subscribed], list[Group[Subscribed]]]] = {}
        self.changes: list[records.Change] = []
        self.now = Instant(0, 0, False)

    # Sessions

    def open(self, session: Session, fresh: bool, will: Will | None) -> None:
        """A client has come: enter its session, and note it when it lasts."""
        self.sessions[session.client] = session
        if session.lasting:
            self.changes.append(
                records.Opened(
                    session.client,
                    session.principal.name,
                    session.version,
                    session.expiry_s,
                    fresh,
                    self.will_record(will, FOREVER) if will is not None else None,
                )
            )

    def depart(self, session: Session) -> None:
        """A client has gone and its session stays: note when it ends and what becomes of its will."""
        self.changes.append(
            records.Departed(
                session.client,
                session.expiry_s,
                self.left_ms(session.ends_ns),
                session.will is not None,
                self.left_ms(session.will_ns),
            )
        )

    def end(self, session: Session) -> None:
        """Forget a session with everything it holds."""
        if self.sessions.get(session.client) is session:
            del self.sessions[session.client]
            if session.lasting:
                self.changes.append(records.Ended(session.client))
        session.ended = True
        for subscribed in session.subscriptions.values():
            self.trie.remove(subscribed.group, subscribed.pattern, session.client)
        if session.subscriptions:
            self.routes.clear()
        for item in session.queue:
            self.let_go(item.message)
        for flight in session.flights.values():
            self.let_go(flight.item.message)
        session.queue.clear()
        session.flights.clear()
        session.subscriptions.clear()
        session.queue_bytes = 0

    def forget(self, session: Session) -> None:
        """A session that lasted is not to last any more: on disk it ends now."""
        if session.lasting:
            self.changes.append(records.Ended(session.client))

    def subscribe(self, subscribed: Subscribed) -> None:
        """Make or replace a subscription."""
        session, options = subscribed.session, subscribed.options
        session.subscriptions[options.filter] = subscribed
        self.trie.add(subscribed.group, subscribed.pattern, session.client, subscribed)
        self.routes.clear()
        if session.lasting:
            self.changes.append(subscription_record(subscribed))

    def unsubscribe(self, session: Session, text: str) -> bool:
        """Remove a subscription; whether there was one."""
        subscribed = session.subscriptions.pop(text, None)
        if subscribed is None:
            return False
        self.trie.remove(subscribed.group, subscribed.pattern, session.client)
        self.routes.clear()
        if session.lasting:
            self.changes.append(records.UnsubscribedFrom(session.client, text))
        return True

    # Messages

    def route(self, topic: str) -> tuple[list[Subscribed], list[Group[Subscribed]]]:
        """Who is subscribed to a topic name."""
        found = self.routes.get(topic)
        if found is None:
            if len(self.routes) >= self.config.matches_cached_max:
                self.routes.clear()
            found = self.routes[topic] = self.trie.match(topic)
        return found

    def retain(self, message: Message) -> bool:
        """Keep or clear (empty payload) the retained message of a topic; whether anything changed.

        One that finds no room clears what its topic had: no message is better than one that is no longer so
        (MQTT-3.3.1-5).
        """
        is_refused = bool(message.payload) and not self.retained.has_room(message, self.now.monotonic_ns)
        self.counters.retained_refused += is_refused
        if is_refused or not message.payload:
            if not self.retained.clear(message.topic):
                return False
            self.changes.append(records.RetainedCleared(message.topic))
            return True
        self.retained.keep(message)
        self.changes.append(records.RetainedSet(self.message_record(message)))
        return True

    def queue(self, message: Message, holders: list[tuple[Session, Item]]) -> None:
        """Queue a message for lasting sessions: stored once, whatever their number."""
        self.position += 1
        message.position = self.position
        self.queued[message.position] = message
        self.queued_bytes += message.size
        self.changes.append(
            records.Queued(
                self.message_record(message), [holder_record(session, item) for session, item in holders]
            )
        )
        for session, item in holders:
            self.hold(session, item)
            while session.queue_bytes > self.config.session_queue_bytes_max and len(session.queue) > 1:
                self.counters.dropped_queue_full += not session.queue[0].message.gone
                self.drop_first(session)
        while self.queued_bytes > self.config.queue_bytes_max and len(self.queued) > 1:
            self.evict(next(iter(self.queued)))

    def hold(self, session: Session, item: Item) -> None:
        """Add an item to a session's queue."""
        queue = session.queue
        while queue and queue[0].message.gone:
            self.take_first(session)
        queue.append(item)
        session.queue_bytes += item.message.size
        item.message.holders += 1

    def take_first(self, session: Session) -> Item:
        """Take the oldest item of a queue; the session still holds its message."""
        item = session.queue.popleft()
        session.queue_bytes -= item.message.size
        return item

    def drop_first(self, session: Session) -> None:
        """Drop the oldest item of a queue."""
        self.done(session, self.take_first(session))

    def done(self, session: Session, item: Item) -> None:
        """The session needs the message no more."""
        if session.lasting and item.message.position and not item.message.gone:
            self.changes.append(records.Done(session.client, item.message.position))
        self.let_go(item.message)

    def evict(self, position: int) -> None:
        """Take a message from all sessions that hold it, to make room."""
        message = self.queued.pop(position)
        message.gone = True
        self.queued_bytes -= message.size
        self.counters.dropped_queue_full += message.holders
        self.changes.append(records.Evicted(position))

    def let_go(self, message: Message) -> None:
        """One session holds the message no more; it is forgotten with its last holder."""
        message.holders -= 1
        if not message.holders and message.position and not message.gone:
            del self.queued[message.position]
            self.queued_bytes -= message.size
            message.gone = True

    # Outgoing QoS 2

    def identify(self, session: Session, identifier: int, flight: Flight) -> None:
        """Note the identifier an outgoing QoS 2 message will be sent with."""
        self.changes.append(records.Identified(session.client, flight.item.message.position, identifier))

    def passed(self, session: Session, identifier: int, flight: Flight) -> None:
        """The subscriber has the message (PUBREC): only the identifier is still needed."""
        flight.stage = Stage.RELEASED
        self.let_go(flight.item.message)
        flight.item = Item(Message("", b""), 2, False, ())
        flight.item.message.holders = 1
        if session.lasting:
            self.changes.append(records.Passed(session.client, identifier))

    def complete(self, session: Session, identifier: int) -> None:
        """The handshake is over."""
        flight = session.flights.pop(identifier)
        self.let_go(flight.item.message)
        if session.lasting:
            self.changes.append(records.Completed(session.client, identifier))

    # Records

    def left_ms(self, at_ns: int) -> int:
        """What is left of a deadline, `FOREVER` for none."""
        return max(0, (at_ns - self.now.monotonic_ns) // MS) if at_ns else FOREVER

    def wall_ms(self) -> int:
        """The wall clock of this moment in ms, 0 when it is not trusted."""
        return self.now.wall_ns // MS if self.now.trusted else 0

    def message_record(self, message: Message) -> MessageRecord:
        """A message as it is written."""
        return MessageRecord(
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            wire.encode_body(message.properties),
            self.left_ms(message.expires_ns),
        )

    def will_record(self, will: Will, left_ms: int) -> records.WillRecord:
        """A will as it is written; its own delay and expiry ride in its properties."""
        body = wire.encode_body(will.properties)
        return records.WillRecord(
            MessageRecord(will.topic, will.payload, will.qos, will.retain, body, FOREVER), left_ms
        )


def subscription_record(subscribed: Subscribed) -> records.SubscribedTo:
    """A subscription as it is written."""
    options = subscribed.options
    return records.SubscribedTo(
        subscribed.session.client,
        options.filter,
        options.qos,
        options.no_local,
        options.retain_as_published,
        options.retain_handling,
        subscribed.identifier,
    )


def holder_record(session: Session, item: Item) -> HolderRecord:
    """A place in a queue as it is written."""
    return HolderRecord(session.client, item.message.position, item.qos, item.retain, item.identifiers)
