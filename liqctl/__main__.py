"""The program's first lines: `liqctl` and `python -m liqctl`.

Nothing of ours is imported before it is known that it can be.
"""

import sys
from typing import Final, NoReturn

_UNFIT: Final = (
    "liqctl cannot run on this system ({}): it needs POSIX signals and file locks. On Windows run "
    "it in WSL2; elsewhere on a Linux host or in the container image. Nothing was sent.\n"
)


def main() -> NoReturn:
    """Run the command line, or say why this system cannot."""
    try:
        import fcntl  # noqa: F401 - the one module of ours that Windows lacks at import
    except ImportError:
        is_fit = False
    else:
        is_fit = sys.platform not in {"win32", "cygwin"}
    if not is_fit:
        sys.stderr.write(_UNFIT.format(sys.platform))
        sys.exit(1)
    from liqctl.cli import app

    app.main()


if __name__ == "__main__":
    main()
