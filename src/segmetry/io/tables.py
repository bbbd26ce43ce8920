"""Tables with their units: CSV with a sidecar after the W3C's "CSV on the Web", or Parquet."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmetry.errors import ReadError, WriteError
from segmetry.io.atomic import atomic
from segmetry.io.quiet import quiet
from segmetry.units import METRES, PIXEL

if TYPE_CHECKING:
    import pandas as pd

PHASES_FILE = "phases.csv"
"""The table of an image's phases, where its labels are classes."""
ALL_PHASES_FILE = "phases_over_all.csv"
"""The table of the phases over all images of a batch."""

_KEY = "segmetry"


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table of objects with the unit of each column.

    Column names stay plain; a last column ``unit`` names the unit of length (``"nm"``; areas are in its square), or
    ``"px"``. CSV gets a second file, ``NAME.csv-metadata.json``, with the unit and type of each column; Parquet holds
    them in its schema. The same table gives the same bytes.

    Parameters
    ----------
    path : path
        ``.csv`` or ``.parquet`` (``.pq``).
    table : DataFrame
        ``table.attrs["units"]`` maps columns to units, as `segmetry.measure` leaves it.

    Raises
    ------
    WriteError
        If the suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    units = {str(c): str(u) for c, u in dict(table.attrs.get("units", {})).items() if c in table.columns}
    added = "unit" not in table.columns
    whole = table.assign(unit=length_unit(units)) if added else table.copy()
    whole.attrs = {}
    if added and not len(whole):
        whole["unit"] = whole["unit"].astype("str")
    with quiet():
        if path.suffix.lower() == ".csv":
            sidecar = Path(f"{path}-metadata.json")
            with atomic(path) as temporary:
                whole.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8", errors="backslashreplace")
                with atomic(sidecar) as other:
                    other.write_text(_sidecar(path.name, whole, units, added=added), "utf-8", "backslashreplace")
        elif path.suffix.lower() in (".parquet", ".pq"):
            _write_parquet(path, whole, units, added=added)
        else:
            raise WriteError(f"{path}: tables are written as .csv or .parquet; choose one of these suffixes.")


def read_table(path: str | Path) -> pd.DataFrame:
    """Return a table that `write_table` wrote, with ``attrs["units"]``; a plain CSV or Parquet comes without units.

    Raises
    ------
    ReadError
        If the file, or the sidecar of a CSV, is missing or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ReadError(f"{path}: there is no such file; check the name.")
    try:
        with quiet():
            return _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    except Exception as error:
        why = " ".join(str(error).split())[:160]
        raise ReadError(f"{path}: is not a table that can be read ({why}); write it again.") from error


def length_unit(units: dict[str, str]) -> str:
    """Return the unit of length behind the units of columns: ``"nm"`` out of ``"nm^2"``; ``"px"`` where none is.

    Examples
    --------
    >>> length_unit({"label": "", "area": "µm^2", "centroid-0": "px"})
    'µm'
    """
    bases = [u.partition("^")[0] for u in units.values()]
    return next((b for b in bases if b in METRES), PIXEL)


def _write_parquet(path: Path, table: pd.DataFrame, units: dict[str, str], *, added: bool) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    plain = pa.Table.from_pandas(table, preserve_index=False)
    fields = [
        field.with_metadata({b"unit": units[field.name].encode()}) if field.name in units else field
        for field in plain.schema
    ]
    ours = {_KEY.encode(): json.dumps({"units": units, "unit_column_added": added}, ensure_ascii=False).encode()}
    schema = pa.schema(fields, metadata={**(plain.schema.metadata or {}), **ours})
    with atomic(path) as temporary:
        parquet.write_table(plain.cast(schema), temporary)


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet

    stored = parquet.read_table(path)
    ours = json.loads((stored.schema.metadata or {}).get(_KEY.encode(), b"{}"))
    return _finish(stored.to_pandas(), ours.get("units", {}), bool(ours.get("unit_column_added")))


def _sidecar(name: str, table: pd.DataFrame, units: dict[str, str], *, added: bool) -> str:
    """Return the metadata of a CSV: https://www.w3.org/TR/tabular-metadata/."""
    columns = []
    for title in map(str, table.columns):
        column: dict[str, Any] = {
            "titles": title,
            "name": re.sub(r"\W", "_", title, flags=re.ASCII),
            "datatype": _datatype(table[title].dtype),
        }
        if units.get(title):
            column["schema:unitText"] = units[title]
        columns.append(column)
    data = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": name,
        "dialect": {"header": True, "encoding": "utf-8"},
        "tableSchema": {"columns": columns},
        "schema:comment": f"units of each column{'; the column unit was added on writing' if added else ''}",
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _datatype(dtype: Any) -> Any:
    if dtype.kind == "b":
        return {"base": "boolean", "format": "True|False"}
    return "integer" if dtype.kind in "iu" else "number" if dtype.kind == "f" else "string"


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    sidecar = Path(f"{path}-metadata.json")
    if not sidecar.is_file():
        return pd.read_csv(path, encoding="utf-8")
    said = json.loads(sidecar.read_text(encoding="utf-8"))
    columns = said["tableSchema"]["columns"]
    kinds = {"integer": "int64", "number": "float64", "string": "str"}
    dtypes = {
        c["titles"]: "bool" if isinstance(c["datatype"], dict) else kinds.get(c["datatype"], "str") for c in columns
    }
    texts = [name for name, kind in dtypes.items() if kind == "str"]
    # Only empty fields are missing: an object may well be called "NA".
    table = pd.read_csv(
        path, encoding="utf-8", dtype=dtypes, float_precision="round_trip", keep_default_na=False,
        na_values={name: ["", "nan"] for name in dtypes if name not in texts},
    )  # fmt: skip
    units = {c["titles"]: c.get("schema:unitText", "") for c in columns if c["titles"] != "unit"}
    return _finish(table, units, "was added" in said.get("schema:comment", ""))


def _finish(table: pd.DataFrame, units: dict[str, str], added: bool) -> pd.DataFrame:
    if added and "unit" in table.columns:
        table = table.drop(columns="unit")
    table.attrs = {"units": units} if units else {}
    return table
