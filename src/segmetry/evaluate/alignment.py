"""A score near zero, but for a reason: a prediction that lies mirrored, turned, shifted or inverted on its truth."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.evaluate.pair import check_pair

LOW_IOU = 0.5
"""Overlap of the masks below which a reason is looked for."""
LEAST_GAIN = 0.3
"""What the overlap must rise by."""
LEAST_CORRELATION = 0.6
"""Correlation of the masks that an alignment must reach."""
LARGEST_SHIFT = 0.25
"""Longest shift along an axis that is tried, as a share of the image."""
LARGEST_SHIFT_WITH_CHANGE = 0.02
"""The same of a mirrored or turned image: such mistakes are made about the middle of the frame."""

_FEWEST_PIXELS = 16
_COARSE = {2: 256, 3: 48}
"""Longest side at which shifts are tried, by the number of axes."""


@dataclass(frozen=True, slots=True)
class Misalignment:
    """Why a prediction does not lie on its truth.

    Parameters
    ----------
    change : str
        What was done to the prediction, in words: ``"mirrored left to right"``; empty where it was only shifted.
    offset : tuple of int
        Pixels by which the prediction, after undoing `change`, lies too far down each axis.
    inverted : bool
        Whether foreground and background are swapped.
    iou, iou_after : float
        Overlap of the masks as given, and with this undone (where both images are then known).
    """

    change: str
    offset: tuple[int, ...]
    inverted: bool
    iou: float
    iou_after: float

    def __str__(self) -> str:
        names = ("plane", "row", "column")[-len(self.offset) :]
        moved = [f"{abs(o)} {name}{'s' if abs(o) > 1 else ''} too far {_WAYS[name][o > 0]}"
                 for o, name in zip(self.offset, names) if o]  # fmt: skip
        parts = [self.change] if self.change else []
        parts += [f"shifted ({', '.join(moved)})"] if moved else []
        parts += ["inverted (foreground and background swapped)"] if self.inverted else []
        return (
            f"the prediction seems to be {' and '.join(parts)}: the overlap (IoU) of the masks is {self.iou:.2f} as "
            f"given, {self.iou_after:.2f} with that undone."
        )


_WAYS = {"plane": ("forward", "back"), "row": ("up", "down"), "column": ("left", "right")}


def misalignment(
    truth: np.ndarray, prediction: np.ndarray, *, ignore: int | np.ndarray | None = None
) -> Misalignment | None:
    """Return why the masks hardly overlap, if it is one of a few usual mistakes; else None.

    Parameters
    ----------
    truth, prediction : arrays of int or bool, one shape, 2D or 3D
        Label images; only whether a pixel is background is looked at.
    ignore : int or bool array, optional
        What is not to be judged: a value of the truth, or a mask that is True there.

    Returns
    -------
    found : Misalignment or None
        None where the overlap is not low, where nothing explains it, and where a mask has fewer than 16 pixels or is
        full.

    Notes
    -----
    Looked for: the prediction mirrored along any axes; of square images also turned by 90° and transposed; each with
    a shift of up to 2 % of the image; as it is with a shift of up to 25 % that leaves half of the foreground of both in
    sight; and foreground swapped with background. Shifts are tried by Fourier transform on images reduced to 256 px
    (volumes 48), the best is then refined in whole pixels.

    It is told only if the IoU of the masks is below 0.5 as given and at least 0.3 better with the mistake undone, and
    if they then correlate with 0.6 or more. Of 2,000 pairs of different EMPS images (Yildirim & Cole 2021) five were
    taken for shifted or turned, and none of the 55 images on which Otsu's threshold, of the right polarity, overlaps
    with less than 0.5. Masks by Otsu that overlap with 0.6 or more were mirrored, turned by 180° or shifted by up to
    60 px; where that took 0.3 of the overlap and left less than 0.5, 96 % were found out, and 93 % of those inverted.
    These are figures of development: the thresholds were chosen on the same 366 training images of EMPS on which they
    were measured, and other images may do worse.
    """
    pair = check_pair(truth, prediction, ignore=ignore)
    t, p = pair.truth > 0, pair.prediction > 0
    known = np.ones(t.shape, bool) if pair.ignored is None else ~pair.ignored
    t &= known
    before, correlation = _agreement(t, p, known)
    few = min(np.count_nonzero(t), np.count_nonzero(p & known)) < _FEWEST_PIXELS
    if few or np.isnan(correlation) or before >= LOW_IOU:
        return None
    inverted = _agreement(t, ~p, known)
    found = [(inverted[1], Misalignment("", (0,) * t.ndim, True, before, inverted[0]))]
    for change, undo, start, reach in _rough(t, p, known):
        offset, iou, correlation = _refined(t, undo(p), known, start, reach)
        found.append((correlation, Misalignment(change, offset, False, before, iou)))
    correlation, best = max(found, key=lambda f: f[0])
    return best if correlation >= LEAST_CORRELATION and best.iou_after >= before + LEAST_GAIN else None


def _rough(t: np.ndarray, p: np.ndarray, known: np.ndarray) -> list[tuple[str, Any, tuple[int, ...], int]]:
    """Return the two best changes on reduced images: words, what undoes it, shift in pixels, and how sure that is."""
    factor = max(1, -(-max(t.shape) // _COARSE[t.ndim]))
    coarse, small = _Coarse(_reduced(t, factor), _reduced(known, factor)), _reduced(p, factor)
    rough = []
    for change, undo in _CHANGES[t.ndim]:
        if undo(p).shape == p.shape:
            correlation, shift = coarse.best_shift(undo(small), anywhere=not change)
            rough.append((correlation, change, undo, tuple(s * factor for s in shift), factor))
    return [row[1:] for row in sorted(rough, key=lambda row: -row[0])[:2] if row[0] >= LEAST_CORRELATION / 2]


def _changes_2d() -> list[tuple[str, Any]]:
    """Return what may have been done to an image, and what undoes it."""
    return [
        ("", lambda a: a),
        ("mirrored left to right", lambda a: a[:, ::-1]),
        ("mirrored top to bottom", lambda a: a[::-1]),
        ("turned by 180°", lambda a: a[::-1, ::-1]),
        ("transposed (rows and columns swapped)", lambda a: a.T),
        ("turned by 90° clockwise", lambda a: np.rot90(a, 1)),
        ("turned by 90° anticlockwise", lambda a: np.rot90(a, -1)),
        ("transposed about the other diagonal", lambda a: a[::-1, ::-1].T),
    ]


def _changes_3d() -> list[tuple[str, Any]]:
    found = []
    for flips in itertools.product((False, True), repeat=3):
        names = [name for name, flip in zip(("planes", "rows", "columns"), flips) if flip]
        axes = tuple(axis for axis, flip in enumerate(flips) if flip)
        words = f"mirrored (order of {' and '.join(names)} reversed)" if names else ""
        found.append((words, lambda a, axes=axes: np.flip(a, axes)))
    return found


_CHANGES = {2: _changes_2d(), 3: _changes_3d()}


def _reduced(mask: np.ndarray, factor: int) -> np.ndarray:
    """Return the share of a mask in blocks of factor pixels a side; what does not fill a block at the end is cut."""
    for axis in range(mask.ndim):
        step = min(factor, mask.shape[axis])
        n = mask.shape[axis] // step
        whole = np.take(mask, range(n * step), axis) if n * step < mask.shape[axis] else mask
        shape = (*whole.shape[:axis], n, step, *whole.shape[axis + 1 :])
        mask = whole.reshape(shape).mean(axis + 1)
    return mask


def _phi(both: Any, t: Any, p: Any, n: Any) -> Any:
    """Return the correlation of two masks from sums; nan where one is empty or full."""
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.maximum(t * (n - t), 0) * np.maximum(p * (n - p), 0)
        return np.where(spread > 0, (n * both - t * p) / np.sqrt(spread), np.nan)


def _agreement(t: np.ndarray, p: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    """Return IoU and correlation of two masks; t lies within what is known."""
    n_both, n_t = np.count_nonzero(t & p), np.count_nonzero(t)
    n_p, n = np.count_nonzero(p & known), np.count_nonzero(known)
    union = n_t + n_p - n_both
    return (n_both / union if union else np.nan), float(_phi(float(n_both), float(n_t), float(n_p), float(n)))


class _Coarse:
    """A truth, reduced, ready to be correlated at all shifts at once."""

    def __init__(self, t: np.ndarray, known: np.ndarray) -> None:
        from scipy import fft

        self.shape = t.shape
        self.size = [fft.next_fast_len(2 * n - 1, real=True) for n in t.shape]
        self.t, self.known = fft.rfftn(t, self.size), fft.rfftn(known, self.size)
        everywhere = np.conj(fft.rfftn(np.ones(t.shape), self.size))
        self.n_t = fft.irfftn(self.t * everywhere, self.size)
        self.n = fft.irfftn(self.known * everywhere, self.size)
        enough = (self.n >= known.sum() / 2) & (self.n_t >= t.sum() / 2)
        self.anywhere = enough & self._within(LARGEST_SHIFT)
        self.near = enough & self._within(LARGEST_SHIFT_WITH_CHANGE)

    def _within(self, share: float) -> np.ndarray:
        """Return which shifts are at most a share of the image long along each axis."""
        near = np.ones((), bool)
        for n, m in zip(self.shape, self.size):
            shift = np.arange(m)
            near = near[..., None] & (np.minimum(shift, m - shift) <= max(share * n, 1))
        return near

    def best_shift(self, p: np.ndarray, *, anywhere: bool) -> tuple[float, tuple[int, ...]]:
        """Return the highest correlation, and how far p must be moved down each axis for it."""
        from scipy import fft

        other = np.conj(fft.rfftn(p, self.size))
        n_both, n_p = fft.irfftn(self.t * other, self.size), fft.irfftn(self.known * other, self.size)
        phi = _phi(n_both, self.n_t, n_p, self.n)
        valid = (self.anywhere if anywhere else self.near) & (n_p >= p.sum() / 2) & np.isfinite(phi)
        # Sums by Fourier transform are off by 1e-10 or so: what is nearly empty or full is not to be divided by.
        valid &= np.minimum(self.n_t * (self.n - self.n_t), n_p * (self.n - n_p)) > 1e-6 * self.n
        phi = np.where(valid, phi, -1)
        at = np.unravel_index(int(phi.argmax()), phi.shape)
        return float(phi[at]), tuple(int(i) if i < n else int(i) - m for i, n, m in zip(at, self.shape, self.size))


def _refined(
    t: np.ndarray, p: np.ndarray, known: np.ndarray, start: tuple[int, ...], reach: int
) -> tuple[tuple[int, ...], float, float]:
    """Return the best offset within two blocks of a rough shift, in pixels, with IoU and correlation there."""

    def at(shift: tuple[int, ...]) -> tuple[float, float]:
        if any(abs(s - b) > 2 * reach for s, b in zip(shift, start)):
            return 0.0, -1.0
        here, there = _overlap(t.shape, shift)
        iou, correlation = _agreement(t[here], p[there], known[here])
        return (0.0, -1.0) if np.isnan(correlation) else (iou, correlation)

    best, value = start, at(start)
    step = reach
    while step >= 1:
        near = [tuple(b + step * d for b, d in zip(best, way)) for way in itertools.product((-1, 0, 1), repeat=t.ndim)]
        top, value_there = max(((shift, at(shift)) for shift in near), key=lambda pair: pair[1][1])
        if value_there[1] > value[1]:
            best, value = top, value_there
        else:
            step //= 2
    return tuple(-b for b in best), *value


def _overlap(shape: tuple[int, ...], shift: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where the truth and a prediction moved by shift are both known: in the truth, and in the prediction."""
    here = tuple(slice(max(s, 0), n + min(s, 0)) for n, s in zip(shape, shift))
    there = tuple(slice(max(-s, 0), n - max(s, 0)) for n, s in zip(shape, shift))
    return here, there
