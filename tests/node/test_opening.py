"""Laws of a start: what a checkpoint alone must carry over."""

from __future__ import annotations

import random

from tests.node.chain import Chain

from headland.node.checkpointing import Checkpointing
from headland.node.opening import open_node
from headland.node.settings import NodeSettings
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.vocabulary import Instant


def test_running_time_goes_on_when_nothing_follows_the_checkpoint() -> None:
    """Kills: an age clock that starts from zero, so that everything on disk seems to be from the future."""
    chain = Chain(7, readings=400, interval_ns=2_000_000)
    chain.run_s(30)
    node = chain.local.node
    assert node is not None
    checkpointing: Checkpointing = node.parts.shelving.checkpointing
    before = node.running_ms(chain.local.now())
    checkpointing._newest_segment = -1  # the next commit takes a checkpoint
    node.parts.journal._log_bytes = 1 << 40
    node.draft.state("node", node.parts.store_id)
    chain.run_s(40)
    assert node.parts.journal._checkpoints[-1].mark == node.parts.journal.last
    opening = open_node(
        chain.local.disk.power_cut(), chain.local.settings, Everybody(), random.Random(1), Instant(1, 1)
    )
    assert opening.frames == 0
    assert opening.node.parts.running_ms >= before > 0


def test_a_child_may_not_speak_for_its_own_parent() -> None:
    """Kills: a forged block that is taken for the root's own, whose reading is then nowhere."""
    settings = NodeSettings(name="s/cloud", has_parent=False)
    opening = open_node(SimulatedDisk(), settings, Everybody(), random.Random(1), Instant(1, 1))
    authorised = opening.node.parts.south.children._authorised
    assert authorised("s/local", "s/local")
    assert authorised("s/local", "s/device")
    assert not authorised("s/local", "s/cloud")
