"""Measurements behind the numbers: `./dev bench all|NAME [--json]`. Never part of the tests."""
