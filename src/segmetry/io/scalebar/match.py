"""Which bar belongs to which label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from segmetry.io.scalebar.bars import Bar, measure_bars, with_ticks
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
        if box.y1 > core.y0 - reach
        and box.y0 < core.y1 + reach
        and box.x1 > core.x0 - 4 * h
        and box.x0 < core.x1 + 4 * h
    ]
    ink, paper = ink_and_paper(image, core)
    bars = [
        b
        for b in _drop_twins(_drop_frames(measure_bars(image, near), core), ink, paper)
        if not (b.clipped and b.length > 0.95 * image.shape[1])
    ]
    joined, parts = _joined(bars, core)
    bars = joined + [_completed(image, b, core) for b in bars if id(b) not in parts]
    shape = (image.shape[0], image.shape[1])
    strip = Box(0, core.y0, shape[1], core.y1).grow(0, round(2.2 * h), shape)
    scored = [
        (s, b)
        for b in bars
        if not _in_text(b, texts, core) and (s := _fit(b, core, h) * _same_ink(image, b, core, ink, paper)) > 0.15
    ]
    for row in find_ticks(image, strip) if max((s for s, _ in scored), default=0.0) < 0.8 else ():
        if row.x0 - 2 * h <= (core.x0 + core.x1) / 2 <= row.x1 + 3 * h:
            scored.append((row.quality, row))
    if not scored:
        return None
    scored.sort(key=lambda item: -item[0])
    best_score, best = scored[0]
    for score, bar in scored[1:]:
        if score > 0.5 * best_score and bar.length > 1.5 * best.length and _part_of(best, bar):
            best_score, best = score, bar
            break
    if best.length < 1.5 * h:  # a stroke or a serif gives way to any sound bar much longer than itself
        for score, bar in scored[1:]:
            if score > 0.5 and bar.length > 3 * best.length and bar.quality > 0.8 and not bar.clipped:
                scored = [(s, b) for s, b in scored if b.length >= 1.5 * h]
                best_score, best = score, bar
                break
    doubt = ""
    rival = next(
        (
            (s, b)
            for s, b in scored
            if abs(b.length - best.length) > 0.03 * best.length + 2 and s > 0.75 * best_score and not _part_of(b, best)
        ),
        None,
    )
    if rival is not None:
        doubt = f"two bars fit it, {best.length:.0f} and {rival[1].length:.0f} px long"
    elif best.clipped:
        doubt = "its bar runs into the frame"
    elif best.length > 0.95 * shape[1]:
        doubt = "its bar is as wide as the image"
    return Match(named, best if best.style == "ticks" else with_ticks(image, best), best_score, doubt)


def _fit(bar: Bar, core: Box, h: int) -> float:
    """Return in [0, 1] how well a bar lies to a label."""
    middle = (core.x0 + core.x1) / 2
    if bar.style == "interrupted":
        return bar.quality
    # Strokes, serifs and noise are short; a bar is seldom shorter than its letters are tall.
    quality = bar.quality * float(np.clip((bar.length / h - 0.45) / 0.6, 0.0, 1.0))
    if bar.top >= core.y1 - 0.3 * h or bar.bottom <= core.y0 + 0.3 * h:
        gap = max(0.0, bar.top - core.y1, core.y0 - bar.bottom)
        overlap = min(bar.x1, core.x1) - max(bar.x0, core.x0)
        corner = overlap < 0 and abs(bar.y - (core.y0 + core.y1 - 1) / 2) < h  # beside, but a little higher or lower
        if not corner and (gap > 1.8 * h or overlap < 0.5 * min(bar.length, core.width)):
            return 0.0
        if corner:
            return _fit_beside(bar, core, h, quality)
        aside = abs((bar.x0 + bar.x1) / 2 - middle) / max(bar.length, core.width)
        return quality * (1 - 0.3 * gap / h) * (1 - 0.4 * aside)
    return _fit_beside(bar, core, h, quality)


def _fit_beside(bar: Bar, core: Box, h: int, quality: float) -> float:
    beside = max(bar.x0 - core.x1, core.x0 - bar.x1)
    beyond = max(core.x0 - bar.x0, bar.x1 - core.x1)  # a bar that touches its label is part of the detector's box
    if (beside < -0.35 * h and beyond < 0.6 * bar.length) or beside > 2.5 * h:
        return 0.0
    off = abs(bar.y - (core.y0 + core.y1 - 1) / 2) / h
    return quality * (1 - 0.15 * max(beside, 0) / h) * (1 - 0.4 * off)


def ink_and_paper(image: np.ndarray, core: Box) -> tuple[float, float]:
    """Return the grey values of a label's letters and of what they are written on."""
    patch = image[core.y0 : core.y1, core.x0 : core.x1]
    rim = np.concatenate((patch[0], patch[-1], patch[:, 0], patch[:, -1]))
    threshold, _ = cv2.threshold(patch, 0, 255, cv2.THRESH_OTSU)
    paper = float(np.median(rim))
    dark = patch[patch <= threshold]
    if paper > threshold and dark.size:
        return float(np.percentile(dark, 15)), paper
    bright = patch[patch > threshold]
    return (float(np.percentile(bright, 85)) if bright.size else paper), paper


