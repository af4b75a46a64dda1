"""Laws of whose bytes are handled first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from headland.node import events as ev
from headland.node.turns import CHUNKS_MAX, LITTLE_BYTES, LITTLE_READS, SLICE_NS, TOGETHER_BYTES, Turns

MUCH = b"m" * (LITTLE_BYTES + 1)
LITTLE = b"l" * LITTLE_BYTES


class Loop:
    """A loop that is turned by hand; each event costs `cost_ns`."""

    def __init__(self, cost_ns: int = 1, waiting_bytes_max: int = 1 << 20) -> None:
        self.clock_ns = 1
        self.fed: list[tuple[ev.Event, int]] = []
        self.soon: deque[Callable[[], None]] = deque()
        self.still: list[tuple[int, bool]] = []
        self._cost_ns = cost_ns
        self.all_still: list[bool] = []
        self.turns = Turns(
            self._feed,
            self.soon.append,
            lambda: self.clock_ns,
            lambda c, s: self.still.append((c, s)),
            self.all_still.append,
            waiting_bytes_max,
        )

    def _feed(self, event: ev.Event, arrived_ns: int) -> None:
        self.clock_ns += self._cost_ns
        self.fed.append((event, arrived_ns))

    def turn(self) -> None:
        """What was asked for is called once."""
        for _ in range(len(self.soon)):
            self.soon.popleft()()

    def connections(self) -> list[int]:
        """Whose reads were fed, in order."""
        return [part[0] for event, _ in self.fed if isinstance(event, ev.Received) for part in event.parts]


def test_a_little_is_handled_before_much_that_came_earlier() -> None:
    """Kills: handling reads in the order of the sockets."""
    loop = Loop()
    for busy in range(1, 6):
        loop.turns.received(busy, MUCH)
    loop.turns.received(9, LITTLE)
    loop.turn()
    assert loop.connections() == [9, 1, 2, 3, 4, 5]


def test_what_one_turn_brings_is_one_event() -> None:
    """Kills: the price of an event for every socket."""
    loop = Loop()
    for little in (3, 1, 2, 1):
        loop.turns.received(little, LITTLE)
    assert loop.fed == []
    loop.turn()
    assert [event for event, _ in loop.fed] == [ev.Received([(one, LITTLE) for one in (3, 2, 1, 1)])]


def test_what_is_gathered_is_bounded() -> None:
    """Kills: a decision that waits until thousands of sockets are read; an event without a bound."""
    loop = Loop()
    for number in range(LITTLE_READS + 1):
        loop.turns.received(number, LITTLE)
    events = [event for event, _ in loop.fed if isinstance(event, ev.Received)]
    assert sum(len(event.parts) for event in events) == LITTLE_READS
    assert {len(event.parts) for event in events} == {TOGETHER_BYTES // LITTLE_BYTES}
    loop.turn()
    loop.fed.clear()
    half = b"h" * (TOGETHER_BYTES // 2)
    for number in range(5):
        loop.turns.received(number, half if number else 3 * half)
    loop.turn()
    events = [event for event, _ in loop.fed if isinstance(event, ev.Received)]
    assert [len(event.parts) for event in events] == [1, 2, 2]


def test_who_says_least_is_handled_first_and_nobodys_bytes_are_mixed_up() -> None:
    """Kills: one publish behind the six of everybody else; two reads of a connection in the wrong order."""
    loop = Loop()
    loop.turns.received(1, b"1" * 300)
    loop.turns.received(2, b"2" * 200)
    loop.turns.received(3, b"3" * 40)
    loop.turns.received(1, b"x" * 10)
    loop.turn()
    event = loop.fed[0][0]
    assert isinstance(event, ev.Received)
    assert [(number, data[:1]) for number, data in event.parts] == [
        (3, b"3"),
        (2, b"2"),
        (1, b"1"),
        (1, b"x"),
    ]


def test_an_event_holds_no_more_than_is_handled_in_a_slice_going_by_what_its_connections_took() -> None:
    """Kills: a decision that leaves after ten milliseconds of other readings which share its event."""
    loop = Loop()
    ns_per_byte = SLICE_NS / (4 * LITTLE_BYTES)

    def feed(event: ev.Event, arrived_ns: int) -> None:
        assert isinstance(event, ev.Received)
        loop.clock_ns += round(ns_per_byte * sum(len(data) for _, data in event.parts))
        loop.fed.append((event, arrived_ns))

    loop.turns._feed = feed
    for _ in range(5):
        loop.fed.clear()
        for number in range(20):
            loop.turns.received(number, LITTLE)
        while loop.soon:
            loop.turn()
    assert [len(event.parts) for event, _ in loop.fed if isinstance(event, ev.Received)] == [4] * 5
    ns_per_byte = 1.0
    for _ in range(40):
        loop.fed.clear()
        for number in range(20):
            loop.turns.received(number, LITTLE)
        while loop.soon:
            loop.turn()
    assert [len(event.parts) for event, _ in loop.fed if isinstance(event, ev.Received)] == [20]


def test_little_that_is_left_when_the_slice_is_over_waits_its_turn_behind_new_little_reads() -> None:
    """Kills: a turn that is as long as what a hundred connections say; a connection whose bytes overtake."""
    loop = Loop(cost_ns=SLICE_NS)
    count = 2 * TOGETHER_BYTES // LITTLE_BYTES
    for number in range(count):
        loop.turns.received(number, LITTLE)
    loop.turn()
    assert len(loop.connections()) == count // 2
    loop.turns.received(999, b"l")
    loop.turns.received(count - 1, b"l")
    loop.turn()
    assert loop.connections()[count // 2] == 999
    while loop.soon:
        loop.turn()
    assert loop.connections().count(count - 1) == 2
    last = [part for event, _ in loop.fed if isinstance(event, ev.Received) for part in event.parts]
    assert [len(data) for number, data in last if number == count - 1] == [LITTLE_BYTES, 1]


def test_the_end_of_a_connection_comes_after_its_gathered_bytes() -> None:
    """Kills: a close that overtakes what is gathered."""
    loop = Loop()
    loop.turns.received(1, LITTLE)
    loop.turns.closed(ev.Closed(1, "gone"))
    assert [event for event, _ in loop.fed] == [ev.Received([(1, LITTLE)]), ev.Closed(1, "gone")]


def test_bytes_of_one_connection_never_overtake_each_other_nor_does_its_end() -> None:
    """Kills: a small read that passes a large one of its own connection; a close before the last bytes."""
    loop = Loop()
    loop.turns.received(1, MUCH)
    loop.turns.received(1, LITTLE)
    loop.turns.closed(ev.Closed(1, "gone"))
    loop.turns.closed(ev.Closed(2, "gone"))
    loop.turn()
    assert [event for event, _ in loop.fed] == [
        ev.Closed(2, "gone"),
        ev.Received([(1, MUCH), (1, LITTLE)]),
        ev.Closed(1, "gone"),
    ]


def test_the_sockets_are_looked_at_after_every_slice() -> None:
    """Kills: working through everything that waits in one go."""
    loop = Loop(cost_ns=SLICE_NS // 2)
    for busy in range(1, 7):
        loop.turns.received(busy, b"m" * TOGETHER_BYTES)
    loop.turn()
    assert loop.connections() == [1, 2]
    loop.turns.received(9, LITTLE)
    loop.turn()
    assert loop.connections() == [1, 2, 9, 3]
    loop.turn()
    loop.turn()
    assert loop.connections() == [1, 2, 9, 3, 4, 5, 6]


def test_a_connection_that_is_behind_is_not_read_until_it_is_not() -> None:
    """Kills: a queue without a bound; a connection that stays unread."""
    loop = Loop()
    for _ in range(CHUNKS_MAX):
        loop.turns.received(1, MUCH)
    assert loop.still == [(1, True)]
    loop.turn()
    assert loop.still == [(1, True), (1, False)]
    loop.turns.received(1, LITTLE)
    loop.turn()
    assert loop.connections() == [1] * (CHUNKS_MAX + 1)


def test_what_waits_in_all_is_bounded_and_reading_goes_on_when_half_is_handled() -> None:
    """Kills: a bound per connection only; sockets that stay unread."""
    whole = b"w" * TOGETHER_BYTES
    loop = Loop(cost_ns=SLICE_NS, waiting_bytes_max=10 * len(whole))
    busy = 0
    while not loop.all_still:
        busy += 1
        loop.turns.received(busy, whole)
    assert (busy, loop.all_still) == (11, [True])
    assert loop.still == [(number, True) for number in range(6, 12)]
    for handled in range(1, 6):
        loop.turn()
        assert loop.all_still == [True], handled
    loop.turn()
    assert loop.all_still == [True, False]
    while loop.soon:
        loop.turn()
    assert loop.connections() == list(range(1, 12))
    assert loop.still[6:] == [(number, False) for number in range(6, 12)]


def test_how_long_a_read_has_waited_is_told() -> None:
    """Kills: a latency that begins when the waiting is over."""
    loop = Loop()
    loop.clock_ns = 500
    loop.turns.received(1, MUCH)
    loop.clock_ns = 900
    loop.turn()
    loop.turns.received(2, LITTLE)
    loop.turn()
    assert [arrived for _, arrived in loop.fed] == [500, 901]


def test_what_the_node_holds_is_not_handled_and_keeps_its_order() -> None:
    """Kills: reads that were on their way and get past the bound that stopped the socket."""
    loop = Loop()
    loop.turns.received(1, MUCH)
    loop.turns.received(2, MUCH)
    loop.turns.hold(1, True)
    loop.turns.received(1, LITTLE)
    loop.turns.closed(ev.Closed(1, "gone"))
    for _ in range(5):
        loop.turn()
    assert loop.connections() == [2]
    loop.turns.hold(1, False)
    for _ in range(5):
        loop.turn()
    assert [event for event, _ in loop.fed[1:]] == [
        ev.Received([(1, MUCH), (1, LITTLE)]),
        ev.Closed(1, "gone"),
    ]
    assert not loop.turns._held
    assert not loop.turns._kept


def test_a_connection_that_cost_much_leaves_nothing_behind() -> None:
    """Kills: a table that grows with every busy connection there ever was."""
    loop = Loop(cost_ns=2 * SLICE_NS)
    for number in range(4):
        loop.turns.received(number, MUCH if number % 2 else LITTLE)
    loop.turns.closed(ev.Closed(1, "gone"))
    loop.turns.closed(ev.Closed(0, "gone"))
    while loop.soon:
        loop.turn()
    for number in (2, 3):
        loop.turns.closed(ev.Closed(number, "gone"))
    assert loop.connections()
    assert not loop.turns._dear
