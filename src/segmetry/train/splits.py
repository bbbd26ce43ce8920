"""Splits by group, so that images of one publication or specimen never stand on both sides."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from segmetry.errors import OptionError


def folds(groups: Sequence[str], n: int, *, seed: int = 0) -> np.ndarray:
    """Return the fold, 0 to n - 1, of each image.

    Parameters
    ----------
    groups : sequence of str
        Group of each image.
    n : int
        Number of folds.
    seed : int
        Order in which groups of equal size are dealt.

    Returns
    -------
    fold : (len(groups),) array of int
        Whole groups, dealt largest first to the fold with the fewest images.

    Examples
    --------
    >>> folds(["a", "a", "b", "c"], 2).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    True
    """
    names, which, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(names.size)
    order = order[np.argsort(-counts[order], kind="stable")]
    load, fold = np.zeros(n), np.zeros(names.size, int)
    for group in order:
        fold[group] = int(np.argmin(load))
        load[fold[group]] += counts[group]
    return fold[which]


PARTS = ("train", "check", "test")
"""What an image is for: to learn from, to look at while learning, to judge with at the end."""

SPLITS = "80/20, 70/15/15, fold 0 of 5, 4 of each, as listed, or all"
"""How `deal` can be told to deal."""


def deal(split: str, groups: Sequence[str], listed: Sequence[str] = (), *, seed: int = 0) -> list[str]:
    """Return the part of each image, one of `PARTS`, by a rule in words.

    Parameters
    ----------
    split : str
        ``"80/20"`` or ``"70/15/15"``: percentages that train, check and test, whole groups drawn by chance;
        ``"fold 0 of 5"``: that fold checks; ``"4 of each"``: four evenly spaced images of each group, such as planes of
        a volume, train, and the others check; ``"as listed"``: what `listed` says; ``"all"``: everything trains.
    groups : sequence of str
        Group of each image.
    listed : sequence of str
        Part of each image, where somebody named it.
    seed : int
        Of percentages and folds.

    Raises
    ------
    OptionError
        If the rule cannot be read, or leaves nothing for one of its parts.

    Examples
    --------
    >>> deal("2 of each", ["a"] * 5)
    ['check', 'train', 'check', 'train', 'check']
    >>> sorted(deal("50/50", ["a", "a", "b", "b"]))
    ['check', 'check', 'train', 'train']
    """
    text = " ".join(split.lower().split())
    if re.fullmatch(r"\d+(\.\d+)?(/\d+(\.\d+)?){1,2}", text):
        wanted: tuple[str, ...] = PARTS[: text.count("/") + 1]
        out = _by_shares([float(share) for share in text.split("/")], groups, seed)
    elif match := re.fullmatch(r"fold (\d+) of (\d+)", text):
        k, n = int(match[1]), int(match[2])
        if not k < n or n < 2:
            raise OptionError(f"split: folds are counted from 0, got {split!r}; write fold 0 of {max(n, 2)}.")
        wanted = PARTS[:2]
        out = ["check" if at == k else "train" for at in folds(groups, n, seed=seed)]
    elif match := re.fullmatch(r"(\d+) of each", text):
        wanted = PARTS[:2]
        out = _evenly(int(match[1]), groups)
    elif text == "as listed":
        wanted, out = PARTS[:1], list(listed)
        if len(out) != len(groups) or set(out) - set(PARTS):
            raise OptionError(f"split: as listed needs a part of every image: {', '.join(PARTS)}.")
    elif text == "all":
        wanted, out = PARTS[:1], ["train"] * len(groups)
    else:
        raise OptionError(f"split: {split!r} is no rule; write {SPLITS}.")
    if lacking := [part for part in wanted if part not in out]:
        raise OptionError(
            f"split: {split} leaves nothing to {lacking[0]} of {len(groups)} images in {len(set(groups))} groups; "
            "take other shares or fewer folds, or name the groups of the images."
        )
    return out


def _by_shares(shares: Sequence[float], groups: Sequence[str], seed: int) -> list[str]:
    """Deal groups, in an order drawn by chance, each to the part that lacks most images."""
    if abs(sum(shares) - 100) > 1e-6 or min(shares) <= 0:
        raise OptionError(f"split: shares are above 0 and add up to 100, got {'/'.join(f'{s:g}' for s in shares)}.")
    names, which, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    lacks = np.array(shares) / 100 * len(groups)
    part = np.zeros(names.size, int)
    order = np.random.default_rng(seed).permutation(names.size)
    for group in order[np.argsort(-counts[order], kind="stable")]:
        part[group] = int(np.argmax(lacks))
        lacks[part[group]] -= counts[group]
    return [PARTS[k] for k in part[which]]


def _evenly(n: int, groups: Sequence[str]) -> list[str]:
    """Take the middles of n equal stretches of each group."""
    out = ["check"] * len(groups)
    for name in dict.fromkeys(groups):
        places = [i for i, group in enumerate(groups) if group == name]
        if not 0 < n <= len(places):
            raise OptionError(f"split: {n} of each, but the group {name} has {len(places)} images.")
        for k in range(n):
            out[places[(2 * k + 1) * len(places) // (2 * n)]] = "train"
    return out
