"""Every way to turn an image into labels: one file each, and the table of methods.

The names below load on first use: who wants the options of a method, or one file, does not wait for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segmetry.callable_package import make_callable
from segmetry.later import later

if TYPE_CHECKING:
    from segmetry.segment.methods import Method as Method
    from segmetry.segment.run import segment as segment
    from segmetry.segment.table import METHODS as METHODS
    from segmetry.segment.table import method_from as method_from

_HOME = {"METHODS": "table", "Method": "methods", "method_from": "table", "segment": "run"}

__all__ = ["METHODS", "Method", "method_from", "segment"]


__getattr__ = later(__name__, _HOME)

make_callable(__name__)
