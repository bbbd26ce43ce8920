"""Curves in the terminal while a network learns: dots where the values are, and only where somebody looks."""

import io
import json

import numpy as np
import pytest

from segmetry.cli.live import ROWS, Bar, braille, chart
from segmetry.train.log import LOG
from segmetry.train.rate import RATE, RATES, RateSearch


def dots(lines):
    """Return the dots (4 rows a line, 2 columns a character) of braille, after the table of Unicode 2800."""
    table = ((0, 3), (1, 4), (2, 5), (6, 7))
    cells = [[ord(c) - 0x2800 if c != " " else 0 for c in line] for line in lines]
    return np.array([[cell >> bit & 1 for cell in row for bit in bits] for row in cells for bits in table], bool)


def test_the_line_goes_through_its_points():
    rng = np.random.default_rng(0)
    values = rng.random(24)
    seen = dots(braille(range(24), values, 12, 3))
    assert seen.shape == (12, 24)
    want = np.rint((values.max() - values) / np.ptp(values) * 11).astype(int)
    assert seen[want, range(24)].all()
    for column in range(1, 24):
        rows = np.flatnonzero(seen[:, column])
        assert np.array_equal(rows, np.arange(rows[0], rows[-1] + 1)), "without gaps"
        assert np.abs(rows[:, None] - want[column - 1]).min() <= 1, "and joined to the dot before"


def test_many_values_of_a_column_are_averaged():
    rng = np.random.default_rng(0)
    many = np.repeat(np.arange(8.0), 50) + np.tile(rng.normal(0, 1, 50), 8)
    seen = dots(braille(np.repeat(np.arange(8), 50), many, 4, 2))
    assert np.array_equal(seen, dots(braille(range(8), range(8), 4, 2)))


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [2.0, 2.0, 2.0], [1.0, np.inf, 2.0]])
def test_few_and_strange_values_make_no_trouble(values):
    lines = braille(range(len(values)), values, 6, 2)
    assert [len(line) for line in lines] == [6, 6]
    assert len({len(line) for line in chart("loss", range(len(values)), values, 20)}) == 1


def test_a_chart_says_its_ends():
    title, first, *_, last = chart("loss 0.5", range(3), [2.0, 1.0, 0.5], 30)
    assert (title.strip(), first.split()[0], last.split()[0]) == ("loss 0.5", "2.00", "0.500")


def make_log(folder, n=6):
    lines = [{"step": 0, "device": "cpu"}]
    for k in range(1, n + 1):
        step = 10 * k
        lines.append({"step": step, "loss": 1 / k, "rate": 1e-3, "samples_per_s": 8.0, "steps_per_s": 2.0})
        lines.append({"step": step, "check": {"loss": 2 / k, "mean_iou": k / 10, "score": k / 10}, "seconds": 1.0})
    (folder / LOG).write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return lines[-2]


def terminal(**more):
    from rich.console import Console

    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding=more.pop("encoding", "utf-8")), force_terminal=True,
                   width=100, height=40, **more)  # fmt: skip


def shown(console):
    console.file.flush()
    return console.file.buffer.getvalue().decode(console.encoding)


def is_drawn(text):
    return any("\u2800" <= c <= "\u28ff" for c in text)


@pytest.mark.parametrize(
    ("curves", "encoding", "drawn"), [(True, "utf-8", True), (False, "utf-8", False), (True, "ascii", False)]
)
def test_curves_stand_below_the_bar(tmp_path, curves, encoding, drawn):
    entry = make_log(tmp_path)
    console = terminal(encoding=encoding)
    bar = Bar(tmp_path, 100, curves=curves)
    bar.begin(console)
    bar.show(60, 100, entry)
    bar.__exit__()
    text = shown(console)
    assert "60/100" in text
    assert "loss 0.167, 8 samples/s" in text
    assert is_drawn(text) == drawn
    for words in ("loss 0.167 ", "mean IoU 0.600, best 0.600"):
        assert (words in text) == drawn


def test_where_nobody_looks_it_is_quiet(tmp_path, capsys):
    entry = make_log(tmp_path)
    with Bar(tmp_path, 100) as show:
        show(60, 100, entry)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("looked_at", [True, False])
def test_a_search_tells_what_it_found(tmp_path, capsys, looked_at):
    losses = 1 / (1 + (RATES / 1e-3) ** 2)
    RateSearch(RATES.tolist(), losses.tolist(), 1.0).save(tmp_path / RATE)
    console, bar = terminal(), Bar(tmp_path, 50)
    if looked_at:
        bar.begin(console)
    for number, (rate, loss) in enumerate(zip(RATES, losses), 1):
        bar.show(number, len(RATES), {"trial": number, "rate": rate, "loss": loss})
    bar.show(10, 50, {"step": 10, "loss": 1.0, "samples_per_s": 8.0, "steps_per_s": 2.0})
    bar.__exit__()
    told = shown(console)
    assert ("search for a learning rate" in told) == looked_at == is_drawn(told)
    said = told + capsys.readouterr().err
    assert said.count("learning rate 0.00093: there the loss falls most steeply, of 100 rates") == 1
    if looked_at:
        assert told.index("falls most") < told.rindex("10/50")
        assert told.count("loss at rates from 1e-06 to 1e+01") >= 2
        assert len([line for line in told.splitlines() if is_drawn(line)]) >= ROWS
