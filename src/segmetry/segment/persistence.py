"""Persistence watershed: particles are the maxima that stand out, each with the basin it drains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from segmetry.measure.labelling import connected_pieces
from segmetry.options import option
from segmetry.segment.component_tree import component_tree
from segmetry.segment.foreground import drop_small_labels, make_view
from segmetry.segment.levels import otsu_threshold
from segmetry.segment.methods import Method, Scene
from segmetry.segment.polarity import choose_polarity
from segmetry.types import Segmentation

_CLEAR_GAP = 1.5
"""Ratio of the persistences on both sides of a gap below which the automatic threshold says little."""


@dataclass(frozen=True, kw_only=True)
class Persistence(Method):
    """A maximum counts where the image must fall by a threshold before it rises to a higher one; noise does not.

    References
    ----------
    Edelsbrunner, Letscher, Zomorodian, Discrete Comput. Geom. 28, 511 (2002), doi:10.1007/s00454-002-2885-2.
    """

    name: ClassVar[str] = "persistence"
    summary: ClassVar[str] = "watershed that keeps the maxima which stand out by a threshold, 2D and 3D"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    polarity: str = option(
        "auto", "particles are brighter or darker than what surrounds them", choices=("auto", "dark", "bright")
    )
    threshold: float | None = option(
        None,
        "how far the grey must fall between two particles; from the widest gap of all falls where it is not given",
        unit="intensity",
        low=0,
        kind="float",
    )
    smoothing: float = option(1.0, "standard deviation of the Gaussian before anything else", unit="px", low=0, high=50)
    background: str = option(
        "otsu", "what is no particle: below Otsu's threshold, or nothing (grains that touch)", choices=("otsu", "none")
    )
    min_size: int = option(30, "drop particles of fewer pixels (voxels)", unit="px", low=1)

    def run(self, scene: Scene) -> Segmentation:
        """Return the basins of a scene as objects."""
        info: dict[str, Any] = {}
        polarity = self.polarity
        if polarity == "auto":
            polarity, confidence = choose_polarity(scene.pixels)
            info["polarity_confidence"] = round(confidence, 3)
        view = make_view(scene, polarity, self.smoothing)
        tree = component_tree(view.pixels, valid=scene.valid)
        gap = tree.gap()
        threshold = gap.threshold if self.threshold is None else self.threshold
        labels = tree.labels(threshold)
        info |= {"polarity": polarity, "threshold": threshold, "maxima": int(tree.birth.size), "gap": gap.ratio}
        notes: tuple[str, ...] = ()
        if self.threshold is None and gap.ratio < _CLEAR_GAP:
            notes = ("persistence: no clear gap between particles and noise; give a threshold",)
        if self.background == "otsu":
            level = otsu_threshold(view.usable)
            info["background"] = view.intensity(level)
            labels[view.pixels <= level] = 0
            # Parts of a basin that meet only below the level are particles of their own.
            labels = connected_pieces(labels)[0]
        info["n_before"] = int(labels.max(initial=0))
        return Segmentation(drop_small_labels(labels, self.min_size), "instance", info=info, notes=notes)
