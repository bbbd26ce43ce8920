"""From pixels to what was drawn over them: the one function that ties the parts together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmetry.errors import ImageError
from segmetry.io.scalebar.bars import Bar, lonely_bars, propose_bars
from segmetry.io.scalebar.labels import Named, confident_texts, label_beside, letters_of, named_lengths, read_texts
from segmetry.io.scalebar.mask import build_mask, find_footer, looks_drawn, unread_letters
from segmetry.io.scalebar.match import Match, match_label
from segmetry.io.scalebar.ocr import DETECT_PIXELS, Box, Line, detect_text
from segmetry.io.scalebar.records import Annotations, ScaleBar, Text
from segmetry.io.scalebar.second import look_again, match_again, read_around

MIN_CONFIDENCE = 0.5
"""A scale bar below this confidence is not reported."""

MIN_SCORE = 0.45
"""Below this fit a bar does not count as a label's."""

MAX_LINES = 40


def find_annotations(pixels: np.ndarray, *, threads: int = 1) -> Annotations:
    """Return the scale bar of an image, its texts, and the mask of all that was drawn over the specimen.

    Parameters
    ----------
    pixels : (M, N) array
        Grey values of any kind; not changed.
    threads : int
        Threads of the text reader. One is right where images are worked on in parallel.

    Returns
    -------
    Annotations
        ``scale_bar`` is None where there is none *or where anything is in doubt*; ``notes`` says why.

    Raises
    ------
    ImageError
        If `pixels` is not two-dimensional or is empty.

    Notes
    -----
    A wrong scale is far worse than none, so a bar is reported only if its label was read alike in several crops, one
    bar and no other fits it, its ends stand clear of the frame, and no second label asks for another scale.
    """
    image = _as_bytes(pixels)
    height, width = image.shape
    if min(height, width) < 24 or int(image.max()) - int(image.min()) < 8:
        return Annotations(None, np.zeros(image.shape, bool), (), ("no scale bar: the image is too small or empty.",))
    read = read_texts(image, _all_lines(image, threads=threads), threads=threads)
    named = named_lengths(image, read, threads=threads)
    proposals = propose_bars(image)
    cores = letters_of(read)
    matches = [m for n in named if (m := match_label(image, n, proposals, cores)) is not None]
    lonely: list[Bar] = []
    if not any(m.score >= MIN_SCORE for m in matches):
        lonely = lonely_bars(image, proposals, cores)
        for bar in lonely[:2]:
            more = read_around(image, bar, threads=threads)
            read = read + more
            for n in named_lengths(image, more, threads=threads):
                match = match_label(image, n, proposals, letters_of(read))
                if match is not None:
                    matches.append(match)
                    named.append(n)
            if any(m.score >= MIN_SCORE for m in matches):
                break
            if (
                not named
                and bar is lonely[0]
                and bar.ripple < 0.06
                and (blind := label_beside(image, bar.box, threads=threads)) is not None
            ):
                named.append(blind)
                match = match_label(image, blind, proposals, letters_of(read))
                if match is not None and abs(match.bar.length - bar.length) < 0.02 * bar.length + 2:
                    matches.append(match)
                    break
    if not any(m.score >= MIN_SCORE for m in matches):
        if named:
            again = [m for n in named[:1] if (m := match_again(image, n, letters_of(read))) is not None]
        else:
            more, again = look_again(image, lonely[:2], threads=threads)
            read = read + more
            named = [m.named for m in again]
        matches = matches + again
    scale_bar, note = _decide(matches, named)
    texts = [t for t in confident_texts(read) if looks_drawn(image, t)]
    for match in matches:
        if not any(
            t.box.x0 <= match.named.core.x0 + 3
            and t.box.x1 >= match.named.core.x1 - 3
            and t.box.y0 <= match.named.core.y1
            and t.box.y1 >= match.named.core.y0
            for t in texts
        ):
            core = match.named.core
            texts.append(
                Text(
                    match.named.text, core.grow(core.height // 3, core.height // 4, image.shape), match.named.confidence
                )
            )
    footer = find_footer(image, [t.box for t in texts])
    drawn = [m.bar for m in matches if m.score >= MIN_SCORE] + [b for b in lonely if _surely_drawn(image, b)]
    mask = build_mask(image, texts, drawn, footer, unread=unread_letters(image, read))
    return Annotations(scale_bar, mask, tuple(texts), (note,) if note else ())


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim != 2 or pixels.size == 0:
        raise ImageError(
            f"find_annotations: wants one grey image (M, N), got shape {pixels.shape}; pass a single page."
        )
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    # Wide floats in their own precision; a quarter of them, because their full range is no number of their kind.
    wide = pixels.dtype.kind == "f" and pixels.dtype.itemsize >= 4
    values = pixels * pixels.dtype.type(0.25) if wide else pixels.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(pixels.shape, np.uint8)
    low, high = np.percentile(values[finite], (0.05, 99.95))
    if not high > low:
        low, high = float(values[finite].min()), float(values[finite].max())
    if not high > low:
        return np.zeros(pixels.shape, np.uint8)
    scaled = np.nan_to_num((np.clip(values, low, high) - low) / (high - low), nan=0.0)
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)


