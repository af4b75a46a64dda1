"""What a node that stores remembers of blocks: which it has applied, and where they rest."""

from headland.storage.applied import DEDUP_HORIZON_S, Applied, RangeSet
from headland.storage.digests import Digests

__all__ = ["DEDUP_HORIZON_S", "Applied", "Digests", "RangeSet"]
