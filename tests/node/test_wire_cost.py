"""Laws of the wire's bytes: they are in the books, so no crash and no restart forgets what they cost."""

from __future__ import annotations

import msgspec
from tests.node.chain import Chain

from headland.node.status import HOUR_NS, MONTH_H, Books
from headland.vocabulary import Account


def books(chain: Chain, hours: bool = False) -> Books:
    token = chain.local.ask("ledger", **({"hours": "1"} if hours else {}))
    return msgspec.json.decode(chain.local.answers[token][1], type=Books)


def test_what_was_sent_is_counted_over_every_start_and_a_crash_forgets_at_most_a_commit() -> None:
    """Kills: bytes so far that mean since the process began."""
    chain = Chain(1, devices=1, readings=400)
    chain.run_s(20)
    before = books(chain)
    node = chain.local.node
    assert node is not None
    unbooked = node.parts.north.wire_unbooked
    assert before.wire_bytes_north > 10_000
    assert before.balanced
    chain.local.crash()
    chain.local.restart()
    chain.run_s(30)
    after = books(chain)
    assert after.balanced
    assert after.wire_bytes_north >= before.wire_bytes_north - unbooked
    assert after.accounts["wire"].readings == 0


def test_a_month_is_projected_from_the_hours_in_which_it_was_sent_and_not_from_the_last_start() -> None:
    chain = Chain(1, devices=1, readings=400)
    chain.run_s(20)
    node = chain.local.node
    assert node is not None
    node.settings = msgspec.structs.replace(node.settings, price_per_gb=1e6, currency="EUR")
    hour = node.now.wall_ns // HOUR_NS
    for back in (4, 3, 2, 1):
        node.parts.ledger.apply({(int(Account.WIRE), "", 0, ""): [0, 50_000]}, (hour - back) * HOUR_NS)
    found = books(chain, hours=True)
    assert 4 <= found.cost_hours < 5
    expected = found.wire_bytes_north / found.cost_hours * MONTH_H * 1e6 / 1e9
    assert abs(found.cost_per_month / expected - 1) < 0.01
    assert abs(found.cost / (found.wire_bytes_north * 1e-3) - 1) < 0.01
    assert found.hours is not None
    assert sum(flow[-1] for flow in found.hours if flow[1] == "wire") >= 200_000
