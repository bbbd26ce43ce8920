"""How good a network for particles is on images that it did not learn from, as the run's folder keeps it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmetry.evaluate.ranking import ScoreHistogram, count_scores
from segmetry.evaluate.reliability import Reliability, diagram
from segmetry.evaluate.scored import ScoredImage
from segmetry.evaluate.uncertain import mean_over_images
from segmetry.train.calibrate import chances
from segmetry.train.splits import folds
from segmetry.types import Estimate

N_PARTS = 5
"""Parts by group: chances and threshold of one are chosen on the others."""

ON_OTHERS = "chances and threshold from the other groups"
ON_THE_SAME = "chances and threshold from the same images, since the others show too little: the scores flatter"


@dataclass(frozen=True)
class Count:
    """Particles of one image: how many there are, were found, and were found rightly; its group."""

    name: str
    group: str
    n_truth: int
    n_found: int
    n_right: int

    @property
    def ap50(self) -> float:
        """TP / (TP + FP + FN) at IoU .5; 1 where nothing is and nothing was found."""
        either = self.n_truth + self.n_found - self.n_right
        return self.n_right / either if either else 1.0


@dataclass(frozen=True)
class ParticleVerdict:
    """How good a network is on images that it did not learn from.

    Parameters
    ----------
    images : tuple of Count
    scores : mapping of str to Estimate
        ``instance.ap50``, ``instance.precision``, ``instance.recall``: means over images.
    reliability : Reliability
        How often what was found by a chance was right.
    how : str
        Where chances and thresholds come from.
    """

    images: tuple[Count, ...]
    scores: Mapping[str, Estimate]
    reliability: Reliability
    how: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "how": self.how,
            "scores": {name: e.as_dict() for name, e in self.scores.items()},
            "reliability": self.reliability.as_dict(),
            "images": [dataclasses.asdict(one) for one in self.images],
        }

    def headline(self) -> dict[str, Any]:
        """Return the scores that a card names: value and ends of the interval."""

        def plain(x: float) -> float | None:
            return round(x, 4) if math.isfinite(x) else None

        n, groups = len(self.images), len({one.group for one in self.images})
        whose = f"{n} images of {groups} groups that it did not learn from; {self.how}"
        ends = {name: [plain(e.value), plain(e.low), plain(e.high)] for name, e in self.scores.items()}
        return {"on": f"{whose}; value, and 95 % interval over groups"} | ends


def judge_particles(names: Sequence[str], scored: Sequence[ScoredImage]) -> ParticleVerdict:
    """Return how good the network is that found these particles, on images that it did not learn from.

    Parameters
    ----------
    names : sequence of str
    scored : sequence of ScoredImage
        With raw scores. What turns these into chances, and which chance is kept, is chosen for each fifth of the groups
        on the others, so that no image has a part in choosing what judges it. Something has to be found in one of them.
    """
    groups = [one.group for one in scored]
    part = folds(groups, min(N_PARTS, len(set(groups))))
    others = {k: [one for one, p in zip(scored, part, strict=True) if p != k] for k in set(part)}
    apart = all(any(one.scores.size for one in rest) for rest in others.values())
    chosen = {k: chances(rest if apart else scored) for k, rest in others.items()}
    images: list[Count] = []
    told: list[ScoredImage] = []
    for name, one, k in zip(names, scored, part, strict=True):
        score_map, _, threshold = chosen[k]
        told.append(dataclasses.replace(one, scores=score_map.apply(one.scores)))
        kept = told[-1].scores >= threshold
        n_right = int(np.count_nonzero(kept & one.right))
        images.append(Count(name, one.group, one.n_truth, int(np.count_nonzero(kept)), n_right))
    values = {
        "instance.ap50": [one.ap50 for one in images],
        "instance.precision": [_share(one.n_right, one.n_found) for one in images],
        "instance.recall": [_share(one.n_right, one.n_truth) for one in images],
    }
    return ParticleVerdict(
        tuple(images),
        mean_over_images(values, groups=groups, bounds=dict.fromkeys(values, (0.0, 1.0))),
        diagram(ScoreHistogram.stack(_histograms(told))),
        ON_OTHERS if apart else ON_THE_SAME,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _histograms(told: Sequence[ScoredImage]) -> list[ScoreHistogram]:
    """Return the histogram of each group, as images of one resemble each other."""
    found: dict[str, ScoreHistogram] = {}
    for one in told:
        own = count_scores(one.right, one.scores)
        found[one.group] = found[one.group] + own if one.group in found else own
    return list(found.values())
