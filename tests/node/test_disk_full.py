"""Laws of a disk that takes nothing: decided on, never acknowledged, and back to work when there is room."""

from __future__ import annotations

import random
from math import inf

import msgspec

from headland.line.deciding import Act, EventRule, Threshold
from headland.line.filtering.keep import Keep
from headland.line.rules import LineRules, SeriesRule
from headland.link.contract import Ref
from headland.node import events as ev
from headland.node.blocks_on_disk import block_at, read_block
from headland.node.core import Node
from headland.node.opening import open_node
from headland.node.settings import NodeSettings
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.sources.contract import SourceBatch
from headland.vocabulary import NO_TIME, Account, Instant, RowClass, SeriesKey, Value

START = Instant(1_000_000_000, 1_767_225_600_000_000_000)
CONNECT = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02me"


def _node() -> Node:
    hot = EventRule(
        name="hot",
        when=Threshold(above=80, hysteresis=5),
        act=(Act(kind="http", target="http://127.0.0.1/fan"),),
    )
    rules = LineRules(default=SeriesRule(name="all", filter=Keep()), events=(hot,))
    settings = NodeSettings(name="s/n", has_parent=False, line=rules)
    node = open_node(SimulatedDisk(), settings, Everybody(), random.Random(1), START).node
    node.start(START)
    node.handle(ev.Opened(1, "mqtt", "here"), START)
    node.handle(ev.Received([(1, CONNECT)]), START)
    return node


def _publish(value: int, qos: int, packet_id: int = 1) -> bytes:
    body = b"\x00\x01t" + (packet_id.to_bytes(2, "big") if qos else b"") + b"%d" % value
    return bytes((0x30 | qos << 1, len(body))) + body


def _commit(node: Node, now: Instant) -> ev.Commit:
    return next(action for action in node.handle(ev.Tick(), now) if isinstance(action, ev.Commit))


def _stalled() -> tuple[Node, Instant, ev.Commit]:
    node = _node()
    now = START.later(0.1)
    node.handle(ev.Received([(1, _publish(1, 1))]), now)
    commit = _commit(node, now)
    node.handle(ev.NoSpace(commit.n), now)
    return node, now, commit


def _sends(actions: list[ev.Action]) -> list[bytes]:
    return [action.data for action in actions if isinstance(action, ev.Send)]


def test_nothing_is_acknowledged_while_the_disk_takes_nothing() -> None:
    """Kills: acknowledging what waits in memory."""
    node, now, commit = _stalled()
    for packet_id in range(2, 6):
        assert _sends(node.handle(ev.Received([(1, _publish(packet_id, 1, packet_id))]), now)) == []
    assert node.commits.durable_n == commit.n - 1


def test_the_same_plan_is_tried_again_and_then_everything_is_acknowledged_in_order() -> None:
    """Kills: appending the frame twice; forgetting what arrived meanwhile."""
    node, now, first = _stalled()
    node.handle(ev.Received([(1, _publish(2, 1, 2))]), now)
    later = now.later(1.5)
    again = _commit(node, later)
    assert (again.n, list(again.ops)) == (first.n, list(first.ops))
    assert _sends(node.handle(ev.Committed(again.n), later)) == [b"\x40\x02\x00\x01"]
    second = _commit(node, later.later(0.1))
    assert _sends(node.handle(ev.Committed(second.n), later)) == [b"\x40\x02\x00\x02"]
    assert node.parts.ledger.total(Account.KEPT)[0] == 2


def test_qos_0_is_decided_on_and_counted_refused() -> None:
    """Kills: keeping in memory what nobody waits for."""
    node, now, _ = _stalled()
    node.handle(ev.Received([(1, _publish(50, 0) + _publish(51, 0))]), now)
    again = _commit(node, now.later(1.5))
    node.handle(ev.Committed(again.n), now.later(1.5))
    assert node.next_wake() is not None
    third = _commit(node, now.later(4))
    node.handle(ev.Committed(third.n), now.later(4))
    assert node.parts.ledger.total(Account.REFUSED)[0] == 2
    assert node.parts.ledger.total(Account.KEPT)[0] == 1
    assert node.parts.ledger.check() == []


def test_after_a_failed_write_nothing_is_acknowledged_any_more_and_the_process_ends() -> None:
    """Kills: going on after an error of write or fsync."""
    node = _node()
    now = START.later(0.1)
    node.handle(ev.Received([(1, _publish(1, 1))]), now)
    commit = _commit(node, now)
    actions = node.handle(ev.DiskFailed("Input/output error"), now)
    assert [action.code for action in actions if isinstance(action, ev.Exit)] == [1]
    assert node.handle(ev.Committed(commit.n), now) == []
    assert node.handle(ev.Received([(1, _publish(2, 1, 2))]), now) == []


