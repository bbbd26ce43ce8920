"""Let a folder of code share its name with the function it is known for: ``segmetry.measure(...)``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(name: str, function: Callable[..., Any]) -> None:
    """Make the module of that name callable as the function, with the function's help and signature.

    Importing ``segmetry.measure.regions`` puts the module ``measure`` where the function would be, so the module itself
    has to answer the call.
    """

    class CallablePackage(ModuleType):
        __call__ = staticmethod(function)

    module = sys.modules[name]
    module.__class__ = CallablePackage
    module.__signature__ = __import__("inspect").signature(function)  # type: ignore[attr-defined]
