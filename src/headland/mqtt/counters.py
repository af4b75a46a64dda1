"""What the broker counts, for metrics. Every dropped thing has a reason here."""

from __future__ import annotations


class Counters:
    """Plain integers, read by the metrics collector at any time."""

    __slots__ = (
        "closed_by_quota",
        "connects",
        "connects_refused",
        "disconnects",
        "dropped_expired",
        "dropped_not_authorised",
        "dropped_offline",
        "dropped_queue_full",
        "dropped_slow",
        "dropped_too_large",
        "keep_alive_timeouts",
        "messages_sent",
        "own_refused",
        "protocol_errors",
        "publishes_not_authorised",
        "publishes_qos_0",
        "publishes_qos_1",
        "publishes_qos_2",
        "publishes_qos_2_repeated",
        "publishes_turned_away",
        "retained_refused",
        "sessions_expired",
        "subscribes",
        "takeovers",
        "unsubscribes",
        "wills_published",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    connects: int
    """Clients accepted."""
    connects_refused: int
    """CONNECT answered with a refusal, for any reason."""
    disconnects: int
    """Connections ended, for any reason."""
    protocol_errors: int
    """Connections closed because the peer broke the protocol."""
    keep_alive_timeouts: int
    """Connections closed because nothing was heard for one and a half keep alives."""
    takeovers: int
    """Connections closed because their client connected again."""
    closed_by_quota: int
    """Connections closed because their queue or transport backlog reached its bound."""
    publishes_qos_0: int
    """Publishes received and handed over, QoS 0."""
    publishes_qos_1: int
    """Publishes received and handed over, QoS 1."""
    publishes_qos_2: int
    """Publishes received and handed over, QoS 2."""
    publishes_qos_2_repeated: int
    """QoS 2 publishes whose packet identifier was already known: acknowledged, not handed over again."""
    publishes_turned_away: int
    """QoS 1 and 2 publishes that were decided on, not taken and not answered, for want of room."""
    publishes_not_authorised: int
    """Publishes refused by the access rules."""
    messages_sent: int
    """Messages sent to subscribers, repeats included."""
    own_refused: int
    """Publishes in the node's own name that went nowhere, because their topic is none."""
    dropped_slow: int
    """QoS 0 messages not sent because the subscriber's transport was backed up."""
    dropped_offline: int
    """QoS 0 messages for sessions without a connection."""
    dropped_queue_full: int
    """Queued messages evicted, oldest first, because a queue reached its bound."""
    dropped_expired: int
    """Queued messages whose expiry interval passed."""
    dropped_too_large: int
    """Messages over the maximum packet size of the subscriber."""
    dropped_not_authorised: int
    """Queued messages dropped because their subscriber may not read their topic any more."""
    retained_refused: int
    """Messages not retained because the store of retained messages is full."""
    sessions_expired: int
    """Sessions that ended by expiry."""
    subscribes: int
    """Filters subscribed to."""
    unsubscribes: int
    """Filters unsubscribed from."""
    wills_published: int
    """Wills published."""

    def values(self) -> dict[str, int]:
        """Every counter by name."""
        return {name: getattr(self, name) for name in self.__slots__}
