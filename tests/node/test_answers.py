"""Laws of a node's answers: what waits is what the books say, orders are answered when they are durable."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import msgspec
import pytest
from tests.node.chain import SECOND, Chain

from headland.line.outbox.settings import DEFAULTS, OutboxSettings, Sync
from headland.node import events as ev
from headland.node.status import Status, status_of
from headland.simulation.wire import Weather
from headland.simulation.world import Host
from headland.vocabulary import Account, Priority


def ask(host: Host, what: str, **arguments: str) -> Any:
    """An answer that comes at once."""
    token = host.ask(what, **arguments)
    status, body = host.answers[token]
    assert status == 200, body
    return json.loads(body)


def refused(host: Host, what: str, **arguments: str) -> tuple[int, str]:
    """Status and code of a refusal."""
    token = host.ask(what, **arguments)
    status, body = host.answers[token]
    return status, json.loads(body)["code"]


def cut_off(seed: int, *, at_s: float = 1, until_s: float = 6) -> Chain:
    """A chain whose local node has lost its parent."""
    chain = Chain(seed)
    chain.world.after(
        int(at_s * SECOND), lambda: chain.world.cut("s/local", "s/regional", Weather.BLACK_HOLE)
    )
    chain.run_s(until_s)
    return chain


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("at_s", [0, 1])
def test_what_the_queue_lists_is_what_the_books_call_pending(seed: int, at_s: float) -> None:
    chain = cut_off(seed, at_s=at_s)
    queue = ask(chain.local, "queue")
    listed = sum(lane["readings"] for lane in queue["lanes"]) + sum(queue["unsealed"].values())
    pending = chain.total(chain.local, Account.PENDING)
    assert sum(queue["pending"].values()) == pending > 0
    # A file of which a part is answered already is counted in proportion.
    assert listed == (pending if not at_s else pytest.approx(pending, rel=0.1))
    (backlog,) = [lane for lane in queue["lanes"] if lane["lane"] == "backlog" and lane["blocks"]]
    assert 0 < backlog["oldest_s"] <= 6
    assert queue["parent"] == ("s/regional" if at_s else "")
    for stream in queue["streams"]:
        assert stream["noted"] <= stream["confirmed"] <= stream["sealed"]


def test_a_drained_queue_is_empty_and_its_positions_agree() -> None:
    chain = Chain(1)
    chain.run_s(20)
    queue = ask(chain.local, "queue")
    assert not any(lane["blocks"] for lane in queue["lanes"])
    assert all(one["sealed"] == one["sent"] == one["confirmed"] for one in queue["streams"])
    assert ask(chain.local, "dead") == {"dead": [], "unlisted": 0}


def test_asking_changes_nothing() -> None:
    chain = Chain(1)
    chain.run_s(20)
    assert chain.local.node is not None
    ask(chain.local, "status")
    before = chain.local.node.snapshot(), chain.local.node.commits.durable_n
    for what in ("status", "ledger", "queue", "dead", "quarantine", "children"):
        ask(chain.local, what)
    assert chain.local.node.draft.empty
    assert (chain.local.node.snapshot(), chain.local.node.commits.durable_n) == before


def test_a_start_that_is_only_asked_leaves_nothing() -> None:
    chain = Chain(1, devices=0)
    chain.run_s(5)
    chain.cloud.crash()
    chain.cloud.restart()
    chain.run_s(6)
    assert chain.cloud.node is not None
    before = chain.cloud.node.commits.durable_n
    ask(chain.cloud, "status")
    chain.run_s(12)
    assert chain.cloud.node.commits.durable_n == before


def test_the_root_has_no_queue_and_takes_no_orders_for_it() -> None:
    chain = Chain(1)
    chain.run_s(2)
    assert ask(chain.cloud, "queue")["link"] == "none"
    assert refused(chain.cloud, "demand", **{"class": "normal"}) == (409, "no_parent")
    assert refused(chain.cloud, "resend", number="1") == (409, "no_parent")


def test_an_order_that_makes_no_sense_is_refused() -> None:
    chain = Chain(1)
    chain.run_s(2)
    assert refused(chain.local, "resend", number="7") == (404, "no_such_letter")
    assert refused(chain.local, "resend", number="-1") == (400, "bad_number")
    assert refused(chain.local, "resend") == (400, "bad_number")
    assert refused(chain.local, "demand", **{"class": "urgent"}) == (400, "bad_class")
    assert refused(chain.local, "desire", child="s/nobody", body="") == (404, "no_such_child")
    assert refused(chain.regional, "desire", child="s/local", body="[") == (400, "not_toml")
    assert refused(chain.local, "fly") == (404, "no_such_question")


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_class_on_demand_leaves_when_it_is_asked_for_and_not_before(seed: int) -> None:
    chain = Chain(seed, devices=1, readings=50, start=False)
    rows = [DEFAULTS[priority] for priority in Priority]
    rows[Priority.NORMAL] = msgspec.structs.replace(rows[Priority.NORMAL], sync=Sync.ON_DEMAND)
    on_demand = OutboxSettings(classes=(rows[0], rows[1], rows[2], rows[3]))
    chain.local.settings = msgspec.structs.replace(chain.local.settings, outbox=on_demand)
    chain.begin()
    chain.run_s(8)
    assert chain.total(chain.local, Account.PENDING) == 50
    assert chain.total(chain.regional, Account.RECEIVED) == 0
    token = chain.local.ask("demand", **{"class": "normal"})
    assert token not in chain.local.answers, "an order is answered when its commit is durable"
    chain.run_s(12)
    assert json.loads(chain.local.answers[token][1]) == {"row_class": "normal", "state": "released"}
    assert chain.total(chain.local, Account.PENDING) == 0
    assert chain.total(chain.cloud, Account.APPLIED) == 50


def test_a_dead_letter_is_listed_and_arrives_when_it_is_sent_again() -> None:
    chain = Chain(3, devices=1, readings=100, start=False)
    rows = [msgspec.structs.replace(DEFAULTS[priority], ttl_s=2.0) for priority in Priority]
    short = OutboxSettings(classes=(rows[0], rows[1], rows[2], rows[3]))
    chain.local.settings = msgspec.structs.replace(chain.local.settings, outbox=short)
    chain.begin()
    chain.world.cut("s/local", "s/regional", Weather.REFUSED)
    chain.run_s(10)
    chain.world.cut("s/local", "s/regional", Weather.UP)
    chain.run_s(40)
    letters = ask(chain.local, "dead")["dead"]
    expired = chain.total(chain.local, Account.EXPIRED)
    assert expired == sum(one["readings"] for one in letters) > 0
    assert {one["reason"] for one in letters} == {"expired"}
    arrived = chain.total(chain.cloud, Account.APPLIED)
    token = chain.local.ask("resend", number=str(letters[0]["number"]))
    assert token not in chain.local.answers
    chain.run_s(50)
    assert chain.local.answers[token][0] == 200
    assert chain.total(chain.cloud, Account.APPLIED) == arrived + letters[0]["readings"]
    assert chain.total(chain.local, Account.EXPIRED) == expired - letters[0]["readings"]
    assert letters[0]["number"] not in {one["number"] for one in ask(chain.local, "dead")["dead"]}
    assert chain.balanced()


@pytest.mark.parametrize("crashes", [False, True])
def test_a_dead_letter_that_arrives_reverses_its_tombstone_and_no_other(crashes: bool) -> None:
    """Kills: a tombstone that stays beside the block it spoke of; one that is gone with its neighbour."""
    chain = Chain(3, devices=1, readings=100, start=False)
    rows = [msgspec.structs.replace(DEFAULTS[priority], ttl_s=2.0) for priority in Priority]
    short = OutboxSettings(classes=(rows[0], rows[1], rows[2], rows[3]))
    chain.local.settings = msgspec.structs.replace(chain.local.settings, outbox=short)
    chain.begin()
    chain.world.cut("s/local", "s/regional", Weather.REFUSED)
    chain.run_s(10)
    chain.world.cut("s/local", "s/regional", Weather.UP)
    chain.run_s(40)
    letters = ask(chain.local, "dead")["dead"]
    gaps = ask(chain.cloud, "gaps")["gaps"]
    assert {(one["origin"], one["reason"], one["custodian"]) for one in gaps} == {
        ("s/local", "expired", "s/regional")
    }
    assert _numbers(gaps) == {one["k"] for one in letters}
    assert sum(one["readings"] for one in gaps) == sum(one["readings"] for one in letters)
    chain.local.ask("resend", number=str(letters[0]["number"]))
    chain.run_s(45)
    if crashes:
        chain.cloud.crash()
        chain.cloud.restart()
        chain.run_s(50)
    gaps = ask(chain.cloud, "gaps")["gaps"]
    assert _numbers(gaps) == {one["k"] for one in letters[1:]}
    assert sum(one["readings"] for one in gaps) == sum(one["readings"] for one in letters[1:])
    for one in letters[1:]:
        chain.local.ask("resend", number=str(one["number"]))
    chain.run_s(60)
    assert ask(chain.cloud, "gaps") == {"gaps": [], "unlisted": 0}
    assert refused(chain.regional, "gaps") == (404, "no_store")


def _numbers(gaps: list[dict[str, Any]]) -> set[int]:
    return {k for one in gaps for low, high in one["blocks"] for k in range(low, high + 1)}


def test_the_equations_of_the_ledger_have_equal_sums_and_its_hours_add_up() -> None:
    chain = cut_off(2)
    for host in chain.hosts:
        books = ask(host, "ledger", hours="1")
        assert books["balanced"]
        for equation in books["equations"]:
            assert equation["left_sum"] == equation["right_sum"]
            assert equation["left_sum"]["readings"] == sum(
                one["readings"] for one in equation["left"].values()
            )
        for account, amount in books["accounts"].items():
            hours = [row for row in books["hours"] if row[1] == account]
            assert sum(row[-2] for row in hours) == amount["readings"]
            assert sum(row[-1] for row in hours) == amount["bytes"]
    assert ask(chain.local, "ledger")["hours"] is None


def test_the_quarantine_shows_every_byte_and_a_preview_that_cannot_move_a_cursor() -> None:
    chain = Chain(1, devices=0)
    chain.run_s(1)
    local = chain.local
    assert local.node is not None
    payload = b'{"v": \x1b[2J\xff broken'
    local.feed(ev.Pushed(1, "me", "POST", "/v1/topics/a/b", {}, b"1"))
    local.node.parts.intake.reject("me", "a/b", "not_json", "byte 6", payload, local.now(), local.node.draft)
    chain.run_s(2)
    found = ask(local, "quarantine")
    (entry,) = found["entries"]
    assert b64decode(entry["payload"]) == payload
    assert entry["bytes"] == len(payload)
    assert entry["preview"].isprintable()
    assert (entry["client"], entry["topic"], entry["reason"]) == ("me", "a/b", "not_json")
    assert found["evicted"] == 0


def test_the_status_tells_the_deciding_times_even_before_anything_was_decided() -> None:
    chain = Chain(1, devices=0)
    chain.run_s(1)
    assert chain.local.node is not None
    status = status_of(chain.local.node, chain.local.now())
    assert (status.decide.count, status.decide.misses) == (0, 0)
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status