def test_sockets_are_not_read_beyond_the_bound_and_read_again_after_a_commit() -> None:
    """Kills: a draft without a bound; a socket that is paused for ever."""
    node = _node()
    now = START.later(0.1)
    node.handle(ev.Received([(1, _publish(1, 1))]), now)
    slow = _commit(node, now)
    one = b"".join(_publish(n % 1000, 0) for n in range(2, 2_002))
    paused = []
    for _ in range(12):
        paused += [a for a in node.handle(ev.Received([(1, one)]), now) if isinstance(a, ev.Pause)]
    assert ev.Pause(1, True) in paused
    assert ev.Pause(1, False) in node.handle(ev.Committed(slow.n), now.later(1.5))


def test_a_client_that_is_not_read_for_want_of_room_keeps_its_connection_however_long() -> None:
    """Kills: dropping a client for a silence that is the node's own."""
    node, now = _node(), START.later(0.1)
    node.handle(ev.Opened(3, "mqtt", "here"), now)
    node.handle(ev.Received([(3, CONNECT[:10] + b"\x00\x02\x00\x02it")]), now)
    node.settings = msgspec.structs.replace(node.settings, unstored_bytes_max=10)
    node.handle(ev.Received([(1, _publish(1, 1))]), now)
    slow = _commit(node, now.later(0.1))
    node.handle(ev.Received([(1, b"".join(_publish(77, 0) for _ in range(9)))]), now.later(0.1))
    for second in range(1, 100):
        now = START.later(second)
        assert not [a for a in node.handle(ev.Tick(), now) if isinstance(a, ev.Close)]
    node.handle(ev.Committed(slow.n), now)
    assert not [a for a in node.handle(ev.Tick(), now.later(2.9)) if isinstance(a, ev.Close)]
    assert ev.Close(3, "keep_alive_timeout") in node.handle(ev.Tick(), now.later(3.1))


def _brought(value: float, position: bytes | None = None) -> ev.Offered:
    key = SeriesKey("cpu/temperature_c", ())
    return ev.Offered("here", SourceBatch([key], [0], [NO_TIME], [value], [8], position=position))


def _acts(actions: list[ev.Action]) -> list[str]:
    return [action.actuation.target for action in actions if isinstance(action, ev.Actuate)]


def test_a_rule_on_the_hosts_own_readings_acts_while_the_disk_takes_nothing() -> None:
    """Kills: sources that are not asked while the disk is full; a reading that is in no account."""
    node, now, _ = _stalled()
    assert not node.holds_back(durable=False)
    assert _acts(node.handle(_brought(70.0), now)) == []
    assert _acts(node.handle(_brought(90.0), now)) == ["http://127.0.0.1/fan"]
    assert _acts(node.handle(_brought(91.0), now)) == []
    for second in (1.5, 3):
        node.handle(ev.Committed(_commit(node, now.later(second)).n), now.later(second))
    assert node.parts.ledger.total(Account.REFUSED)[0] == 3
    assert node.parts.ledger.check() == []


def test_the_hosts_readings_go_on_when_the_disk_budget_is_used_up_and_files_wait_where_they_are() -> None:
    """Kills: a source that is read further than what can be stored."""
    node, now = _node(), START.later(0.1)
    node.refuse_input(True)
    assert node.holds_back(durable=True)
    assert not node.holds_back(durable=False)
    assert _acts(node.handle(_brought(90.0), now)) == ["http://127.0.0.1/fan"]
    node.refuse_input(False)
    assert not node.holds_back(durable=True)


def test_what_a_file_brought_is_confirmed_when_it_is_durable_and_not_while_the_disk_is_full() -> None:
    """Kills: a position that moves past readings that nobody has stored."""
    node, now, first = _stalled()
    actions = node.handle(_brought(90.0, b"line 7"), now)
    assert _acts(actions) == ["http://127.0.0.1/fan"]
    assert not [action for action in actions if isinstance(action, ev.Confirm)]
    assert _commit(node, now.later(1.5)).n == first.n
    actions = node.handle(ev.Committed(first.n), now.later(1.5))
    assert not [action for action in actions if isinstance(action, ev.Confirm)]
    second = _commit(node, now.later(3))
    assert ev.Confirm("here", b"line 7") in node.handle(ev.Committed(second.n), now.later(3))
    assert node.parts.ledger.total(Account.REFUSED)[0] == 0


def _held(actions: list[ev.Action]) -> list[int]:
    return [action.connection for action in actions if isinstance(action, ev.Pause) and action.paused]


