"""The node: a pure core, and the one event loop that executes its actions."""

from __future__ import annotations

from pathlib import Path


def run(path: Path) -> int:
    """Run the node of a configuration file until it is told to stop; the exit code."""
    from headland.node.server import run as serve

    return serve(path)
