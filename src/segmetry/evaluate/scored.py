"""Predicted particles with their scores, and whether each is right: what thresholds are chosen from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from segmetry.errors import ImageError, ShapeMismatchError
from segmetry.evaluate.instances import object_overlaps
from segmetry.evaluate.overlap import contingency
from segmetry.evaluate.pair import check_pair

_BLOCK = 1024  # images whose tables are held at once


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """The predicted particles of one image.

    Parameters
    ----------
    scores : (P,) array of float in [0, 1]
        How sure the method is of each.
    right : (P,) array of bool
        Whether each is one of the true particles.
    n_truth : int
        True particles in the image.
    group : str
        What the image comes from: a publication, a specimen. Images of one group are not independent.

    Raises
    ------
    ShapeMismatchError
        If there is not one score and one verdict for each particle.
    ImageError
        If a score is not in [0, 1], or more are right than there are.
    """

    scores: np.ndarray
    right: np.ndarray
    n_truth: int
    group: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float64))
        object.__setattr__(self, "right", np.asarray(self.right, np.bool_))
        object.__setattr__(self, "group", str(self.group))
        if self.scores.ndim != 1 or self.scores.shape != self.right.shape:
            raise ShapeMismatchError(
                f"each particle has one score and one verdict, got {self.scores.shape} and {self.right.shape}."
            )
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise ImageError(f"{self.group}: scores must lie in [0, 1], and not be nan.")
        if np.count_nonzero(self.right) > self.n_truth:
            raise ImageError(
                f"{self.group}: {np.count_nonzero(self.right)} particles are right, but only {self.n_truth} are true."
            )


def score_image(
    truth: Any, prediction: Any, scores: Any, *, group: str, ignore: int | np.ndarray | None = None
) -> ScoredImage:
    """Return which predicted particles of an image are right, beside their scores.

    Parameters
    ----------
    truth, prediction : arrays of int, one shape
        Label images; 0 is background.
    scores : (L,) array of float
        ``scores[i]`` belongs to label ``i + 1`` of the prediction.
    group : str
        What the image comes from.
    ignore : int or bool array, optional
        What is not to be judged: a value of the truth, or a mask that is True there.

    Notes
    -----
    Right: matched with a true particle with IoU >= .5, each in one pair at most, as in `score_instances`. All predicted
    particles take part in the matching; what a threshold drops later changes nothing for the others. Of particles
    more than half ignored only the right ones are counted.

    Examples
    --------
    >>> found = score_image(np.array([[1, 1, 0, 2]]), np.array([[2, 2, 1, 0]]), [0.3, 0.9], group="a")
    >>> found.scores, found.right, found.n_truth
    (array([0.3, 0.9]), array([False,  True]), 2)
    """
    pair = check_pair(truth, prediction, ignore=ignore)
    pairs = object_overlaps(contingency(pair.truth, pair.prediction, ignore=pair.ignored))
    scores = np.asarray(scores, np.float64)
    last = int(pairs.prediction.labels.max(initial=0))
    if scores.ndim != 1 or scores.size < last:
        raise ShapeMismatchError(f"{group}: labels go up to {last}, but scores have the shape {scores.shape}.")
    hit = pairs.matched(0.5)
    right = np.zeros(pairs.prediction.labels.size, np.bool_)
    right[pairs.column[hit]] = True
    true = ~pairs.truth.excused
    true[pairs.row[hit]] = True
    judged = right | ~pairs.prediction.excused
    return ScoredImage(
        scores[pairs.prediction.labels[judged] - 1], right[judged], int(np.count_nonzero(true)), str(group)
    )


class Shares(NamedTuple):
    """What each threshold does to each group: means over the images of the group.

    Parameters
    ----------
    groups : tuple of str
        Names in rising order, G of them.
    false : (G, T) array
        Share of the kept particles that are false; 0 in an image where none is kept.
    missed : (G, T) array
        Share of the true particles that no kept one matches; 0 in an image without true particles.
    empty : (G, T) array
        Share of the images in which nothing is kept.
    """

    groups: tuple[str, ...]
    false: np.ndarray
    missed: np.ndarray
    empty: np.ndarray


def shares(images: Sequence[ScoredImage], thresholds: np.ndarray) -> Shares:
    """Return the shares of false and missed particles in each group, at thresholds in falling order.

    Parameters
    ----------
    images : sequence of ScoredImage
    thresholds : (T,) array
        A particle is kept where its score reaches the threshold.

    Notes
    -----
    Each image of a group counts the same, however many particles it shows: the mean over a group is what to expect of
    one of its images.
    """
    names, code = np.unique([one.group for one in images], return_inverse=True)
    tables = np.zeros((3, len(names), len(thresholds)))
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        n_truth = np.array([one.n_truth for one in block])[:, None]
        right = np.concatenate([one.right for one in block])
        owner = np.repeat(np.arange(len(block)), [one.scores.size for one in block])
        # The first threshold that keeps each particle; the last column is for those that none keeps.
        first = np.searchsorted(-thresholds, -np.concatenate([one.scores for one in block]))
        cell = owner * (len(thresholds) + 1) + first
        kept, hits = (
            np.bincount(cells, minlength=len(block) * (len(thresholds) + 1))
            .reshape(len(block), -1)[:, :-1]
            .cumsum(axis=1)
            for cells in (cell, cell[right])
        )
        found = (kept - hits) / np.maximum(kept, 1), (n_truth - hits) / np.maximum(n_truth, 1), kept == 0
        for table, of_images in zip(tables, found):
            np.add.at(table, code[start : start + _BLOCK], of_images)
    tables /= np.bincount(code)[:, None]
    return Shares(tuple(str(n) for n in names), *tables)
