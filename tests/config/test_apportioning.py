"""Laws of a disk budget: its parts fit each other, at every size and every tier."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headland.config import load
from headland.config.apportioning import (
    LEAST_BUDGET_BYTES,
    MIB,
    OPEN_FILES,
    Shares,
    Wishes,
    apportion,
)
from headland.config.tiers import DEFAULTS
from headland.vocabulary import ConfigurationError, Tier

AT_ONCE = 6
"""Segments while the oldest is being emptied: four, the open one, and what checkpoints wait for."""


def wishes(tier: Tier) -> Wishes:
    row = DEFAULTS[tier]
    return Wishes(
        reserve_bytes=int(row["disk.reserve_bytes"]),
        segment_bytes=int(row["journal.segment_bytes"]),
        checkpoint_log_bytes=int(row["journal.checkpoint_log_bytes"]),
        unstored_bytes_max=int(row["journal.unstored_bytes_max"]),
    )


def fits(budget: int, shares: Shares) -> None:
    usable = budget - shares.held_back_bytes
    assert AT_ONCE * shares.segment_bytes < usable // 2, "the journal leaves room for files"
    assert 2 * OPEN_FILES * shares.file_bytes < usable, "a file of each class can be given back"
    assert shares.held_back_bytes >= 4 * shares.segment_bytes + OPEN_FILES * shares.file_bytes
    assert usable >= budget // 2
    assert shares.checkpoint_log_bytes <= shares.segment_bytes
    assert shares.segment_bytes >= MIB


@given(budget=st.integers(LEAST_BUDGET_BYTES, 1 << 44), tier=st.sampled_from(Tier))
def test_the_parts_of_every_budget_fit_each_other_at_every_tier(budget: int, tier: Tier) -> None:
    """Kills: a journal, or a reserve, that is larger than what may be used."""
    fits(budget, apportion(budget, wishes(tier)))


@given(
    budget=st.integers(LEAST_BUDGET_BYTES, 1 << 40),
    reserve=st.integers(0, 1 << 40),
    segment=st.integers(MIB, 1 << 30),
)
def test_whatever_is_configured_the_parts_fit(budget: int, reserve: int, segment: int) -> None:
    """Kills: a size of the file that counts although the budget cannot hold it."""
    configured = Wishes(
        reserve_bytes=reserve,
        segment_bytes=segment,
        checkpoint_log_bytes=segment,
        unstored_bytes_max=16 * MIB,
    )
    fits(budget, apportion(budget, configured))


@pytest.mark.parametrize("tier", Tier)
def test_a_large_budget_gives_every_tier_what_is_configured(tier: Tier) -> None:
    shares = apportion(1 << 40, wishes(tier))
    assert shares.segment_bytes == DEFAULTS[tier]["journal.segment_bytes"]
    assert shares.journal_bytes == 4 * shares.segment_bytes
    assert shares.file_bytes == 8 * MIB
    assert shares.unstored_bytes_max == DEFAULTS[tier]["journal.unstored_bytes_max"]


def test_a_budget_that_no_node_can_work_with_is_refused_with_its_line_and_the_way_out(tmp_path: Path) -> None:
    """Kills: a node that starts and takes nothing in, ever."""
    file = tmp_path / "node.toml"
    file.write_text('[node]\nname = "n"\n\n[disk]\nbudget_bytes = 20_000_000\n')
    with pytest.raises(ConfigurationError) as refused:
        load(file, {})
    assert refused.value.path == "disk.budget_bytes"
    assert refused.value.file.endswith("node.toml:5")
    assert refused.value.hint == f"at least {LEAST_BUDGET_BYTES}, or 0 for half of what is free"
    file.write_text(f'[node]\nname = "n"\n\n[disk]\nbudget_bytes = {LEAST_BUDGET_BYTES}\n')
    assert load(file, {}).config.disk.budget_bytes == LEAST_BUDGET_BYTES
