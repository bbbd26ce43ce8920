"""segmetry: from a scientific image to numbers that can be defended.

The names below load on first use, so that ``import segmetry`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
}
"""Public name -> module that holds it."""

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from segmetry.errors import SegmetryError as SegmetryError
    from segmetry.types import Calibration as Calibration
    from segmetry.types import Estimate as Estimate
    from segmetry.types import Image as Image
    from segmetry.types import Segmentation as Segmentation


def __getattr__(name: str) -> Any:
    if name in _HOME:
        # The folders are modules too: after `import segmetry.measure` the name must still be the function.
        value = getattr(import_module(f"segmetry.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'segmetry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
