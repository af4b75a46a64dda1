"""What a campaign found, as the one JSON object that it prints."""

from __future__ import annotations

import msgspec

from campaign.scene import Proof

TOLD = 200
"""Characters of a finding that are shown."""


class RoundOutcome(msgspec.Struct):
    """One round.

    Attributes:
        number, seed: Which one; the seed repeats its choices.
        acked, lost, duplicated, reordered: Readings.
        told_lost: Acknowledged readings that a restored disk lost, told with their identities by both nodes.
        unbalanced: Nodes and hops whose books do not agree.
        broken: What else went wrong: a node that ended, a drain that did not, a fault's finding.
        stories: Findings in words.
        proofs: Of its faults.
        seconds: How long it took.
    """

    number: int
    seed: int
    acked: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    told_lost: int = 0
    unbalanced: int = 0
    broken: list[str] = []
    stories: list[str] = []
    proofs: list[Proof] = []
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not (self.lost or self.duplicated or self.reordered or self.unbalanced or self.broken)


class Outcome(msgspec.Struct):
    """All rounds; the first eight members are what `--json` promises.

    Attributes:
        rounds: Played.
        acked, lost, duplicated, reordered: Readings, over all rounds.
        unbalanced: Nodes and hops whose books did not agree at the end of a round.
        faults: Effective ones, by name.
        seed: Of the campaign.
        ineffective: Faults that hurt nothing, by name; not counted in `faults`.
        unproven: Faults that this machine cannot do, with the reason.
        told_lost: Acknowledged readings that a restored disk lost, told with their identities by both nodes.
        broken: Rounds in which something else went wrong.
        figures: Sums over the proofs of each fault.
        failures: Rounds that were not good, whole.
    """

    rounds: int
    acked: int
    lost: int
    duplicated: int
    reordered: int
    unbalanced: int
    faults: dict[str, int]
    seed: int
    ineffective: dict[str, int]
    unproven: dict[str, str]
    told_lost: int
    broken: int
    figures: dict[str, dict[str, float]]
    failures: list[RoundOutcome]

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not self.failures


def summed(rounds: list[RoundOutcome], seed: int, unproven: dict[str, str]) -> Outcome:
    """All rounds together."""
    faults: dict[str, int] = {}
    ineffective: dict[str, int] = {}
    figures: dict[str, dict[str, float]] = {}
    for proof in [proof for one in rounds for proof in one.proofs]:
        counted = faults if proof.effective else ineffective
        counted[proof.fault] = counted.get(proof.fault, 0) + 1
        sums = figures.setdefault(proof.fault, {})
        for name, amount in proof.figures.items():
            sums[name] = round(sums.get(name, 0) + amount, 3)
    return Outcome(
        rounds=len(rounds),
        acked=sum(one.acked for one in rounds),
        lost=sum(one.lost for one in rounds),
        duplicated=sum(one.duplicated for one in rounds),
        reordered=sum(one.reordered for one in rounds),
        unbalanced=sum(one.unbalanced for one in rounds),
        faults=dict(sorted(faults.items())),
        seed=seed,
        ineffective=dict(sorted(ineffective.items())),
        unproven=unproven,
        told_lost=sum(one.told_lost for one in rounds),
        broken=sum(bool(one.broken) for one in rounds),
        figures=dict(sorted(figures.items())),
        failures=[one for one in rounds if not one.good],
    )


def line(one: RoundOutcome) -> str:
    """A round in one line, and more where something is wrong."""
    words = "; ".join(
        f"{proof.fault}{'' if proof.effective else ' (INEFFECTIVE)'}: {proof.text}" for proof in one.proofs
    )
    told = f", {one.told_lost} told lost" if one.told_lost else ""
    text = (
        f"round {one.number} seed {one.seed} {one.seconds:.1f} s: {one.acked} acked, {one.lost} lost{told}, "
        f"{one.duplicated} duplicated, {one.reordered} reordered, {one.unbalanced} unbalanced · {words}"
    )
    findings = [] if one.good else [*one.broken, *(story[:TOLD] for story in one.stories[:8])]
    return "\n".join([text, *(f"  NOT GOOD: {finding}" for finding in findings)])
