"""Axes that OME-TIFF has no letter for, and what their steps mean, in an annotation of its XML.

The stack itself is one of times for every other program. OME's own place for times of planes (DeltaT) knows neither
times of flight nor angles, so one annotation holds them all.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from segmetry.io.axes import AxisValues

_SPACE = "segmetry/axis"


def annotation(letter: str, said: AxisValues | None) -> str:
    """Return the structured annotation for the leading axis; ``Annotation:0`` is its name."""
    what = f" Name={quoteattr(said.name)} Unit={quoteattr(said.unit)}" if said else ""
    values = " ".join(map(repr, said.values)) if said else ""
    return (
        f'<StructuredAnnotations><XMLAnnotation ID="Annotation:0" Namespace="{_SPACE}"><Value>'
        f'<Axis xmlns="" Letter="{letter}"{what}>{values}</Axis>'
        "</Value></XMLAnnotation></StructuredAnnotations>"
    )


def read_annotation(text: str | None) -> tuple[str, AxisValues | None]:
    """Return letter and values out of OME-XML; an empty letter where it has no such annotation, or a damaged one."""
    if not text or _SPACE not in text:
        return "", None
    try:
        found = next(e for e in ElementTree.fromstring(text.encode()).iter() if e.tag == "Axis")
        values = tuple(float(v) for v in (found.text or "").split())
    except (ElementTree.ParseError, StopIteration, ValueError):
        return "", None
    letter = found.get("Letter", "")
    if letter not in ("T", "E"):
        return "", None
    return letter, AxisValues(values, found.get("Unit", ""), found.get("Name", "")) if values else None
