"""Retained messages: the last of each topic published with RETAIN, bounded in number and bytes."""

from __future__ import annotations

from headland.mqtt.session import Message
from headland.mqtt.topics import NameTree


class Retained:
    """The store of retained messages.

    Attributes:
        messages: By topic name.
        total_bytes: Bytes of all of them.
    """

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self.messages: dict[str, Message] = {}
        self.total_bytes = 0
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._names = NameTree()

    def has_room(self, message: Message, now_ns: int) -> bool:
        """Whether `message` fits, expired ones having made room."""
        if self._fits(message):
            return True
        for topic in [topic for topic, kept in self.messages.items() if 0 < kept.expires_ns <= now_ns]:
            self.clear(topic)
        return self._fits(message)

    def _fits(self, message: Message) -> bool:
        old = self.messages.get(message.topic)
        count = len(self.messages) + (old is None)
        size = self.total_bytes + message.size - (old.size if old is not None else 0)
        return count <= self._count_max and size <= self._bytes_max

    def keep(self, message: Message) -> None:
        """Keep a message in place of the one its topic had."""
        old = self.messages.get(message.topic)
        if old is None:
            self._names.add(message.topic)
        else:
            self.total_bytes -= old.size
        self.messages[message.topic] = message
        self.total_bytes += message.size

    def clear(self, topic: str) -> bool:
        """Forget the message of a topic; whether there was one."""
        old = self.messages.pop(topic, None)
        if old is None:
            return False
        self._names.remove(topic)
        self.total_bytes -= old.size
        return True

    def match(self, pattern: str) -> list[str]:
        """Topics with a retained message that a plain filter matches."""
        return self._names.match(pattern)
