"""What does not decode is damage, and says of what."""

from __future__ import annotations

import msgspec
import pytest

from headland.vocabulary import StorageDamage
from headland.vocabulary.stored import read_back, read_snapshot


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    version: int
    text: str


_snapshots = msgspec.msgpack.Decoder(_Snapshot)


def test_what_was_written_comes_back() -> None:
    data = msgspec.msgpack.encode(_Snapshot(2, "x"))
    assert read_back(_snapshots, data, "a thing") == _Snapshot(2, "x")
    assert read_snapshot(_snapshots, data, "a thing", 2) == _Snapshot(2, "x")


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", msgspec.msgpack.encode([1]), msgspec.msgpack.encode(["x", 1])]
)
def test_what_does_not_decode_is_damage_by_name(data: bytes) -> None:
    with pytest.raises(StorageDamage, match="a thing: "):
        read_back(_snapshots, data, "a thing")
    with pytest.raises(StorageDamage, match="a thing: "):
        read_snapshot(_snapshots, data, "a thing", 2)


def test_a_newer_versions_snapshot_is_not_guessed_at() -> None:
    data = msgspec.msgpack.encode(_Snapshot(3, "x"))
    with pytest.raises(StorageDamage, match=r"a thing: written by a newer version \(3\)"):
        read_snapshot(_snapshots, data, "a thing", 2)
