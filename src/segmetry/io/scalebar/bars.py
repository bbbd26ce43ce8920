"""Straight horizontal bars: where they may be, and where exactly they end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from segmetry.io.scalebar.ocr import Box

MIN_LENGTH = 10
_THICKNESS = (4, 12, 40)
_CONTRASTS = (20, 60, 120)


@dataclass(frozen=True, slots=True)
class Bar:
    """A measured bar.

    ``x0, x1`` are the outer edges at half height (integers are centres of pixels), ``top`` and ``bottom`` the first row
    and the row after the last, ``level`` its grey value, ``contrast`` level minus surroundings, ``quality`` in [0, 1]
    how much it looks drawn, ``u_length`` the standard uncertainty of its length in px, ``ripple`` the standard
    deviation along it over the contrast, ``clipped`` whether it runs into the frame, ``style`` one of line, box,
    ticked, ticks, interrupted, ``tick`` the width of its end ticks in px.
    """

    x0: float
    x1: float
    top: int
    bottom: int
    level: float
    contrast: float
    quality: float
    u_length: float
    ripple: float = 0.0
    clipped: bool = False
    style: str = "line"
    tick: float = 0.0

    @property
    def length(self) -> float:
        """Distance of the ends in px."""
        return self.x1 - self.x0

    @property
    def thickness(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def y(self) -> float:
        """Row of the middle line."""
        return (self.top + self.bottom - 1) / 2

    @property
    def box(self) -> Box:
        """Pixels it covers."""
        return Box(int(np.floor(self.x0 + 0.5)), self.top, int(np.ceil(self.x1 + 0.5)), self.bottom)


def propose_bars(image: np.ndarray) -> list[tuple[Box, bool]]:
    """Return places of what may be a horizontal bar, thin or thick, and whether it is bright.

    Parameters
    ----------
    image : (M, N) array of uint8

    Notes
    -----
    A vertical top-hat keeps what is thinner than its window, whatever lies behind; of that, runs of at least 10 px are
    kept, at three contrasts. Steps between regions (the upper
    edge of a footer, the frame of the image) are no tops and vanish by themselves.
    """
    height, _width = image.shape
    proposals: set[tuple[int, int, int, int, bool]] = set()
    for bright in (True, False):
        plane = image if bright else 255 - image
        for thickness in _THICKNESS:
            if thickness * 2 > height:
                continue
            window = cv2.getStructuringElement(cv2.MORPH_RECT, (1, thickness + 1))
            # A bar on the outermost row is still thin: outside counts as background.
            padded = cv2.copyMakeBorder(plane, thickness + 1, thickness + 1, 0, 0, cv2.BORDER_REFLECT)
            hat = cv2.morphologyEx(padded, cv2.MORPH_TOPHAT, window)[thickness + 1 : -thickness - 1]
            run = max(MIN_LENGTH, round(0.8 * thickness))
            line = cv2.getStructuringElement(cv2.MORPH_RECT, (run, 1))
            for contrast in _CONTRASTS:
                mask = (hat >= contrast).astype(np.uint8)
                if thickness == _THICKNESS[0]:
                    mask = cv2.dilate(mask, np.ones((2, 1), np.uint8))  # a bar that is tilted by a pixel or two
                mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, line)
                _count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
                order = np.argsort(-stats[1:, cv2.CC_STAT_WIDTH])[:150] + 1
                for x, y, w, h, area in stats[order]:
                    if h <= thickness + 4 and w >= 1.3 * h and area >= 0.6 * w * h:
                        proposals.add((int(x), int(y), int(w), int(h), bright))
    return [(Box(x, y, x + w, y + h), bright) for x, y, w, h, bright in proposals]


def measure_bars(image: np.ndarray, proposals: list[tuple[Box, bool]]) -> list[Bar]:
    """Return the bars among proposals, measured and without doubles, best first.

    Parameters
    ----------
    image : (M, N) array of uint8
    proposals : list of (Box, bool)
    """
    measured = (measure_bar(image, box, bright) for box, bright in proposals)
    bars = [bar for bar in measured if bar is not None and bar.length >= MIN_LENGTH]
    bars.sort(key=lambda b: (-b.quality, b.top, b.x0))
    kept: list[Bar] = []
    for bar in bars:
        same = (
            abs(b.x0 - bar.x0) < 2 and abs(b.x1 - bar.x1) < 2 and b.top <= bar.bottom and bar.top <= b.bottom
            for b in kept
        )
        if not any(same):
            kept.append(bar)
    return kept


def measure_bar(image: np.ndarray, box: Box, bright: bool) -> Bar | None:
    """Return the bar near a proposed box, measured at half height, or None where there is none.

    Parameters
    ----------
    image : (M, N) array of float
    box : Box
        Where it may be, to a few pixels.
    bright : bool
        Whether it is brighter than its surroundings.
    """
    height, width = image.shape
    sign = 1.0 if bright else -1.0
    inner = slice(box.x0 + min(3, box.width // 4), box.x1 - min(3, box.width // 4))
    # Rows: half height of the mean over the length.
    lo, hi = max(0, box.y0 - 5), min(height, box.y1 + 5)
    rows = sign * np.median(image[lo:hi, inner], axis=1)
    a, b = box.y0 - lo, box.y1 - lo
    peak = float(rows[a:b].max())
    above = rows[: max(a - 1, 0)]
    below = rows[min(b + 1, len(rows)) :]
    sides = [float(np.min(side)) for side in (above, below) if side.size]
    if not sides:
        return None
    base = max(sides)  # the fainter side decides
    if peak - base < 12:
        return None
    strong = rows >= (peak + base) / 2
    k = a + int(np.argmax(rows[a:b]))
    first = last = k
    on = np.flatnonzero(strong[a:b]) + a
    hollow = len(on) < on[-1] - on[0] + 1 and rows[on[0] : on[-1] + 1].min() > base + 0.1 * (peak - base) - 40
    if hollow:  # an outlined box: its upper and lower line are one bar
        first, last = int(on[0]), int(on[-1])
    while first > 0 and strong[first - 1]:
        first -= 1
    while last + 1 < len(rows) and strong[last + 1]:
        last += 1
    if (first == 0 and lo > 0) or (last == len(rows) - 1 and hi < height):
        return None  # no bar: it goes on above or below
    top, bottom = lo + first, lo + last + 1
    thick = bottom - top
    core = slice(top + thick // 4, bottom - thick // 4) if thick >= 4 else slice(top, bottom)
    band = sign * image[core].astype(np.float32)
    if hollow:
        band = sign * image[top:bottom].astype(np.float32)
    profile = band.max(axis=0) if thick <= 3 or hollow else band.mean(axis=0)
    level = float(np.median(profile[inner]))
    contrast = level - base
    if contrast < 8:
        return None  # noise: what stands out in the mean of few rows does not along the bar

    def end(start: int, step: int) -> tuple[float, float, bool, float]:
        """Return edge position, its blur in px, whether it lies on the frame, and the contrast there."""
        i = start
        background = base
        for _ in range(2):
            half = (level + background) / 2
            i = start
            while 0 <= i + step < width and profile[i + step] >= half:
                i += step
            outside = profile[max(0, i - 9) : max(0, i - 2)][::-1] if step < 0 else profile[i + 3 : i + 10]
            if outside.size == 0:
                break
            # The label may begin a few pixels beyond: what lies between counts then.
            background = float(min(np.median(outside[:3]), np.median(outside)))
            if level - background < 0.3 * contrast:
                break
        if not 0 <= i + step < width:
            return float(i + 0.5 * step), 0.0, True, 0.0
        if not 0 <= i + 2 * step < width and profile[i + step] > level - 0.8 * contrast:
            return float(i + 0.5 * step), 0.0, True, 0.0
        if level - background < 0.2 * contrast:
            return i + 0.5 * step, 0.0, False, max(level - background, 0.0)
        # Grey values near the edge add up to its place: exact for pixels that a sharp edge covers in part, and for any
        # symmetric blur of it. (Half height between two pixels is off by up to 0.1 px.)
        share = [(float(profile[k]) - background) / (level - background) for k in range(i - step, i + 3 * step, step)
                 if 0 <= k < width]  # fmt: skip
        if len(share) < 4:
            share += [0.0] * (4 - len(share))
        share[3] = min(share[3], share[2])
        share[0] = max(share[0], share[1])
        part = sum(min(max(v, 0.0), 1.0) for v in share) - 1.5
        j, steep = i, level - 0.2 * (level - background)
        while 0 < j < width - 1 and profile[j] < steep and abs(j - i) < 8:
            j -= step
        m, low = i, level - 0.8 * (level - background)
        while 0 < m < width - 1 and profile[m] > low and abs(m - i) < 8:
            m += step
        return i + step * part, float(abs(m - j)), False, level - background

    middle = (box.x0 + box.x1) // 2
    start = middle if profile[middle] >= level - 0.5 * contrast else int(box.x0 + np.argmax(profile[box.x0 : box.x1]))
    x0, blur0, clip0, c0 = end(start, -1)
    x1, blur1, clip1, c1 = end(start, +1)
    length = x1 - x0
    if length < 0.6 * box.width or length < MIN_LENGTH - 1:
        return None
    a, b = int(np.ceil(x0 + 0.5)), int(np.floor(x1 - 0.5)) + 1
    q = (profile[a + 1 : b - 1] - level) / contrast
    uniform = float(np.mean(np.abs(q) < 0.25)) if q.size else 0.0
    ripple = float(np.std(q)) if q.size else 1.0
    free = [1.0]
    for near, far in ((top - 2, top - 3), (bottom + 1, bottom + 2)):
        if 0 <= near < height:
            row = sign * image[near, a:b].astype(np.float32)
            if 0 <= far < height:
                row = np.minimum(row, sign * image[far, a:b])
            free.append(float(np.mean(row < level - 0.4 * contrast)))
    clipped = clip0 or clip1
    square = 1.0
    if thick >= 4 and not hollow:
        whole = sign * image[top + 1 : bottom - 1].astype(np.float32)
        square = min(_upright(whole, x0, -1, level, contrast), _upright(whole, x1, +1, level, contrast))
    weakest = 1.0 if clipped else min(c0, c1) / contrast
    blur = max(blur0, blur1)
    factors = (
        _ramp(contrast, 12, 45),
        _ramp(uniform, 0.8, 0.97),
        _ramp(0.35 - ripple, 0.0, 0.2),
        _ramp(min(free), 0.5, 0.85),
        _ramp(weakest, 0.25, 0.5),
        _ramp(10 - blur, 2.0, 5.0),
        square,
    )
    quality = float(np.prod(factors) ** 0.5)
    if quality < 0.05:
        return None
    # Each end: interpolation at half height, about a tenth of a pixel plus a share of the blur; ripple moves it too.
    u_end = float(np.hypot(0.1 + 0.08 * blur, ripple * blur * 0.5))
    u = float(np.hypot(np.sqrt(2) * u_end, 0.29))  # 1 px / sqrt(12): a bar drawn on whole pixels
    if hollow:  # the outline or what it encloses: nobody can see which was meant
        u = float(np.hypot(u, len(on) / math.sqrt(12)))
    style = "box" if thick > 3 else "line"
    return Bar(x0, x1, top, bottom, sign * level, sign * contrast, quality, u, ripple, clipped, style)


def lonely_bars(image: np.ndarray, proposals: Sequence[tuple[Box, bool]], texts: Sequence[Box]) -> list[Bar]:
    """Return bars that look drawn though no label was found near them, best first."""
    height, width = image.shape
    fine = [
        (box, bright)
        for box, bright in proposals
        if box.width >= 20 and box.width >= 2.5 * box.height and box.width < 0.7 * width
    ]
    fine.sort(key=lambda item: -item[0].width)
    bars = [
        b
        for b in measure_bars(image, fine[:80])
        if b.quality > 0.7 and not b.clipped and b.length >= 20
        and not any(t.y0 <= b.y <= t.y1 and t.x0 - 3 <= b.x0 and b.x1 <= t.x1 + 3 for t in texts)
    ]  # fmt: skip

    def drawn(b: Bar) -> float:
        edge = min(b.top, height - b.bottom) / height
        return b.quality * (1 - 2 * min(b.ripple, 0.4)) * (1.3 - edge) * (1.2 if b.level in (0, 255) else 1.0)

    return sorted(bars, key=lambda b: -drawn(b))


def _upright(band: np.ndarray, edge: float, step: int, level: float, contrast: float) -> float:
    """Return how much an end of a thick bar is a straight upright edge: 1 for a drawn box, 0 for a particle's round."""
    width = band.shape[1]
    inner = int(np.clip(round(edge - 7 * step), 0, width - 1))
    outer = int(np.clip(round(edge + 7 * step), 0, width - 1))
    columns = np.arange(inner, outer + step, step)
    on = np.logical_and.accumulate(band[:, columns] >= level - 0.5 * contrast, axis=1).sum(axis=1)
    return _ramp(4.5 - float(np.percentile(on, 90) - np.percentile(on, 10)), 0.0, 2.0)


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))


