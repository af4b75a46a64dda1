"""Curves over time as SVG, without a library: one plot a picture, readable on a light and a dark page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import msgspec

WIDTH, HEIGHT = 860, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 34
TICKS = 5
GREY = "#8a8a8a"
FONT = 'font-family="sans-serif" font-size="12"'
STEPS = (1, 2, 2.5, 5, 10)
POINTS_MOST = 1_000
"""Of a curve; of more, every other one is left out, and so on."""


class Curve(msgspec.Struct, frozen=True):
    """One curve: its name, its colour, where and how high; as many of both."""

    name: str
    colour: str
    at: Sequence[float]
    values: Sequence[float]


class Span(msgspec.Struct, frozen=True):
    """A stretch of time that is shaded."""

    begin: float
    end: float


def step_of(most: float) -> float:
    """A round step, such that about five of them reach `most` above 0."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most / TICKS))
    return next(step * power for step in STEPS if step * power * TICKS >= most * 0.999)


def drawn(title: str, unit: str, curves: Sequence[Curve], spans: Sequence[Span] = ()) -> str:
    """The picture; time in minutes, and values from 0 up."""
    last = max((at for curve in curves for at in curve.at), default=1.0) or 1.0
    most = max((value for curve in curves for value in curve.values), default=1.0)
    step = step_of(most)
    top = step * max(1, math.ceil(most / step - 1e-9))

    def x(at: float) -> float:
        return LEFT + at / last * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    heading = escape(f"{title}, {unit}" if unit else title)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{heading}</title>",
        f'<text x="{LEFT}" y="18" {FONT} font-weight="bold" fill="{GREY}">{heading}</text>',
    ]
    for span in spans:
        begin, wide = x(span.begin), x(span.end) - x(span.begin)
        parts.append(
            f'<rect x="{begin:.1f}" y="{TOP}" width="{wide:.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            f'fill="{GREY}" fill-opacity="0.25"/>'
        )
    for number in range(round(top / step) + 1):
        value = number * step
        parts.append(
            f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-opacity="0.3"/>'
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" {FONT} fill="{GREY}" text-anchor="end">'
            f"{value:,.6g}</text>"
        )
    step = step_of(last)
    for number in range(int(last / step + 1e-9) + 1):
        at = number * step
        parts.append(
            f'<text x="{x(at):.1f}" y="{HEIGHT - 14}" {FONT} fill="{GREY}" text-anchor="middle">'
            f"{at:g} min</text>"
        )
    for number, curve in enumerate(curves):
        every = max(1, math.ceil(len(curve.at) / POINTS_MOST))
        points = list(zip(curve.at, curve.values, strict=True))[::every]
        line = "L".join(f"{x(at):.1f} {y(value):.1f}" for at, value in points)
        parts.append(
            f'<path d="M{line}" fill="none" stroke="{curve.colour}" stroke-width="1.5"/>' if line else ""
        )
        parts.append(
            f'<text x="{WIDTH - RIGHT - 80 * (len(curves) - number) + 80}" y="18" {FONT} text-anchor="end" '
            f'fill="{curve.colour}">{escape(curve.name)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
