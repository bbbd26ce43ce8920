"""Truth and prediction in, scores out. The functions load on first use."""

from __future__ import annotations

from segmetry.later import later

_HOME = {
    "FAMILIES": "judgement",
    "Difference": "paired",
    "ImageScores": "judgement",
    "Matches": "instances",
    "Rules": "judgement",
    "Score": "scores",
    "Trend": "dependence",
    "average_precision": "instances",
    "boundary_f1": "boundary",
    "combine": "combining",
    "contingency": "overlap",
    "count_classes": "semantic",
    "count_scores": "ranking",
    "holm": "paired",
    "judge": "judgement",
    "match": "instances",
    "mean_over_images": "uncertain",
    "misalignment": "alignment",
    "object_boundary_f1": "boundary",
    "object_outcomes": "objects",
    "paired_difference": "paired",
    "physical_scores": "physical",
    "pooled": "uncertain",
    "published_emps": "published",
    "risk_coverage": "risk",
    "score_instances": "instances",
    "surface_scores": "surface",
    "topology_scores": "topology",
    "trend": "dependence",
}
"""Public name -> module that holds it."""

__all__ = sorted(_HOME)

__getattr__ = later(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__
