"""Laws of the names of series at one node."""

from __future__ import annotations

import pytest

from headland.link.actions import Definitions
from headland.node.names import Names
from headland.vocabulary import DefectError, SeriesKey, SeriesTable

FIRST, SECOND = bytes(16), bytes([1] * 16)


def _names() -> Names:
    table = SeriesTable()
    table.intern(SeriesKey("a"))
    table.intern(SeriesKey("b"))
    return Names("s/n", table)


def test_own_series_have_the_same_number_in_every_epoch_of_the_directory() -> None:
    names = _names()
    for epoch in (FIRST, SECOND):
        assert [names.key("s/n", epoch, sid).name for sid in (1, 2)] == ["a", "b"]


def test_anothers_series_are_told_apart_by_epoch() -> None:
    """Kills: rows of a child that began again under the names of its former directory."""
    names = _names()
    for epoch, name in ((FIRST, "x"), (SECOND, "y")):
        names.learn(Definitions("s/c", epoch, ((1, SeriesKey(name)),)))
    assert [names.key("s/c", epoch, 1).name for epoch in (FIRST, SECOND)] == ["x", "y"]


@pytest.mark.parametrize("sid", [-1, 0, 3, 1 << 40])
@pytest.mark.parametrize("origin", ["s/n", "s/c", "s/nobody"])
def test_what_was_never_defined_has_no_name_not_another_ones(origin: str, sid: int) -> None:
    """Kills: number 0 as the newest series; an IndexError where a defect is meant."""
    names = _names()
    names.learn(Definitions("s/c", FIRST, ((1, SeriesKey("x")),)))
    with pytest.raises(DefectError, match="has no name here"):
        names.key(origin, FIRST, sid)
