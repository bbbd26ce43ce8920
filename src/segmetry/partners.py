"""Which prediction belongs to which truth: files and folders matched by name, lists of ids and of groups."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segmetry.errors import ReadError
from segmetry.inputs import find_inputs
from segmetry.io.formats import stem_of

_SHOWN = 5
"""Names that an error lists."""


@dataclass(frozen=True)
class FilePair:
    """Files of one image: ``first`` is a prediction or the image itself, ``truth`` its label image."""

    name: str
    first: Path
    truth: Path


@dataclass(frozen=True)
class FilePairs:
    """Pairs of files, and names that are in the first folder only."""

    pairs: tuple[FilePair, ...]
    alone: tuple[str, ...]


def pair_files(first: Path, truth: Path, *, ids: Collection[str] | None = None, what: str = "prediction") -> FilePairs:
    """Return the pairs that two files, or two folders, make; files in folders belong together by their stem.

    A folder of `segmetry measure` counts too: ``NAME/labels.tif`` is the file of NAME.

    Parameters
    ----------
    first, truth : path
        Two files, or two folders.
    ids : collection of str, optional
        Take only these names; all of them must be there.
    what : str
        What `first` is, for errors.

    Raises
    ------
    ReadError
        If something is missing: a path, or the partner of a truth (or of an id).
    """
    if first.is_dir() != truth.is_dir() and first.exists() and truth.exists():
        one, other = (first, truth) if first.is_dir() else (truth, first)
        raise ReadError(f"{one} is a folder and {other} is a file; name two files or two folders.")
    if not truth.is_dir():
        (a,), (b,) = find_inputs([first]), find_inputs([truth])
        return FilePairs((FilePair(stem_of(b.name), a, b),), ())
    ours, theirs = _by_name(first), _by_name(truth)
    wanted = list(theirs) if ids is None else _wanted(ids, theirs, truth)
    if missing := [name for name in wanted if name not in ours]:
        near = _near(missing[0], ours)
        mend = (
            f"{ours[near]} may belong to {theirs[missing[0]].name}: give both one name"
            if near
            else "add them, or leave these truths out (--ids, where images are judged)"
        )
        raise ReadError(
            f"{first}: {len(missing)} of {len(wanted)} truths have no {what}: {some_names(missing)}; {mend}."
        )
    alone = tuple(name for name in ours if name not in theirs)
    return FilePairs(tuple(FilePair(name, ours[name], theirs[name]) for name in wanted), alone)


def _near(name: str, known: Iterable[str]) -> str | None:
    """Return a name that may mean the same: other capitals, something added before or behind, a slip of the pen."""
    folded = {one.casefold(): one for one in known}
    longer = (one for low, one in folded.items() if low.startswith(name.casefold()) or low.endswith(name.casefold()))
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    return next(longer, folded[close[0]] if close else None)


def _by_name(folder: Path) -> dict[str, Path]:
    nested = sorted(folder.glob("*/labels.tif"))
    if nested and not any(p.is_file() and p.suffix.lower() in (".tif", ".png", ".npy") for p in folder.iterdir()):
        return {path.parent.name: path for path in nested}
    found: dict[str, Path] = {}
    for path in find_inputs([folder]):
        name = stem_of(path.name)
        if name in found:
            raise ReadError(f"{folder}: {found[name].name} and {path.name} both are {name!r}; keep one of them.")
        found[name] = path
    return found


def _wanted(ids: Iterable[str], theirs: Mapping[str, Path], truth: Path) -> list[str]:
    wanted = list(dict.fromkeys(stem_of(name) if name not in theirs else name for name in ids))
    if absent := [name for name in wanted if name not in theirs]:
        raise ReadError(
            f"{len(absent)} of {len(wanted)} ids have no truth in {truth}: {some_names(absent)}; check the list."
        )
    return wanted


def read_ids(path: Path) -> list[str]:
    """Return the names that a list holds: one a line, or a column of a CSV.

    The column is the one whose head says so (``id``, ``image``, ``name``, ``file``, ...), else the first.

    Raises
    ------
    ReadError
        If the file cannot be read or is empty.
    """
    rows = table_rows(path)
    column, headed = _column(rows[0])
    names = [row[column].strip() for row in rows[headed:] if len(row) > column and row[column].strip()]
    if not names:
        raise ReadError(f"{path}: holds no ids; write one a line.")
    return names


_HEADS = ("id", "ids", "image", "images", "name", "file", "filename", "stem")
"""What the first line may say above a column of names."""


def _column(head: Sequence[str]) -> tuple[int, bool]:
    """Return which column holds the names, and whether the first line is a head."""
    said = [cell.strip().lower() in _HEADS for cell in head]
    return (said.index(True), True) if any(said) else (0, False)


def read_groups(path: Path, names: Sequence[str]) -> tuple[str, list[str]]:
    """Return what the groups are called, and the group of every name: publication, specimen, annotator...

    Parameters
    ----------
    path : path
        CSV with the image's name and its group: the first two columns, or the one whose head says that it holds names
        (``id``, ``image``, ...) and the one behind it (before it, where it is the last). The head names the groups.
    names : sequence of str
        The images to judge.

    Raises
    ------
    ReadError
        If the file cannot be read, has no second column, or lacks an image.
    """
    rows = table_rows(path)
    if any(len(row) < 2 for row in rows):
        raise ReadError(f"{path}: needs two columns, the image's name and its group, divided by a comma.")
    column, headed = _column(rows[0])
    own = column + 1 if column + 1 < len(rows[0]) else column - 1
    title = rows[0][own].strip() if headed else "group"
    groups = {}
    for row in rows[headed:]:
        if len(row) > max(column, own):
            groups[row[column].strip()] = groups[stem_of(row[column].strip())] = row[own].strip()
    if missing := [name for name in names if name not in groups]:
        raise ReadError(
            f"{path}: names no group for {len(missing)} of {len(names)} images: {some_names(missing)}; add them."
        )
    return title, [groups[name] for name in names]


def read_properties(path: Path, names: Sequence[str]) -> dict[str, list[float]]:
    """Return numbers that a table gives for each image: dose, tilt, thickness... by the head of their column.

    Parameters
    ----------
    path : path
        CSV with a head: the image's name (as for `read_groups`) and columns of numbers. An empty cell is nan; columns
        that hold words are left out.
    names : sequence of str
        The images to judge; one that the table lacks has nan.

    Raises
    ------
    ReadError
        If the file cannot be read, or has no column of numbers, or names none of the images.
    """
    head, *rows = table_rows(path)
    own, _ = _column(head)
    found = {stem_of(row[own].strip()): row for row in rows if len(row) > own}
    chosen = [found.get(name, []) for name in names]
    if not any(chosen):
        raise ReadError(f"{path}: names none of the {len(names)} images; head the column of their names with 'image'.")
    columns = {}
    for k, title in enumerate(head):
        if k == own or not title.strip():
            continue
        try:
            numbers = [float(row[k]) if len(row) > k and row[k].strip() else math.nan for row in chosen]
        except ValueError:
            continue
        if any(map(math.isfinite, numbers)):
            columns[title.strip()] = numbers
    if not columns:
        raise ReadError(f"{path}: has no column of numbers beside the names; a first line names the columns.")
    return columns


def table_rows(path: Path) -> list[list[str]]:
    """Return the rows of a CSV that hold anything, divided by commas, semicolons or tabs.

    Raises
    ------
    ReadError
        If the file cannot be read or is empty.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            text = file.read()
        first = text.partition("\n")[0]
        divider = next((one for one in ",;\t" if one in first), ",")  # spreadsheets write what their country does
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=divider)
        rows = [row for row in lines if any(cell.strip() for cell in row)]
    except FileNotFoundError:
        raise ReadError(f"{path}: there is no such file; check the name.") from None
    except IsADirectoryError:
        raise ReadError(f"{path}: is a folder; name a CSV.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReadError(f"{path}: is not a CSV that can be read ({error}); save it as CSV, UTF-8.") from None
    if not rows:
        raise ReadError(f"{path}: is empty; write one image a line.")
    return rows


def some_names(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are.

    Examples
    --------
    >>> some_names(["a", "b"]), some_names(list("abcdefg"))
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