def with_ticks(image: np.ndarray, bar: Bar) -> Bar:
    """Return a bar with its end ticks taken into account; the same bar where it has none.

    Some programs make the ticks' middles the length apart, others their outer edges: the length in between is taken,
    and half a tick's width at each end is a uniform distribution in the uncertainty (GUM, JCGM 100:2008, 4.3.7).
    """
    height, width = image.shape
    sign = 1.0 if bar.contrast > 0 else -1.0
    half = sign * (bar.level - 0.5 * bar.contrast)
    widths = []
    for edge, step in ((math.ceil(bar.x0 + 0.5), 1), (math.floor(bar.x1 - 0.5), -1)):
        tall = 0
        for column in range(edge, edge + 9 * step, step):
            if not 0 <= column < width:
                break
            up, down = bar.top, bar.bottom - 1
            while up > 0 and sign * image[up - 1, column] >= half:
                up -= 1
            while down < height - 1 and sign * image[down + 1, column] >= half:
                down += 1
            if down - up + 1 >= bar.thickness + 4:
                tall += 1
            elif tall or column != edge:
                break
        if tall in (0, 9) or tall > 0.2 * bar.length:
            return bar
        widths.append(tall)
    left, right = widths
    return replace(
        bar,
        x0=bar.x0 + left / 4,
        x1=bar.x1 - right / 4,
        u_length=math.hypot(bar.u_length, (left + right) / 2 / math.sqrt(12)),
        style=bar.style if bar.style == "interrupted" else "ticked",
        tick=float(max(widths)),
    )
