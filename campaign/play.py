"""Rounds: each a fresh copy of the chain, one fault or several, a drain, and the verdict."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from campaign.catalogue import BY_NAME, FAULTS, Fault, possible
from campaign.chain import CHAIN, Site, make_site
from campaign.judging import Verdict, hop_differences, judged
from campaign.outcome import Outcome, RoundOutcome, line, summed
from campaign.scene import Proof, Scene
from headland.demo.local_http import NoAnswer
from headland.demo.processes import ProcessGroup, group
from headland.vocabulary import HeadlandError

LOAD_S = 2.5
"""The clients measure at least this long."""
STANDSTILL_S = 2.0
DRAIN_S = 25.0
FAULT_S = 60.0
JUDGE_S = 12.0
FOUND_S = 4.0
"""Windows are closed by then; where something is expected to be wrong, no longer is waited for."""
COMBINED = 0.8
"""Share of the rounds with a fault that may be combined that have two."""
KEPT_ON_DISK = "HEADLAND_CAMPAIGN_KEEP"


class Options(msgspec.Struct, frozen=True):
    """What is played.

    Attributes:
        rounds: How many.
        seed: Of every choice.
        faults: Names to choose from; none for all.
        patched: What is changed in every node's program (see `campaign.patched`).
        keep: Directory that the rounds which are not good are moved to; None to delete them.
        singly: Whether no faults are combined.
        node: Node that faults with a choice hurt; "" to leave it to chance.
        until_found: Whether a round that is not good is the last one.
    """

    rounds: int = 20
    seed: int = 1
    faults: tuple[str, ...] = ()
    patched: tuple[str, ...] = ()
    keep: Path | None = None
    singly: bool = False
    node: str = ""
    until_found: bool = False


def decks(options: Options, names: list[str]) -> list[list[Fault]]:
    """The faults of each round: whoever had the fewest turns so far is next, among equals by chance."""
    chance = random.Random(options.seed)
    turns = dict.fromkeys(names, 0)
    rounds: list[list[Fault]] = []
    for _ in range(options.rounds):
        least = min(turns.values())
        faults = [BY_NAME[chance.choice([name for name in names if turns[name] == least])]]
        others = [name for name in names if not BY_NAME[name].alone and name != faults[0].name]
        if not options.singly and others and not faults[0].alone and chance.random() < COMBINED:
            chance.shuffle(others)
            others.sort(key=turns.__getitem__)
            for name in others[: chance.choice((1, 2))]:
                if not (BY_NAME[name].mounted and any(one.mounted for one in faults)):
                    faults.append(BY_NAME[name])
        for fault in faults:
            turns[fault.name] += 1
        rounds.append(faults)
    return rounds


async def play(options: Options, say: Callable[[str], None]) -> Outcome:
    """Play all rounds; every process that was started has ended when this returns or raises.

    Raises:
        HeadlandError: A node or the clients could not be started at all.
    """
    wanted = options.faults or tuple(fault.name for fault in FAULTS)
    unproven = {name: why for name in wanted if (why := possible(BY_NAME[name]))}
    for name, why in unproven.items():
        say(f"{name} cannot be done here: {why}")
    names = [name for name in wanted if name not in unproven]
    if not names:
        return summed([], options.seed, unproven)
    root = Path(tempfile.mkdtemp(prefix="headland-campaign-"))
    done: list[RoundOutcome] = []
    try:
        async with group() as processes:
            (root / "made").mkdir()
            template = await make_site(root / "made")
            for number, faults in enumerate(decks(options, names), start=1):
                site = template.copied(root / f"round-{number}")
                done.append(await _round(options, number, faults, site, processes))
                say(line(done[-1]))
                if options.keep is not None and not done[-1].good:
                    shutil.copytree(site.root, options.keep / site.root.name, dirs_exist_ok=True)
                shutil.rmtree(site.root, ignore_errors=True)
                if options.until_found and not done[-1].good:
                    break
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return summed(done, options.seed, unproven)


async def _round(
    options: Options, number: int, faults: list[Fault], site: Site, processes: ProcessGroup
) -> RoundOutcome:
    began = time.monotonic()
    outcome = RoundOutcome(number, options.seed * 1_000_000 + number)
    scene = Scene(site, processes, outcome.seed)
    scene.preferred = options.node
    for node in scene.nodes.values():
        node.patched = list(options.patched)
    try:
        for fault in faults:
            if fault.prepare is not None:
                await fault.prepare(scene)
        await scene.open()
        async with scene.supervised():
            outcome.proofs = list(await asyncio.gather(*(_hurt(scene, fault) for fault in faults)))
            await asyncio.sleep(max(0.0, LOAD_S - (time.monotonic() - scene.began)))
            for wire in scene.wires.values():
                await wire.heal()
            if not await scene.load.stop():
                outcome.broken.append("clients ended with publishes that nobody acknowledged")
            await _conclude(scene, outcome, FOUND_S if options.until_found else JUDGE_S)
    except (HeadlandError, OSError) as problem:
        outcome.broken.append(f"{type(problem).__name__}: {problem}")
    finally:
        await scene.close()
    for node in scene.nodes.values():
        outcome.broken += node.ended
    outcome.broken += scene.findings
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def _hurt(scene: Scene, fault: Fault) -> Proof:
    """One fault, after a moment of chance."""
    await asyncio.sleep(scene.chance.uniform(0.2, 0.9))
    try:
        return await asyncio.wait_for(fault.act(scene), FAULT_S)
    except TimeoutError:
        scene.findings.append(f"{fault.name} was not over in {FAULT_S:g} s")
        return Proof(fault.name, False, "it was not over in time")


async def _conclude(scene: Scene, outcome: RoundOutcome, judge_s: float) -> None:
    """Drain, ask, judge; asked again for a while when something is missing, for windows may still be open."""
    if scene.uneven and not await scene.drained(STANDSTILL_S):
        # Whoever went back keeps what its copy had not sent, until an operator says that it may go on.
        for name in CHAIN[1:]:
            await scene.released(name)
    if not await scene.drained(DRAIN_S):
        left = {name: await scene.pending(name) for name in CHAIN[1:]}
        await scene.note()
        outcome.broken.append(f"not drained after {DRAIN_S:g} s: {left}")
    until = time.monotonic() + judge_s
    verdict = Verdict()
    while True:
        try:
            verdict = await judged(scene.site, scene.nodes["cloud"], scene.excused, two_roads=scene.two_roads)
        except NoAnswer as problem:
            verdict.stories = [str(problem)]
        else:
            if verdict.good or time.monotonic() >= until:
                break
        if time.monotonic() >= until + JUDGE_S:
            outcome.broken.append("the cloud does not answer")
            break
        await asyncio.sleep(0.5)
    outcome.acked, outcome.lost, outcome.duplicated = verdict.acked, verdict.lost, verdict.duplicated
    outcome.reordered, outcome.told_lost = verdict.reordered, verdict.told_lost
    outcome.stories += verdict.stories
    await _books(scene, outcome)


async def _books(scene: Scene, outcome: RoundOutcome) -> None:
    await scene.drained(5.0)
    statuses = await scene.statuses()
    wrong = [f"the books of {name} do not balance" for name, one in statuses.items() if not one.balanced]
    missing = [name for name in CHAIN if name not in statuses]
    outcome.broken += [f"{name} does not answer at the end" for name in missing]
    if not missing and not scene.uneven:
        wrong += hop_differences(statuses)
    outcome.unbalanced = len(wrong)
    outcome.stories += wrong
