"""The image with what was found drawn on it: outlines, numbers, the scale bar as read, pixels that were ignored."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import cv2
import numpy as np

from segmetry.errors import ShapeMismatchError
from segmetry.report.legend import font, with_strip
from segmetry.report.picture import PERCENTILES, grey_limits, resize_nearest, shrink, to_grey

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

KEPT = ((255, 170, 0), (86, 200, 255), (255, 120, 200), (190, 240, 60))
"""Outlines of particles that count: amber, sky, pink, lime. They differ in lightness too, and none of them is grey."""
DROPPED = (240, 70, 40)
"""Dashed outline of particles that are not seen whole and do not enter the statistics."""
DOUBTFUL = 0.7
"""Score below which a particle that counts gets a dotted outline."""
BAR = (255, 60, 255)
"""The scale bar as it was read."""
BAR_TEXT = (255, 190, 255)
IGNORED = (120, 110, 255)
"""Hatching over pixels that are not specimen."""

SMALL_SIDE, MAX_SIDE = 1000, 1600
MAX_NUMBERS = 400


class Bar(Protocol):
    """What is needed of a scale bar: `segmetry.io.ScaleBar` has it."""

    @property
    def value(self) -> float: ...
    @property
    def unit(self) -> str: ...
    @property
    def x0(self) -> float: ...
    @property
    def y0(self) -> float: ...
    @property
    def x1(self) -> float: ...
    @property
    def y1(self) -> float: ...


class Layers(NamedTuple):
    """The picture under the drawing, the drawing, and how many display pixels one image pixel takes."""

    base: np.ndarray  # (H, W) uint8, contrast-stretched
    drawing: np.ndarray  # (H, W, 4) uint8, transparent where nothing is drawn
    scale: float

    def flat(self) -> np.ndarray:
        """Return both as one RGB image, shape (H, W, 3), uint8."""
        alpha = self.drawing[..., 3:].astype(np.uint16)
        return ((self.base[..., None] * (255 - alpha) + self.drawing[..., :3] * alpha + 127) // 255).astype(np.uint8)


def layers(
    pixels: np.ndarray,
    labels: np.ndarray,
    *,
    dropped: np.ndarray | None = None,
    doubtful: np.ndarray | None = None,
    ignore: np.ndarray | None = None,
    bar: Bar | None = None,
    numbers: bool = True,
    max_side: int = MAX_SIDE,
) -> Layers:
    """Return picture and drawing apart, so that a page can switch the drawing off; options as in `overlay`."""
    if pixels.ndim != 2 or labels.shape != pixels.shape:
        raise ShapeMismatchError(
            f"overlay: pixels are {pixels.shape} and labels {labels.shape}; both must be the same (rows, columns), "
            "so pass one plane of a stack."
        )
    scale = _display_scale(pixels.shape, max_side)
    size = tuple(max(1, round(n * scale)) for n in pixels.shape)
    limits = grey_limits(pixels, ignore, PERCENTILES)
    base = to_grey(shrink(pixels, size) if scale < 1 else pixels, limits)
    if scale > 1:
        how = cv2.INTER_CUBIC if scale < 3 else cv2.INTER_NEAREST
        base = cv2.resize(base, size[::-1], interpolation=how)
    shown = resize_nearest(labels, size)
    drawing = np.zeros((*size, 4), np.uint8)
    if ignore is not None and ignore.any():
        _hatch(drawing, resize_nearest(ignore, size))
    _outline(drawing, shown, dropped, doubtful, thickness=1 + round(max(size) / 900))
    texts: list[tuple[str, float, float, int, tuple[int, int, int]]] = []
    if numbers:
        n = int(np.count_nonzero(np.bincount(shown.ravel())[1:]))
        texts += _place_numbers(shown, font_size := _font_size(size, n), _text_width(font_size))
    if bar is not None:
        texts += _draw_bar(drawing, bar, scale, ignore)
    if texts:
        drawing = _write(drawing, texts)
    return Layers(base, drawing, scale)


def overlay(
    pixels: np.ndarray,
    labels: np.ndarray,
    *,
    dropped: np.ndarray | None = None,
    doubtful: np.ndarray | None = None,
    ignore: np.ndarray | None = None,
    bar: Bar | None = None,
    numbers: bool = True,
    legend: bool = False,
    max_side: int = MAX_SIDE,
) -> np.ndarray:
    """Return the image with outlines, numbers and scale bar drawn on it, as RGB.

    Parameters
    ----------
    pixels : (M, N) array
        The image. For display its 0.5th and 99.5th percentile become black and white.
    labels : (M, N) array of int
        Label image; 0 is background.
    dropped : array of int, optional
        Labels of particles that do not count; they get a dashed outline.
    doubtful : array of int, optional
        Labels of particles that count and may be false; they get a dotted outline.
    ignore : (M, N) bool array, optional
        Pixels that are not specimen; they are hatched.
    bar : ScaleBar, optional
        Drawn as it was read, with its value.
    numbers : bool, optional
        Write each particle's label into it or beside it where there is room; the 400 largest at most.
    legend : bool, optional
        Add a strip below that says what the lines mean.
    max_side : int, optional
        Larger images are made smaller, small ones larger by a whole factor so that the lines stay thin.

    Returns
    -------
    picture : (H, W, 3) array of uint8
        Red, green, blue.

    Raises
    ------
    ShapeMismatchError
        If the two images differ in shape or are not two-dimensional.
    """
    drawn = layers(
        pixels,
        labels,
        dropped=dropped,
        doubtful=doubtful,
        ignore=ignore,
        bar=bar,
        numbers=numbers,
        max_side=max_side,
    )
    if not legend:
        return drawn.flat()
    has_dropped, has_doubtful = (some is not None and len(some) > 0 for some in (dropped, doubtful))
    has_ignored = ignore is not None and bool(ignore.any())
    entries = legend_entries(bool(labels.any()), has_doubtful, has_dropped, has_ignored, bar is not None)
    return with_legend(drawn.flat(), entries)


def legend_entries(counted: bool, doubtful: bool, dropped: bool, ignored: bool, bar: bool) -> list[tuple[str, str]]:
    """Return kind and words of the styles that occur, in the order in which a legend lists them."""
    entries = [
        (counted, "kept", "counted"),
        (doubtful, "doubtful", f"counted, but doubtful: score below {DOUBTFUL:g}"),
        (dropped, "dropped", "not seen whole, not counted"),
        (ignored, "ignored", "ignored pixels"),
        (bar, "bar", "scale bar as read"),
    ]
    return [(kind, words) for there, kind, words in entries if there]


def _display_scale(shape: tuple[int, ...], max_side: int) -> float:
    side = max(shape)
    if side > max_side:
        return max_side / side
    return float(np.clip(-(-SMALL_SIDE // side), 1, min(8, max(1, max_side // side))))


def border_of(labels: np.ndarray, thickness: int = 1) -> np.ndarray:
    """Return the border pixels of every region of a label image, inside the region, as a mask."""
    border = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    if thickness > 1:  # so many pixels more to every side; what falls outside is cut below
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        border = cv2.dilate(border.view(np.uint8), cross, iterations=thickness - 1).view(bool)
    return border & (labels > 0)


def _outline(
    drawing: np.ndarray,
    labels: np.ndarray,
    dropped: np.ndarray | None,
    doubtful: np.ndarray | None,
    *,
    thickness: int,
) -> None:
    """Draw the border pixels of every region, inside the region, so that touching particles keep both lines."""
    border = border_of(labels, thickness)
    rows, cols = np.nonzero(border)
    on = labels[rows, cols]
    palette = np.array(KEPT, np.uint8)[_colour_index(labels)]
    colours, alpha = palette[on], np.full(len(on), 255, np.uint8)
    step = (rows + cols) // (2 * thickness)
    if doubtful is not None and len(doubtful):
        alpha[np.isin(on, doubtful) & (step % 3 > 0)] = 0
    if dropped is not None and len(dropped):
        lost = np.isin(on, dropped)
        colours[lost] = DROPPED
        alpha[lost] = np.where(step[lost] // 2 % 2 == 0, 0, 255)
    drawing[rows, cols, :3], drawing[rows, cols, 3] = colours, alpha


def _colour_index(labels: np.ndarray) -> np.ndarray:
    """Return a colour number for every label, by label, different for neighbours where four colours suffice.

    Neighbours are labels that meet within a few pixels along rows or columns. Greedy in the order of the labels.
    """
    n = int(labels.max(initial=0))
    pairs = []
    for gap in (1, 2, 3, 5, 8, 12):
        for a, b in ((labels[:, :-gap], labels[:, gap:]), (labels[:-gap], labels[gap:])):
            meet = (a != b) & (a > 0) & (b > 0)
            first, second = a[meet].astype(np.int64), b[meet].astype(np.int64)
            pairs.append(np.unique(np.maximum(first, second) * (n + 1) + np.minimum(first, second)))
    joined = np.unique(np.concatenate(pairs))
    later, earlier = joined // (n + 1), joined % (n + 1)
    colour = np.zeros(n + 1, np.intp)
    stops = np.searchsorted(later, np.arange(n + 2))
    for label in np.unique(later):
        used = set(colour[earlier[stops[label] : stops[label + 1]]].tolist())
        colour[label] = next((c for c in range(len(KEPT)) if c not in used), label % len(KEPT))
    return colour


def _hatch(drawing: np.ndarray, ignore: np.ndarray) -> None:
    rows, cols = np.nonzero(ignore)
    line = (rows + cols) % 12 < 2
    drawing[rows, cols] = (*IGNORED, 40)
    drawing[rows[line], cols[line]] = (*IGNORED, 190)


def _font_size(size: tuple[int, ...], n: int = 0) -> int:
    """Return the height of letters for a display of this size; smaller where many numbers must find a place."""
    return int(np.clip(round(max(size) / (55 if n <= 30 else 70 if n <= 120 else 90)), 9, 26))


def _text_width(size: int) -> float:
    """Return the width of one digit."""
    return font(size).getlength("0")


def _place_numbers(labels: np.ndarray, height: int, digit: float) -> list[Any]:
    """Return text, column, row, size and colour of the numbers that fit: inside the particle, else close by."""
    n = int(labels.max(initial=0))
    if n == 0:
        return []
    areas = np.bincount(labels.ravel(), minlength=n + 1)
    areas[0] = 0
    chosen = np.argsort(areas, kind="stable")[::-1][:MAX_NUMBERS]
    chosen = chosen[areas[chosen] > 0]
    rows, cols = np.nonzero(np.isin(labels, chosen))
    on = labels[rows, cols]
    share = np.maximum(areas, 1)
    mean_row, mean_col = (np.bincount(on, weights=p, minlength=n + 1) / share for p in (rows, cols))
    top, left = (np.full(n + 1, np.iinfo(np.int64).max) for _ in range(2))
    bottom, right = (np.full(n + 1, -1) for _ in range(2))
    np.minimum.at(top, on, rows)
    np.minimum.at(left, on, cols)
    np.maximum.at(bottom, on, rows)
    np.maximum.at(right, on, cols)
    taken = np.zeros(labels.shape, bool)
    placed = []
    for label in chosen.tolist():
        wide, high = digit * len(str(label)) + 2, height + 1
        row, col = mean_row[label], mean_col[label]
        middle = _window(row, col, 1.7 * wide, 1.7 * high)  # a number that fills a particle hides it
        inside = _fits(middle, labels.shape) and bool((labels[middle] == label).all())
        beside = [
            (row, right[label] + wide / 2 + 3),
            (row, left[label] - wide / 2 - 3),
            (top[label] - high / 2 - 2, col),
            (bottom[label] + high / 2 + 2, col),
        ]
        for y, x in [(row, col)] if inside else beside:
            window = _window(y, x, wide, high)
            if not _fits(window, labels.shape) or taken[window].any():
                continue
            if not inside and labels[window].any():
                continue
            taken[window] = True
            placed.append((str(label), x, y, height, (255, 255, 255)))
            break
    return placed


def _window(row: float, col: float, wide: float, high: float) -> tuple[slice, slice]:
    top, left = round(row - high / 2), round(col - wide / 2)
    return slice(top, top + round(high)), slice(left, left + round(wide))


def _fits(window: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    return all(w.start >= 0 and w.stop <= n for w, n in zip(window, shape, strict=True))


def _draw_bar(drawing: np.ndarray, bar: Bar, scale: float, ignore: np.ndarray | None) -> list[Any]:
    """Draw a line over the bar with a tick at each end; return the text to write where the image's own label is not."""
    ends = [(round((x + 0.5) * scale), round((y + 0.5) * scale)) for x, y in ((bar.x0, bar.y0), (bar.x1, bar.y1))]
    canvas = np.zeros(drawing.shape[:2], np.uint8)
    along = np.subtract(ends[1], ends[0])
    length = float(np.hypot(*along)) or 1.0
    normal = np.array([-along[1], along[0]]) / length
    tick = max(6.0, 0.012 * max(canvas.shape))
    cv2.line(canvas, ends[0], ends[1], 255, 2, cv2.LINE_AA)
    for end in ends:
        reach = np.rint(tick * normal).astype(int).tolist()
        start, stop = ((end[0] + sign * reach[0], end[1] + sign * reach[1]) for sign in (-1, 1))
        cv2.line(canvas, start, stop, 255, 2, cv2.LINE_AA)
    on = canvas > 0
    drawing[on] = (*BAR, 255)
    drawing[on, 3] = canvas[on]
    size = _font_size(canvas.shape)
    text = f"{bar.value:g} {bar.unit}"
    half = font(size).getlength(text) / 2
    middle, level = (ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2
    away = tick + 0.8 * size
    right, left = max(end[0] for end in ends) + half + 8, min(end[0] for end in ends) - half - 8
    taken = np.zeros(canvas.shape, bool) if ignore is None else resize_nearest(ignore, canvas.shape)
    best, fewest = (middle, level - away), 2.0
    for x, y in ((middle, level + away), (middle, level - away), (right, level), (left, level)):
        window = _window(y, x, 2 * half, size)
        if _fits(window, canvas.shape) and (share := float(taken[window].mean())) < fewest:
            best, fewest = (x, y), share
    x = float(np.clip(best[0], half + 2, max(drawing.shape[1] - half - 2, half + 2)))
    y = float(np.clip(best[1], size, max(drawing.shape[0] - size, size)))
    return [(text, x, y, size, BAR_TEXT)]


def _write(drawing: np.ndarray, texts: list[Any]) -> np.ndarray:
    """Return the drawing with texts, centred at their places, light on a dark rim so that any ground carries them."""
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(drawing)
    pen = ImageDraw.Draw(canvas)
    for text, x, y, size, colour in texts:
        pen.text(
            (x, y), text, font=font(size), fill=(*colour, 255), anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0, 255)
        )
    return np.array(canvas)


def with_legend(picture: np.ndarray, entries: list[tuple[str, str]]) -> np.ndarray:
    """Return an RGB picture with a white strip below it that names the styles, as `legend_entries` gives them.

    A kind may be a colour too, ``"#rrggbb"``: that of a class.
    """
    return with_strip(picture, [(functools.partial(_line_sample, kind), words) for kind, words in entries])


def _line_sample(kind: str, pen: ImageDraw, start: float, y: float, width: float, size: int) -> None:
    pieces = {"bar": 1, "doubtful": 6}.get(kind, 4)
    slant = size / 2 if kind == "ignored" else 0
    for piece in range(pieces):
        a = start + piece * width / pieces
        b = a + width / pieces * {"dropped": 0.6, "ignored": 0.6, "doubtful": 0.4}.get(kind, 1)
        styles: dict[str, Any] = {"dropped": DROPPED, "ignored": IGNORED, "bar": BAR}
        colour = kind if kind.startswith("#") else styles.get(kind, KEPT[piece % len(KEPT)])
        pen.line([(a, y + slant), (b, y - slant)], fill=colour, width=3)
