"""A file that expired unread: one line in the list of dead letters, and an order sends it again."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.node.chain import SECOND, Chain

from headland.journal.outbox_files import outbox_directory, path_of
from headland.line.outbox import OutboxSettings
from headland.node.blocks_on_disk import file_number
from headland.simulation.wire import Weather
from headland.vocabulary import Account, Priority


def _with_ttl(chain: Chain, ttl_s: float) -> None:
    standard = OutboxSettings()
    classes = tuple(msgspec.structs.replace(one, ttl_s=ttl_s) for one in standard.classes)
    outbox = msgspec.structs.replace(standard, classes=classes)  # type: ignore[arg-type]
    chain.local.settings = msgspec.structs.replace(chain.local.settings, outbox=outbox)


def _ask(chain: Chain, what: str, **arguments: str) -> tuple[int, dict[str, object]]:
    token = chain.local.ask(what, **arguments)
    chain.run_s(chain.world.now_ns / SECOND + 2)
    status, body = chain.local.answers[token]
    return status, json.loads(body)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("crashes", [False, True])
def test_files_that_expired_in_an_outage_are_listed_and_arrive_when_they_are_sent_again(
    seed: int, crashes: bool
) -> None:
    """Kills: an expired file that nobody can list; one whose file is deleted while it is listed."""
    chain = Chain(seed, readings=1500, interval_ns=2_000_000, start=False)
    world, local = chain.world, chain.local
    _with_ttl(chain, 30)
    chain.begin()
    world.after(SECOND // 2, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    world.after(50 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(70)
    assert chain.total(local, Account.EXPIRED) > 0
    status, listed = _ask(chain, "dead")
    runs = [one for one in listed["dead"] if one["blocks"] > 1]  # type: ignore[attr-defined,union-attr]
    assert status == 200
    assert runs
    if crashes:
        local.crash()
        local.restart()
        chain.run_s(world.now_ns / SECOND + 5)
    before = chain.total(chain.cloud, Account.APPLIED)
    for one in runs:
        assert one["reason"] == "expired"
        assert _ask(chain, "resend", number=str(one["number"])) == (
            200,
            {"number": one["number"], "state": "waits again"},
        )
    chain.run_s(world.now_ns / SECOND + 20)
    again = sum(one["readings"] for one in runs)
    assert chain.total(chain.cloud, Account.APPLIED) == before + again
    applied, expired = chain.total(chain.cloud, Account.APPLIED), chain.total(local, Account.EXPIRED)
    assert applied + expired == chain.total(local, Account.KEPT) == 4500
    assert _ask(chain, "resend", number=str(runs[0]["number"]))[0] == 404
    assert chain.total(local, Account.PENDING) == 0
    assert chain.balanced()


def test_of_an_expired_file_that_is_damaged_what_is_readable_arrives_and_the_rest_is_corrupt() -> None:
    """Kills: an order that stops at the first bad record, each time it is given."""
    chain = Chain(3, readings=1500, interval_ns=2_000_000, start=False)
    world, local = chain.world, chain.local
    _with_ttl(chain, 30)
    chain.begin()
    world.after(SECOND // 2, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    world.after(50 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(70)
    _, listed = _ask(chain, "dead")
    assert local.node is not None
    outbox = local.node.parts.north.outbox
    assert outbox is not None
    numbers = {run.number for run in outbox.dead_runs()}
    runs = [one for one in listed["dead"] if one["number"] in numbers]  # type: ignore[attr-defined]
    for run in outbox.dead_runs():
        priority, number = file_number(run.info.file)
        path = path_of(outbox_directory(Priority(priority)), number)
        local.disk.flip(path, run.info.at + run.info.length // 2)
    before, expired = chain.total(chain.cloud, Account.APPLIED), chain.total(local, Account.EXPIRED)
    for one in runs:  # of a run of one block nothing is left
        assert _ask(chain, "resend", number=str(one["number"]))[0] == (200 if one["blocks"] > 1 else 409)
    chain.run_s(world.now_ns / SECOND + 20)
    corrupt = chain.total(local, Account.CORRUPT)
    again = sum(one["readings"] for one in runs)
    assert corrupt > 0
    assert "corrupt" in local.alarms
    assert chain.total(chain.cloud, Account.APPLIED) == before + again - corrupt
    assert chain.total(local, Account.EXPIRED) == expired - again
    assert (chain.total(local, Account.PENDING), outbox.dead_runs()) == (0, [])
    assert chain.balanced()
