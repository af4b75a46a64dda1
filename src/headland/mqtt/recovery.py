"""The store to and from checkpoints, and from commits.

While recovering, deadlines hold what is left of them (as if monotonic time began at the record), with the
record's wall clock in `wall_ms`; `rebase` turns them into moments of this process. A session whose client was
connected when the node went down is treated as if the connection had been lost at the start.

Replaying is idempotent: a call without a draft may leave changes that a checkpoint already holds and the next
commit repeats. What is no longer there is then skipped.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from headland.mqtt import properties as wire
from headland.mqtt import records
from headland.mqtt.codec import varint
from headland.mqtt.packets import PacketType, Properties, Subscription, Will
from headland.mqtt.reading import Reader
from headland.mqtt.reasons import ProtocolError
from headland.mqtt.records import HolderRecord, MessageRecord
from headland.mqtt.session import Flight, Item, Message, Receipt, Session, Stage, Subscribed
from headland.mqtt.store import MS, Store, holder_record, subscription_record
from headland.mqtt.surface import Principal
from headland.mqtt.topics import check_filter
from headland.vocabulary.errors import StorageDamage
from headland.vocabulary.instant import Instant

OFF_TIME_MAX_MS = 10 * 366 * 86_400_000
"""Off time beyond this is a clock's mistake, not a long winter."""

_ANY_DEPTH = 1 << 16


def snapshot(store: Store) -> bytes:
    """Everything durable, as of the store's `now`."""
    return records.encode(
        records.Snapshot(
            store.wall_ms(),
            store.position,
            [_session_record(store, session) for session in store.sessions.values() if session.lasting],
            [(position, store.message_record(message)) for position, message in store.queued.items()],
            [store.message_record(message) for message in store.retained.messages.values()],
        )
    )


def _session_record(store: Store, session: Session) -> records.SessionRecord:
    connection = session.connection
    will = session.will if connection is None else connection.will
    flights: list[records.FlightRecord] = []
    queue: list[HolderRecord] = []
    for identifier, flight in session.flights.items():
        holder = holder_record(session, flight.item)
        if flight.item.qos == 2:
            flights.append(records.FlightRecord(identifier, flight.stage, holder))
        elif not flight.item.message.gone:
            queue.append(holder)
    queue += [holder_record(session, item) for item in session.queue if not item.message.gone]
    return records.SessionRecord(
        session.client,
        session.principal.name,
        session.version,
        session.expiry_s,
        store.left_ms(session.ends_ns),
        store.will_record(will, store.left_ms(session.will_ns)) if will is not None else None,
        [subscription_record(subscribed) for subscribed in session.subscriptions.values()],
        list(session.received),
        flights,
        queue,
    )


def restore(store: Store, data: bytes) -> None:
    """Fill an empty store from a checkpoint.

    Raises:
        StorageDamage: The data is not a snapshot.
    """
    try:
        found = records.decode_snapshot(data)
        for position, record in found.messages:
            message = _message(record, found.wall_ms)
            message.position = position
            store.queued[position] = message
            store.queued_bytes += message.size
        for kept in found.retained:
            store.retained.keep(_message(kept, found.wall_ms))
        for one in found.sessions:
            _restore_session(store, one, found.wall_ms)
    except (msgspec.MsgspecError, ProtocolError, KeyError) as error:
        raise StorageDamage(f"mqtt snapshot: {error}") from error
    store.position = found.position
    for message in [message for message in store.queued.values() if not message.holders]:
        store.evict(message.position)
    store.changes.clear()
    store.counters.dropped_queue_full = 0


def _restore_session(store: Store, record: records.SessionRecord, wall_ms: int) -> None:
    session = Session(record.client, Principal(record.principal), record.version, record.expiry_s)
    session.ends_ns = _after(record.left_ms)
    session.wall_ms = wall_ms
    store.sessions[session.client] = session
    if record.will is not None:
        session.will = _will(record.will)
        session.will_ns = _after(record.will.left_ms)
    for subscription in record.subscriptions:
        _subscribe(store, session, subscription)
    session.received = {identifier: Receipt(0) for identifier in record.received}
    for flight_record in record.flights:
        holder = flight_record.holder
        message = store.queued.get(holder.position) or Message("", b"")
        flight = Flight(Item(message, holder.qos, holder.retain, holder.identifiers))
        message.holders += 1
        flight.stage = Stage(flight_record.stage)
        flight.dup = True
        session.flights[flight_record.identifier] = flight
    for holder in record.queue:
        store.hold(session, _item(store.queued[holder.position], holder))


def replay(store: Store, data: bytes) -> None:
    """Repeat the changes of one commit.

    Raises:
        StorageDamage: The data is not a list of changes.
    """
    try:
        found = records.decode_changes(data)
        for change in found.changes:
            _repeat(store, change, found.wall_ms)
    except (msgspec.MsgspecError, ProtocolError, IndexError) as error:
        raise StorageDamage(f"mqtt state: {error!r}") from error
    store.changes.clear()
    store.counters.dropped_queue_full = 0


