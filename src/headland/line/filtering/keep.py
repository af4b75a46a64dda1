"""The two filters without state: keep everything, drop everything or what a range names."""

from __future__ import annotations

from headland.line.filtering.shape import DROP, KEEP, Desk, Filter, FilterConfig, Loss, Row, Rows
from headland.vocabulary import RowClass, Value


class Keep(FilterConfig, frozen=True, tag="keep"):
    """Every reading goes north."""

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """A filter that keeps."""
        return KeepFilter(rule, version, cls)

    def loss(self) -> Loss:
        """Nothing is lost."""
        return Loss(text="nothing is lost", error_ratio=0.0, error_floor=0.0)


class Drop(FilterConfig, frozen=True, tag="drop"):
    """Drop readings by a predicate on the value; with no bound set, every reading.

    Attributes:
        below: Drop numbers below this; None = no such bound.
        above: Drop numbers above this; None = no such bound.
        equal: Drop values equal to one of these (numbers or texts).
    """

    below: float | None = None
    above: float | None = None
    equal: tuple[float | str, ...] = ()

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """A filter that drops what the predicate names."""
        return DropFilter(self, rule, version, cls)

    def loss(self) -> Loss:
        """The dropped readings, wholly."""
        return Loss(text="readings that fit the predicate are not known north at all")

    def names(self, value: Value) -> bool:
        """Whether the predicate names this value."""
        if self.below is None and self.above is None and not self.equal:
            return True
        if value in self.equal:
            return True
        if isinstance(value, str | bytes):
            return False
        return (self.below is not None and value < self.below) or (
            self.above is not None and value > self.above
        )


class KeepFilter(Filter):
    """Keeps every row."""

    __slots__ = ()

    def judge(self, row: Row) -> int:
        """Kept."""
        return KEEP

    def offer(self, rows: Rows, desk: Desk) -> None:
        """Whole columns at once."""
        desk.keep(rows)


class DropFilter(Filter):
    """Drops what a predicate names; no state, so its acknowledgements wait for nothing."""

    __slots__ = ("_config",)

    def __init__(self, config: Drop, rule: str, version: str, cls: RowClass) -> None:
        super().__init__(rule, version, cls)
        self._config = config

    def judge(self, row: Row) -> int:
        """Dropped if named."""
        return DROP if self._config.names(row.value) else KEEP
