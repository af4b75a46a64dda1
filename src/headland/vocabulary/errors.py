"""One root, few families by whose fault it is. Expected outcomes are values, not exceptions."""

from __future__ import annotations


class HeadlandError(Exception):
    """Root of everything this product raises on purpose.

    Attributes:
        hint: One sentence on what to do next, or "".
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(HeadlandError):
    """The configuration or the command line is wrong (exit code 2)."""

    def __init__(self, message: str, *, file: str = "", path: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.path = path

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.path) if part)
        text = f"{place}: {self.args[0]}" if place else str(self.args[0])
        return f"{text} ({self.hint})" if self.hint else text


class PeerError(HeadlandError):
    """The other side broke its protocol."""


class TrustError(HeadlandError):
    """A certificate, name or signature is not acceptable."""


class CapacityError(HeadlandError):
    """A bound was reached (disk, memory, credit)."""


class StorageDamage(HeadlandError):
    """Bytes on disk are not what was written."""


class DefectError(HeadlandError):
    """This program is wrong: an invariant does not hold."""
