"""Topic names and filters: their rules, and the trie that finds the subscriptions of a topic.

Rules (MQTT 5.0 section 4.7, the same in 3.1.1): a name has at least one character and no wildcard; in a
filter `+` fills a whole level and `#` the last one; neither matches a first level that begins with `$`. A
shared filter is `$share/GROUP/FILTER` (section 4.8.2), GROUP without `/`, `+`, `#`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from headland.mqtt.reasons import ProtocolError, Reason

T = TypeVar("T")


def check_topic(topic: str, levels_max: int, characters_max: int = 65_535) -> None:
    """Refuse what is not a topic name.

    Raises:
        ProtocolError: Empty, with a wildcard or U+0000, deeper than `levels_max` or longer than
            `characters_max`.
    """
    if not topic:
        raise ProtocolError("empty topic name", Reason.TOPIC_NAME_INVALID, "MQTT-4.7.3-1")
    if "+" in topic or "#" in topic:
        raise ProtocolError("wildcard in a topic name", Reason.TOPIC_NAME_INVALID, "MQTT-3.3.2-2")
    if "\0" in topic:
        raise ProtocolError("U+0000 in a topic name", Reason.MALFORMED_PACKET, "MQTT-4.7.3-2")
    if topic.count("/") >= levels_max:
        raise ProtocolError(f"topic name of more than {levels_max} levels", Reason.TOPIC_NAME_INVALID)
    if len(topic) > characters_max:
        raise ProtocolError(f"topic name over {characters_max} characters", Reason.TOPIC_NAME_INVALID)


def check_filter(text: str, levels_max: int, characters_max: int = 65_535) -> tuple[str, str]:
    """Refuse what is not a topic filter.

    Returns:
        (group, filter): the group of a shared subscription ("" for a plain one) and the filter to match by.

    Raises:
        ProtocolError: Empty, a misplaced wildcard, U+0000, a malformed share, too deep or too long.
    """
    if len(text) > characters_max:
        raise ProtocolError(f"topic filter over {characters_max} characters", Reason.TOPIC_FILTER_INVALID)
    group = ""
    if text.startswith("$share/"):
        group, found, text = text[7:].partition("/")
        if not group or not found or "+" in group or "#" in group:
            raise ProtocolError("malformed shared filter", Reason.TOPIC_FILTER_INVALID, "MQTT-4.8.2-1")
    if not text:
        raise ProtocolError("empty topic filter", Reason.TOPIC_FILTER_INVALID, "MQTT-4.7.3-1")
    if "\0" in text:
        raise ProtocolError("U+0000 in a topic filter", Reason.MALFORMED_PACKET, "MQTT-4.7.3-2")
    levels = text.split("/")
    if len(levels) > levels_max:
        raise ProtocolError(f"topic filter of more than {levels_max} levels", Reason.TOPIC_FILTER_INVALID)
    last = len(levels) - 1
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != last):
            raise ProtocolError("# is not the whole last level", Reason.TOPIC_FILTER_INVALID, "MQTT-4.7.1-1")
        if "+" in level and level != "+":
            raise ProtocolError("+ is not a whole level", Reason.TOPIC_FILTER_INVALID, "MQTT-4.7.1-2")
    return group, text


def matches(pattern: str, topic: str) -> bool:
    """Whether a plain filter matches a topic name: the definition that the tries are tested against."""
    wanted = pattern.split("/")
    levels = topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


class Group(Generic[T]):
    """The members of one shared subscription; each message goes to one of them.

    Attributes:
        members: By client identifier, in order of joining.
        turn: Counts messages, so that members take turns.
    """

    __slots__ = ("members", "turn")

    def __init__(self) -> None:
        self.members: dict[str, T] = {}
        self.turn = 0

    def in_turn(self) -> list[T]:
        """The members, the one whose turn it is first."""
        members = list(self.members.values())
        first = self.turn % len(members)
        self.turn += 1
        return members[first:] + members[:first]


class _Node(Generic[T]):
    __slots__ = ("below", "groups", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Node[T]] = {}
        self.here: dict[str, T] = {}
        self.groups: dict[str, Group[T]] = {}


class Trie(Generic[T]):
    """Subscriptions by the levels of their filters.

    Attributes:
        count: Subscriptions held.
    """

    def __init__(self) -> None:
        self.count = 0
        self._root: _Node[T] = _Node()

    def add(self, group: str, pattern: str, client: str, value: T) -> None:
        """Add or replace the subscription of a client to a filter."""
        node = self._root
        for level in pattern.split("/"):
            below = node.below.get(level)
            if below is None:
                below = node.below[level] = _Node()
            node = below
        if group:
            members = node.groups.setdefault(group, Group()).members
        else:
            members = node.here
        self.count += client not in members
        members[client] = value

    def remove(self, group: str, pattern: str, client: str) -> None:
        """Remove a subscription, if it is there."""
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        for level in pattern.split("/"):
            below = node.below.get(level)
            if below is None:
                return
            path.append((node, level))
            node = below
        shared = node.groups.get(group) if group else None
        members = node.here if shared is None else shared.members
        if (group and shared is None) or members.pop(client, None) is None:
            return
        self.count -= 1
        if shared is not None and not members:
            del node.groups[group]
        for parent, level in reversed(path):
            child = parent.below[level]
            if child.below or child.here or child.groups:
                return
            del parent.below[level]

    def match(self, topic: str) -> tuple[list[T], list[Group[T]]]:
        """Plain subscriptions and shared groups whose filter matches a topic name."""
        found: list[T] = []
        groups: list[Group[T]] = []
        nodes = [self._root]
        hidden = topic.startswith("$")
        for level in topic.split("/"):
            following: list[_Node[T]] = []
            for node in nodes:
                if (exact := node.below.get(level)) is not None:
                    following.append(exact)
                if not hidden:
                    if (single := node.below.get("+")) is not None:
                        following.append(single)
                    if (rest := node.below.get("#")) is not None:
                        _gather(rest, found, groups)
            hidden = False
            nodes = following
        for node in nodes:
            _gather(node, found, groups)
            # "sport/#" matches "sport" too (section 4.7.1.2).
            if (rest := node.below.get("#")) is not None:
                _gather(rest, found, groups)
        return found, groups


def _gather(node: _Node[T], found: list[T], groups: list[Group[T]]) -> None:
    found += node.here.values()
    groups += node.groups.values()


class NameTree:
    """A set of topic names, searched by filter."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, topic: str) -> None:
        """Add a name."""
        node = self._root
        for level in topic.split("/"):
            node = node.setdefault(level, {})
        node[_HERE] = topic

    def remove(self, topic: str) -> None:
        """Remove a name that is there."""
        path: list[tuple[dict[str, Any], str]] = []
        node = self._root
        for level in topic.split("/"):
            path.append((node, level))
            node = node[level]
        del node[_HERE]
        for parent, level in reversed(path):
            if parent[level]:
                return
            del parent[level]

    def match(self, pattern: str) -> list[str]:
        """The names that a plain filter matches."""
        nodes = [self._root]
        for depth, level in enumerate(pattern.split("/")):
            if level == "#":
                return [name for node in nodes for name in _names(node, depth == 0)]
            if level == "+":
                nodes = [
                    below
                    for node in nodes
                    for key, below in node.items()
                    if key != _HERE and not (depth == 0 and key.startswith("$"))
                ]
            else:
                nodes = [node[level] for node in nodes if level in node]
        return [node[_HERE] for node in nodes if _HERE in node]


_HERE = "#"
"""Key of the name that ends at a node: no level of a topic name is called so."""


def _names(node: dict[str, Any], root: bool) -> list[str]:
    names: list[str] = []
    stack = [node]
    while stack:
        top = stack.pop()
        for key, below in top.items():
            if key == _HERE:
                names.append(below)
            elif not (root and top is node and key.startswith("$")):
                stack.append(below)
    return names
