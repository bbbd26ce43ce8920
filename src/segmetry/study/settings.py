"""A study of settings of a recipe for classes, as its file asks for it, and the runs that it takes.

Every setting learns from the same images and is judged on the same held-out ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segmetry.errors import OptionError, RecipeError, SegmetryError, unknown_name
from segmetry.evaluate.judgement import Rules, score_of
from segmetry.evaluate.topology import names_by_width
from segmetry.inputs import Task
from segmetry.study.capacity import draw_nested
from segmetry.study.peers import PEERS
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.recipe_file import read_yaml
from segmetry.train.splits import deal

ENTRIES = tuple("recipe data grid list peers seeds folds folds_of images minutes scores widths".split())
NAME, INIT, LEAVE_OUT = "name", "init", "leave_out"
"""Entries of a setting that are none of the recipe: what it is called, the model that it begins with, and the groups of
training images that it does without.
"""

_ELSEWHERE = {
    "seed": "name `seeds: [0, 1, 2]` of the study",
    "split": "all settings hold out the same images: name `folds: [0, 1]` of the study, or a split of the recipe",
    "planes": "settings must hold out the same images: name it in the recipe",
    "data": "name it for the whole study",
}
"""Entries that a setting cannot change, and what to do instead."""


@dataclass(frozen=True)
class Setting:
    """A row of the study.

    Parameters
    ----------
    name : str
    changes : mapping
        Entries of the recipe and their values.
    peer : str
        Name in `PEERS`: this and no network learns.
    """

    name: str
    changes: Mapping[str, Any]
    peer: str = ""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Groups of training images that it does without."""
        named = self.changes.get(LEAVE_OUT, [])
        return tuple(map(str, named if isinstance(named, list) else [named]))

    @property
    def words(self) -> str:
        """What it changes, in words: its name unless somebody gave it another."""
        if self.peer:
            return PEERS[self.peer].words
        told = [f"{n.replace('_', ' ')} {words(v)}" if n != "network" else words(v) for n, v in self.changes.items()]
        return ", ".join(told) or "the recipe"

    def recipe(self, base: ClassRecipe) -> ClassRecipe:
        """Return the recipe of the setting; another network than that of the base begins with its own options."""
        changes: dict[str, Any] = {}
        for name, value in self.changes.items():
            is_part = dataclasses.is_dataclass(getattr(base, name, None)) and isinstance(value, Mapping)
            changes |= value if is_part else {name: value}  # the entries of a part that are not named stay
        for name in (INIT, LEAVE_OUT):
            changes.pop(name, None)
        if changes.get("network", base.network) != base.network:
            base = dataclasses.replace(base, options={})
        try:
            return base.changed(changes)
        except SegmetryError as error:
            raise type(error)(f"{self.name}: {error}") from error


