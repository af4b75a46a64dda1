"""A child and a parent under random commits, cuts, crashes, refusals and spills, beside a shadow list.

Mutants that these laws kill: a block sent before its commit; an ack before the parent's commit; a position
taken twice or skipped; an acknowledgement believed beyond what was sent; a requeued block that keeps its old
position; `Later` that loses its block at a crash; a spill that loses or doubles blocks; a chain value that
ignores order; exceptions forgotten by the parent before they are durable at the child.
"""

from __future__ import annotations

from random import Random

import pytest
from tests.link.world import Pair, delivered_identities

from headland.blocks.header import decode_alone
from headland.blocks.wire import Reader
from headland.line.outbox import OutboxSettings
from headland.link import received
from headland.vocabulary import Account, Priority

STEPS = 400


class Model:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.pair = Pair(seed, outbox=OutboxSettings(horizon=8, page=3, history=50))
        self.child_save: tuple[bytes, int] | None = None
        self.parent_save: tuple[bytes, int] | None = None
        self.counts: dict[str, int] = {}

    def sealed(self) -> dict[tuple[str, bytes, int, int], bytes]:
        """The shadow list: identity and digest of every block in a durable commit of the child."""
        out = {}
        for frame in self.pair.child.frames:
            for section in frame.sections:
                if section.type == 2:
                    header = decode_alone(Reader(section.data))
                    identity = (header.origin, header.epoch, int(header.priority), header.k)
                    assert identity not in out, "an identity was given twice"
                    out[identity] = header.digest
        return out

    def step(self) -> None:
        pair, random = self.pair, self.random
        what = random.choices(list(ACTIONS), weights=list(ACTIONS.values()))[0]
        self.counts[what] = self.counts.get(what, 0) + 1
        child, parent = pair.child, pair.parent
        match what:
            case "keep":
                child.keep(Priority(random.randrange(4)), rows=random.choice((1, 1, 2, 40)))
            case "child_close":
                child.close_commit()
            case "child_finish":
                child.finish_commit()
            case "parent_close":
                parent.close_commit()
            case "parent_finish":
                parent.finish_commit()
            case "flow":
                pair.gather()
                pair.flow(random.choice((1, 7, 40, 200, 5000)))
            case "time":
                pair.clock.advance(random.choice((0.001, 0.05, 0.5, 1.2)))
            case "wake":
                child.wake()
                parent.wake()
            case "cut":
                pair.cut()
            case "child_crash":
                child.crash()
                save = self.child_save if random.random() < 0.7 else None
                pair.restart_child(checkpoint=save and save[0], checkpoint_n=save[1] if save else 0)
            case "parent_crash":
                parent.crash()
                save = self.parent_save if random.random() < 0.7 else None
                pair.restart_parent(checkpoint=save and save[0], checkpoint_n=save[1] if save else 0)
            case "save":
                self.child_save = child.save() or self.child_save
                self.parent_save = parent.save() or self.parent_save
            case "reach":
                pair.reachable = random.random() < 0.7
            case "mood":
                parent.unauthorised = {"child"} if random.random() < 0.3 else set()
                parent.children.refusing = random.random() < 0.3
            case "spill":
                child.spill(child.n - random.choice((2, 5, 20)))
            case "reads":
                child.reads_paused = not child.reads_paused
                if not child.reads_paused:
                    random.shuffle(child.pending_reads)
                    child.read_all()

    def check(self) -> None:
        sealed = self.sealed()
        positions: dict[object, int] = {}
        for item in self.pair.parent.delivered:
            assert item.p > positions.get(item.stream, 0), (
                f"position {item.p} of {item.stream} twice or reordered"
            )
            positions[item.stream] = item.p
            if isinstance(item, received.ReceivedBlock):
                header = item.header
                identity = (header.origin, header.epoch, int(header.priority), header.k)
                assert sealed.get(identity) == header.digest, (
                    "arrived and not durable at the child, or changed"
                )
        identities = delivered_identities(self.pair.parent)
        assert len(set(identities)) == len(identities), "a block arrived twice"
        for stream in self.pair.child.outbox.state.streams():
            assert (
                stream.floor
                <= stream.acked
                <= stream.claimed
                <= max(stream.durable, stream.acked)
                <= stream.tail
            )
            here = self.pair.parent.children.positions.child("child").streams.get(stream.key)
            assert stream.acked <= (here.p if here else 0), "acknowledged and not at the parent"
        assert not [
            alarm for alarm in self.pair.child.alarms if alarm.kind in ("lying_ack", "fork", "peer_error")
        ]
        assert not [
            alarm for alarm in self.pair.parent.alarms if alarm.kind in ("fork", "peer_error", "clone")
        ]

    def calm(self) -> None:
        """After the last fault everything arrives."""
        pair = self.pair
        pair.reachable = True
        pair.parent.unauthorised = set()
        pair.parent.children.refusing = False
        pair.child.reads_paused = False
        pair.child.read_all()
        for number in range(400):
            if number % 100 == 0:
                pair.cut()  # an origin that was not authorised is tried again after a handshake
            pair.step(0.1)
            if not pair.child.outbox.state.waiting and all(
                s.drained for s in pair.child.outbox.state.streams()
            ):
                break
            if not pair.south and not pair.north:
                pair.clock.advance(0.9)
        pair.run(1)
        sealed = self.sealed()
        assert sorted(delivered_identities(pair.parent)) == sorted(sealed)
        assert pair.child.ledger.total(Account.PENDING) == (0, 0)
        assert pair.child.ledger.total(Account.COMMITTED) == pair.parent.ledger.total(Account.RECEIVED)


ACTIONS = {
    "keep": 14,
    "child_close": 10,
    "child_finish": 10,
    "parent_close": 10,
    "parent_finish": 10,
    "flow": 30,
    "time": 6,
    "wake": 10,
    "cut": 1,
    "child_crash": 0.6,
    "parent_crash": 0.6,
    "save": 1,
    "reach": 0.7,
    "mood": 0.7,
    "spill": 1,
    "reads": 2,
}


def run(seed: int) -> Model:
    model = Model(seed)
    for number in range(STEPS):
        model.step()
        if number % 20 == 0:
            model.check()
    model.calm()
    model.check()
    return model


@pytest.mark.parametrize("seed", range(60))
def test_every_block_arrives_once_in_order_whatever_is_cut_crashed_or_refused(seed):
    run(seed)
