"""The world, southward: where readings come in."""