def _repeat(store: Store, change: records.Change, wall_ms: int) -> None:
    match change:
        case records.Opened():
            _repeat_opened(store, change)
        case records.Queued():
            _repeat_queued(store, change, wall_ms)
        case records.RetainedSet(message):
            store.retained.keep(_message(message, wall_ms))
        case records.RetainedCleared(topic):
            store.retained.clear(topic)
        case records.Evicted(position):
            if position in store.queued:
                store.evict(position)
        case _:
            session = store.sessions.get(change.client)
            if session is not None:
                _repeat_in(store, session, change, wall_ms)


def _repeat_in(store: Store, session: Session, change: records.SessionChange, wall_ms: int) -> None:
    """Repeat a change of one session."""
    match change:
        case records.Ended():
            store.end(session)
        case records.Departed():
            session.expiry_s = change.expiry_s
            session.ends_ns = _after(change.left_ms)
            session.will = session.will if change.has_will else None
            session.will_ns = _after(change.will_left_ms) if change.has_will else 0
            session.wall_ms = wall_ms
        case records.SubscribedTo():
            _subscribe(store, session, change)
        case records.UnsubscribedFrom():
            store.unsubscribe(session, change.filter)
        case records.Received():
            session.received.update((identifier, Receipt(0)) for identifier in change.identifiers)
        case records.Released():
            session.received.pop(change.identifier, None)
        case records.Done():
            if (item := _take(session, change.position)) is not None:
                store.let_go(item.message)
        case records.Identified():
            if (item := _take(session, change.position)) is not None:
                flight = session.flights[change.identifier] = Flight(item)
                flight.dup = True
                session.last_id = change.identifier
        case records.Passed():
            waiting = session.flights.get(change.identifier)
            if waiting is not None and waiting.stage is Stage.SENT:
                store.passed(session, change.identifier, waiting)
        case records.Completed():
            if change.identifier in session.flights:
                store.complete(session, change.identifier)
        case _:
            assert_never(change)


def _repeat_opened(store: Store, change: records.Opened) -> None:
    session = store.sessions.get(change.client)
    if session is not None and change.fresh:
        store.end(session)
        session = None
    if session is None:
        session = Session(change.client, Principal(change.principal), change.version, change.expiry_s)
        store.sessions[change.client] = session
    session.principal = Principal(change.principal)
    session.version = change.version
    session.expiry_s = change.expiry_s
    session.ends_ns = session.will_ns = 0
    session.will = _will(change.will) if change.will is not None else None


def _repeat_queued(store: Store, change: records.Queued, wall_ms: int) -> None:
    position = change.holders[0].position
    if position <= store.position:
        return
    message = _message(change.message, wall_ms)
    message.position = store.position = position
    store.queued[position] = message
    store.queued_bytes += message.size
    for holder in change.holders:
        if holder.client in store.sessions:
            store.hold(store.sessions[holder.client], _item(message, holder))
    if not message.holders:
        store.evict(position)


def _take(session: Session, position: int) -> Item | None:
    """Take the item at `position` out of a queue, if it is there; it is near the front."""
    for index, item in enumerate(session.queue):
        if item.message.position == position:
            del session.queue[index]
            session.queue_bytes -= item.message.size
            return item
    return None


def _subscribe(store: Store, session: Session, record: records.SubscribedTo) -> None:
    group, pattern = check_filter(record.filter, _ANY_DEPTH)
    options = Subscription(
        record.filter, record.qos, record.no_local, record.retain_as_published, record.retain_handling
    )
    store.subscribe(Subscribed(session, options, group, pattern, record.identifier))


def _item(message: Message, holder: HolderRecord) -> Item:
    return Item(message, holder.qos, holder.retain, holder.identifiers)


def _message(record: MessageRecord, wall_ms: int) -> Message:
    message = Message(
        record.topic,
        record.payload,
        record.qos,
        record.retain,
        _properties(record.properties, PacketType.PUBLISH),
        _after(record.left_ms),
    )
    message.wall_ms = wall_ms
    return message


def _will(record: records.WillRecord) -> Will:
    message = record.message
    found = _properties(message.properties, wire.WILL)
    return Will(message.topic, message.payload, message.qos, message.retain, found)


def _properties(body: bytes, packet: int) -> Properties | None:
    data = varint(len(body)) + body
    return wire.decode(Reader(data, 0, len(data)), packet)


def _after(left_ms: int) -> int:
    return 0 if left_ms < 0 else max(1, left_ms * MS)


def rebase(store: Store, now: Instant) -> None:
    """Turn what was left of every deadline into a moment of this process; known off time counts."""
    wall_ms = now.wall_ns // MS if now.trusted else 0

    def moment(left_ns: int, recorded_ms: int) -> int:
        if not left_ns:
            return 0
        off_ms = wall_ms - recorded_ms if wall_ms and recorded_ms else 0
        if not 0 <= off_ms <= OFF_TIME_MAX_MS:
            off_ms = 0
        return now.monotonic_ns + max(1, left_ns - off_ms * MS)

    for message in [*store.queued.values(), *store.retained.messages.values()]:
        message.expires_ns = moment(message.expires_ns, message.wall_ms)
    for session in store.sessions.values():
        session.will_ns = moment(session.will_ns, session.wall_ms)
        session.ends_ns = moment(session.ends_ns, session.wall_ms)
        session.resend.clear()
        session.resend.extend(session.flights)
