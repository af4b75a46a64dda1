"""Headland: an edge-computing platform. Decide where the data is made; acknowledge only what is on disk."""

__version__ = "0.1.0"
