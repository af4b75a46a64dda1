"""Power cuts: every state that a crash may leave of a node's files, recovered and judged."""
