"""Headland: an edge-computing platform. Decide where the data is made; acknowledge only what is on disk."""

__version__ = "0.1.0"
__made_after__ = "2026-01-01"
"""UTC; this version was made later, so a clock that shows less is wrong."""
