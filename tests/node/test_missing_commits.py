"""Commits that are missing from the middle of a log: positions stay in step, what is lost is named."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from tests.node.chain import SECOND, Chain

from headland.journal import Frame, SectionType, recover
from headland.journal.segment import SegmentReader, path_of
from headland.line.filtering import Boost, DeadBand, Summary, Vibration
from headland.line.rules import LineRules, SeriesRule
from headland.simulation.wire import Weather
from headland.simulation.world import Host
from headland.vocabulary import Account, Reason

SHORT = Summary(window_s=0.2, lateness_s=0.1, hold_s=0.1)


def _replayed(host: Host) -> list[Frame]:
    """Commits that a start would read, but for the last two: those may be an unfinished end."""
    assert host.node is not None
    journal = host.node.parts.journal
    found = recover(host.disk, host.settings.journal).checkpoint_info
    after = found.mark.n if found is not None else 0
    return [
        item
        for info in journal.segments()
        for item in SegmentReader(host.disk, info.id).frames()
        if isinstance(item, Frame) and item.n > after
    ][:-2]


def _with(frames: list[Frame], kind: SectionType) -> list[Frame]:
    return [frame for frame in frames if any(section.type == kind for section in frame.sections)]


def _flip(host: Host, frame: Frame) -> None:
    host.disk.flip(path_of(frame.segment), frame.offset + 70)


def _lose(host: Host, share: float) -> None:
    """Of what a start would read, some commits with held rows are gone."""
    found = _with(_replayed(host), SectionType.ROWS)
    for frame in found[int(len(found) * share) :][:2]:
        _flip(host, frame)
    host.crash()
    host.restart()


def _run(seed: int, name: str, kind: SectionType, *, cut: bool, share: float) -> tuple[Chain, Host, bool]:
    """A node whose log loses a commit with such a section; whether there was one."""
    chain = Chain(seed, readings=400, interval_ns=4_000_000)
    world, host = chain.world, getattr(chain, name)
    if cut:
        world.after(SECOND // 2, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))
    hurt: list[Frame] = []

    def damage() -> None:
        found = _with(_replayed(host), kind)
        if found:
            hurt.append(found[int(len(found) * share)])
            _flip(host, hurt[0])
        host.crash()
        host.restart()

    world.after(int(1.5 * SECOND), damage)
    world.after(5 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(40)
    return chain, host, bool(hurt)


@pytest.mark.parametrize(
    ("name", "kind", "cut"),
    [
        ("local", SectionType.SEALS, False),
        ("local", SectionType.SEALS, True),
        ("local", SectionType.OUTBOX, False),
        ("regional", SectionType.RECEIVED, False),
        ("regional", SectionType.OUTBOX, False),
    ],
)
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_positions_stay_in_step_and_the_books_balance_behind_missing_commits(
    name: str, kind: SectionType, cut: bool, share: float
) -> None:
    """Kills: positions that shift by what was lost (a fork, a stream that stops); books out of balance."""
    tried = False
    for seed in (1, 2):
        chain, host, hurt = _run(seed, name, kind, cut=cut, share=share)
        tried = tried or hurt
        assert all(device.done for device in chain.devices)
        assert chain.balanced()
        assert not {"fork", "lying_ack", "child_went_back", "books_unbalanced"} & set(host.alarms)
        for one in (chain.local, chain.regional):
            assert chain.total(one, Account.PENDING) == 0
            assert one.node is not None
            assert one.node.parts.north.outbox is not None
            assert one.node.parts.north.outbox.stopped() == []
        # What stood in the missing commit alone may be gone; nothing else is, and nothing is there twice.
        assert 1200 - 60 <= chain.total(chain.cloud, Account.APPLIED) <= 1200
    assert tried, "no such commit was there to be hurt"


@pytest.mark.parametrize("seed", [1, 2])
def test_blocks_sealed_in_missing_commits_are_tombstones_and_told_once(seed: int) -> None:
    """Kills: a gap without a name; the same tombstone again at every start."""
    chain = Chain(seed, readings=400, interval_ns=4_000_000)
    world, local = chain.world, chain.local
    world.after(SECOND // 2, lambda: world.cut("s/local", "s/regional", Weather.REFUSED))

    def damage() -> None:
        # Not one that says which blocks a file has: with it those would be lost, if their segment is reused.
        found = [
            frame
            for frame in _with(_replayed(local), SectionType.SEALS)
            if not _with([frame], SectionType.SPILL)
        ]
        for frame in found[len(found) // 2 : len(found) // 2 + 3]:
            _flip(local, frame)
        local.crash()
        local.restart()

    def again() -> None:
        local.crash()
        local.restart()

    world.after(int(1.5 * SECOND), damage)
    for at_ms in (1600, 1700, 4000):
        world.after(at_ms * SECOND // 1000, again)
    world.after(5 * SECOND, lambda: world.cut("s/local", "s/regional", Weather.UP))
    chain.run_s(40)
    assert local.alarms.count("corrupt") >= 1
    assert chain.cloud.node is not None
    shelf = chain.cloud.node.parts.shelving.shelf
    told = [gap for gap in shelf.missing.ranges() if gap.reason == Reason.CORRUPT]
    assert sum(gap.k_to - gap.k_from + 1 for gap in told) == 3
    assert {gap.reason for gap in shelf.missing.report()} == {"corrupt"}, "no hole is without a reason"
    assert chain.balanced()
    assert chain.total(local, Account.PENDING) == 0


FILTERS = {
    "boost": Boost(
        before_s=0.2, after_s=0.1, above=27.0, below=13.0, ring_rows=20, inner=DeadBand(absolute=6.0)
    ),
    "boost over summary": Boost(before_s=0.2, after_s=0.1, above=27.0, ring_rows=8, inner=SHORT),
    "summary": SHORT,
    "vibration": Vibration(rate_hz=100, window=16, summary_s=0.5),
}


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_what_is_held_behind_missing_commits_is_what_the_books_say(name: str) -> None:
    """Kills: `held` below nothing when later commits let go of what a missing one took; the reverse."""
    for seed, share in ((1, 0.2), (1, 0.8), (2, 0.5), (3, 0.9)):
        chain = Chain(seed, readings=400, interval_ns=4_000_000, start=False)
        local = chain.local
        rules = LineRules(default=SeriesRule(name="all", filter=FILTERS[name]))
        local.settings = msgspec.structs.replace(local.settings, line=rules)
        chain.begin()
        chain.world.after(SECOND, partial(_lose, local, share))
        chain.run_s(40)
        assert all(device.done for device in chain.devices)
        assert chain.balanced()
        assert "books_unbalanced" not in local.alarms
        assert local.node is not None
        assert local.node.parts.intake.line.held() == {}, "series that say nothing hold nothing"
        assert chain.total(local, Account.HELD) == 0