def _same_ink(image: np.ndarray, bar: Bar, core: Box, ink: float, paper: float) -> float:
    """Return 1 for a bar drawn in the ink of its label, less for another grey, 0 for a piece of the label's paper."""
    if abs(bar.level - paper) < 0.3 * abs(ink - paper):
        x0, x1 = int(max(bar.x0, core.x0)), int(min(bar.x1, core.x1))
        y0, y1 = min(core.y1, bar.bottom), max(core.y0, bar.top)
        if x0 < x1:
            between = image[min(y0, y1) : max(y0, y1) + 1, x0:x1]
        else:
            between = image[core.y0 : core.y1, min(core.x1, bar.box.x1) : max(core.x0, bar.box.x0)]
        if between.size == 0 or np.mean(np.abs(between - paper) < 0.3 * abs(ink - paper)) > 0.7:
            return 0.0
    same = 1.0
    if abs(bar.level - ink) > max(40.0, 0.2 * abs(ink - paper)):
        opposite = (bar.level - ink) * (paper - ink) > 0.6 * (paper - ink) ** 2
        if (
            opposite
            and (bar.quality < 0.97 or bar.u_length > 1.0)
            and not (bar.u_length < 1.0 and (bar.level <= 6 or bar.level >= 249))
        ):
            same = 0.35  # dark where the letters are bright, and not sharp: a gap between particles
        elif bar.level <= 6 or bar.level >= 249:
            same = 0.9  # some draw a white bar and write in black
        else:
            same = 0.7
    around, rim = bar.level - bar.contrast, _rim(image, core)
    if (rim - paper) * (paper - ink) > 0:  # close to blurred letters their paper looks like ink
        paper = rim
    if abs(around - paper) > 0.5 * abs(ink - paper):
        same *= 0.7  # the label has a box of its own, the bar does not lie in it
        if bar.x0 < 4 or bar.x1 > image.shape[1] - 4:
            same *= 0.5  # rather the strip of a cut footer
    return same


