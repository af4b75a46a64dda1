"""Laws of when a commit is closed."""

from __future__ import annotations

from headland.node.committing import Committing
from headland.vocabulary import Instant

GAP_NS = 1_000_000


def at(ns: int) -> Instant:
    return Instant(ns, 1_767_225_600_000_000_000 + ns)


def filled(commits: Committing[str], messages: int) -> None:
    commits.draft.state("line", b"x")
    commits.arrived += messages


def after_one(messages: int, closed_ns: int, durable_ns: int) -> Committing[str]:
    """A cycle whose first commit held so many messages."""
    commits: Committing[str] = Committing(0, GAP_NS)
    filled(commits, messages)
    n = commits.closed((), at(closed_ns))
    commits.committed(n, at(durable_ns))
    return commits


def test_the_first_write_after_a_rest_waits_for_nobody() -> None:
    """Kills: a wait on an idle node."""
    commits = after_one(100, 0, 300_000)
    filled(commits, 1)
    now = at(50 * GAP_NS)
    due = commits.due_ns(now)
    assert due is not None
    assert due <= now.monotonic_ns


def test_commits_begin_a_gap_apart() -> None:
    """Kills: a write to the disk for every reading of a client that waits for each."""
    commits = after_one(1, 0, 300_000)
    filled(commits, 1)
    assert commits.due_ns(at(400_000)) == GAP_NS


def test_those_whom_a_commit_answered_are_waited_for_at_most_a_gap() -> None:
    """Kills: two halves of the clients that wait for each other's commits; a client that never comes back."""
    commits = after_one(100, 0, 700_000)
    filled(commits, 99)
    assert commits.due_ns(at(800_000)) == 700_000 + GAP_NS
    filled(commits, 1)
    assert commits.due_ns(at(900_000)) == GAP_NS


def test_nothing_is_due_while_a_commit_is_under_way() -> None:
    """Kills: two commits in flight."""
    commits: Committing[str] = Committing(0, GAP_NS)
    filled(commits, 1)
    commits.closed((), at(0))
    filled(commits, 5)
    assert commits.due_ns(at(10 * GAP_NS)) is None
