"""Parents that go back or are replaced, a child that forgets what it may: nothing is lost that is not named.

Every block that the child made durable ends in one of three places: at the parent, still waiting here, or
named in a tombstone with a reason. Mutants that this kills: reclaimable taken for gone; positions compared
without chain values; a rewind that books twice; a tombstone range that is one short.
"""

from __future__ import annotations

from random import Random

import pytest
from tests.link.world import Pair, delivered_identities

from headland.line.outbox import OutboxSettings
from headland.line.outbox.rows import Rows
from headland.link import received
from headland.vocabulary import Account, Priority


def named(parent) -> set[tuple[str, bytes, int, int]]:
    return {
        (r.origin, r.epoch, r.priority, k)
        for item in parent.delivered
        if isinstance(item, received.ReceivedGap)
        for r in item.ranges
        for k in range(r.k_from, r.k_to + 1)
    }


@pytest.mark.parametrize("seed", range(60))
def test_after_restores_and_replacements_every_block_is_there_or_named(seed):
    random = Random(seed)
    pair = Pair(seed, outbox=OutboxSettings(horizon=8, page=3))
    pair.run(0.3)
    sealed: set[tuple[str, bytes, int, int]] = set()
    elsewhere: set[tuple[str, bytes, int, int]] = set()
    old_frames: list = []
    for _ in range(60):
        what = random.choices(
            ("keep", "step", "save", "restore", "replace", "forget", "spill", "restart", "cut"),
            weights=(10, 20, 2, 1, 0.3, 1, 1, 0.5, 1),
        )[0]
        child = pair.child
        match what:
            case "keep":
                for _ in range(random.randrange(1, 5)):
                    header = child.keep(random.choice((Priority.HIGH, Priority.NORMAL))).header
                    sealed.add((header.origin, header.epoch, int(header.priority), header.k))
                child.commit()
            case "step":
                pair.run(random.choice((0.05, 0.3, 1.5)))
            case "save":
                old_frames = pair.parent.frames[:]
            case "restore":
                pair.restart_parent(old_frames[:])
            case "replace":
                elsewhere |= set(delivered_identities(pair.parent)) | named(pair.parent)
                old_frames = []
                pair.restart_parent([], store=random.randbytes(16))
            case "forget":
                for stream in list(child.outbox.state.streams()):
                    rows = [piece for piece in stream.pieces if piece.first <= stream.acked]
                    if stream.acked > stream.floor and rows and isinstance(rows[0], Rows):
                        child.open_epoch()
                        child.outbox.forget(stream.key, min(stream.acked, rows[0].last), child.draft)
                child.commit()
            case "spill":
                child.spill(child.n - 3)
                child.commit()
            case "restart":
                child.commit()
                pair.restart_child()
            case "cut":
                pair.cut()
    pair.cut()
    pair.run(3)
    for _ in range(200):
        pair.run(0.3)
        if all(s.drained for s in pair.child.outbox.state.streams()):
            break
    bad = [a for a in pair.child.alarms + pair.parent.alarms if a.kind in ("fork", "lying_ack", "peer_error")]
    assert not bad
    assert all(s.drained and not s.frozen for s in pair.child.outbox.state.streams())
    here = set(delivered_identities(pair.parent))
    assert sealed <= here | named(pair.parent) | elsewhere
    assert len(here) == len(delivered_identities(pair.parent))
    assert pair.child.ledger.total(Account.PENDING) == (0, 0)
