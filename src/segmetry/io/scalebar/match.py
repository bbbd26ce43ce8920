"""Which bar belongs to which label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from segmetry.io.scalebar.bars import Bar, measure_bars
from segmetry.io.scalebar.labels import Named
from segmetry.io.scalebar.ocr import Box
from segmetry.io.scalebar.ticks import find_ticks


class Match(NamedTuple):
    """A label with its bar, how well they fit, and why the pair is in doubt if it is."""

    named: Named
    bar: Bar
    score: float
    doubt: str = ""


def match_label(
    image: np.ndarray, named: Named, proposals: Sequence[tuple[Box, bool]], texts: Sequence[Box]
) -> Match | None:
    """Return the bar that belongs to a label, or None where there is no bar near it.

    Parameters
    ----------
    image : (M, N) array of uint8
    named : Named
    proposals : sequence of (Box, bool)
        From `propose_bars`.
    texts : sequence of Box
        All lines of text: strokes of letters are no bars.
    """
    core = named.core
    h = max(core.height, 6)
    reach = 2.2 * h
    near = [
        (box, bright)
        for box, bright in proposals
        if box.y1 > core.y0 - reach and box.y0 < core.y1 + reach and box.x1 > core.x0 - 4 * h and box.x0 < core.x1 + 4 * h
    ]
    bars = _drop_backgrounds(_drop_frames(measure_bars(image, near), core))
    bars += _joined(bars, core)
    shape = (image.shape[0], image.shape[1])
    strip = Box(0, core.y0, shape[1], core.y1).grow(0, round(2.2 * h), shape)
    scored = [(s, b) for b in bars if (s := _fit(b, core, h)) > 0.15 and not _in_text(b, texts, core)]
    for row in find_ticks(image, strip):
        if row.x0 - 2 * h <= (core.x0 + core.x1) / 2 <= row.x1 + 3 * h:
            scored.append((row.quality, row))
    if not scored:
        return None
    scored.sort(key=lambda item: -item[0])
    best_score, best = scored[0]
    doubt = ""
    rival = next(
        ((s, b) for s, b in scored[1:] if abs(b.length - best.length) > 0.03 * best.length + 2 and s > 0.75 * best_score), None
    )
    if rival is not None:
        doubt = f"two bars fit it, {best.length:.0f} and {rival[1].length:.0f} px long"
    elif best.clipped:
        doubt = "its bar runs into the frame"
    elif best.length > 0.95 * shape[1]:
        doubt = "its bar is as wide as the image"
    return Match(named, best, best_score, doubt)


def _fit(bar: Bar, core: Box, h: int) -> float:
    """Return in [0, 1] how well a bar lies to a label."""
    middle = (core.x0 + core.x1) / 2
    if bar.style == "interrupted":
        return bar.quality
    if bar.top >= core.y1 - 0.3 * h or bar.bottom <= core.y0 + 0.3 * h:
        gap = max(0.0, bar.top - core.y1, core.y0 - bar.bottom)
        overlap = min(bar.x1, core.x1) - max(bar.x0, core.x0)
        if gap > 1.8 * h or overlap < 0.5 * min(bar.length, core.width):
            return 0.0
        aside = abs((bar.x0 + bar.x1) / 2 - middle) / max(bar.length, core.width)
        return bar.quality * (1 - 0.3 * gap / h) * (1 - 0.4 * aside)
    beside = max(bar.x0 - core.x1, core.x0 - bar.x1)
    if beside < -0.35 * h or beside > 2.5 * h:
        return 0.0
    off = abs(bar.y - (core.y0 + core.y1 - 1) / 2) / h
    return bar.quality * (1 - 0.15 * max(beside, 0) / h) * (1 - 0.4 * off)


def _in_text(bar: Bar, texts: Sequence[Box], own: Box) -> bool:
    """Whether a bar is a stroke of a letter."""
    for box in texts:
        rows = min(bar.bottom, box.y1) - max(bar.top, box.y0)
        cols = min(bar.x1, box.x1) - max(bar.x0, box.x0)
        if rows > 0.6 * bar.thickness and cols > 0.6 * bar.length and (box != own or bar.length < 0.8 * own.width):
            return True
    return False


def _drop_frames(bars: list[Bar], core: Box) -> list[Bar]:
    """Return bars without the frame of a label's box: two equal lines, one above and one below the label."""
    above = [b for b in bars if b.bottom <= core.y0 + 0.3 * core.height]
    below = [b for b in bars if b.top >= core.y1 - 0.3 * core.height]
    frames: set[int] = set()
    for a in above:
        for b in below:
            if abs(a.x0 - b.x0) <= 3 and abs(a.x1 - b.x1) <= 3 and a.x0 < core.x0 and a.x1 > core.x1:
                frames |= {id(a), id(b)}
    return [b for b in bars if id(b) not in frames]


def _drop_backgrounds(bars: list[Bar]) -> list[Bar]:
    """Return bars without strips of a label's box that touch the bar proper, of the other polarity and reaching beyond it."""
    kept = []
    for b in bars:
        background = any(
            a.contrast * b.contrast < 0
            and (abs(a.bottom - b.top) <= 2 or abs(b.bottom - a.top) <= 2)
            and b.x0 <= a.x0 + 0.5
            and b.x1 >= a.x1 - 0.5
            and a.quality >= 0.6
            for a in bars
        )
        if not background:
            kept.append(b)
    return kept


def _joined(bars: list[Bar], core: Box) -> list[Bar]:
    """Return bars made of two pieces with the label between them: ``|-- 2 µm --|``."""
    out = []
    h = core.height
    rows = [b for b in bars if b.top < core.y1 and b.bottom > core.y0]
    for a in rows:
        for b in rows:
            apart = b.x0 - a.x1
            if not (a.x1 <= core.x0 + 0.6 * h and b.x0 >= core.x1 - 0.6 * h and apart <= core.width + 3 * h):
                continue
            alike = abs(a.y - b.y) <= 1.5 and a.contrast * b.contrast > 0 and abs(a.thickness - b.thickness) <= 2
            if alike and 0.6 < a.length / b.length < 1.67:
                out.append(
                    replace(
                        a,
                        x1=b.x1,
                        quality=min(a.quality, b.quality),
                        u_length=float(np.hypot(a.u_length, b.u_length) / np.sqrt(2)),
                        clipped=a.clipped or b.clipped,
                        style="interrupted",
                    )
                )
    return out
