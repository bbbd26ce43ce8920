"""Scale bars, texts and footers that are burned into images."""

from segmetry.io.scalebar.find import find_annotations
from segmetry.io.scalebar.records import Annotations, ScaleBar, Text

__all__ = ["Annotations", "ScaleBar", "Text", "find_annotations"]
