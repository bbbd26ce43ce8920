"""What a method is: a record of options that turns pixels into labels, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segmetry.errors import ImageError
from segmetry.options import Options
from segmetry.types import Segmentation


@dataclass(frozen=True, slots=True)
class Scene:
    """Pixels as a method gets them: finite float32, with the places that hold no specimen marked.

    Parameters
    ----------
    pixels : (M, N) or (P, M, N) array of float32
        Intensities as they were read; not-a-number and infinite pixels are replaced and not `valid`.
    valid : bool array of that shape, or None
        False where pixels are not specimen; None where all are.
    spacing : tuple of float
        Length of a pixel along each axis; ones where unknown.
    unit : str
        Unit of `spacing`; ``"px"`` where unknown.
    channels : (C, M, N) or (C, P, M, N) array of float32
        All channels, of which `pixels` is the first; that alone unless told.
    """

    pixels: np.ndarray
    valid: np.ndarray | None
    spacing: tuple[float, ...]
    unit: str
    channels: np.ndarray = None  # type: ignore[assignment]  # filled in __post_init__

    def __post_init__(self) -> None:
        if self.channels is None:
            object.__setattr__(self, "channels", self.pixels[np.newaxis])


@dataclass(frozen=True, kw_only=True)
class Method(Options):
    """A way to turn an image into labels: its options are its fields.

    A subclass sets `name`, `summary` and `ndims`, declares its options with `option`, and gives `run`.
    """

    summary: ClassVar[str] = ""
    ndims: ClassVar[tuple[int, ...]] = (2,)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain data for JSON: ``{"method": "otsu", "min_size": 30, ...}``."""
        return {"method": self.name} | self.values()

    def run(self, scene: Scene) -> Segmentation:
        """Return labels; `segment` adds the record and checks the pixels."""
        raise NotImplementedError

    @property
    def n_channels(self) -> int:
        """How many channels of an image the method looks at."""
        return 1

    def check(self) -> None:
        """Raise the error that every image would meet, such as a model that cannot be read."""

    def forecast(self, shape: tuple[int, ...]) -> str:
        """Return what an image of this shape will take, for the user; empty where that is little."""
        return ""

    def for_ndim(self, ndim: int) -> Method:
        """Return the method that is run on an image of so many axes: this one, unless it leaves the choice open."""
        return self

    def check_ndim(self, ndim: int) -> None:
        """Raise an `ImageError` where the method cannot take an image of so many dimensions."""
        if ndim not in self.ndims:
            can = " or ".join(f"{n}D" for n in self.ndims)
            raise ImageError(
                f"method {self.name} takes {can} images, got {ndim}D; use otsu, local or ndnt, or pick one page."
            )
