"""The command line: parse, one library call, show."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from segmetry.errors import SegmetryError, WriteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 work failed, 2 asked wrongly, 130 stopped."""
    for stream in (sys.stdout, sys.stderr):  # µ and ± must not end a run in a terminal without UTF-8
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        from segmetry.cli.app import app  # here, so that a stop while libraries load is said like any other

        code = app(arguments, standalone_mode=False, prog_name="segmetry")
    except WriteError as error:  # a disk that filled up: the work failed
        return _say(" ".join(str(error).split()), 1)
    except SegmetryError as error:
        return _say(" ".join(str(error).split()), 2)
    except KeyboardInterrupt:
        return _say("stopped.", 130)
    except BrokenPipeError:  # `segmetry methods | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error, file=sys.stderr)
            return 2
        if hasattr(error, "format_message"):  # a usage error of the parser: a wrong option, a missing argument
            return _say(f"{' '.join(error.format_message().split())} (see segmetry --help)", 2)
        if type(error).__name__ == "Abort":
            return _say("stopped.", 130)
        raise
    return code if isinstance(code, int) else 0


def _say(text: str, code: int) -> int:
    print(f"segmetry: {text}", file=sys.stderr)
    return code


def entry() -> None:
    """Run the command line as a program."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's "end" is like Ctrl-C
    sys.exit(main())
