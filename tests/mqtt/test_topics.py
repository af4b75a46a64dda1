"""Filters against names: the tries agree with the definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headland.mqtt import ProtocolError
from headland.mqtt.topics import NameTree, Trie, check_filter, check_topic, matches


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "a/b", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/monitor/Clients", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("a", "A", False),
        ("a/b", "a/b/", False),
    ],
)
def test_wildcards_match_as_the_specification_says(pattern: str, topic: str, expected: bool) -> None:
    """MQTT-4.7.2-1, MQTT-4.7.3-4; MQTT-4.7.2-1 of 3.1.1."""
    assert matches(pattern, topic) is expected
    trie: Trie[int] = Trie()
    trie.add("", pattern, "c", 1)
    assert trie.match(topic) == ([1] if expected else [], [])
    tree = NameTree()
    tree.add(topic)
    assert tree.match(pattern) == ([topic] if expected else [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a/#/b",
        "a#",
        "#a",
        "a+",
        "+a/b",
        "a/b+",
        "\0",
        "$share/",
        "$share/g",
        "$share//t",
        "$share/g/",
        "$share/+/t",
    ],
)
def test_malformed_filters_are_refused(text: str) -> None:
    """MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1, MQTT-4.8.2-1, MQTT-4.8.2-2; MQTT-4.7.1-2, -3 of 3.1.1."""
    with pytest.raises(ProtocolError):
        check_filter(text, 64)


def test_a_shared_filter_is_split_into_group_and_filter() -> None:
    assert check_filter("$share/g/a/+/#", 64) == ("g", "a/+/#")
    assert check_filter("$shared/g", 64) == ("", "$shared/g")


def test_levels_are_bounded() -> None:
    check_topic("/".join("a" * 64), 64)
    check_filter("/".join("a" * 64), 64)
    for check in (check_topic, check_filter):
        with pytest.raises(ProtocolError):
            check("/".join("a" * 65), 64)


levels = st.sampled_from(["", "a", "b", "$x"])
names = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)
filters = (
    st.lists(st.sampled_from(["", "a", "b", "$x", "+"]), min_size=1, max_size=4)
    .flatmap(lambda some: st.sampled_from([some, [*some, "#"], ["#"]]))
    .map("/".join)
    .filter(bool)
)
subscribers = st.tuples(st.sampled_from(["", "g", "h"]), filters, st.sampled_from("cde"))


@given(st.lists(st.tuples(st.booleans(), subscribers), max_size=30), names)
def test_the_trie_finds_what_a_scan_of_all_filters_finds(
    steps: list[tuple[bool, tuple[str, str, str]]], topic: str
) -> None:
    trie: Trie[tuple[str, str, str]] = Trie()
    held: set[tuple[str, str, str]] = set()
    for adds, one in steps:
        if adds:
            trie.add(*one, one)
            held.add(one)
        else:
            trie.remove(*one)
            held.discard(one)
    assert trie.count == len(held)
    plain, groups = trie.match(topic)
    shared = [member for group in groups for member in group.members.values()]
    expected = [one for one in held if matches(one[1], topic)]
    assert sorted(plain) == sorted(one for one in expected if not one[0])
    assert sorted(shared) == sorted(one for one in expected if one[0])
    for one in held:
        trie.remove(*one)
    assert not trie._root.below


@given(st.lists(st.tuples(st.booleans(), names), max_size=30), filters)
def test_the_name_tree_finds_what_a_scan_of_all_names_finds(
    steps: list[tuple[bool, str]], pattern: str
) -> None:
    tree = NameTree()
    held: set[str] = set()
    for adds, name in steps:
        if adds:
            tree.add(name)
            held.add(name)
        elif name in held:
            tree.remove(name)
            held.discard(name)
    assert sorted(tree.match(pattern)) == sorted(name for name in held if matches(pattern, name))
    for name in held:
        tree.remove(name)
    assert not tree._root