def _all_lines(image: np.ndarray, *, threads: int) -> list[Line]:
    """Return lines of text of the whole image; of a large one also those of its lower edge, at its own resolution."""
    lines = detect_text(image, threads=threads)
    height, width = image.shape
    if height * width > 3 * DETECT_PIXELS:
        start = height - max(64, height // 8)
        for line in detect_text(image[start:], threads=threads):
            moved = Line(_shift(line.box, 0, start), _shift(line.core, 0, start), line.score)
            if not any(_same_place(moved.core, other.core) for other in lines):
                lines.append(moved)
    lines.sort(key=lambda line: -line.score)
    return lines[:MAX_LINES]


def _shift(box: Box, dx: int, dy: int) -> Box:
    return Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)


def _same_place(a: Box, b: Box) -> bool:
    cols = min(a.x1, b.x1) - max(a.x0, b.x0)
    rows = min(a.y1, b.y1) - max(a.y0, b.y0)
    return cols > 0.3 * min(a.width, b.width) and rows > 0.3 * min(a.height, b.height)


def _surely_drawn(image: np.ndarray, bar: Bar) -> bool:
    """Whether a bar without a label is drawn beyond doubt, so that it may be masked.

    Black or white, of one grey, with square corners, near the upper or lower frame: rods among particles have round
    ends.
    """
    near = min(bar.top, image.shape[0] - bar.bottom) < 0.2 * image.shape[0]
    plain = bar.ripple < 0.03 and bar.quality > 0.95
    extreme = bar.level <= 4 or bar.level >= 251
    if not (near and plain and extreme and bar.length >= 4 * bar.thickness):
        return False
    if bar.thickness < 4:
        return True
    sign = 1.0 if bar.contrast > 0 else -1.0
    inside = slice(int(bar.x0) + 3, int(bar.x1) - 2)
    x0, x1 = int(np.ceil(bar.x0 + 0.5)), int(np.floor(bar.x1 - 0.5))
    corners = sign * image[[bar.top + 1, bar.top + 1, bar.bottom - 2, bar.bottom - 2], [x0 + 1, x1 - 1, x0 + 1, x1 - 1]]
    return bool(np.all(corners > sign * float(np.median(image[bar.top + 1, inside])) - 0.3 * abs(bar.contrast)))


def _decide(matches: Sequence[Match], named: Sequence[Named]) -> tuple[ScaleBar | None, str]:
    """Return the scale bar, and the note that says why there is none."""
    good = [m for m in matches if m.score >= MIN_SCORE]
    if not good:
        if not named:
            return None, "no scale bar: no text names a length."
        texts = ", ".join(repr(n.text) for n in named[:3])
        return None, f"no scale bar: no bar was found that belongs to the text {texts}."
    best = max(good, key=lambda m: m.score * m.named.confidence)
    for other in good:
        ratio = (other.named.label.metres / other.bar.length) / (best.named.label.metres / best.bar.length)
        if other is not best and not 0.95 < ratio < 1.05:
            return None, (
                f"no scale bar: two labels disagree, {best.named.text!r} over {best.bar.length:.0f} px and "
                f"{other.named.text!r} over {other.bar.length:.0f} px; crop the image to one panel."
            )  # fmt: skip
    label, bar = best.named.label, best.bar
    doubt = best.named.doubt or best.doubt
    if label.unit == "pm":
        if label.metres / bar.length >= 1e-12:
            doubt = doubt or f"{best.named.text!r} may mean picometres or micrometres"
        else:  # less than a picometre per pixel: beyond any microscope, so the unit can only be µm
            label = label._replace(unit="µm")
    size = label.metres / bar.length
    if not doubt and not 5e-13 < size < 5e-4:
        doubt = f"a pixel of {size:.2g} m is beyond any microscope"
    confidence = float(min(1.0, best.named.confidence) * min(1.0, best.score + 0.2))
    if not doubt and confidence < MIN_CONFIDENCE:
        doubt = f"the reading is not sure enough ({confidence:.2f})"
    if doubt:
        return None, f"no scale bar: {best.named.text!r} was found, but {doubt}."
    return (
        ScaleBar(
            value=label.value,
            unit=label.unit,
            length_px=bar.length,
            x0=bar.x0,
            y0=bar.y,
            x1=bar.x1,
            y1=bar.y,
            confidence=confidence,
            rel_uncertainty=bar.u_length / bar.length,
            text=best.named.text,
        ),
        "",
    )
