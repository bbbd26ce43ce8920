"""Tissue: shares and sizes of somas, and what is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth import simulate_somas


@pytest.mark.parametrize("share", [0.03, 0.08])
def test_the_share_is_that_asked_for(share):
    got = simulate_somas(seed=2, frame_shape=(700, 700), soma_share=share).facts["share"]["soma"]
    # Less than half of the square of the smallest soma is left; the last one's processes come on top.
    assert share - 20**2 / 2 / 700**2 <= got < share + 20**2 / 700**2 + 0.002


def test_areas_in_the_table_are_those_of_the_labels():
    scene = simulate_somas(seed=3, frame_shape=(600, 600))
    somas = scene.truth[scene.truth["class"] == "soma"]
    assert somas["area"].sum() == pytest.approx(scene.facts["area"]["soma"], rel=0.005)
    assert np.allclose(math.pi / 4 * somas["equivalent_diameter"] ** 2, somas["area"])


def test_somas_without_processes_have_the_asked_diameters():
    # Bodies' areas are those of disks of the drawn diameters (waves add a per cent), between 13 and 58 µm.
    o = {"processes": (0, 0), "vessels": 0.0, "frame_shape": (900, 900), "soma_share": 0.12, "soma_diameter": 25.0}
    truth = simulate_somas(seed=4, **o).truth
    whole = truth[~truth["touches_frame"]]["equivalent_diameter"]
    assert len(whole) > 40
    assert whole.between(12, 61).all()
    log = np.log(whole)
    assert log.mean() == pytest.approx(math.log(25), abs=4 * 0.3 / math.sqrt(len(whole)))


def test_at_full_scale_somas_are_twenty_to_a_hundred_pixels_wide():
    truth = simulate_somas(seed=1, frame_shape=(800, 800), soma_share=0.1).truth
    whole = truth[(truth["class"] == "soma") & ~truth["touches_frame"]]["equivalent_diameter"] / 0.65
    assert len(whole) > 10
    assert whole.between(20, 110).all()


def test_vessels_are_background_or_a_class_and_never_somas():
    o = {"seed": 6, "frame_shape": (600, 600), "vessels": 120.0}
    plain, own = simulate_somas(**o), simulate_somas(**o, vessels_as_class=True)
    vessel = own.labels == 2
    assert plain.classes == ("background", "soma")
    assert own.classes == ("background", "soma", "vessel")
    assert vessel.mean() > 0.02
    assert (plain.labels[vessel] == 0).all()
    assert np.array_equal(plain.labels == 1, own.labels == 1)
    assert np.array_equal(plain.image.pixels, own.image.pixels)


def test_dark_and_bright_vessels_differ_from_the_tissue():
    for share, sign in ((0.0, -1), (1.0, 1)):
        o = {"bright_share": share, "noise": 0.0, "shading": 0.0, "vessels": 120.0, "soma_share": 0.0, "glia": 0.0}
        scene = simulate_somas(seed=6, frame_shape=(500, 500), vessels_as_class=True, **o)
        inside = np.median(scene.image.pixels[scene.labels == 2])
        assert sign * (inside - np.median(scene.image.pixels[scene.labels == 0])) > 0.2


def test_glia_carry_no_label():
    none, many = (simulate_somas(seed=1, frame_shape=(400, 400), glia=n) for n in (0.0, 2000.0))
    assert np.array_equal(none.labels, many.labels)
    assert not np.array_equal(none.image.pixels, many.image.pixels)


def test_what_cannot_be():
    with pytest.raises(OptionError, match="smallest must be below largest"):
        simulate_somas(smallest=70.0)
    with pytest.raises(OptionError, match="processes go from least"):
        simulate_somas(processes=(4, 2))
    with pytest.raises(OptionError, match=r"hardly any soma .* move soma_diameter"):
        simulate_somas(frame_shape=(300, 300), soma_diameter=200.0, soma_gsd=1.0)
    with pytest.raises(OptionError, match="no more fit; lower soma_share"):
        simulate_somas(frame_shape=(300, 300), vessels=3000.0)
