"""Bars as SVG, small enough to be read as text; no dependency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.sax.saxutils import escape

import msgspec

LEFT, WIDTH, BAR, GAP, TOP = 230, 420, 16, 8, 34
OURS, DURABLE, OTHER = "#1f6feb", "#57606a", "#afb8c1"


class Bar(msgspec.Struct, frozen=True):
    """One system's figure.

    Attributes:
        value: None where it was not measured: said in words, never a bar of length nought.
        ours: Whether it is drawn as ours.
        durable: Whether it is drawn as one whose acknowledgement is on disk.
    """

    value: float | None
    ours: bool
    durable: bool


def bars(title: str, values: Mapping[str, Bar], *, logarithmic: bool) -> str:
    """A horizontal bar for each; a logarithmic axis begins a decade below the least figure above nought."""
    known = [one.value for one in values.values() if one.value]
    most, least = max(known, default=1.0), min(known, default=1.0) / 10
    height = TOP + len(values) * (BAR + GAP) + 8
    space = "http://www.w3.org/2000/svg"
    lines = [
        f'<svg xmlns="{space}" width="{LEFT + WIDTH + 110}" height="{height}" font-family="sans-serif">',
        "<style>text { font-size: 12px }</style>",
        f'<rect width="100%" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="20">{escape(title)}{" (logarithmic)" if logarithmic else ""}</text>',
    ]
    for index, (name, one) in enumerate(values.items()):
        y = TOP + index * (BAR + GAP)
        length = _length(one.value, most, least, logarithmic=logarithmic)
        colour = OURS if one.ours else DURABLE if one.durable else OTHER
        said = "not measured" if one.value is None else _said(one.value)
        lines.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
        lines.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{said}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _length(value: float | None, most: float, least: float, *, logarithmic: bool) -> float:
    if not value:
        return 0.0
    if logarithmic:
        return WIDTH * math.log(value / least) / math.log(most / least)
    return WIDTH * value / most


def _said(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"
