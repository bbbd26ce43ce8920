"""segmetry: from a scientific image to numbers that can be defended.

The names below load on first use, so that ``import segmetry`` stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segmetry.later import later

__version__ = "0.1.0"

_HOME = {
    "Calibration": "types",
    "Estimate": "types",
    "Image": "types",
    "Segmentation": "types",
    "SegmetryError": "errors",
    "read": "io",
    "segment": "segment",
    "measure": "measure",
    "distribution": "measure",
    "radial_distribution": "measure",
    "simulate": "synth",
    "report": "report",
    "Recipe": "recipe",
    "analyse": "pipeline",
    "judge": "evaluate.judgement",
    "evaluate_files": "judging",
}
"""Public name -> module that holds it."""

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from segmetry.errors import SegmetryError as SegmetryError
    from segmetry.types import Calibration as Calibration
    from segmetry.types import Estimate as Estimate
    from segmetry.types import Image as Image
    from segmetry.types import Segmentation as Segmentation


__getattr__ = later(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
