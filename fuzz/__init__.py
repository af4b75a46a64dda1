"""Fuzzing of everything that meets a stranger's bytes: `./dev fuzz`. See docs/fuzzing.md."""