def _rim(image: np.ndarray, core: Box) -> float:
    """Return the grey value a step outside a label."""
    out = core.grow(core.height // 6, core.height // 6, (image.shape[0], image.shape[1]))
    patch = image[out.y0 : out.y1, out.x0 : out.x1]
    return float(np.median(np.concatenate((patch[0], patch[-1], patch[:, 0], patch[:, -1]))))


def _in_text(bar: Bar, texts: Sequence[Box], own: Box) -> bool:
    """Whether a bar is a stroke of a letter."""
    if bar.style == "interrupted":
        return False
    for box in texts:
        rows = min(bar.bottom, box.y1) - max(bar.top, box.y0)
        cols = min(bar.x1, box.x1) - max(bar.x0, box.x0)
        if rows <= 0.6 * bar.thickness or cols <= 0.6 * bar.length:
            continue
        underline = bar.length >= 0.45 * box.width and not (
            box.y0 + 0.25 * box.height < bar.y < box.y1 - 0.25 * box.height
        )
        if box != own or not underline:
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


def _drop_twins(bars: list[Bar], ink: float, paper: float) -> list[Bar]:
    """Return bars without one of two that touch, of opposite polarity, one inside the other's columns.

    So the strip of paper between a bar and the frame goes, the gap between particles that a bar lies along, and the
    inside of an outlined bar: of two, the fainter and less drawn; the ink of the label counts for more than a half.
    """

    def weight(bar: Bar) -> float:
        inked = abs(bar.level - ink) < 0.3 * abs(ink - paper)
        return abs(bar.contrast) * bar.quality * (1.6 if inked else 1.0)

    dropped: set[int] = set()
    for outer in bars:
        for inner in bars:
            if (
                outer.contrast * inner.contrast < 0
                and (abs(inner.bottom - outer.top) <= 2 or abs(outer.bottom - inner.top) <= 2)
                and outer.x0 <= inner.x0 + 0.5
                and outer.x1 >= inner.x1 - 0.5
                and inner.length > 0.5 * outer.length
                and min(inner.quality, outer.quality) > 0.3
            ):
                dropped.add(id(min(outer, inner, key=weight)))
    return [b for b in bars if id(b) not in dropped]


def _joined(bars: list[Bar], core: Box) -> tuple[list[Bar], set[int]]:
    """Return bars made of two pieces with the label between them, ``|-- 2 µm --|``, and the ids of the pieces."""
    out: list[Bar] = []
    parts: set[int] = set()
    h = core.height
    middle = (core.x0 + core.x1) / 2
    rows = [b for b in bars if b.top < core.y1 and b.bottom > core.y0 and b.length > 0.6 * h]
    for a in rows:
        for b in rows:
            apart = b.x0 - a.x1
            if not (a.x1 < middle < b.x0 and 0.3 * core.width < apart < core.width + 3 * h):
                continue
            alike = abs(a.y - b.y) <= 1.5 and a.contrast * b.contrast > 0 and abs(a.thickness - b.thickness) <= 2
            if alike and 0.6 < a.length / b.length < 1.67 and abs(a.level - b.level) < 0.3 * abs(a.contrast):
                parts |= {id(a), id(b)}
                out.append(
                    replace(
                        a,
                        x1=b.x1,
                        quality=float(np.sqrt(a.quality * b.quality)),
                        u_length=float(np.hypot(a.u_length, b.u_length) / np.sqrt(2)),
                        clipped=a.clipped or b.clipped,
                        style="interrupted",
                    )
                )
    return out, parts


def _part_of(bar: Bar, whole: Bar) -> bool:
    """Whether a bar touches another and lies within its columns: a black field of a black and white ruler."""
    touching = bar.top <= whole.bottom + 2 and whole.top <= bar.bottom + 2
    return touching and bar.x0 >= whole.x0 - 2 and bar.x1 <= whole.x1 + 2


def _completed(image: np.ndarray, bar: Bar, core: Box) -> Bar:
    """Return a bar beside its label, with its other half where the line goes on behind the label.

    The letters often touch the inner ends of such a line, so that its halves are no proper bars; only outer ends count.
    """
    h = core.height
    outside = bar.x1 <= core.x0 + 0.6 * h or bar.x0 >= core.x1 - 0.6 * h
    if not outside or abs(bar.y - (core.y0 + core.y1 - 1) / 2) > 0.3 * h or bar.length < h:
        return bar
    middle = (core.x0 + core.x1) / 2
    sign = 1.0 if bar.contrast > 0 else -1.0
    profile = sign * np.median(image[bar.top : bar.bottom].astype(np.float32), axis=0)
    level, half = sign * bar.level, sign * bar.level - 0.5 * abs(bar.contrast)
    leftward = (bar.x0 + bar.x1) / 2 > middle
    near = core.x1
    if leftward:
        profile, near = profile[::-1], image.shape[1] - core.x0
    start = int(max(near - 0.6 * h, 0))
    last = min(len(profile), int(near + h + 1.7 * bar.length))
    on = np.abs(profile[start:last] - level) < 0.35 * abs(bar.contrast)
    best_start, best_len, run = 0, 0, 0
    for i, value in enumerate(on):
        run = run + 1 if value else 0
        if run > best_len:
            best_start, best_len = start + i - run + 1, run
    if not 0.6 < best_len / bar.length < 1.67 or best_start > near + h:
        return bar
    i = best_start + best_len - 1
    while i + 1 < len(profile) and profile[i + 1] >= half:
        i += 1
    if i + 1 >= len(profile):
        return replace(bar, clipped=True)
    end = i + float(np.clip((profile[i] - half) / max(profile[i] - profile[i + 1], 1e-6), 0, 1))
    if leftward:
        end = image.shape[1] - 1 - end
    x0, x1 = (end, bar.x1) if leftward else (bar.x0, end)
    return replace(bar, x0=x0, x1=x1, style="interrupted", quality=0.9 * bar.quality)
