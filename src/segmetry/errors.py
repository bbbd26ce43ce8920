"""Every error that segmetry raises on purpose.

::

    SegmetryError                    something a user can mend; the command line prints it as one line
    ├── ReadError (OSError)          a file that is missing, damaged, too large or of an unknown kind
    ├── WriteError (OSError)         a place that cannot be written
    ├── CalibrationError (ValueError)   a pixel size or unit that makes no sense
    ├── ImageError (ValueError)      pixels that cannot be used: empty, complex, too many axes
    ├── LabelError (ValueError)      a label image that is none: negative, not whole numbers
    ├── ShapeMismatchError (ValueError) two arrays that should lie on each other and do not
    ├── OptionError (ValueError)     a method, measure or option that does not exist or is out of range
    └── RecipeError (ValueError)     a recipe that cannot be run
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SegmetryError(Exception):
    """Something the user can mend: the text says what, where, and the mend, in one line."""


class ReadError(SegmetryError, OSError):
    """A file that is missing, damaged, too large, or of a kind that is not known."""


class WriteError(SegmetryError, OSError):
    """A place that cannot be written."""


class CalibrationError(SegmetryError, ValueError):
    """A pixel size or a unit that makes no sense."""


class ImageError(SegmetryError, ValueError):
    """Pixels that cannot be used."""


class LabelError(SegmetryError, ValueError):
    """A label image that is none."""


class ShapeMismatchError(SegmetryError, ValueError):
    """Two arrays that should lie on each other and do not."""


class OptionError(SegmetryError, ValueError):
    """A method, measure or option that does not exist, or a value out of its range."""


class RecipeError(SegmetryError, ValueError):
    """A recipe that cannot be run."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> OptionError:
    """Return the error for a misspelled name, with the nearest known names.

    Examples
    --------
    >>> print(unknown_name("method", "otzu", ["otsu", "hybrid"]))
    there is no method 'otzu'; did you mean 'otsu'? Known: hybrid, otsu.
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return OptionError(f"there is no {kind} {name!r}; {hint}Known: {', '.join(names)}.")
