"""The commands that judge: one set of predictions, or several methods on the same images."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from segmetry.cli.options import open_output
from segmetry.cli.progress import track
from segmetry.errors import OptionError

if TYPE_CHECKING:
    from segmetry.evaluate.comparison import Comparison
    from segmetry.evaluate.judgement import Rules
    from segmetry.judging import Evaluation

SHOWN = {
    "instance": "ap50 ap75 ap90 map precision recall f1 pq count_error splits merges",
    "instance_pooled": "ap50 map f1 pq",
    "published_emps": "ap ap50 ap75 mean_iou",
    "semantic": "accuracy precision recall iou dice mean_iou boundary_f1 hausdorff95 surface_dice cldice roc_auc",
    "semantic_pooled": "iou mean_iou",
}
"""What the terminal shows of each family; of others, and with --json, it is everything."""
WORST = 5


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
    from segmetry.judging import evaluate_files
    from segmetry.pipeline import plain, write_json

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

        write_table(out / "scores.csv", found.table())
        write_json(out / "evaluation.json", found.as_dict())
        if rules.kind == "instance":
            write_table(out / "objects.csv", found.objects())
    if as_json:
        print(json.dumps(plain(found.as_dict()), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        for line in _lines(found):
            print(line)
        if out is not None:
            print(f"written: {', '.join(str(path) for path in sorted(out.glob('*.csv')))}, {out / 'evaluation.json'}")
    for note in found.notes:
        print(f"segmetry: {note}", file=sys.stderr)
    return 0


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
    from segmetry.evaluate.judgement import HEADLINE, score_of
    from segmetry.gather import describe_run
    from segmetry.io import write_table
    from segmetry.partners import pair_files, read_groups, read_ids, read_properties
    from segmetry.pipeline import plain, write_json
    from segmetry.recipe import Recipe
    from segmetry.report.compared import write_comparison

    score_of(rank_by or HEADLINE[rules.kind], rules.kind)
    base = Recipe(scale=scale or "auto", pixel_size=pixel_size)  # type: ignore[arg-type]  # checked by Recipe
    competitors = tuple(parse_competitors(methods, base))
    found = pair_files(images, truth, ids=read_ids(ids) if ids is not None else None, what="image")
    trials = compare.make_trials(competitors, found.pairs)
    names = [trial.folder for trial in trials]
    known = read_properties(properties, names) if properties is not None else {}
    group_name, owner = "", {}
    if groups is not None:
        group_name, owners = read_groups(groups, names)
        owner = dict(zip(names, owners, strict=True))
    open_output(out)
    work = compare.CompareWork(competitors, out, rules)
    outcomes, stopped = collect(trials, work, jobs=jobs, done=work.is_done if resume else None)
    write_failures(out / "failures.csv", outcomes)
    if not any(o.ok for o in outcomes):
        return conclude(trials, outcomes, stopped, "--resume goes on from here")
    left = compare.load(out, competitors, outcomes)
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
        for line in _ranks(compared):
            print(line)
        print(f"report: {out / 'report.html'}")
    for method, image, error in compared.failures:
        if method != "all":
            print(f"segmetry: {method}, {image}: {error}; it counts as an empty prediction", file=sys.stderr)
    return conclude(trials, outcomes, stopped, "--resume goes on from here")


def _ranks(found: Comparison) -> Iterator[str]:
    from segmetry.report.text import format_estimate, plural

    of_groups = f" of {plural(found.n_groups, found.groups)}" if found.groups != "image" else ""
    yield f"{plural(found.n_images, 'image')}{of_groups}, ranked by {found.ranked_by} (mean over images)"
    width = max(len(r.method) for r in found.ranking)
    best = found.ranking[0].method
    for r in found.ranking:
        e = r.estimate
        line = f"{r.place}. {r.method:<{width}}  {format_estimate(e.value, e.low, e.high, e.unit)}"
        if r.to_best is not None:
            d = r.to_best.estimate
            word = "not told apart from it" if d.low <= 0 <= d.high else f"p {r.to_best.p_value:.2g}"
            line += f"  to {best} {format_estimate(d.value, d.low, d.high, d.unit)}, {word}"
        yield line


def _lines(found: Evaluation) -> Iterator[str]:
    from segmetry.evaluate.judgement import FAMILIES, HEADLINE
    from segmetry.report.text import format_estimate, plural

    of_groups = f" of {plural(found.n_groups, found.group_name)}" if found.groups is not None else ""
    yield f"{plural(len(found.images), 'image')}{of_groups}; [low, high]: 95 % interval for the population of images"
    for family, scores in found.estimates.items():
        yield f"{family} ({FAMILIES[family].averaging})"
        chosen = SHOWN.get(family, "").split()
        for name, e in scores.items():
            if not chosen or name in chosen or "[" in name:
                yield f"  {name:<24} {format_estimate(e.value, e.low, e.high, e.unit)}"
    for name, beside in found.agreement.items():
        if name == HEADLINE[found.rules.kind]:
            c = beside.ceiling
            yield f"two annotators agree by {name} {format_estimate(c.value, c.low, c.high)}"
            yield from (f"  {sentence}" for sentence in beside.sentences)
    if len(found.images) > WORST:
        family, name = HEADLINE[found.rules.kind].split(".")
        worst = sorted(found.images, key=lambda one: one.values[family][name])[:WORST]
        yield "worst: " + ", ".join(f"{one.name} ({name} {one.values[family][name]:.2f})" for one in worst)
