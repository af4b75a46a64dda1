"""One node: the core that decides and the one event loop that executes its actions."""
