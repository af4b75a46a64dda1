"""A target under atheris, in a process of its own: `python -m fuzz.guided TARGET [options of libFuzzer]`.

Coverage is that of headland's own modules, uncompiled. libFuzzer decides when to stop, keeps what reaches new
code in the first folder it is given, and writes an input that raises, hangs or swells to its artifact prefix.
"""

from __future__ import annotations

import os
import sys

os.environ["HEADLAND_PURE"] = "1"

import atheris


def main() -> None:
    """Run one target until libFuzzer has enough; never returns."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["headland"], enable_loader_override=False):
        from fuzz.registry import target

        one = target(name)

    def check(data: bytes) -> None:
        one.check(data)

    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
