"""Every way to turn an image into labels: one file each, and the table of methods."""

from segmetry.callable_package import make_callable
from segmetry.segment.methods import Method
from segmetry.segment.run import segment
from segmetry.segment.table import METHODS, method_from

__all__ = ["METHODS", "Method", "method_from", "segment"]

make_callable(__name__, segment)
