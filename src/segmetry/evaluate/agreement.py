"""Two annotators: how far they agree with each other is the most that a method can be asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.bootstrap import decimals
from segmetry.evaluate.paired import Difference, paired_difference
from segmetry.evaluate.uncertain import mean_over_images
from segmetry.types import Estimate


@dataclass(frozen=True)
class Agreement:
    """A method beside two annotators.

    Parameters
    ----------
    ceiling : Estimate
        Score of one annotator against the other, mean over images.
    to_first, to_second : Difference
        Score of the method against this annotator, minus that of the other annotator against this one.
    to_both : Difference
        The mean of the two for each image.
    sentences : tuple of str
        The two gaps in words.
    """

    ceiling: Estimate
    to_first: Difference
    to_second: Difference
    to_both: Difference
    sentences: tuple[str, str]


def agreement(
    between: np.ndarray | Sequence[float],
    with_first: np.ndarray | Sequence[float],
    with_second: np.ndarray | Sequence[float],
    *,
    method: str = "the method",
    annotators: tuple[str, str] = ("A", "B"),
    best: Literal["high", "low"] = "high",
    groups: Sequence[Any] | np.ndarray | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """Return how far a method stays below the agreement of two annotators, or reaches it.

    Parameters
    ----------
    between : (n,) array
        A score of one annotator against the other, for each image. For scores that are not symmetric take the mean of
        both directions.
    with_first, with_second : (n,) arrays
        The same score of the method against the first and the second annotator; nan leaves an image out.
    method, annotators : str
        Names for the sentences.
    best : {"high", "low"}
        Which value of the score is better.
    groups, n_resamples, level, seed
        As for `mean_over_images`.

    Raises
    ------
    ShapeMismatchError
        If the three are not one score for each image.
    OptionError
        If `best` is neither high nor low.

    Notes
    -----
    An annotator is a sample of one: the ceiling is that of these two people, not of people. "As well as" means that the
    interval of the gap holds 0, so that these images cannot tell; its width says how much they could have told.

    Examples
    --------
    >>> found = agreement([0.9, 0.8, 0.7, 0.9, 0.8], [0.8, 0.7, 0.6, 0.7, 0.8], [0.9, 0.8, 0.8, 0.9, 0.7])
    >>> print(found.sentences[1])
    the method agrees with annotator B as well as A does: 0.00 [-0.08, 0.08]
    """
    if best not in ("high", "low"):
        raise OptionError(f"agreement: best is 'high' or 'low', got {best!r}.")
    ceiling, first, second = (np.asarray(scores, float) for scores in (between, with_first, with_second))
    if not ceiling.shape == first.shape == second.shape:
        raise ShapeMismatchError(
            f"agreement: scores of shapes {ceiling.shape}, {first.shape}, {second.shape}; give one for each image."
        )

    def gap(scores: np.ndarray, name: str) -> Difference:
        return paired_difference(
            ceiling, scores, name=name, groups=groups, n_resamples=n_resamples, level=level, seed=seed
        )

    a, b = annotators
    to_first, to_second = gap(first, f"{method} - {b}, against {a}"), gap(second, f"{method} - {a}, against {b}")
    return Agreement(
        mean_over_images(ceiling, groups=groups, n_resamples=n_resamples, level=level, seed=seed),
        to_first,
        to_second,
        gap((first + second) / 2, f"{method} - the other annotator"),
        (_sentence(to_first.estimate, method, a, b, best), _sentence(to_second.estimate, method, b, a, best)),
    )


def _sentence(gap: Estimate, method: str, annotator: str, other: str, best: str) -> str:
    if not math.isfinite(gap.low):
        return f"whether {method} agrees with annotator {annotator} as well as {other} does cannot be told: {gap.note}"
    digits = decimals(gap.low, gap.high)
    text = f"{gap.value:z.{digits}f} [{gap.low:z.{digits}f}, {gap.high:z.{digits}f}]"
    if gap.low <= 0 <= gap.high:
        how = "as well as"
    else:
        how = "better than" if (gap.value > 0) == (best == "high") else "less well than"
    return f"{method} agrees with annotator {annotator} {how} {other} does: {text}"
