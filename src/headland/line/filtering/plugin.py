"""Filters of others: a configuration names a class, and the same contract holds for it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import msgspec

from headland.line.filtering.shape import Filter, FilterConfig, Loss
from headland.vocabulary import ConfigurationError, RowClass


class Plugin(FilterConfig, frozen=True, tag="plugin"):
    """A filter from another package.

    Attributes:
        use: `module:Class` of a `FilterConfig`; the module must be importable by the node.
        options: The fields of that class.
    """

    use: str
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def load(self) -> FilterConfig:
        """The declaration that it names.

        Raises:
            ConfigurationError: it cannot be imported, is no filter, or its options do not fit.
        """
        module, _, name = self.use.partition(":")
        try:
            found = getattr(import_module(module), name)
        except Exception as error:  # noqa: BLE001 - a module of others may raise anything
            said = str(error) or type(error).__name__
            raise ConfigurationError(f"no filter {self.use!r}: {said}", path="filter.use") from None
        if not (isinstance(found, type) and issubclass(found, FilterConfig)):
            raise ConfigurationError(f"{self.use!r} is no FilterConfig", path="filter.use")
        try:
            return msgspec.convert(self.options, type=found)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"{self.use}: {error}", path="filter.options") from None

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """The other's filter."""
        return self.load().build(rule, version, cls)

    def loss(self) -> Loss:
        """The other's declaration."""
        return self.load().loss()