def test_garbage_is_bounded_by_its_number_and_a_frame_holds_all_of_it() -> None:
    """Kills: one small misconfigured device and a slow disk that end the node."""
    node = _node()
    now = START.later(0.1)
    node.handle(ev.Received([(1, _publish(1, 1))]), now)
    commit = _commit(node, now)
    garbage = b"\x30\x04\x00\x01t\xff" * 3_000
    held: list[int] = []
    reads = 0
    while not held:
        held = _held(node.handle(ev.Received([(1, garbage)]), now))
        reads += 1
        assert reads < 100, "nothing holds back garbage"
    for _ in range(20):  # what was on its way all the same: a commit holds more than 65,535 sections
        node.handle(ev.Received([(1, garbage)]), now)
    assert node.draft.section_count > 65_535
    node.handle(ev.Committed(commit.n), now)
    second = _commit(node, now.later(0.1))
    assert not node.failed
    node.handle(ev.Committed(second.n), now.later(0.2))


def test_who_comes_while_nothing_may_be_taken_is_not_read_either() -> None:
    """Kills: a bound on unstored readings that holds only for those who were there when it was reached."""
    node = _node()
    node.settings = msgspec.structs.replace(node.settings, unstored_bytes_max=10_000)
    now = START.later(0.1)
    node.handle(ev.Received([(1, _publish(1, 1))]), now)
    commit = _commit(node, now)
    held: list[int] = []
    for _ in range(6_000):
        held += _held(node.handle(ev.Received([(1, _publish(77, 0))]), now))
    assert held == [1]
    assert _held(node.handle(ev.Opened(2, "mqtt", "there"), now)) == [2]
    node.handle(ev.Committed(commit.n), now)
    assert _held(node.handle(ev.Opened(3, "mqtt", "elsewhere"), now.later(1))) == []


def test_rows_too_many_for_one_block_are_sealed_as_several_and_all_come_back() -> None:
    """Kills: a commit that no block can hold (many rows, or many texts) ends the node.

    What was open before it is a block of its own; a restart finds every row again.
    """
    disk = SimulatedDisk()
    settings = NodeSettings(
        name="s/n", has_parent=False, line=LineRules(default=SeriesRule(name="all", filter=Keep()))
    )
    opening = open_node(disk, settings, Everybody(), random.Random(1), START)
    for op in opening.ops:
        disk.apply(op)
    node, now = opening.node, START
    node.start(now)
    key = SeriesKey("s/n/log")
    sizes = [3, 40_000, 3]
    for count, text in zip(sizes, ("a", "b", "c" * 1_000_000), strict=True):
        now = now.later(0.05)
        batch = SourceBatch([key], [0] * count, [NO_TIME] * count, [text] * count, [len(text)] * count)
        node.handle(ev.Offered("log", batch), now)
        commit = _commit(node, now.later(0.02))
        for op in commit.ops:
            disk.apply(op)
        node.handle(ev.Committed(commit.n), now.later(0.03))
    rows = _stored_rows(disk, settings)
    assert rows == sum(sizes)


def test_what_no_row_can_hold_is_put_right_whatever_source_it_comes_from() -> None:
    """Kills: a log line of the year 9999 that ends the node, and again after every start."""
    node, now = _node(), START.later(0.1)
    key = SeriesKey("s/n/x")
    values: list[Value] = [1 << 70, -(1 << 70), 10**400, 1 << 63, -(1 << 63)]
    batch = SourceBatch([key], [0] * 5, [1 << 63, -(1 << 63), 253402300799 * 10**9, 5, 6], values, [8] * 5)
    node.handle(ev.Offered("here", batch), now)
    rows = node.draft.rows(RowClass.NORMAL)
    found = dict(zip(rows.value, rows.ts, strict=True))
    assert found == {
        2.0**70: NO_TIME,
        -(2.0**70): NO_TIME,
        inf: NO_TIME,
        2.0**63: 5,
        -(1 << 63): 6,
    }
    _commit(node, now.later(0.1))


def _stored_rows(disk: SimulatedDisk, settings: NodeSettings) -> int:
    """Rows of every block of a root, read back after a power cut and a restart that seals what was open."""
    later = START.later(100)
    cut = disk.power_cut()
    opening = open_node(cut, settings, Everybody(), random.Random(2), later)
    for op in opening.ops:
        cut.apply(op)
    again, found = opening.node, 0
    for item in again.parts.shelving.shelf.resting:
        place = block_at(again.parts.places, Ref(item.n, item.index), item.priority)
        assert place is not None
        header, _, _ = read_block(cut, place)
        assert header.size <= 3 << 20
        found += header.rows
    return found + sum(map(len, again.parts.sealing.open))
