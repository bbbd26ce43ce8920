"""Lines of text read twice and more: which of them name the length of a scale bar."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmetry.io.scalebar.ocr import Box, Line, Reading, read_line
from segmetry.io.scalebar.parse import Label, is_field_name, is_number_only, is_unit_only, parse_label, usual_number
from segmetry.io.scalebar.records import Text

UNIT_PRIOR = {"nm": 1.0, "µm": 1.0, "mm": 0.5, "Å": 0.4, "cm": 0.3, "pm": 0.2}
"""How often a micrograph's bar has the unit: "nm" is misread as "mm" more often than a bar measures millimetres."""


@dataclass(frozen=True, slots=True)
class Named:
    """A label that names a length: where it is, what it says, how sure that is, and why it is in doubt if it is."""

    label: Label
    core: Box
    confidence: float
    text: str
    doubt: str = ""


def read_texts(image: np.ndarray, lines: Sequence[Line], *, threads: int = 1) -> list[tuple[Line, Reading]]:
    """Return every line with its text. Regions too tall for one line of text are left out."""
    out = []
    for line in lines:
        if line.core.height > 0.3 * image.shape[0]:
            continue
        out.append((line, read_line(_cut(image, line.box), threads=threads)))
    return out


def _cut(image: np.ndarray, box: Box) -> np.ndarray:
    return image[box.y0 : box.y1, box.x0 : box.x1]


def named_lengths(image: np.ndarray, read: Sequence[tuple[Line, Reading]], *, threads: int = 1) -> list[Named]:
    """Return the labels that name a length, each read several times in different crops.

    One reading is not enough where a lost decimal point makes a tenfold error. Each label is read in its wide box and
    in two closer crops; readings vote with their confidence, and a label whose readings disagree comes with a doubt.
    A unit without its number is read again with more room to the left.
    """
    found: list[Named] = []
    for line, reading in read:
        if _under_field_name(line, read):
            continue
        label = parse_label(reading.text)
        if label is None and is_unit_only(reading.text):
            found.extend(_with_number(image, line, reading, read, threads=threads))
            continue
        if label is None and is_number_only(reading.text) and usual_number(reading.text):
            found.extend(_with_unit(image, line, read, threads=threads))
            continue
        if label is None and not _nearly(reading.text):
            continue
        named = _vote(image, line, reading, threads=threads)
        if named is not None:
            found.append(named)
    return found


def _nearly(text: str) -> bool:
    """Whether a text that was not understood may be a label: a digit and an m, and short."""
    return len(text) <= 9 and any(c.isdigit() for c in text) and "m" in text.lower()


