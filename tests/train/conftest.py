"""Torch on one thread: what is small here runs faster, and always the same."""

import importlib.util

if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)
