"""`segmetry networks`: the table of networks for classes."""

import importlib.util
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch


def test_without_torch_it_is_one_line(cli, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else found(name, *a))
    ran = cli("networks")
    assert ran.code == 2
    assert "networks need torch" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_list_and_the_page_say_the_same(cli):
    pytest.importorskip("torch")
    data = json.loads(cli("networks", "--json").out)
    shown = cli("networks").out
    page = (Path(__file__).parents[2] / "docs/how-to/networks.md").read_text(encoding="utf-8")
    for name, facts in data.items():
        sees = facts["receptive_radius"] or "all"
        assert f"| `{name}` | {facts['parameters']:,} | {sees} | {facts['operations']:,.0f}" in page
        assert f"{facts['parameters']:,}" in shown
    assert data["spot-unet"]["parameters"] == 265_105
    assert data["pspnet"]["receptive_radius"] is None
    assert {o["name"] for o in data["unet"]["options"]} == {"encoder", "depth", "width", "rate", "kernel", "norm"}


def test_one_network_and_a_misspelled_one(cli):
    pytest.importorskip("torch")
    ran = cli("networks", "unet++")
    assert ran.code == 0
    assert "accurate | fast" in ran.out
    assert "doi:10.1109/TMI.2019.2959609" in ran.out
    wrong = cli("networks", "segnett")
    assert wrong.code == 2
    assert "did you mean 'segnet'" in wrong.err