def _crops(image: np.ndarray, box: Box, core: Box) -> list[Box]:
    shape = (image.shape[0], image.shape[1])
    middle = Box(*(round((a + b) / 2) for a, b in zip(box, core)))
    wider = Box(*(round(0.25 * a + 0.75 * b) for a, b in zip(box, core)))
    return [middle, wider, core.grow(max(1, core.height // 4), max(1, core.height // 10), shape)]


def _vote(
    image: np.ndarray, line: Line, first: Reading, *, threads: int, extra: Sequence[Reading] = ()
) -> Named | None:
    readings = [
        first,
        *(read_line(_cut(image, b), threads=threads) for b in _crops(image, line.box, line.core)),
        *extra,
    ]
    votes: dict[tuple[float, str], float] = defaultdict(float)
    labels: dict[tuple[float, str], list[tuple[float, Label, Reading]]] = defaultdict(list)
    for reading in readings:
        label = parse_label(reading.text)
        if label is None:
            continue
        key = (label.value, label.unit)
        weight = reading.confidence * label.trust * UNIT_PRIOR[label.unit]
        votes[key] += weight
        labels[key].append((weight, label, reading))
    if not votes:
        return None
    best = max(votes, key=lambda k: votes[k])
    share = votes[best] / sum(votes.values())
    _, label, reading = max(labels[best], key=lambda item: item[0])
    doubt = ""
    if len(labels[best]) < 2:
        doubt = f"only one of {len(readings)} readings of {reading.text!r} makes sense"
    elif share < 0.75 and not _point_found(best, votes, labels):
        doubt = "read as " + " and as ".join(repr(v[0][2].text) for v in labels.values())
    mean = float(np.mean([r.confidence for _, _, r in labels[best]]))
    confidence = mean * label.trust * min(1.0, len(labels[best]) / 3 + 0.2)
    width = line.core.width
    core = line.core
    if label.start:  # the length stands at the end of a longer line
        core = Box(core.x0 + int(label.start * width), core.y0, core.x1, core.y1)
    return Named(label, core, confidence, reading.text, doubt)


def _point_found(
    best: tuple[float, str],
    votes: dict[tuple[float, str], float],
    labels: dict[tuple[float, str], list[tuple[float, Label, Reading]]],
) -> bool:
    """Whether the readings differ only in a decimal point that the closer crops see clearly.

    A point is easily lost in a wide crop over a busy background, and hardly ever invented twice.
    """
    others = [key for key in votes if key != best]
    if len(others) != 1 or len(labels[best]) < 2:
        return False
    for _, _, reading in labels[best]:
        point = reading.text.find(".")
        if point < 0 or reading.each[point] < 0.8:
            return False
    without = {"".join(c for c in r.text if c.isdigit()) for _, _, r in labels[best]}
    return {"".join(c for c in r.text if c.isdigit()) for _, _, r in labels[others[0]]} == without


def _with_number(
    image: np.ndarray, line: Line, reading: Reading, read: Sequence[tuple[Line, Reading]], *, threads: int
) -> list[Named]:
    """Return the label of a unit whose number lies in the box to its left, or was not detected."""
    shape = (image.shape[0], image.shape[1])
    h = line.core.height
    lefts = [
        (other, r)
        for other, r in read
        if is_number_only(r.text)
        and -0.3 * h <= line.core.x0 - other.core.x1 <= 2.5 * h
        and abs((other.core.y0 + other.core.y1) - (line.core.y0 + line.core.y1)) < h
    ]
    if lefts:
        other, number = max(lefts, key=lambda item: item[0].core.x1)
        box, core = (
            Box(min(a.x0, b.x0), min(a.y0, b.y0), max(a.x1, b.x1), max(a.y1, b.y1))
            for a, b in ((line.box, other.box), (line.core, other.core))
        )
        joined = f"{number.text.strip(' -—–_')} {reading.text.strip(' -—–_')}"
        both = Reading(joined, min(number.confidence, reading.confidence), ())
        named = _vote(image, Line(box, core, line.score), both, threads=threads)
        return [named] if named else []
    out = []
    for more in (1.3, 2.2, 3.2):
        core = Box(max(0, line.core.x0 - round(more * h)), line.core.y0, line.core.x1, line.core.y1)
        box = core.grow(h // 3, h // 3, shape)
        first = read_line(_cut(image, box), threads=threads)
        if parse_label(first.text):
            named = _vote(image, Line(box, core, line.score), first, threads=threads)
            if named:
                out.append(named)
                break
    return out


def _with_unit(image: np.ndarray, line: Line, read: Sequence[tuple[Line, Reading]], *, threads: int) -> list[Named]:
    """Return the label of a number whose unit was not detected, or was read together with the bar below it."""
    shape = (image.shape[0], image.shape[1])
    h, right = line.core.height, line.core.x1
    if any(o.core.x0 > right - h and o.core.x0 < right + 2 * h and _beside(o.core, line.core) for o, _ in read):
        return []  # its neighbour was read, and is no unit
    upper = Box(line.core.x0, line.core.y0, right, line.core.y0 + round(0.55 * h))
    for core, more in ((line.core, 2.2), (line.core, 3.2), (upper, 0.0)):
        longer = Box(core.x0, core.y0, min(shape[1], right + round(more * h)), core.y1)
        box = longer.grow(h // 4, h // 6, shape)
        first = read_line(_cut(image, box), threads=threads)
        if parse_label(first.text):
            named = _vote(image, Line(box, longer, line.score), first, threads=threads)
            return [named] if named else []
    return []


def _beside(a: Box, b: Box) -> bool:
    return abs((a.y0 + a.y1) - (b.y0 + b.y1)) < max(a.height, b.height)


def label_beside(image: np.ndarray, bar: Box, *, threads: int = 1) -> Named | None:
    """Return the label right above or below a bar where the detector saw none, or None.

    Strips of several heights are read blindly; two at least must give the same length, none another.
    """
    shape = (image.shape[0], image.shape[1])
    for above in (True, False):
        found: list[tuple[Label, Reading, Box]] = []
        for tall in (18, 28, 23, 36):
            if tall in (23, 36) and not found:
                break
            y0 = bar.y0 - 2 - tall if above else bar.y1 + 2
            middle, half = (bar.x0 + bar.x1) // 2, min(bar.width // 2 + tall // 2, 5 * tall)
            strip = Box(max(0, middle - half), max(0, y0), min(shape[1], middle + half), min(shape[0], y0 + tall))
            if strip.height < 8:
                continue
            reading = read_line(_cut(image, strip), threads=threads)
            label = parse_label(reading.text)
            if label is not None and reading.confidence * label.trust > 0.8:
                found.append((label, reading, strip))
        if len(found) >= 2 and len({(label.value, label.unit) for label, _, _ in found}) == 1:
            label, reading, strip = max(found, key=lambda item: item[1].confidence)
            core = Box(max(bar.x0, strip.x0), strip.y0 + 1, min(bar.x1, strip.x1), strip.y1 - 1)
            return Named(label, core, 0.9 * reading.confidence * label.trust, reading.text)
    return None


def letters_of(read: Sequence[tuple[Line, Reading]]) -> list[Box]:
    """Return the places of text of two characters and more. A bar is itself read as "-", "1" or "H"."""
    return [line.core for line, r in read if r.confidence >= 0.8 and sum(c.isalnum() for c in r.text) >= 2]


def _under_field_name(line: Line, read: Sequence[tuple[Line, Reading]]) -> bool:
    """Whether the name of a footer's field (WD, HFW) stands right above the line: then it is that field's value."""
    for other, reading in read:
        if other is line or not is_field_name(reading.text):
            continue
        a, b = other.core, line.core
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0)
        if overlap > 0.3 * min(a.width, b.width) and 0 < b.y0 - a.y0 < 3.5 * max(a.height, b.height):
            return True
    return False


def confident_texts(read: Sequence[tuple[Line, Reading]]) -> tuple[Text, ...]:
    """Return the lines whose reading is good enough to be called text."""
    return tuple(
        Text(
            reading.text,
            line.core.grow(line.core.height // 3, line.core.height // 4, (1 << 30, 1 << 30)),
            reading.confidence,
        )
        for line, reading in read
        if reading.confidence >= 0.65 and reading.text
    )
