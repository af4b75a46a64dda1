"""Laws of credit: what all children may send before the next commit fits into it, and nobody starves."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.link.test_children import E1, Wire, hello
from tests.link.world import Clock, Pair, ParentNode

from headland.link.children import Children, ChildrenSettings
from headland.link.credit import CLASSES, LEAST, Credit
from headland.vocabulary import Lane

KIB = 1 << 10
WINDOW, TOGETHER = 64 * KIB, 1024 * KIB


def parent_of() -> ParentNode:
    parent = ParentNode(Clock(), Random(1))
    parent.children = Children(
        ChildrenSettings(node="parent", store=b"S" * 16, window=WINDOW, together=TOGETHER),
        lambda _child, _origin: True,
    )
    return parent


def join(parent: ParentNode, number: int) -> Wire:
    return Wire(parent, number, f"c{number}").send(hello(E1, node=f"c{number}"))


def granted(wire: Wire) -> int:
    welcome = wire.welcome()
    assert welcome is not None
    return sum(welcome.credit)


def test_a_few_children_have_a_whole_window_each() -> None:
    parent = parent_of()
    assert [granted(join(parent, number)) for number in range(1, 5)] == [CLASSES * WINDOW] * 4


def test_many_children_together_are_granted_no_more_than_fits_into_a_commit() -> None:
    """Kills: a window for each child, however many: a slow commit that no frame can hold."""
    parent = parent_of()
    wires = [join(parent, number) for number in range(1, 201)]
    assert sum(map(granted, wires)) <= TOGETHER + len(wires) * CLASSES * LEAST
    assert min(map(granted, wires)) == CLASSES * LEAST


def test_what_a_child_that_left_had_been_granted_is_for_others() -> None:
    """Kills: credit that is lost with its connection, until all children crawl."""
    parent = parent_of()
    for number in range(1, 500):
        join(parent, number)
        parent.children.closed(number, "gone", parent.now)
    assert granted(join(parent, 500)) == CLASSES * WINDOW


class Child:
    """One class of one connection, as its parent keeps it."""

    def __init__(self) -> None:
        self.unused = 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 200 * KIB)), max_size=200))
def test_however_bytes_come_and_go_the_sum_holds_and_everybody_can_go_on(
    steps: list[tuple[int, int]],
) -> None:
    """Kills: a sum that drifts; a child that gets nothing because others sit on their credit."""
    credit = Credit(WINDOW, TOGETHER)
    children = [Child() for _ in range(31)]
    for who, size in steps:
        child = children[who]
        before, child.unused = child.unused, child.unused - size
        credit.moved(before, child.unused)
        for one in children:
            window = credit.share(len(children))
            wanted = window - one.unused
            allowed = credit.allow(wanted, one.unused) if wanted >= window // 2 else 0
            one.unused += allowed
            assert one.unused > 0
        given = sum(max(0, one.unused) for one in children)
        assert credit.given == given
        assert given <= TOGETHER + len(children) * LEAST


def test_backlog_goes_on_however_small_the_window_is() -> None:
    """Kills: credit kept for live blocks that is more than all of it, so that backlog waits for ever."""
    pair = Pair()
    pair.parent.children = Children(
        ChildrenSettings(node="parent", store=b"S" * 16, window=256, together=KIB),
        lambda _child, _origin: True,
    )
    pair.reachable = False
    for _ in range(40):
        pair.child.keep()
        pair.child.commit()
        pair.run(0.1)
    pair.reachable = True
    pair.run(60)
    (stream,) = [one for one in pair.child.outbox.state.streams() if one.tail]
    assert stream.key.lane == Lane.BACKLOG
    assert stream.acked == stream.tail == 40


def test_backlog_goes_on_while_another_child_sits_on_all_that_was_granted() -> None:
    """Kills: a child that is given more only when nothing is left, and leaves a rest for its live blocks."""
    pair = Pair()
    pair.parent.children = Children(
        ChildrenSettings(node="parent", store=b"S" * 16, window=256 * KIB, together=TOGETHER),
        lambda _child, _origin: True,
    )
    pair.parent.children._credit.moved(0, TOGETHER)
    pair.reachable = False
    for _ in range(400):
        pair.child.keep()
        pair.child.commit()
        pair.run(0.1)
    pair.reachable = True
    pair.run(60)
    (stream,) = [one for one in pair.child.outbox.state.streams() if one.tail]
    assert stream.key.lane == Lane.BACKLOG
    assert stream.acked == stream.tail == 400
