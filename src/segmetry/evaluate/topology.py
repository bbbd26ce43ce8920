"""Is it connected as it should be: centre-line scores (clDice) and errors of the Betti numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import edt
import numpy as np

from segmetry.evaluate.by_class import chosen_classes, class_means
from segmetry.evaluate.pair import check_pair
from segmetry.evaluate.ratios import harmonic, over
from segmetry.evaluate.scores import Score, table_of
from segmetry.evaluate.thinning import thinned
from segmetry.measure.labelling import label
from segmetry.measure.topology import betti_numbers

TOPOLOGY = table_of(
    Score("cldice", "high", "harmonic mean of skeleton precision and skeleton recall (clDice)"),
    Score("skeleton_precision", "high", "share of the predicted skeleton that lies in the true mask"),
    Score("skeleton_recall", "high", "share of the true skeleton that lies in the predicted mask"),
    Score("betti0_error", "zero", "pieces too many (+) or too few (-)"),
    Score("betti1_error", "zero", "holes (2D) or tunnels (3D) too many (+) or too few (-)"),
    Score("betti2_error", "zero", "cavities too many (+) or too few (-); nan in 2D"),
    Score("betti0_absolute", "low", "difference of the number of pieces"),
    Score("betti1_absolute", "low", "difference of the number of holes (2D) or tunnels (3D)"),
    Score("betti2_absolute", "low", "difference of the number of cavities; nan in 2D"),
)


@dataclass(frozen=True, eq=False)
class TopologyCounts:
    """Skeleton pixels and Betti number errors that add up over images: ``a + b``.

    Fields are numbers or arrays of any one shape; `topology_counts` gives one entry per class.

    Parameters
    ----------
    n_images : int or array of int
        Images that were counted.
    n_truth, n_prediction : int or array of int
        Pixels of the skeletons.
    n_truth_inside, n_prediction_inside : int or array of int
        Those of them that lie in the other mask.
    betti_error, betti_absolute : array of float, shape (..., 3)
        Sums over the images of ``prediction - truth`` and of its absolute value, for b0, b1, b2.
    """

    n_images: Any
    n_truth: Any
    n_truth_inside: Any
    n_prediction: Any
    n_prediction_inside: Any
    betti_error: np.ndarray
    betti_absolute: np.ndarray

    def __add__(self, other: TopologyCounts) -> TopologyCounts:
        return TopologyCounts(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    def scores(self) -> dict[str, np.ndarray]:
        """Return the scores of every entry (every class), in the shape of the fields: `TOPOLOGY` names them.

        Skeleton scores are those of all images laid side by side; Betti number errors are means over images. A share of
        an empty skeleton is nan; clDice is 1 where both masks are empty, 0 where one is.
        """
        n_truth, n_prediction = np.asarray(self.n_truth, float), np.asarray(self.n_prediction, float)
        precision = over(self.n_prediction_inside, n_prediction)
        recall = over(self.n_truth_inside, n_truth)
        n_images = np.asarray(self.n_images)[..., None]
        error, absolute = over(self.betti_error, n_images), over(self.betti_absolute, n_images)
        return {
            "cldice": np.where(n_truth + n_prediction > 0, harmonic(precision, recall), 1.0),
            "skeleton_precision": precision,
            "skeleton_recall": recall,
            **{f"betti{k}_error": error[..., k] for k in range(3)},
            **{f"betti{k}_absolute": absolute[..., k] for k in range(3)},
        }

    def class_means(self) -> dict[str, np.ndarray]:
        """Return the means over the classes, the last axis, that the truth has.

        Where it has none, the classes of the prediction stand in; where there are none either, all classes, which then
        agree. A nan is left out of a mean.
        """
        in_truth, in_prediction = np.asarray(self.n_truth) > 0, np.asarray(self.n_prediction) > 0
        some = (in_truth | in_prediction).any(-1, keepdims=True)
        return class_means(self.scores(), in_truth, in_prediction | ~some)


def topology_scores(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    classes: Sequence[int] | None = None,
    ignore: int | np.ndarray | None = None,
) -> dict[str, float]:
    """Return clDice, skeleton precision and recall, and Betti number errors: the mean over classes of the truth.

    Parameters
    ----------
    truth, prediction : (M, N) or (P, M, N) arrays of int or bool, one shape
        Masks, or class images; 0 is background.
    classes : sequence of int, optional
        Classes to judge; by default all of the truth except 0. One class alone gives the scores of that class.
    ignore : int or bool array, optional
        A value of the truth, or a mask, that is not to be judged: background in both.

    Returns
    -------
    scores : dict
        The keys of `TOPOLOGY`: `TopologyCounts.class_means` of this image.

    Raises
    ------
    ShapeMismatchError, LabelError
        If the two are no pair of label images, see `check_pair`.

    Notes
    -----
    Skeletons are thinned by the rule of Guo and Hall in 2D, by that of Lee in 3D (scikit-image). A skeleton depends on
    the order of thinning, so that a turn of the image may move it by a pixel. Betti numbers: see `betti_numbers`.

    References
    ----------
    Shit et al., CVPR 2021, doi:10.1109/CVPR46437.2021.01629: clDice. Ours is the score of two masks; losses by soft
    skeletons give other numbers.
    Kirchhoff et al., ECCV 2024, arXiv:2404.03010: skeleton recall as a loss, by a skeleton widened to a
    tube and soft predictions. Ours takes the thin skeleton, and is the sensitivity of clDice.

    Examples
    --------
    >>> truth = np.zeros((7, 12), bool)
    >>> truth[3, 1:11] = True
    >>> broken = truth.copy()
    >>> broken[3, 5] = False
    >>> found = topology_scores(truth, broken)
    >>> found["skeleton_precision"], found["skeleton_recall"], found["betti0_error"]
    (1.0, 0.9, 1.0)
    """
    counts = topology_counts(truth, prediction, classes=classes, ignore=ignore)
    return {name: float(value) for name, value in counts.class_means().items()}


def topology_counts(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    classes: Sequence[int] | None = None,
    ignore: int | np.ndarray | None = None,
) -> TopologyCounts:
    """Return the counts behind `topology_scores` of one image, one entry per class, in the order of `classes`.

    Name the classes where counts of several images are to be added: by default they are those of this truth.
    """
    pair = check_pair(truth, prediction, ignore=ignore)
    known = True if pair.ignored is None else ~pair.ignored
    skeletons, errors = [], []
    for value in chosen_classes(pair, classes):
        t, p = ((labels == value) & known for labels in (pair.truth, pair.prediction))
        thin_t, thin_p = skeleton(t), skeleton(p)
        skeletons.append([np.count_nonzero(m) for m in (thin_t, thin_t & p, thin_p, thin_p & t)])
        errors.append(np.array(betti_numbers(p), float) - np.array(betti_numbers(t), float))
        if t.ndim == 2:
            errors[-1][2] = np.nan
    counts, error = np.array(skeletons, np.int64).T, np.array(errors)
    n_t, n_t_inside, n_p, n_p_inside = counts
    n_images = np.ones(len(errors), np.int64)
    return TopologyCounts(n_images, n_t, n_t_inside, n_p, n_p_inside, error, np.abs(error))


def recall_by_width(
    truth: np.ndarray,
    prediction: np.ndarray,
    edges: Sequence[float],
    *,
    ignore: int | np.ndarray | None = None,
) -> dict[str, float]:
    """Return the skeleton recall of what is thin and of what is thick.

    Parameters
    ----------
    truth, prediction : (M, N) or (P, M, N) arrays of int or bool, one shape
        Masks, or class images; 0 is background.
    edges : (n,) sequence of float
        Rising widths in px that part thin from thick.
    ignore : int or bool array, optional
        A value of the truth, or a mask, that is not to be judged: background in both.

    Returns
    -------
    recalls : dict of n + 1
        Share of the true skeleton, over all classes but 0, that lies in the predicted mask, where the true mask is so
        wide; nan where nothing is.

    Notes
    -----
    The width at a pixel of the skeleton is ``2 d - 1``, d being the distance to the nearest pixel that is not of the
    class: right for a straight band of odd width, one less for one of even width.

    Examples
    --------
    >>> truth = np.zeros((9, 40), bool)
    >>> truth[4, 1:18] = truth[2:7, 21:39] = True
    >>> recall_by_width(truth, truth & (np.arange(40) > 19), [3])
    {'skeleton_recall[to 3 px]': 0.0, 'skeleton_recall[over 3 px]': 1.0}
    """
    pair = check_pair(truth, prediction, ignore=ignore)
    known = True if pair.ignored is None else ~pair.ignored
    n, inside = (np.zeros(len(edges) + 1, np.int64) for _ in range(2))
    for value in chosen_classes(pair, None):
        t, p = ((labels == value) & known for labels in (pair.truth, pair.prediction))
        thin = skeleton(t)
        part = np.searchsorted(edges, 2 * edt.edt(t)[thin] - 1)
        n += np.bincount(part, minlength=n.size)
        inside += np.bincount(part[p[thin]], minlength=n.size)
    return dict(zip(names_by_width(edges), over(inside, n).tolist(), strict=True))


def names_by_width(edges: Sequence[float]) -> list[str]:
    """Return the names of the scores of `recall_by_width`."""
    between = [f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges)]
    return [f"skeleton_recall[{part} px]" for part in (f"to {edges[0]:g}", *between, f"over {edges[-1]:g}")]


def skeleton(mask: np.ndarray) -> np.ndarray:
    """Return the centre line of a bool mask, one pixel wide; every piece keeps at least one pixel.

    Thinning in 3D can lose a small piece whole; its pixel nearest to its centroid stands for it then.

    Examples
    --------
    >>> bar = np.zeros((5, 9), bool)
    >>> bar[1:4, 1:8] = True
    >>> skeleton(bar).astype(int)[2]
    array([0, 0, 1, 1, 1, 1, 1, 0, 0])
    """
    if not mask.any():
        return np.zeros_like(mask)
    if mask.ndim == 2:
        thin = thinned(mask)
    else:
        from skimage.morphology import skeletonize

        # With a margin, so that what the thinning does does not depend on the frame.
        thin = skeletonize(np.pad(mask, 1))[1:-1, 1:-1, 1:-1] > 0
    pieces = label(mask)
    kept = np.zeros(int(pieces.max()) + 1, bool)
    kept[pieces[thin]] = True
    for piece in np.flatnonzero(~kept[1:]) + 1:
        pixels = np.argwhere(pieces == piece)
        # In whole numbers: of pixels equally near the first counts, wherever the piece lies in the frame.
        off_centre = len(pixels) * pixels - pixels.sum(axis=0)
        thin[tuple(pixels[(off_centre**2).sum(axis=1).argmin()])] = True
    return thin
