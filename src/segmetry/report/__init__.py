"""Reports: overlays, figures, and one HTML file that needs no network."""

from __future__ import annotations

from segmetry.callable_package import make_callable
from segmetry.report.html import report, write_batch, write_result
from segmetry.report.overlay import overlay

__all__ = ["overlay", "report", "write_batch", "write_result"]

make_callable(__name__)
