"""Let a folder of code share its name with the function it is known for: ``segmetry.measure(...)``."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package that answers a call as the function in it that bears its name, with that function's signature.

    Importing ``segmetry.measure.regions`` puts the module ``measure`` where the function would be, so the module itself
    has to answer the call. The function is looked up as it is asked for: a package may load it later.
    """

    @property
    def _function(self) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._function(*args, **options)


def make_callable(name: str) -> None:
    """Make the package of that name callable, see `CallablePackage`."""
    sys.modules[name].__class__ = CallablePackage
