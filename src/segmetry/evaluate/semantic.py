"""Scores of classes of pixels: from one table of counts, that adds up over images and machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import ImageError, LabelError, OptionError, ShapeMismatchError
from segmetry.evaluate.overlap import contingency
from segmetry.evaluate.pair import check_pair
from segmetry.evaluate.ratios import mean_over, over, plain
from segmetry.evaluate.scores import Score, table_of

if TYPE_CHECKING:
    import pandas as pd

SEMANTIC = table_of(
    Score("accuracy", "high", "share of pixels with the right class"),
    Score("balanced_accuracy", "high", "mean recall of the classes that the truth has"),
    Score("precision", "high", "share of the pixels given to a class that are of it"),
    Score("recall", "high", "share of the pixels of a class that were given to it"),
    Score("specificity", "high", "share of the pixels not of a class that were not given to it"),
    Score("iou", "high", "pixels of a class in truth and prediction, over those in either (Jaccard)"),
    Score("dice", "high", "twice the pixels of a class in both, over the sum of both (F1)"),
    Score("mean_iou", "high", "mean of iou over the classes, background too, that truth or prediction have"),
    Score("mean_dice", "high", "mean of dice over the same classes"),
    Score("jaccard", "high", "iou of all classes but the background, pooled over their pixels"),
    Score("frequency_weighted_iou", "high", "mean of iou over the classes, weighted by their pixels in the truth"),
    Score("mcc", "high", "correlation of truth and prediction (Matthews; of several classes Gorodkin)", least=-1.0),
    Score("kappa", "high", "agreement beyond that of chance (Cohen)", least=-1.0),
    Score("mae", "low", "mean absolute error of the probability, or of the mask, as 0 and 1"),
)
"""The semantic scores. Of two classes, precision to dice are those of the foreground; of more, means over classes."""

PER_CLASS = ("precision", "recall", "specificity", "iou", "dice")
"""Scores that every class has; of more than two classes they are given as ``iou[name]`` too."""

_MOST_CLASSES = 1024


def foreground(labels: np.ndarray) -> np.ndarray:
    """Return the mask of all that is not background (0), bool.

    With it, objects are scored as pixels: ``count_classes(foreground(truth), foreground(prediction))``.

    Examples
    --------
    >>> foreground(np.array([[0, 3], [7, 0]]))
    array([[False,  True],
           [ True, False]])
    """
    return np.asarray(labels) > 0


@dataclass(frozen=True, eq=False)
class SemanticCounts:
    """Pixels by true and found class.

    Counts add up: ``a + b`` are the counts of both images, also where their classes differ.

    Parameters
    ----------
    confusion : (..., K, K) int64 array
        ``confusion[..., i, j]`` pixels are of class i and were given to class j.
    values : tuple of int
        The label of each class in the images, rising.
    names : tuple of str
        What the classes are called.
    absolute_error : (...) array or None
        Sum of the absolute differences between a probability and the truth; None where no probability was given.
    """

    confusion: np.ndarray
    values: tuple[int, ...]
    names: tuple[str, ...]
    absolute_error: np.ndarray | None = None

    def __post_init__(self) -> None:
        k = len(self.values)
        if self.confusion.shape[-2:] != (k, k) or len(self.names) != k:
            raise ShapeMismatchError(
                f"counts of {k} classes with {len(self.names)} names need a table (..., {k}, {k}), "
                f"got {self.confusion.shape}."
            )
        if len(set(self.names)) != k or list(self.values) != sorted(set(self.values)):
            raise OptionError(f"classes need different names and rising values, got {self.names} of {self.values}.")

    @property
    def is_binary(self) -> bool:
        """Whether there is background and one other class at most."""
        return len(self.values) <= 2 and self.values[0] == 0

    def __add__(self, other: SemanticCounts) -> SemanticCounts:
        a, b = _aligned((self, other))
        if (a.absolute_error is None) != (b.absolute_error is None):
            raise OptionError("one of the counts was made with probabilities and one without; their mae does not add.")
        error = None
        if a.absolute_error is not None and b.absolute_error is not None:
            error = a.absolute_error + b.absolute_error
        return SemanticCounts(a.confusion + b.confusion, a.values, a.names, error)

    @classmethod
    def stack(cls, counts: Iterable[SemanticCounts]) -> SemanticCounts:
        """Return the counts of several images with an axis of images in front, all with the same classes."""
        same = _aligned(tuple(counts))
        errors = [c.absolute_error for c in same if c.absolute_error is not None]
        if len(errors) not in (0, len(same)):
            raise OptionError("some of the counts were made with probabilities and some without.")
        confusion = np.stack([c.confusion for c in same])
        return cls(confusion, same[0].values, same[0].names, np.stack(errors) if errors else None)

    def normalised(self) -> np.ndarray:
        """Return the table with each row as shares of its true class; rows of absent classes are nan. (..., K, K)"""
        return over(self.confusion, self.confusion.sum(-1, keepdims=True))

    def table(self) -> pd.DataFrame:
        """Return the counts as a data frame, one row per true class."""
        import pandas as pd

        if self.confusion.ndim != 2:
            raise ShapeMismatchError(f"a table is of one count, here are {self.confusion.shape[:-2]} of them.")
        index, columns = pd.Index(self.names, name="truth"), pd.Index(self.names, name="prediction")
        return pd.DataFrame(self.confusion, index=index, columns=columns)

    def per_class(self) -> dict[str, np.ndarray]:
        """Return the scores of each class by name, (..., K) each; see `scores` for what is nan."""
        tp, fp, fn, tn = self._outcomes()
        return {
            "precision": over(tp, tp + fp),
            "recall": over(tp, tp + fn),
            "specificity": over(tn, tn + fp),
            "iou": over(tp, tp + fp + fn),
            "dice": over(2 * tp, 2 * tp + fp + fn),
        }

    def scores(self) -> dict[str, Any]:
        """Return the scores of `SEMANTIC`, and of more than two classes also those of each, ``iou[name]``.

        Returns
        -------
        scores : dict of float, or of (...) arrays
            Numbers where the counts have no axes in front.

        Notes
        -----
        With ``tp, fp, fn, tn`` of a class against the rest, ``n`` pixels, ``tp_k + fn_k`` true ones of class k:

        - a quotient 0/0 is nan: precision where nothing was given to the class, recall where the truth has none of it,
          specificity where the truth has nothing else, IoU and Dice where neither has it;
        - means over classes leave out nan. So a class that is absent from both does not count, and one that was found
          but is absent from the truth counts as IoU 0 (the union convention);
        - `jaccard` is ``sum tp_k / sum (tp_k + fp_k + fn_k)`` over the classes but the background (label 0). Of two
          classes it equals `iou`;
        - `mcc` is ``sum(tp_k tn_k - fp_k fn_k) / sqrt(sum(T_k (n - T_k)) sum(P_k (n - P_k)))`` with T_k true and P_k
          found pixels; 0 where one of truth and prediction has a single class (the limit: Chicco & Jurman 2020), nan
          where both have;
        - `mae` is of two classes only, else nan. It is that of the probability, where one was counted, and else the
          share of wrong pixels.

        References
        ----------
        Gorodkin, Comput. Biol. Chem. 28, 367 (2004), doi:10.1016/j.compbiolchem.2004.09.006 (R_K); Cohen, Educ.
        Psychol. Meas. 20, 37 (1960), doi:10.1177/001316446002000104; Chicco & Jurman, BMC Genomics 21, 6 (2020),
        doi:10.1186/s12864-019-6413-7.
        """
        if self.values == (0,):  # nothing but background: the foreground is there as well, with no pixels
            confusion = np.pad(self.confusion, [(0, 0)] * (self.confusion.ndim - 2) + [(0, 1)] * 2)
            return SemanticCounts(
                confusion, (0, 1), (self.names[0], f"not {self.names[0]}"), self.absolute_error
            ).scores()
        tp, fp, fn, tn = self._outcomes()
        n = self.confusion.sum((-1, -2), dtype=np.float64)
        each = self.per_class()
        objects = np.array(self.values) != 0
        scores = {
            "accuracy": over(tp.sum(-1), n),
            "balanced_accuracy": mean_over(each["recall"]),
            **{name: self._headline(each[name]) for name in PER_CLASS},
            "mean_iou": mean_over(each["iou"]),
            "mean_dice": mean_over(each["dice"]),
            "jaccard": over(tp[..., objects].sum(-1), (tp + fp + fn)[..., objects].sum(-1)),
            "frequency_weighted_iou": over(np.nansum((tp + fn) * each["iou"], axis=-1), n),
            **_correlations(tp, fp, fn, tn, n),
            "mae": self._mae(n),
        }
        if not self.is_binary:
            for name in PER_CLASS:
                scores |= {f"{name}[{label}]": each[name][..., k] for k, label in enumerate(self.names)}
        return {name: plain(value) for name, value in scores.items()}

    def _outcomes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return true and false positives, false and true negatives of each class, float64: squares do not overflow."""
        table = self.confusion.astype(np.float64)
        tp = np.einsum("...kk->...k", table)
        fp, fn = table.sum(-2) - tp, table.sum(-1) - tp
        return tp, fp, fn, table.sum((-1, -2))[..., None] - tp - fp - fn

    def _headline(self, each: np.ndarray) -> np.ndarray:
        return each[..., 1] if self.is_binary else mean_over(each)

    def _mae(self, n: np.ndarray) -> np.ndarray:
        if not self.is_binary:
            return np.full(n.shape, np.nan)
        error = self.absolute_error
        if error is None:
            error = n - np.einsum("...kk->...", self.confusion)
        return over(error, n)


