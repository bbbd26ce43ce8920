"""Plain data as JSON files: whole or not at all, and only what JSON knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.io.atomic import atomic


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON, whole or not at all; nan and infinity, which JSON does not know, become null."""
    with atomic(path) as temporary:
        temporary.write_text(
            json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def plain(value: Any) -> Any:
    """Return the value in types that JSON knows."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
