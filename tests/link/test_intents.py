"""Laws of intents in parts: whole and verified, or not at all; a peer's parts are bounded."""

from __future__ import annotations

import msgspec
import pytest

from headland.link.intents import MAX_BODY, MAX_KIND_NAME, MAX_KINDS, PART, Assembler, split
from headland.link.protocol import IntentChunk
from headland.vocabulary import PeerError


def whole(parts: list[IntentChunk], assembler: Assembler | None = None) -> list[bytes | None]:
    assembler = assembler or Assembler()
    return [assembler.add(part) for part in parts]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, MAX_BODY])
def test_an_intent_comes_out_with_its_last_part_and_not_before(size: int) -> None:
    body = bytes(at % 251 for at in range(size))
    parts = split("rules", 7, body, b"signed")
    assert [len(part.body) for part in parts] == [PART] * (size // PART) + (
        [size % PART] if size % PART or not size else []
    )
    assert {(part.kind, part.version, part.total, part.signature) for part in parts} == {
        ("rules", 7, size, b"signed")
    }
    assert whole(parts) == [None] * (len(parts) - 1) + [body]


def test_a_name_and_a_body_of_just_the_bound_are_taken_and_one_more_is_not() -> None:
    """Kills: a bound that is off by one; a bound on one of the two only."""
    (part,) = split("k" * MAX_KIND_NAME, 1, b"body")
    assert Assembler().add(part) == b"body"
    begun = msgspec.structs.replace(split("k", 1, b"x" * PART)[0], total=MAX_BODY)
    assert Assembler().add(begun) is None
    for wrong in (
        msgspec.structs.replace(part, kind="k" * (MAX_KIND_NAME + 1)),
        msgspec.structs.replace(begun, total=MAX_BODY + 1),
        msgspec.structs.replace(begun, total=-1),
    ):
        with pytest.raises(PeerError):
            Assembler().add(wrong)


def test_so_many_kinds_may_be_unfinished_and_no_more_but_each_may_begin_again() -> None:
    """Kills: a peer that fills memory with beginnings; one kind more; a kind locked out by itself."""
    assembler = Assembler()
    begun = [split(f"kind {n}", 1, b"x" * (PART + 1)) for n in range(MAX_KINDS + 1)]
    for parts in begun[:MAX_KINDS]:
        assert assembler.add(parts[0]) is None
    with pytest.raises(PeerError):
        assembler.add(begun[MAX_KINDS][0])
    assert whole(begun[3], assembler) == [None, b"x" * (PART + 1)], "begun again, and finished"
    assert whole(begun[MAX_KINDS], assembler)[-1] == b"x" * (PART + 1), "there is room again"


def test_a_part_without_its_beginning_is_a_breach() -> None:
    with pytest.raises(PeerError):
        Assembler().add(split("rules", 1, b"x" * 2 * PART)[1])


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"digest": b"d" * 16}, {"total": 2 * PART + 5}, {"at": PART - 1}, {"at": 2 * PART}],
    ids=["version", "digest", "total", "overlap", "hole"],
)
def test_a_part_that_does_not_fit_ends_its_intent(change: dict[str, int | bytes]) -> None:
    """Kills: parts of two versions joined; parts out of order; a beginning kept for the next part."""
    assembler = Assembler()
    first, second, *_ = split("rules", 1, b"x" * 3 * PART)
    assembler.add(first)
    with pytest.raises(PeerError):
        assembler.add(msgspec.structs.replace(second, **change))
    with pytest.raises(PeerError):
        assembler.add(second)


def test_more_bytes_than_were_announced_are_a_breach() -> None:
    assembler = Assembler()
    first, last = split("rules", 1, b"x" * (PART + 3))
    assembler.add(first)
    with pytest.raises(PeerError):
        assembler.add(msgspec.structs.replace(last, body=b"x" * 4))


def test_an_empty_part_in_the_middle_is_a_breach() -> None:
    assembler = Assembler()
    first, second = split("rules", 1, b"x" * 2 * PART)
    assembler.add(first)
    with pytest.raises(PeerError):
        assembler.add(msgspec.structs.replace(second, body=b""))


def test_a_body_that_is_not_its_digests_is_a_breach_and_may_come_again() -> None:
    assembler = Assembler()
    (part,) = split("rules", 1, b"good")
    with pytest.raises(PeerError):
        assembler.add(msgspec.structs.replace(part, body=b"evil"))
    assert assembler.add(part) == b"good"