def count_classes(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    classes: Sequence[str] | Mapping[int, str] | None = None,
    ignore: int | np.ndarray | None = None,
    probability: np.ndarray | None = None,
) -> SemanticCounts:
    """Return how many pixels of each true class were given to each class.

    Parameters
    ----------
    truth, prediction : arrays of int or bool, one shape, 2D or 3D
        Class of each pixel. A mask is class 1 on class 0.
    classes : sequence of str, or mapping of int to str, optional
        Names of the classes 0, 1, ..., or of each label. By default the labels that occur, and 0, by their numbers.
    ignore : int or bool array, optional
        What is not to be judged: a value of the truth, or a mask that is True there.
    probability : array of float, or of uint8 or uint16, same shape, optional
        Probability of the foreground, for `mae`; of two classes only. Of integers the largest one stands for 1.

    Raises
    ------
    LabelError
        If a label is none of the classes; if there are too many to be classes; or if one mask calls the foreground 1
        and the other 255, and `classes` does not say what they are.
    ShapeMismatchError
        If the shapes differ.
    ImageError
        If a probability is not in [0, 1].

    Examples
    --------
    >>> counts = count_classes(np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 0]]))
    >>> counts.confusion
    array([[2, 0],
           [1, 1]])
    >>> counts.scores()["iou"], counts.scores()["precision"]
    (0.5, 1.0)
    """
    seen = contingency(truth, prediction, ignore=ignore)
    t, p = seen.truth, seen.prediction
    values, names = _classes(t, p) if classes is None else _named(classes)
    for label_of, who in ((t, "truth"), (p, "prediction")):
        strange = np.setdiff1d(label_of, values)
        if strange.size:
            raise LabelError(
                f"{who} holds the label {strange[0]}, which is none of the classes {_listed(values)}; "
                "name it in classes, or leave its pixels out with ignore."
            )
    confusion = np.zeros((len(values), len(values)), np.int64)
    np.add.at(confusion, (np.searchsorted(values, t), np.searchsorted(values, p)), seen.count)
    counts = SemanticCounts(confusion, values, names)
    if probability is None:
        return counts
    if not counts.is_binary:
        raise OptionError(f"a probability belongs to two classes, here are {len(values)}: {_listed(names)}.")
    return SemanticCounts(confusion, values, names, _absolute_error(truth, prediction, probability, ignore))


