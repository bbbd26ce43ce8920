"""Let a package hold names that load on first use, so that importing it stays quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def later(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package: it loads a public name from its module, and keeps it.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping
        Public name to the module below the package that holds it.

    Examples
    --------
    >>> get = later("segmetry", {"Estimate": "types"})
    >>> get("Estimate").__name__
    'Estimate'
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # A module may bear the name too: after `import segmetry.measure` the name must still be the function.
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
