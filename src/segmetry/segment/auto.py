"""The method for whoever names none: which one it is depends on what the image is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from segmetry.segment.methods import Method
from segmetry.segment.otsu import Otsu
from segmetry.segment.particles import Particles

CHOICE: dict[int, type[Method]] = {2: Particles, 3: Otsu}
"""The method by the number of axes of an image."""


@dataclass(frozen=True, kw_only=True)
class Auto(Method):
    """`particles` for images, `otsu` for volumes, each with its defaults.

    It has no options: those given without a method's name are options of `particles`. A result names the method that
    was used, with all its options, so that its recipe makes it again.
    """

    name: ClassVar[str] = "auto"
    summary: ClassVar[str] = "particles for images, otsu for volumes"
    ndims: ClassVar[tuple[int, ...]] = tuple(CHOICE)

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | None = None) -> Method:  # type: ignore[override]
        """Return the record; with options it is one of `particles`."""
        return CHOICE[2].from_options(options) if options else cls()

    def for_ndim(self, ndim: int) -> Method:
        """Return the method for an image of so many axes, see `CHOICE`."""
        self.check_ndim(ndim)
        return CHOICE[ndim]()
