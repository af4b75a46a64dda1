"""The straight way: seal, commit, send, commit, acknowledge; and what happens when it is cut."""

from __future__ import annotations

from tests.link.world import Pair, delivered_identities

from headland.vocabulary import Account, Lane, Priority


def all_streams(pair: Pair):
    return list(pair.child.outbox.state.streams())


def test_a_sealed_block_arrives_and_is_acknowledged():
    pair = Pair()
    pair.run(0.5)
    pair.child.keep(rows=3)
    pair.run(0.5)
    assert len(pair.parent.delivered) == 1
    (stream,) = all_streams(pair)
    assert (stream.acked, stream.tail) == (1, 1)
    assert pair.child.ledger.total(Account.PENDING) == (0, 0)
    assert pair.child.ledger.total(Account.COMMITTED) == pair.parent.ledger.total(Account.RECEIVED) == (3, 24)


def test_no_byte_of_a_block_leaves_before_its_commit_is_durable():
    pair = Pair()
    pair.run(0.5)
    pair.child.keep()
    before = pair.bytes_north
    for _ in range(5):
        pair.child.wake()
        pair.gather()
    assert pair.bytes_north == before
    pair.child.commit()
    pair.gather()
    assert pair.bytes_north > before


def test_no_acknowledgement_leaves_before_the_parents_commit_is_durable():
    pair = Pair()
    pair.run(0.5)
    pair.child.keep()
    pair.child.commit()
    pair.gather()
    pair.flow()
    pair.gather()
    assert not pair.south
    pair.parent.close_commit()
    pair.gather()
    assert not pair.south
    pair.parent.finish_commit()
    pair.gather()
    assert pair.south


def test_what_was_sent_and_not_acknowledged_is_sent_again_after_a_cut():
    pair = Pair()
    pair.run(0.5)
    for _ in range(5):
        pair.child.keep()
    pair.child.commit()
    pair.gather()
    pair.flow(60)
    pair.cut()
    pair.run(2)
    assert [k for *_, k in delivered_identities(pair.parent)] == [1, 2, 3, 4, 5]


def test_an_acknowledgement_lost_in_a_cut_is_learned_from_the_handshake_and_nothing_arrives_twice():
    pair = Pair()
    pair.run(0.5)
    pair.child.keep()
    pair.child.commit()
    pair.gather()
    pair.flow()
    pair.parent.commit()
    pair.cut()
    pair.run(2)
    assert len(pair.parent.delivered) == 1
    assert all(stream.drained for stream in all_streams(pair))


def test_without_credit_nothing_of_a_class_leaves():
    pair = Pair()
    pair.parent.children.pressed = True
    pair.run(0.5)
    pair.child.keep()
    pair.run(1)
    assert not pair.parent.delivered
    pair.parent.do(pair.parent.children.press(False, pair.clock.now))
    pair.run(1)
    assert len(pair.parent.delivered) == 1


def test_blocks_sealed_while_the_link_is_down_are_backlog_and_arrive():
    pair = Pair()
    pair.reachable = False
    pair.run(0.2)
    for _ in range(3):
        assert pair.child.keep(Priority.HIGH).stream.lane == Lane.BACKLOG
    pair.run(1)
    pair.reachable = True
    pair.run(3)
    assert pair.child.keep(Priority.HIGH).stream.lane == Lane.LIVE
    pair.run(1)
    assert [k for *_, k in delivered_identities(pair.parent)] == [1, 2, 3, 4]


def test_a_restarted_child_goes_on_where_it_was():
    pair = Pair()
    pair.run(0.5)
    for _ in range(4):
        pair.child.keep()
        pair.child.commit()
    pair.gather()
    pair.restart_child()
    pair.child.keep()
    pair.run(3)
    assert len(set(delivered_identities(pair.parent))) == len(pair.parent.delivered) == 5


def test_a_restarted_parent_goes_on_where_it_was():
    pair = Pair()
    pair.run(0.5)
    for _ in range(4):
        pair.child.keep()
        pair.step()
    pair.restart_parent()
    pair.child.keep()
    pair.run(3)
    assert len(set(delivered_identities(pair.parent))) == len(pair.parent.delivered) == 5
