"""The world, southward: where readings come in.

A source is a declaration (`contract`), found by `registry`, checked by `duties`. HTTP push is a handler and
no source of that kind: it answers (`http_push`).
"""

from headland.sources.contract import Intake, Source, SourceBatch, SourceContext, SourceDeclaration

__all__ = ["Intake", "Source", "SourceBatch", "SourceContext", "SourceDeclaration"]
