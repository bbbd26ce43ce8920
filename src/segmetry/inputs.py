"""Which images a run takes: files, folders and patterns in, one task with a folder name of its own for each out."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segmetry.errors import ReadError
from segmetry.io.formats import FORMATS, stem_of
from segmetry.io.places import find_place
from segmetry.io.read import name_of

SUFFIXES = frozenset({".webp", *(suffix for kind in FORMATS for suffix in kind.suffixes)})
"""File names that a folder is searched for; a file that is named outright may have any."""


RESERVED = frozenset("report.html regions.csv summary.json recipe.yaml run.json failures.csv figures".split())
"""Names in the output folder that belong to the whole batch."""


@dataclass(frozen=True)
class Task:
    """One image to do: its file and the name of its folder; `more` are the files of its further channels."""

    path: Path
    folder: str
    more: tuple[Path, ...] = field(default=(), kw_only=True)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the image."""
        return (self.path, *self.more)


def find_inputs(inputs: Iterable[str | Path]) -> list[Path]:
    """Return the files that inputs name: files, folders (their images, not those of folders inside) and patterns.

    What names a data set (``scan.h5::/entry/data``) or axes (``slices::ZYX``, a folder that is one stack) is one image;
    see `segmetry.io.places.find_place`. The order is that of the inputs, files of a folder or pattern by name; a file
    that is named twice comes once.

    Raises
    ------
    ReadError
        If an input does not exist, or names no image at all.
    """
    found: dict[Path, Path] = {}
    for item in inputs:
        text, path = str(item), Path(item)
        place = find_place(item)
        if "::" in text and place.path.exists():  # a data set in a file, or a folder that is one stack
            files = [path]
        elif path.is_dir():
            files = sorted(p for p in path.iterdir() if _is_image(p))
            if not files:
                inside = any(_is_image(p) for p in path.glob("*/*"))
                hint = f"its folders hold some: write '{path}/*/*.tif'" if inside else f"known are {_some(SUFFIXES)}"
                raise ReadError(f"{path}: no images in this folder; {hint}.")
        elif path.exists():
            files = [path]
        elif glob.has_magic(text):
            # Path.glob takes no absolute pattern.
            files = sorted(p for p in map(Path, glob.glob(text, recursive=True)) if p.is_file())  # noqa: PTH207
            if not files:
                raise ReadError(f"{text}: no file fits this pattern; check it with ls.")
        else:
            raise ReadError(f"{text}: there is no such file or folder; {_near(path)}.")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(tuple(SUFFIXES)) and path.is_file() and not path.name.startswith(".")


def _near(path: Path) -> str:
    """Return a hint at a name much like the one that is missing."""
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return f"perhaps {path.parent / near[0]}" if near else "check the name"


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def name_folders(paths: Sequence[Path]) -> list[Task]:
    """Return a task for each file, with a folder name of its own.

    The name is the file's stem. Files that share one (letters' case apart) are told apart by their suffix
    (``a-png``, ``a-tif``), else by their parent folder (``monday-a``, ``tuesday-a``), else by both and a number.

    Examples
    --------
    >>> paths = [Path(p) for p in ("x/a.tif", "x/b.tif", "y/b.tif", "y/c.tif", "y/c.png")]
    >>> [t.folder for t in name_folders(paths)]
    ['a', 'x-b', 'y-b', 'c-tif', 'c-png']
    """
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(name_of(path).casefold(), []).append(path)
    chosen: dict[Path, str] = {}
    taken = {stem for stem, group in groups.items() if len(group) == 1} | RESERVED
    for stem, group in groups.items():
        if len(group) == 1 and stem not in RESERVED:
            chosen[group[0]] = name_of(group[0])
            continue
        for names in _candidates(group):
            folded = {n.casefold() for n in names}
            if len(folded) == len(group) and not folded & taken and stem not in folded:
                break
        else:
            names, n = [], 0
            for path in group:
                n += 1
                while (name := f"{name_of(path)}-{n}").casefold() in taken:
                    n += 1
                names.append(name)
        taken |= {n.casefold() for n in names}
        chosen.update(zip(group, names, strict=True))
    return [Task(path, chosen[path]) for path in paths]


def name_channels(paths: Sequence[Path], n_channels: int) -> list[Task]:
    """Return tasks as `name_folders` does, one for the files of so many channels of an image.

    They lie in one folder and are called NAME_0000, NAME_0001, ..., as those of nnU-Net; so is the task: NAME. Other
    files are images of their own, which may hold all channels.

    Examples
    --------
    >>> paths = [Path(f"{name}.tif") for name in ("a_0000", "a_0001", "b_0000", "c")]
    >>> [(task.folder, len(task.files)) for task in name_channels(paths, 2)]
    [('a', 2), ('b_0000', 1), ('c', 1)]
    """
    sets: dict[Path, dict[int, Path]] = {}
    for path in paths:
        stem = stem_of(path.name)
        if n_channels > 1 and "::" not in str(path) and (found := re.fullmatch(r"(.+)_(\d{4})", stem)):
            whole = path.with_name(found[1] + path.name[len(stem) :])
            sets.setdefault(whole, {})[int(found[2])] = path
    complete = {
        whole: [of[k] for k in range(n_channels)]
        for whole, of in sets.items()
        if sorted(of) == [*range(n_channels)] and whole not in paths
    }
    first = {files[0]: whole for whole, files in complete.items()}
    others = {file for files in complete.values() for file in files[1:]}
    kept = [path for path in paths if path not in others]
    named = name_folders([first.get(path, path) for path in kept])
    return [
        Task(path, task.folder, more=tuple(complete[task.path][1:]) if path in first else ())
        for path, task in zip(kept, named, strict=True)
    ]


def _candidates(group: Sequence[Path]) -> Iterator[list[str]]:
    suffix = [p.name[len(stem_of(p.name)) :].strip(".").replace(".", "-").lower() for p in group]
    parent = [p.resolve().parent.name for p in group]
    stem = [name_of(p) for p in group]
    yield [f"{s}-{e}" for s, e in zip(stem, suffix, strict=True)]
    yield [f"{d}-{s}" for d, s in zip(parent, stem, strict=True)]
    yield [f"{d}-{s}-{e}" for d, s, e in zip(parent, stem, suffix, strict=True)]
