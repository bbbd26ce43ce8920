"""The pixels that annotations cover."""

from __future__ import annotations

import re
from collections.abc import Sequence

import cv2
import numpy as np

from segmetry.io.scalebar.bars import Bar
from segmetry.io.scalebar.ocr import Box, Line, Reading
from segmetry.io.scalebar.records import Text


def find_footer(image: np.ndarray, texts: Sequence[Box]) -> Box | None:
    """Return the instrument's strip along the bottom (or top), full width, or None.

    A footer is a strip of one grey value with text on it; its edge to the micrograph is a step across the whole width.

    Parameters
    ----------
    image : (M, N) array of uint8
    texts : sequence of Box
        Lines of text that were read with confidence.
    """
    height, width = image.shape
    for flipped in (False, True):
        plane = image[::-1] if flipped else image
        lines = [Box(t.x0, height - t.y1, t.x1, height - t.y0) for t in texts] if flipped else list(texts)
        low = [t for t in lines if t.y0 > 0.7 * height]
        if not low:
            continue
        start = max(0, min(t.y0 for t in low))
        strip = plane[start:]
        level = int(np.bincount(strip.ravel(), minlength=256).argmax())
        same = (np.abs(plane.astype(np.int16) - level) <= 10).mean(axis=1)
        inside = same >= 0.45
        top = height
        misses = 0
        for row in range(height - 1, int(0.6 * height), -1):
            if inside[row]:
                top = row
                misses = 0
            else:
                misses += 1
                if misses > 4:
                    break
        if top > start + 2 or height - top > 0.35 * height or height - top < 8 or top < 8:
            continue
        above = same[max(0, top - 12) : top - 2]
        if above.size and float(above.mean()) > 0.35:
            continue  # no step: the micrograph itself has this level
        plain = np.abs(plane[top:].astype(np.int16) - level) <= 6
        for line in lines:
            grown = line.grow(line.height, line.height // 2, (height, width))
            plain[max(0, grown.y0 - top) : max(0, grown.y1 - top), grown.x0 : grown.x1] = True
        if float(plain.mean()) < 0.9:
            continue
        return Box(0, 0, width, height - top) if flipped else Box(0, top, width, height)
    return None


def label_box(image: np.ndarray, text: Box) -> Box | None:
    """Return the plain rectangle that a label was drawn on, or None where it lies on the micrograph itself."""
    height, width = image.shape
    around = text.grow(2, 2, (height, width))
    patch = image[around.y0 : around.y1, around.x0 : around.x1]
    counts = np.bincount(patch.ravel(), minlength=256)
    level = int(counts.argmax())
    if counts[max(0, level - 3) : level + 4].sum() < 0.4 * patch.size:
        return None
    same = (np.abs(image.astype(np.int16) - level) <= 4).astype(np.uint8)
    inside = np.argwhere(same[around.y0 : around.y1, around.x0 : around.x1])
    _, parts, stats, _ = cv2.connectedComponentsWithStats(same, connectivity=4)
    ids, sizes = np.unique(
        parts[around.y0 : around.y1, around.x0 : around.x1][inside[:, 0], inside[:, 1]], return_counts=True
    )
    k = int(ids[sizes.argmax()])
    x, y, w, h, _area = (int(v) for v in stats[k])
    if w * h > 0.12 * height * width or w < text.width * 0.9 or h < text.height * 0.9:
        return None
    # A drawn rectangle: its outline is all there, and nothing but the text and a bar is in it.
    sides = (same[y, x : x + w], same[y + h - 1, x : x + w], same[y : y + h, x], same[y : y + h, x + w - 1])
    if min(float(side.mean()) for side in sides) < 0.9:
        return None
    plain = same[y : y + h, x : x + w].astype(bool)
    plain[max(0, around.y0 - y) : max(0, around.y1 - y), max(0, around.x0 - x) : max(0, around.x1 - x)] = True
    return Box(x, y, x + w, y + h) if float(plain.mean()) > 0.85 else None


def looks_drawn(image: np.ndarray, text: Text) -> bool:
    """Whether a reading is ink and no particle: one or two characters may well be a particle that looks like them.

    Three letters read with confidence are text anywhere, and so is a letter in brackets. Fewer must be of one pure
    grey, and a lone letter must lie in a corner, where panel letters are. Round and straight ones (o, 0, I, l) need the
    highest confidence.
    """
    height, width = image.shape
    box = text.box.grow(0, 0, (height, width))
    letters = [c for c in text.text if c.isalnum()]
    if min(box.width, box.height) < 3 or box.height > 0.25 * height or not letters:
        return False
    if len(letters) >= 3 or re.fullmatch(r"[\[(]?\w{1,3}[)\]]", text.text):
        return text.confidence >= 0.85
    if not _pure_ink(image[box.y0 : box.y1, box.x0 : box.x1]):
        return False
    middle_x, middle_y = (box.x0 + box.x1) / 2 / width, (box.y0 + box.y1) / 2 / height
    corner = min(middle_x, 1 - middle_x) < 0.25 and min(middle_y, 1 - middle_y) < 0.25
    if all(c in "oO0IiLl1nuU8" for c in letters):
        return corner and text.confidence >= 0.9
    return text.confidence >= (0.65 if corner else 0.9) and (corner or len(letters) > 1)


def unread_letters(image: np.ndarray, read: Sequence[tuple[Line, Reading]]) -> list[Box]:
    """Return the places of panel letters that the detector is sure of and the recogniser cannot read, such as "II".

    Only in a corner, no taller than a letter there, and only where much of the box is pure black or white and little
    of what lies around it is: a particle is seldom one grey, and never alone in that.
    """
    height, width = image.shape
    found = []
    for line, reading in read:
        box = line.core
        x, y = (box.x0 + box.x1) / 2 / width, (box.y0 + box.y1) / 2 / height
        corner = min(x, 1 - x) < 0.15 and min(y, 1 - y) < 0.15 and max(box.height / height, box.width / width) < 0.15
        if not corner or line.score < 0.85 or reading.confidence >= 0.65:
            continue
        wide = box.grow(box.height // 3, box.height // 3, (height, width))
        inside, around = (image[b.y0 : b.y1, b.x0 : b.x1] for b in (box, wide))
        for pure in (lambda a: a >= 250, lambda a: a <= 5):
            ink = int(np.count_nonzero(pure(inside)))
            if ink > 0.1 * inside.size and np.count_nonzero(pure(around)) - ink < 0.02 * around.size:
                found.append(box)
                break
    return found


def _pure_ink(patch: np.ndarray) -> bool:
    """Whether the darker or the brighter pixels of a patch are all of one grey, a few levels wide."""
    threshold, _ = cv2.threshold(patch, 0, 255, cv2.THRESH_OTSU)
    light, dark = patch[patch > threshold], patch[patch <= threshold]
    if light.size < 8 or dark.size < 8:
        return False
    step = float(light.mean()) - float(dark.mean())
    # Over bright or dark particles: much of one extreme grey and little else near it.
    high, low = int(patch.max()), int(patch.min())
    if max(float(np.mean(patch >= high - 3)), float(np.mean(patch <= low + 3))) > 0.08:
        return True
    # The purer half of either side: the other half is blurred edge.
    spreads = (np.ptp(np.percentile(light, (50, 95))), np.ptp(np.percentile(dark, (5, 50))))
    return float(min(spreads)) < max(4.0, 0.08 * step)


def build_mask(
    image: np.ndarray,
    texts: Sequence[Text],
    bars: Sequence[Bar],
    footer: Box | None,
    *,
    unread: Sequence[Box] = (),
    margin: int = 2,
) -> np.ndarray:
    """Return the mask of pixels to ignore: texts, bars, the boxes they were drawn on, the footer, unread letters."""
    height, width = image.shape
    mask = np.zeros((height, width), bool)
    boxes: list[Box] = [b.grow(margin, margin, (height, width)) for b in (*(t.box for t in texts), *unread)]
    for text in texts:
        drawn_on = label_box(image, text.box.grow(0, 0, (height, width)))
        if drawn_on is not None:
            boxes.append(drawn_on.grow(1, 1, (height, width)))
    for bar in bars:
        boxes.append(bar.box.grow(margin, margin + (4 if bar.tick else 0), (height, width)))
    if footer is not None:
        boxes.append(footer)
    for box in boxes:
        mask[box.y0 : box.y1, box.x0 : box.x1] = True
    return mask
