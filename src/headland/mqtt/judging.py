"""Connections and sessions when others may connect, or may do other things, than when they began.

| what has changed | connection | session |
|---|---|---|
| the principal is nobody any more | closed, without its will | ended, with all it held |
| its password is another | closed | stays |
| it may no more read something it is subscribed to | closed | without that, and what is queued of it |
| it may no more publish its will | closed | without the will |
| it may no more publish to a topic | stays; the next publish is judged anew | stays |
"""

from __future__ import annotations

from headland.mqtt.connecting import Connecting
from headland.mqtt.reasons import Reason
from headland.mqtt.session import Session
from headland.mqtt.state import State

NOBODY: frozenset[str] = frozenset()


def judge_again(state: State, connecting: Connecting, other_passwords: frozenset[str] = NOBODY) -> None:
    """Judge every connection and every session by the authenticator as it is now."""
    for connection in state.connections.values():
        connection.known.clear()
    for session in list(state.store.sessions.values()):
        link = session.connection
        peer = link.peer if link is not None else None
        if not state.authenticator.holds(session.principal, peer):
            _expel(state, connecting, session)
            continue
        lost = _lost_subscriptions(state, session)
        lost |= _lost_will(state, session)
        by_password = peer is not None and peer.certificate_name != session.principal.name
        if link is not None and (lost or (by_password and session.principal.name in other_passwords)):
            state.close(link, Reason.NOT_AUTHORIZED, "not_authorised", "the rights of this user have changed")


def _expel(state: State, connecting: Connecting, session: Session) -> None:
    """End the session of one who is nobody any more; its will is not published."""
    link = session.connection
    session.will = None
    if link is None:
        connecting.end(session)
        return
    link.will = None
    state.store.forget(session)
    session.expiry_s = 0
    state.close(link, Reason.NOT_AUTHORIZED, "not_authorised", "this user is no more")


def _lost_subscriptions(state: State, session: Session) -> bool:
    """Take the subscriptions that may be no more, and what is queued of them; whether there was any."""
    store, may = state.store, state.authenticator.may_subscribe
    lost = [text for text, one in session.subscriptions.items() if not may(session.principal, one.pattern)]
    for text in lost:
        store.unsubscribe(session, text)
    if not lost:
        return False
    queue = list(session.queue)
    session.queue.clear()
    for item in queue:
        if item.message.gone or may(session.principal, item.message.topic):
            session.queue.append(item)
        else:
            session.queue_bytes -= item.message.size
            state.counters.dropped_not_authorised += 1
            store.done(session, item)
    return True


def _lost_will(state: State, session: Session) -> bool:
    """Take a will that may be published no more; whether there was one."""
    link = session.connection
    will = session.will if link is None else link.will
    if will is None or state.authenticator.may_publish(session.principal, will.topic):
        return False
    session.will = None
    session.will_ns = 0
    if link is not None:
        link.will = None
        state.store.open(session, False, None)
    else:
        state.store.depart(session)
    return True