@dataclass(frozen=True)
class StudyFile:
    """What a study's file asks for.

    Parameters
    ----------
    path : Path
        The file; paths in it are from its folder.
    recipe : mapping or str
        Entries of the recipe that settings change, or the name of its file.
    data : mapping
        Images, labels, groups; empty where the recipe's file names them.
    settings : tuple of Setting
    seeds : tuple of int
    folds : tuple of int
        Folds to hold out, each in turn; none leaves the split of the recipe.
    folds_of : int
    sizes : tuple of int or None
        Numbers of training images; None is all of them.
    minutes : float, optional
        That each run may take; without it all take the steps of their recipe.
    scores : tuple of str
        Full names of scores that are told and compared besides.
    widths : tuple of float
        See `segmetry.evaluate.judgement.Rules`.
    """

    path: Path
    recipe: Any = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[Setting, ...] = (Setting("the recipe", {}),)
    seeds: tuple[int, ...] = (0,)
    folds: tuple[int, ...] = ()
    folds_of: int = 5
    sizes: tuple[int | None, ...] = (None,)
    minutes: float | None = None
    scores: tuple[str, ...] = ()
    widths: tuple[float, ...] = ()

    @property
    def repeats(self) -> list[tuple[int, int | None]]:
        """Seed and fold of each repeat of a setting."""
        return list(itertools.product(self.seeds, self.folds or (None,)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "file": str(self.path),
            "settings": [
                {"name": one.name, "changes": dict(one.changes)} | ({"peer": one.peer} if one.peer else {})
                for one in self.settings
            ],
            "seeds": list(self.seeds),
            "folds": list(self.folds),
            "folds_of": self.folds_of,
            "images": [size or "all" for size in self.sizes],
            "minutes": self.minutes,
            "scores": list(self.scores),
            "widths": list(self.widths),
        }


def read_study(path: Path) -> StudyFile:
    """Return what a study's file asks for.

    Raises
    ------
    ReadError
        If the file cannot be read.
    OptionError, RecipeError
        If an entry is unknown (the near name is offered), or of another form.
    """
    entries = read_yaml(path)
    if not isinstance(entries, Mapping):
        raise RecipeError(f"{path}: a study is a table with entries such as recipe, data, grid; see docs/how-to/study.")
    for name in entries:
        if name not in ENTRIES:
            raise unknown_name(f"entry of the study {path}", name, ENTRIES)
    n = entries.get("folds_of", StudyFile.folds_of)
    (n_folds,) = _whole_numbers("folds_of", [n], least=2)
    folds = entries.get("folds", list(range(n_folds)) if "folds_of" in entries else [])
    minutes = entries.get("minutes")
    if minutes is not None and not (isinstance(minutes, int | float) and minutes > 0):
        raise OptionError(f"minutes: the time of a run is a number above 0, got {minutes!r}.")
    found = StudyFile(
        Path(path),
        recipe=entries.get("recipe") or {},
        data=entries.get("data") or {},
        settings=(*_peers(entries.get("peers", [])), *_settings(entries)),
        seeds=_whole_numbers("seeds", entries.get("seeds", [0])),
        folds=_whole_numbers("folds", folds, empty=True),
        folds_of=n_folds,
        sizes=_sizes(entries.get("images", ["all"])),
        minutes=minutes,
        scores=_scores(entries),
        widths=_widths(entries),
    )
    if wrong := [k for k in found.folds if k >= n_folds]:
        raise OptionError(f"folds: {wrong[0]} is none of {n_folds} folds, which are counted from 0; see folds_of.")
    return found


def _whole_numbers(name: str, values: Any, *, least: int = 0, empty: bool = False) -> tuple[int, ...]:
    there = isinstance(values, list) and (values or empty)
    if not there or not all(isinstance(v, int) and not isinstance(v, bool) and v >= least for v in values):
        raise OptionError(f"{name}: write whole numbers from {least}, such as [{least}, {least + 1}]; got {values!r}.")
    if len(set(values)) < len(values):
        raise OptionError(f"{name}: {values} names a number twice.")
    return tuple(values)


def _sizes(values: Any) -> tuple[int | None, ...]:
    listed = values if isinstance(values, list) else []
    numbers = _whole_numbers("images", [v for v in listed if v != "all"], least=1, empty=listed.count("all") == 1)
    if list(numbers) != sorted(numbers) or listed.count("all") > 1 or "all" in listed[:-1]:
        raise OptionError(f"images: write numbers of training images, rising, such as [1, 2, 5, all]; got {values!r}.")
    return (*numbers, *([None] if "all" in listed else []))


def _scores(entries: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the full names of the scores that are asked for, and of those that widths bring."""
    named = entries.get("scores", [])
    if not isinstance(named, list):
        raise OptionError(f"scores: write names of scores, such as [cldice, precision]; got {named!r:.60}.")
    names = [str(name) if str(name).partition("[")[0].count(".") else f"semantic.{name}" for name in named]
    for name in names:
        score_of(name, "semantic")
    widths = _widths(entries)
    return tuple(dict.fromkeys(names + [f"semantic.{name}" for name in (names_by_width(widths) if widths else ())]))


def _widths(entries: Mapping[str, Any]) -> tuple[float, ...]:
    named = entries.get("widths", [])
    if not isinstance(named, list) or not all(isinstance(w, int | float) for w in named):
        raise OptionError(f"widths: write widths in px, such as [3, 6]; got {named!r:.60}.")
    return Rules("semantic", widths=tuple(map(float, named))).widths


def _peers(names: Any) -> list[Setting]:
    """Return the peers as settings: they come first, so that networks are compared with them."""
    if not isinstance(names, list):
        raise OptionError(f"peers: write names, such as [{next(iter(PEERS))}]; got {names!r:.60}.")
    for name in names:
        if name not in PEERS:
            raise unknown_name("peer", str(name), PEERS)
    return [Setting(PEERS[name].words, {}, name) for name in dict.fromkeys(names)]


def _settings(entries: Mapping[str, Any]) -> list[Setting]:
    """Return every combination of a grid, or the rows of a list."""
    grid, rows = entries.get("grid"), entries.get("list")
    if grid is not None and rows is not None:
        raise OptionError("a study has a grid (all combinations) or a list (named rows), not both.")
    if grid is None and rows is None:
        return [Setting("the recipe", {})]
    if grid is not None:
        if not isinstance(grid, Mapping) or not all(isinstance(v, list) and v for v in grid.values()):
            raise OptionError("grid: give every entry a list of values, such as side: [96, 192].")
        rows = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise OptionError("list: give rows of settings, such as - {network: segnet, batch: 4}.")
    for name in dict.fromkeys(name for row in rows for name in row):
        if name in _ELSEWHERE:
            raise OptionError(f"{name} is no setting: {_ELSEWHERE[name]}.")
    found = []
    for row in rows:
        changes = {str(name): value for name, value in row.items() if name != NAME}
        found.append(Setting(str(row.get(NAME) or Setting("", changes).words), changes))
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(f"two settings are called {twice[0]!r}; leave one out, or name them apart (name: ...).")
    return found


def words(value: Any) -> str:
    """Return a value of a setting as a text.

    Examples
    --------
    >>> words("1e-3"), words(True), words({"cross-entropy": 1.0, "dice": 0.5}), words([0.9, 1.1]), words("")
    ('0.001', 'yes', 'cross-entropy + 0.5 dice', '0.9 to 1.1', 'none')
    """
    value = number(value)
    if value is None or value == "" or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " + ".join(_part(str(name), own) for name, own in value.items())
    if isinstance(value, list | tuple):
        return (" to " if len(value) == 2 else ", ").join(words(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _part(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{name} ({', '.join(f'{key} {words(own)}' for key, own in value.items())})" if value else name
    return name if value == 1 else f"{words(value)} {name}"


def number(value: Any) -> Any:
    """Return a text that is a number, such as ``1e-3``, which YAML takes for a text, as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@dataclass(frozen=True)
class Run(Task):
    """One training of the study; ``path`` is its folder, ``folder`` its name.

    Parameters
    ----------
    setting : Setting
    recipe : ClassRecipe
        With the seed of the run; its split is "as listed".
    size : int, optional
        Training images asked for; None is all.
    seed : int
    fold : int, optional
    parts : mapping of str to str
        The images that the run uses, and the part of each.
    init : Path, optional
        Model that it begins with.
    """

    setting: Setting = field(compare=False)
    recipe: ClassRecipe = field(compare=False)
    size: int | None = field(compare=False)
    seed: int = field(compare=False)
    fold: int | None = field(compare=False)
    parts: Mapping[str, str] = field(compare=False)
    init: Path | None = field(compare=False, default=None)

    def value(self, name: str) -> Any:
        """Return the value of an entry: that of the setting, else that of its recipe."""
        changes = self.setting.changes
        return number(changes.get(name) if name in (INIT, LEAVE_OUT, *changes) else self.recipe.entry(name))

    @property
    def words(self) -> str:
        """The run in a phrase."""
        size = "" if self.size is None else f"{self.size} images, "
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.setting.name}: {size}seed {self.seed}{fold}"

    @property
    def n_training(self) -> int:
        """Images that it learns from."""
        return list(self.parts.values()).count("train")


def plan_runs(
    study: StudyFile,
    base: ClassRecipe,
    names: Sequence[str],
    groups: Sequence[str],
    listed: Sequence[str],
    work: Path,
    *,
    identity: Callable[[ClassRecipe, Sequence[str], Path | None], str],
    init_of: Callable[[Setting], Path | None] = lambda setting: None,
) -> list[Run]:
    """Return every run of a study, one repeat of all settings after the other.

    Parameters
    ----------
    study : StudyFile
    base : ClassRecipe
        What the settings change.
    names, groups, listed : (n,) sequences of str
        Name and group of each image, and its part where a manifest says so.
    work : Path
        Gets a folder for each run; one that is there for the same run is taken whatever it is called.
    identity : callable
        From a recipe, names of images, and a model to begin with, to a text that tells the content of all apart.
    init_of : callable
        From a setting to the model that it begins with.

    Raises
    ------
    OptionError
        If a setting cannot be, two of them are the same, a fold is empty, nothing is held out, or there are fewer
        training images than asked for.
    """
    recipes = {one.name: one.recipe(base) for one in study.settings}
    for one in study.settings:
        if unknown := [group for group in one.left_out if group not in groups]:
            raise unknown_name("group of images", unknown[0], sorted(set(groups)))
    for a, b in itertools.combinations([one for one in study.settings if not one.peer], 2):
        alike = init_of(a) == init_of(b) and set(a.left_out) == set(b.left_out)
        if recipes[a.name] == recipes[b.name] and alike:
            raise OptionError(f"{a.name!r} and {b.name!r} are the same recipe; leave one out.")
    runs = []
    for seed, fold in study.repeats:
        split = base.split if fold is None else f"fold {fold} of {study.folds_of}"
        parts = deal(split, groups, listed, seed=base.fit.seed)
        if set(parts) == {"train"}:
            raise OptionError(f"split: {split} holds no image out, and settings are compared on those held out.")
        training = [i for i, part in enumerate(parts) if part == "train"]
        for size, drawn in zip(study.sizes, _draw(training, groups, study.sizes, seed, fold or 0), strict=True):
            for one in study.settings:
                taken = {i for i in drawn if groups[i] not in one.left_out}
                used = {name: parts[i] for i, name in enumerate(names) if parts[i] != "train" or i in taken}
                recipe = recipes[one.name].changed({"seed": seed, "split": "as listed"})
                init = init_of(one)
                what = [one.peer, seed] if one.peer else recipe.as_dict()
                data: list[Any] = [what, identity(recipe, list(used), init), list(used.values())]
                data += [None if one.peer else study.minutes, *([study.widths] if study.widths else [])]
                key = hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:8]
                folder = _folder(work, one.name, size, seed, fold, key)
                runs.append(Run(work / folder, folder, one, recipe, size, seed, fold, used, init))
    return runs


def _draw(
    training: Sequence[int], groups: Sequence[str], sizes: Sequence[int | None], seed: int, fold: int
) -> list[set[int]]:
    """Return the training images of each size: whole groups, a smaller size a part of every larger one."""
    largest = max((size for size in sizes if size is not None), default=0)
    if largest > len(training):
        raise OptionError(f"images: {largest} of the {len(training)} that train; write all.")
    wanted = [len(training) if size is None else size for size in sizes]
    drawn = draw_nested([groups[i] for i in training], wanted, seed=seed + 1000 * fold)
    return [{training[k] for k in one.tolist()} for one in drawn]


def _folder(work: Path, name: str, size: int | None, seed: int, fold: int | None, key: str) -> str:
    there = sorted(work.glob(f"*-{key}"))
    if there:
        return there[0].name
    plain = "".join(c if c.isalnum() or c in "._" else "-" for c in name.replace(", ", ",").replace(" ", "-"))
    parts = [plain[:60].strip("-."), f"n{size}" if size else "", f"seed{seed}", "" if fold is None else f"fold{fold}"]
    return "-".join([part for part in parts if part] + [key])
