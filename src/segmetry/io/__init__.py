"""The only place that opens files: one door for images, and the files that results are written to."""

from __future__ import annotations

from segmetry.io.atomic import atomic
from segmetry.io.read import read

__all__ = ["atomic", "read"]
