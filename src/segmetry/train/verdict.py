"""How good the model of a run for classes is, as the run's folder keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segmetry.evaluate.combining import combine
from segmetry.evaluate.judgement import ImageScores
from segmetry.evaluate.reliability import Reliability


@dataclass(frozen=True)
class Verdict:
    """How good a model is on images that it did not learn from.

    Parameters
    ----------
    part : str
        Of the images, one of `segmetry.train.splits.PARTS`.
    images : sequence of ImageScores
    groups : sequence of str
        Group of each image.
    reliability : Reliability
        How often the most probable class was the true one.
    uncalibrated : Reliability, optional
        The same before the temperature.
    """

    part: str
    images: Sequence[ImageScores]
    groups: Sequence[str]
    reliability: Reliability
    uncalibrated: Reliability | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: scores with their intervals, the diagrams, and the counts of every image."""
        found = combine(self.images, groups=self.groups)
        diagrams = {"reliability": self.reliability, "uncalibrated": self.uncalibrated}
        return {
            "part": self.part,
            "groups": list(self.groups),
            "scores": {family: {name: e.as_dict() for name, e in table.items()} for family, table in found.items()},
            **{name: of.as_dict() for name, of in diagrams.items() if of is not None},
            "images": [one.as_dict() for one in self.images],
        }
