"""Mutants of journal, outbox, link and line, and the runner that asks the simulator to catch them."""
