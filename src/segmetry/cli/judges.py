"""The commands that judge: one set of predictions, or several methods on the same images."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segmetry.cli.options import open_output
from segmetry.cli.progress import track
from segmetry.cli.verdict import rank_lines, verdict_lines
from segmetry.errors import OptionError

if TYPE_CHECKING:
    from segmetry.competitors import Competitor
    from segmetry.evaluate.judgement import Rules


TOLD = 10
"""Remarks of single images that go to stderr."""


def make_rules(kind: str, tolerance: float, classes: str | None, ignore: int | None) -> Rules:
    """Return the rules that a command's options ask for."""
    from segmetry.evaluate.judgement import Rules

    named = parse_classes(classes) if classes is not None else None
    return Rules(kind, tolerance, named, ignore)  # type: ignore[arg-type]  # checked by Rules


def parse_classes(text: str) -> dict[int, str]:
    """Return names of classes by their label.

    Examples
    --------
    >>> parse_classes("0=matrix, 1=carbide"), parse_classes("0,3")
    ({0: 'matrix', 1: 'carbide'}, {0: '0', 3: '3'})
    """
    found: dict[int, str] = {}
    for part in text.split(","):
        number, _, name = (piece.strip() for piece in part.partition("="))
        if not number.isdigit():
            raise OptionError(f"--classes {text!r}: {part.strip()!r} is no class; write 0,1,2 or 0=matrix,1=carbide.")
        if int(number) in found or (name or number) in found.values():
            raise OptionError(f"--classes {text!r}: {part.strip()!r} is named twice.")
        found[int(number)] = name or number
    return found


def evaluate_paths(
    prediction: Path,
    truth: Path,
    rules: Rules,
    *,
    out: Path | None,
    ids: Path | None,
    groups: Path | None,
    second: Path | None,
    threshold: float | None,
    pixel_size: str | None,
    as_json: bool,
) -> int:
    """Judge label files, show what came out; return the exit code."""
    from segmetry.io.json_file import plain, write_json
    from segmetry.judging import evaluate_files

    if out is not None:
        open_output(out)
    found = evaluate_files(
        prediction,
        truth,
        rules,
        ids=ids,
        groups=groups,
        second=second,
        threshold=threshold,
        pixel_size=pixel_size,
        track=lambda pairs: track(pairs, len(pairs), lambda pair: pair.name),
    )
    if out is not None:
        from segmetry.io import write_table

        tables = {"scores.csv": found.table()} | ({"objects.csv": found.objects()} if rules.kind == "instance" else {})
        for name, table in tables.items():
            write_table(out / name, table)
        write_json(out / "evaluation.json", found.as_dict())
    if as_json:
        print(json.dumps(plain(found.as_dict()), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        for line in verdict_lines(found, saved=out is not None):
            print(line)
        if out is not None:
            print(f"written: {', '.join(str(out / name) for name in (*tables, 'evaluation.json'))}")
    _tell(found.notes, "evaluation.json has all" if out is not None else "--json shows all")
    return 0


def _check_place(one: Competitor, out: Path) -> None:
    """Refuse a competitor whose results would be written among its own files, or among those of all."""
    if one.name in ("figures", "properties"):
        raise OptionError(f"{one.name!r} is a folder of the results; give {one.folder} another name.")
    if one.folder is not None and one.folder.resolve() == (out / one.name).resolve():
        raise OptionError(f"{one.folder}: the results would be written into this folder; name another with -o.")


def _tell(lines: Sequence[str], where: str) -> None:
    """Print the first few lines of many to stderr."""
    for line in lines[:TOLD]:
        print(f"segmetry: {line}", file=sys.stderr)
    if len(lines) > TOLD:
        print(f"segmetry: and {len(lines) - TOLD} more like these; {where}.", file=sys.stderr)


def compare_methods(
    methods: list[str],
    images: Path,
    truth: Path,
    out: Path,
    rules: Rules,
    *,
    ids: Path | None,
    groups: Path | None,
    properties: Path | None,
    rank_by: str | None,
    pixel_size: str | None,
    scale: str | None,
    jobs: int | None,
    resume: bool,
    as_json: bool,
) -> int:
    """Compare methods on labelled images; return the exit code."""
    from segmetry import compare
    from segmetry.batch import default_jobs, write_failures
    from segmetry.cli.batches import collect, conclude
    from segmetry.competitors import parse_competitors
    from segmetry.evaluate.judgement import FAMILIES, HEADLINE
    from segmetry.gather import describe_run
    from segmetry.io import write_table
    from segmetry.io.json_file import plain, write_json
    from segmetry.partners import pair_files, read_groups, read_ids, read_properties
    from segmetry.recipe import Recipe
    from segmetry.report.compared import write_comparison
    from segmetry.trials import CompareWork, load, make_trials

    if rank_by is not None and "." not in rank_by and rank_by in FAMILIES[rules.kind].scores:
        raise OptionError(f"--rank-by {rank_by!r}: say which; write {rules.kind}.{rank_by}.")
    compare.ranking_score(rank_by or HEADLINE[rules.kind], rules.kind)
    base = Recipe(scale=scale or "auto", pixel_size=pixel_size)  # type: ignore[arg-type]  # checked by Recipe
    competitors = tuple(parse_competitors(methods, base))
    for one in competitors:
        _check_place(one, out)
    found = pair_files(images, truth, ids=read_ids(ids) if ids is not None else None, what="image")
    trials = make_trials(competitors, found.pairs)
    names = [trial.folder for trial in trials]
    known = read_properties(properties, names) if properties is not None else {}
    group_name, owner = "", {}
    if groups is not None:
        group_name, owners = read_groups(groups, names)
        owner = dict(zip(names, owners, strict=True))
    open_output(out)
    work = CompareWork(competitors, out, rules, again=not resume)
    outcomes, stopped = collect(trials, work, jobs=jobs, done=work.is_done if resume else None)
    write_failures(out / "failures.csv", outcomes)
    if not any(o.ok for o in outcomes):
        return conclude(trials, outcomes, stopped, "--resume goes on from here")
    left = load(out, competitors, outcomes)
    compared = compare.compare(
        left,
        rules,
        groups=[owner[name] for name in left.names] if owner else None,
        group_name=group_name,
        rank_by=rank_by,
        properties={key: [dict(zip(names, row))[name] for name in left.names] for key, row in known.items()},
        settings={c.name: c.recipe.method.as_dict() for c in competitors if c.recipe},
    )
    write_table(out / "scores.csv", compared.table)
    write_table(out / "objects.csv", compared.objects)
    data = compare.as_dict(compared, competitors, rules)
    write_json(out / "comparison.json", data)
    about = compare.provenance_of(competitors, rules, outcomes)
    write_json(out / "run.json", describe_run(outcomes, about, jobs or default_jobs()))
    command = shlex.join(["segmetry", *sys.argv[1:]])
    write_comparison(compared, trials, out, ignore=rules.ignore, provenance=about.as_dict(), commands=[command])
    if as_json:
        print(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        for line in rank_lines(compared):
            print(line)
        print(f"report: {out / 'report.html'}")
    _tell(
        [
            f"{method}, {image}: {error.rstrip('.')}; it counts as an empty prediction."
            for method, image, error in compared.failures
            if method != "all"
        ],
        "the report lists all",
    )
    return conclude(trials, outcomes, stopped, "--resume goes on from here")
