"""What is counted when objects are compared; it adds up over images and machines, and every instance score follows."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from segmetry.evaluate.ratios import over
from segmetry.evaluate.scores import Score, table_of

LEVELS = np.arange(10, 20) / 20  # as quotients, so that an overlap of exactly 3/5 reaches the level 0.6
"""Smallest intersection over union of a hit: .5, .55, ... .95."""

INSTANCE = table_of(
    Score("ap50", "high", "TP / (TP + FP + FN) where a hit overlaps by IoU >= .5"),
    Score("ap75", "high", "the same at IoU >= .75"),
    Score("ap90", "high", "the same at IoU >= .9"),
    Score("map", "high", "the same, mean over IoU .5, .55, ... .95"),
    Score("precision", "high", "share of the predicted objects that are hits at IoU >= .5"),
    Score("recall", "high", "share of the true objects that are hit at IoU >= .5"),
    Score("f1", "high", "harmonic mean of precision and recall at IoU >= .5"),
    Score("pq", "high", "panoptic quality: sq times rq"),
    Score("sq", "high", "mean IoU of the hits, IoU > .5"),
    Score("rq", "high", "f1 at IoU > .5"),
    Score("count_error", "zero", "predicted minus true number of objects"),
    Score("count_error_relative", "zero", "that, over the true number", least=-1.0),
    Score("splits", "low", "true objects that hold more than half of each of two or more predicted ones"),
    Score("merges", "low", "predicted objects that hold more than half of each of two or more true ones"),
    Score("ari", "high", "adjusted Rand index of the pixels that belong to a true object", least=-0.5),
    Score("vi_split", "low", "information lost by splitting, bits a pixel of true objects"),
    Score("vi_merge", "low", "information lost by merging, bits a pixel of true objects"),
)
"""Every score of objects, by name."""


@dataclass(frozen=True, eq=False)
class InstanceCounts:
    """Hits and misses of one image, or of many together.

    Fields are numbers or arrays of one leading shape ``(...)``; those that depend on the overlap have one more axis of
    11: IoU >= .5, .55, ... .95 (`LEVELS`), and last IoU > .5, which panoptic quality asks for.

    Parameters
    ----------
    tp, fp, fn : (..., 11)
        Hits, predicted objects without a true one, true objects without a predicted one. An object of which more than
        half is ignored is in `tp` where it matches, and nowhere else.
    iou : (...)
        Sum of the overlaps of the hits, IoU > .5.
    splits, merges : (...)
        True objects that were split, predicted objects that merge.
    n_foreground : (...)
        Pixels that belong to a true object.
    rand_gain, rand_room : (...)
        Pairs of foreground pixels of one image: how many more are together in both than by chance, and how many more
        could be.
    bits_split, bits_merge : (...)
        Conditional entropy of the prediction given the truth, and the reverse, times `n_foreground`.

    Examples
    --------
    >>> from segmetry.evaluate.instances import count_instances
    >>> one = count_instances(np.array([[1, 1, 0, 2]]), np.array([[1, 1, 0, 0]]))
    >>> two = count_instances(np.array([[1, 1, 0, 2]]), np.array([[1, 1, 0, 3]]))
    >>> float((one + two).scores()["ap50"])
    0.75
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    iou: np.ndarray
    splits: np.ndarray
    merges: np.ndarray
    n_foreground: np.ndarray
    rand_gain: np.ndarray
    rand_room: np.ndarray
    bits_split: np.ndarray
    bits_merge: np.ndarray

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        """Return the counts of both together."""
        return InstanceCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def stack(cls, counts: list[InstanceCounts]) -> InstanceCounts:
        """Return counts of several images with a leading axis for the images, ready to be drawn from and summed."""
        return cls(*(np.stack([np.asarray(getattr(c, f.name), float) for c in counts]) for f in fields(cls)))

    def draw(self, weights: np.ndarray) -> InstanceCounts:
        """Return sums over the leading axis, once for every row of weights.

        Parameters
        ----------
        weights : (B, images) array
            How often each image was drawn.
        """
        return InstanceCounts(*(np.tensordot(weights, getattr(self, f.name), 1) for f in fields(self)))

    def scores(self) -> dict[str, np.ndarray]:
        """Return every score of `INSTANCE`, each of the leading shape.

        Of one image they are its scores; of a sum they count all objects together (pooled), and `splits`, `merges` and
        `count_error` are totals.

        Notes
        -----
        Where neither image has an object they agree: ratios are 1, errors 0. Where one of them has none, ratios are 0.
        Where nothing is hit `sq` is 0, so that ``pq = sq * rq`` always. `count_error_relative` is nan where only the
        truth is empty, and so are `vi_split` and `vi_merge`.

        `ari` and the two parts of the variation of information look at the pixels of true objects only, for background
        would rule them. What no predicted object claims there is no region: each such pixel stands alone, as in the
        scripts of the ISBI 2012 contest. (As one region, which some libraries make of it, the thin rims that a slightly
        tight outline leaves join all objects: 5,000 disks found with a mean IoU of .77 got an index of .02.) So missed
        pixels count as split, and invented objects are not seen. Summed over images, pairs of pixels of one image
        count.

        References
        ----------
        AP as TP / (TP + FP + FN): Caicedo et al., Nat. Methods 16, 1247 (2019), doi:10.1038/s41592-019-0612-7.
        Panoptic quality: Kirillov et al., CVPR (2019), doi:10.1109/CVPR.2019.00963.
        Adjusted Rand index: Hubert and Arabie, J. Classif. 2, 193 (1985), doi:10.1007/BF01908075. Restricted to the
        foreground of the truth: Arganda-Carreras et al., Front. Neuroanat. 9, 142 (2015),
        doi:10.3389/fnana.2015.00142, whose "adapted Rand error" is another quotient of the same sums.
        Variation of information: Meila, J. Multivar. Anal. 98, 873 (2007), doi:10.1016/j.jmva.2006.11.013.
        """
        tp, fp, fn = (np.asarray(x, float) for x in (self.tp, self.fp, self.fn))
        n_truth, n_prediction = tp[..., 0] + fn[..., 0], tp[..., 0] + fp[..., 0]
        none = (n_truth == 0) & (n_prediction == 0)
        ap = over(tp, tp + fp + fn, 1.0)[..., :10]
        hits, wrong = tp[..., 10], fp[..., 10] + fn[..., 10]
        sq, rq = over(self.iou, hits, np.where(none, 1.0, 0.0)), over(hits, hits + wrong / 2, 1.0)
        both = none | ((n_truth > 0) & (n_prediction > 0))
        nothing = np.where(none, 0.0, np.nan)
        return {
            "ap50": ap[..., 0],
            "ap75": ap[..., 5],
            "ap90": ap[..., 8],
            "map": ap.mean(axis=-1),
            "precision": over(tp[..., 0], n_prediction, np.where(none, 1.0, 0.0)),
            "recall": over(tp[..., 0], n_truth, np.where(none, 1.0, 0.0)),
            "f1": over(2 * tp[..., 0], n_truth + n_prediction, 1.0),
            "pq": sq * rq,
            "sq": sq,
            "rq": rq,
            "count_error": n_prediction - n_truth,
            "count_error_relative": over(n_prediction - n_truth, n_truth, nothing),
            "splits": np.asarray(self.splits, float),
            "merges": np.asarray(self.merges, float),
            "ari": over(self.rand_gain, self.rand_room, np.where(both, 1.0, 0.0)),
            "vi_split": over(self.bits_split, self.n_foreground, nothing),
            "vi_merge": over(self.bits_merge, self.n_foreground, nothing),
        }
