"""Which device a network runs on, and with which numbers."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")


@pytest.fixture
def on_a_processor(monkeypatch):
    """Return what settles options on a processor that has, or lacks, arithmetic of 16-bit floats."""
    from segmetry.train.device import make_fabric
    from segmetry.train.options import FitOptions
    from segmetry.train.running import Running

    def settle(precision: str, **capabilities: bool):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True} | capabilities, raising=False)
        said: list[str] = []
        fabric, options = make_fabric(FitOptions(precision=precision), Running(device="cpu", say=said.append))
        with fabric.autocast():
            kind = torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype
        return options.precision, kind, said

    return settle


def test_auto_takes_16_bits_only_where_the_processor_multiplies_them(on_a_processor):
    assert on_a_processor("auto") == ("32-true", torch.float32, [])
    assert on_a_processor("auto", avx512_bf16=False) == ("32-true", torch.float32, [])
    assert on_a_processor("auto", avx512_bf16=True) == ("bf16-mixed", torch.bfloat16, [])
    assert on_a_processor("auto", amx_bf16=True) == ("bf16-mixed", torch.bfloat16, [])


def test_what_is_asked_for_is_done_and_a_slow_choice_is_told(on_a_processor):
    precision, kind, said = on_a_processor("bf16-mixed")
    assert (precision, kind) == ("bf16-mixed", torch.bfloat16)
    (words,) = said
    assert "ten times as long" in words
    assert "precision=auto" in words
    assert on_a_processor("bf16-mixed", amx_bf16=True)[2] == []
    assert on_a_processor("32-true", amx_bf16=True) == ("32-true", torch.float32, [])


def test_a_torch_that_does_not_tell_gets_32_bits(on_a_processor, monkeypatch):
    from segmetry.train.device import multiplies_bf16

    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_bf16("cpu")
    assert not multiplies_bf16("mps")


def test_the_name_of_a_device_tells_its_precision(on_a_processor):
    from segmetry.train.device import make_fabric, name_device
    from segmetry.train.options import FitOptions
    from segmetry.train.running import Running

    fabric, options = make_fabric(FitOptions(precision="32-true"), Running(device="cpu"))
    threads = torch.get_num_threads()
    assert name_device(fabric, options) == f"cpu, {threads} thread{'s' * (threads > 1)}, 32-true"
