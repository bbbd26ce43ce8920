"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segmetry.errors import WriteError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space, or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space, or choose another folder",
    errno.EACCES: "writing is not permitted; choose another folder, or change its permissions",
    errno.EPERM: "writing is not permitted; choose another folder, or change its permissions",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.ENOENT: "the folder does not exist; make it first",
}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` on success and deleted on failure.

    Readers see the old file or the new one, never a part. The temporary name keeps the suffix, because writers choose
    the format by it. Ctrl-C counts as a failure.

    Parameters
    ----------
    path : path
        The file to write. Its folder must exist.

    Raises
    ------
    WriteError
        If the disk is full, the folder is missing or cannot be written, or `path` is a folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        if path.is_dir():
            raise WriteError(f"{path}: is a folder; give the name of a file in it.")
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=f".part{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _flush(temporary)
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        temporary.replace(path)
        temporary = None
    except WriteError:
        raise
    except OSError as error:
        raise write_error(path, error) from None
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def write_error(path: str | Path, error: OSError) -> WriteError:
    """Return the error, in one line, for a place that cannot be written."""
    reason = _REASONS.get(error.errno or 0)
    if reason is None:
        reason = f"cannot be written ({error.strerror or error}); choose another folder"
    return WriteError(f"{path}: {reason}.")


def _flush(path: Path) -> None:
    """Put a file on the disk. A full network disk tells only now."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
