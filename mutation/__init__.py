"""Mutants of the rooms that keep the promise, judged by their tests: `./dev mutation`; docs/mutation.md."""
