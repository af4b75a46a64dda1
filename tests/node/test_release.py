"""A node that was restored from a copy of itself: its stopped streams, and who lets them go on."""

from __future__ import annotations

import json

import pytest
from tests.node.chain import SECOND, Chain

from headland.cli.queue import told
from headland.node.queues import queue_of
from headland.simulation.wire import Weather
from headland.vocabulary import Account


def _order(chain: Chain, what: str, **arguments: str) -> tuple[int, dict[str, object]]:
    token = chain.local.ask(what, **arguments)
    chain.run_s(chain.world.now_ns / SECOND + 2)
    status, body = chain.local.answers[token]
    return status, json.loads(body)


def _stopped(seed: int) -> Chain:
    """The local node goes back to a copy that holds a backlog of which the parent has got all since."""
    chain = Chain(seed, readings=2500, interval_ns=2_000_000)
    world, local = chain.world, chain.local
    world.after(SECOND // 2, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    copies = []
    world.after(4 * SECOND, lambda: copies.append(local.disk.process_kill()))
    world.after(9 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))

    def back() -> None:
        local.crash()
        local.disk = copies[0]
        local.restart()

    world.after(30 * SECOND, back)
    chain.run_s(40)
    assert local.node is not None
    assert local.node.parts.north.outbox is not None
    return chain


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("form", ["waiting", "dead"])
@pytest.mark.parametrize("crash", [False, True])
def test_streams_that_stopped_are_shown_with_the_way_out_and_released(
    seed: int, form: str, crash: bool
) -> None:
    """Kills: a stream that no order moves; books that lose what it held; a block that is applied twice."""
    chain = _stopped(seed)
    local = chain.local
    assert local.node is not None
    report = queue_of(local.node, local.now())
    stopped = [one for one in report.streams if one.stopped]
    assert stopped, "nothing stopped: the law was not tried"
    assert chain.total(local, Account.PENDING) > 0
    for one in stopped:
        name = f"{one.epoch[:8]}/{one.row_class}/{one.lane}"
        assert one.stopped.startswith("child_went_back: ")
        assert f"headland queue release NODE {name}" in told(report)
        status, body = _order(chain, "release", stream=name, **{"as": form})
        assert (status, body["state"]) == (200, "wait again" if form == "waiting" else "dead letters")
        if crash:
            local.crash()
            local.restart()
            chain.run_s(chain.world.now_ns / SECOND + 3)
    chain.run_s(chain.world.now_ns / SECOND + 30)
    assert local.node is not None
    assert chain.total(local, Account.PENDING) == 0
    assert not [one for one in queue_of(local.node, local.now()).streams if one.stopped]
    outbox = local.node.parts.north.outbox
    assert outbox is not None
    listed = sum(one.letter.row.rows for one in outbox.dead_letters())
    listed += sum(run.info.readings for run in outbox.dead_runs())
    assert listed == chain.total(local, Account.DEAD)
    assert (listed > 0) == (form == "dead")
    assert chain.total(chain.cloud, Account.APPLIED) == 7500
    assert chain.total(chain.cloud, Account.DUPLICATE_RECEIVED) > 0 or form == "dead"
    assert chain.balanced()


def test_an_order_to_release_that_makes_no_sense_is_refused() -> None:
    chain = Chain(1)
    chain.run_s(5)
    assert _order(chain, "release", stream="none/high/live", **{"as": "waiting"})[0] == 404
    assert _order(chain, "release", stream="none/high/live")[0] == 400
    token = chain.cloud.ask("release", stream="none/high/live", **{"as": "dead"})
    assert chain.cloud.answers[token][0] == 409


def test_an_operator_says_that_a_parent_is_gone_and_the_word_is_on_disk_before_it_is_answered() -> None:
    """Kills: blocks of unknown outcome that nothing can ever free."""
    chain = Chain(1, readings=2500, interval_ns=2_000_000)
    chain.run_s(2)
    local = chain.local
    assert _order(chain, "parent_gone")[0] == 409, "the parent is there"
    chain.world.cut("s/local", "s/regional", Weather.BLACK_HOLE)
    chain.run_s(12)
    assert local.node is not None
    outbox = local.node.parts.north.outbox
    assert outbox is not None
    assert outbox.unknown() is not None
    status, body = _order(chain, "parent_gone")
    assert (status, body["parent"], body["state"]) == (200, "s/regional", "counts as unsent")
    assert isinstance(body["blocks"], int)
    assert body["blocks"] > 0
    assert outbox.unknown() is None
    assert _order(chain, "parent_gone")[0] == 409
    token = chain.cloud.ask("parent_gone")
    assert chain.cloud.answers[token][0] == 409
