"""What `headland run` does, without a library for command lines: what a node has imported, it keeps."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from headland.cli.errors import said
from headland.config import load
from headland.sources.registry import configs
from headland.vocabulary import HeadlandError


def start(config: Path) -> int:
    """Run a node until it is told to stop; its exit code.

    Raises:
        ConfigurationError: The file, the data directory or a certificate is not usable.
    """
    # A mistake in the file is told before anything else is imported or touched.
    load(config, os.environ, configs())
    from headland.node import run as serve

    return serve(config)


def run(file: str) -> int:
    """The same for a command line: an expected error is one line on stderr and an exit code."""
    try:
        return start(Path(file))
    except HeadlandError as error:
        line, code = said(error)
        sys.stderr.write(f"{line}\n")
        return code