def _absolute_error(truth: Any, prediction: Any, probability: Any, ignore: int | np.ndarray | None) -> np.ndarray:
    pair = check_pair(truth, prediction, ignore=ignore)
    probability = np.asarray(probability)
    if probability.shape != pair.truth.shape:
        raise ShapeMismatchError(f"truth is {pair.truth.shape} but its probability is {probability.shape}.")
    if probability.dtype.kind != "f" and probability.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"a probability is a number in [0, 1], or uint8 or uint16 for it, got {probability.dtype}.")
    judged = slice(None) if pair.ignored is None else ~pair.ignored
    p, t = probability[judged].astype(np.float64), pair.truth[judged] > 0
    if probability.dtype.kind == "u":
        p /= np.iinfo(probability.dtype).max
    wrong = p.size - np.count_nonzero((p >= 0) & (p <= 1))
    if wrong:
        raise ImageError(f"{wrong} of {p.size} probabilities are not in [0, 1] (nan counts); mend or ignore them.")
    return np.array(np.abs(p - t).sum())


def _classes(truth: np.ndarray, prediction: np.ndarray) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the labels that occur, and 0."""
    own = [set(np.unique(labels).tolist()) - {0} for labels in (truth, prediction)]
    if sorted(map(sorted, own)) == [[1], [255]]:
        raise LabelError(
            "the foreground is 255 in one of truth and prediction and 1 in the other; make masks of both, with "
            "foreground() or > 0."
        )
    values = sorted({0} | own[0] | own[1])
    if len(values) > _MOST_CLASSES:
        raise LabelError(
            f"truth and prediction hold {len(values)} labels, more than {_MOST_CLASSES}: objects, not classes. "
            "Score them as instances, or as masks with foreground()."
        )
    return tuple(values), tuple(map(str, values))


def _named(classes: Sequence[str] | Mapping[int, str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    if isinstance(classes, str) or not len(classes):
        raise OptionError(f"classes is a list of names or a mapping of labels to names, got {classes!r}.")
    rows = sorted(classes.items()) if isinstance(classes, Mapping) else list(enumerate(classes))
    return tuple(int(value) for value, _ in rows), tuple(str(name) for _, name in rows)


def _listed(things: Sequence[object]) -> str:
    return ", ".join(map(str, things[:8])) + (", ..." if len(things) > 8 else "")


def _aligned(counts: Sequence[SemanticCounts]) -> list[SemanticCounts]:
    """Return the counts with the same classes: those of all, by value."""
    if not counts:
        raise OptionError("there are no counts to put together.")
    name_of: dict[int, str] = {}
    for one in counts:
        for value, name in zip(one.values, one.names):
            if name_of.setdefault(value, name) != name:
                raise OptionError(f"the label {value} is called {name_of[value]!r} and {name!r}; give both one name.")
    values = tuple(sorted(name_of))
    names = tuple(name_of[v] for v in values)
    found = []
    for one in counts:
        if one.values == values:
            found.append(one)
            continue
        at = np.searchsorted(values, one.values)
        wider = np.zeros((*one.confusion.shape[:-2], len(values), len(values)), one.confusion.dtype)
        wider[..., at[:, None], at] = one.confusion
        found.append(SemanticCounts(wider, values, names, one.absolute_error))
    return found


def _correlations(
    tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray, n: np.ndarray
) -> dict[str, np.ndarray]:
    """Return Gorodkin's R_K and Cohen's kappa.

    Written as sums of products, not as differences of squares, so that one odd pixel among 1e10 is not rounded away.
    """
    agreement = (tp * tn - fp * fn).sum(-1)
    spread_truth = ((tp + fn) * (fp + tn)).sum(-1)
    spread_prediction = ((tp + fp) * (fn + tn)).sum(-1)
    root = np.sqrt(spread_truth) * np.sqrt(spread_prediction)
    one_constant = (root == 0) & ((spread_truth > 0) | (spread_prediction > 0))
    mcc = np.where(one_constant, 0.0, over(agreement, root))
    return {"mcc": mcc, "kappa": over(agreement, agreement + n * (n - tp.sum(-1)))}
