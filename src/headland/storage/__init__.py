"""What a node that stores remembers of blocks: which it has applied, and where they rest."""

from headland.storage.applied import Applied, RangeSet

__all__ = ["Applied", "RangeSet"]
