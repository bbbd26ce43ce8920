"""Commands that only show: what a file holds, which methods and measures there are."""

from __future__ import annotations

import inspect
import json
import sys
import textwrap

from segmetry.cli.options import field_rows
from segmetry.errors import OptionError, SegmetryError, unknown_name
from segmetry.inputs import find_inputs


def show_info(inputs: list[str], *, scale: str, pixel_size: str | None, page: int | None, as_json: bool) -> int:
    """Print what each file holds; return the exit code."""
    from segmetry.io import calibrate, describe, read
    from segmetry.io.json_file import plain
    from segmetry.recipe import Recipe

    recipe = Recipe(scale=scale, pixel_size=pixel_size, page=page)  # type: ignore[arg-type]  # checked there, before any file
    paths = find_inputs(inputs)
    found, failed = [], 0
    for path in paths:
        try:
            image, annotations = calibrate(read(path, page=page), scale=recipe.scale, pixel_size=pixel_size)
        except SegmetryError as error:
            print(f"segmetry: {' '.join(str(error).split())}", file=sys.stderr)
            failed += 1
            continue
        facts = {"file": str(path)} | describe(image)
        bar = annotations.scale_bar
        if bar is not None:
            facts["scale bar"] = (
                f"{bar.value:g} {bar.unit} is {bar.length_px:.1f} px, from ({bar.x0:.1f}, {bar.y0:.1f}) to "
                f"({bar.x1:.1f}, {bar.y1:.1f}) (x, y); confidence {bar.confidence:.2f}"
            )
        elif image.pixels.ndim == 2:
            facts["scale bar"] = "none found"
        facts["notes"] = list(dict.fromkeys((*image.notes, *annotations.notes)))
        found.append(facts)
    if as_json:
        print(json.dumps(plain(found), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print("\n\n".join(_block(facts) for facts in found))
    return 0 if not failed else 2 if failed == len(paths) else 1


def _block(facts: dict[str, object]) -> str:
    width = max(len(k) for k in facts)
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            value = [f"{k}: {v}" for k, v in value.items()]
        if key == "shape" and isinstance(value, list | tuple):
            value = " × ".join(map(str, value))
        if isinstance(value, list | tuple):
            rows = [str(v) for v in value] or ["none"]
            lines += [f"{key if i == 0 else '':<{width}}  {row}" for i, row in enumerate(rows)]
        else:
            lines.append(f"{key:<{width}}  {value}")
    return "\n".join(lines)


def show_methods(name: str | None, *, as_json: bool) -> int:
    """Print the methods, or the options of one."""
    from segmetry.recipe import DEFAULT_METHOD, Statistics
    from segmetry.segment import METHODS

    if name is not None and name not in METHODS:
        raise unknown_name("method", name, METHODS)
    if as_json:
        data = {
            n: {
                "meaning": m.summary,
                "options": _options(m),
                **({"model": dict(rows)} if (rows := _model_rows(m)) else {}),
            }
            for n, m in METHODS.items()
            if name in (None, n)
        }
        print(json.dumps(data, indent=2, ensure_ascii=False))
        return 0
    if name is None:
        for n, m in METHODS.items():
            print(f"{n:<16}{m.summary}{' (default)' if n == DEFAULT_METHOD else ''}")
        print("\nOptions of one: segmetry methods NAME. Set them with --set KEY=VALUE.")
        return 0
    print(f"{name}: {METHODS[name].summary}\n")
    if options := field_rows(METHODS[name]):
        print_rows(options)
    else:
        print(f"{inspect.getdoc(METHODS[name])}")
    if facts := _model_rows(METHODS[name]):
        print("\nThe model that comes along:\n")
        print_rows([(key, "", text) for key, text in facts])
    print("\nOf the statistics, for every method:\n")
    print_rows(field_rows(Statistics))
    return 0


def _options(record: type) -> list[dict[str, str]]:
    """Return the options of a record as JSON tells them."""
    return [dict(zip(("name", "default", "meaning"), row)) for row in field_rows(record)]


def show_steps(name: str | None, *, as_json: bool) -> int:
    """Print the steps of preparation, or the options of one."""
    from segmetry.prepare.table import STEPS

    if name is not None and name not in STEPS:
        raise unknown_name("step", name, STEPS)
    chosen = {n: step for n, step in STEPS.items() if name in (None, n)}
    if as_json:
        data = {
            n: {
                "meaning": step.summary,
                "axes": list(step.axes),
                "options": _options(step),
            }
            for n, step in chosen.items()
        }
        print(json.dumps(data, indent=2, ensure_ascii=False))
        return 0
    if name is None:
        for n, step in STEPS.items():
            print(f"{n:<16}{step.summary}")
        print("\nOptions of one: segmetry steps NAME. A recipe names them: prepare: [{step: NAME, OPTION: VALUE}].")
        return 0
    print(f"{name}: {chosen[name].summary}\n")
    if options := field_rows(chosen[name]):
        print_rows(options)
    return 0


def _model_rows(method: type) -> list[tuple[str, str]]:
    """Return what the card says of the model that a method runs unless told; nothing where it runs none."""
    from dataclasses import fields

    from segmetry.io.card_text import card_rows
    from segmetry.io.model_folder import read_card, shipped_models

    default = next((f.default for f in fields(method) if f.name == "model"), None)
    if default not in shipped_models():
        return []
    return card_rows(read_card(shipped_models()[str(default)]))


def print_rows(rows: list[tuple[str, str, str]]) -> None:
    names, defaults = max(len(r[0]) for r in rows), max(len(r[1]) for r in rows)
    for option, default, meaning in rows:
        head = f"  {option:<{names}}  {default:<{defaults}}  "
        print(textwrap.fill(meaning, 110, initial_indent=head, subsequent_indent=" " * len(head)))


def show_measures(*, as_json: bool) -> int:
    """Print what is measured."""
    from segmetry.measure import MEASURES

    rows = [(m.name, m.unit("nm"), m.meaning) for m in MEASURES.values()]
    if as_json:
        print(json.dumps([dict(zip(("name", "unit", "meaning"), r)) for r in rows], indent=2, ensure_ascii=False))
    else:
        print_rows(rows)
    return 0


def show_networks(name: str | None, *, as_json: bool) -> int:
    """Print the networks that can be trained to tell classes apart, or the options of one."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise OptionError("networks need torch, which is not installed; pip install 'segmetry[train]'.")
    from segmetry.nets.table import NETWORKS, measure_network

    if name is not None and name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    chosen = {n: a for n, a in NETWORKS.items() if name in (None, n)}
    facts = {n: measure_network(n) for n in chosen}
    if as_json:
        data = {
            n: {"meaning": a.summary, "source": a.source, "axes": a.axes} | facts[n] | {"options": _options(a.options)}
            for n, a in chosen.items()
        }
        print(json.dumps(data, indent=2, ensure_ascii=False))
        return 0
    print(f"{'network':<12}{'axes':<6}{'parameters':>11}{'sees, px':>10}{'MAC/px':>9}{'multiple':>10}  what it is")
    for n, a in chosen.items():
        f = facts[n]
        seen = "all" if f["receptive_radius"] is None else f["receptive_radius"]
        head = f"{n:<12}{a.axes:<6}{f['parameters']:>11,}{seen:>10}{f['operations']:>9,.0f}{f['multiple']:>10}  "
        print(textwrap.fill(a.summary, 120, initial_indent=head, subsequent_indent=" " * len(head)))
    if name is not None:
        print(f"\n{chosen[name].source}\n")
        print_rows(field_rows(chosen[name].options))
        return 0
    print("\nWith one channel, one map and the default options. Options of one: segmetry networks NAME.")
    return 0
