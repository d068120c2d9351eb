"""`liqctl bundle`: what somebody needs who is asked for help, in one file and without a secret.

It is made on set-ups that are broken, so nothing that is missing keeps it from being made; it asks
nothing of the venue unless told to, and writes nothing but its own file.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Final

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.desk.bundle import BUNDLE_SCHEMA, make_manifest, pack
from liqctl.kernel.states import ExitCode
from liqctl.run.who import SystemClock

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE: Final = 0o600
_NAMES_MAX: Final = 9
_ID_MAX: Final = 64
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")


@takes(
    *("any_run", "environment", "config_file", "log", "online", "as_json", "no_color"),
    environment="Whose settings; else all that are found.",
    online="Also ask the venue.",
)
def bundle(options: Options) -> ExitCode:
    """Write trail, log, settings, versions and facts about the machine into a .tar.gz.

    It holds no key, secret or signature. Without --online the venue is not asked.
    Exit codes: 0 a bundle was made, 1 none could be written, 2 usage.

    Example: liqctl bundle liq_20260102_103000_abc123 --env production
    """
    from liqctl import __version__
    from liqctl.cli.bundle_parts import PartCollector, describe
    from liqctl.desk.text import clean

    moment = SystemClock().now()
    gathering = PartCollector(
        correlation_id=options.any_run,
        environment=options.environment,
        config_file=options.config_file,
        log=options.log,
        online=options.online,
    )
    gathering.gather()
    shown_id = gathering.hide(options.any_run) if options.any_run else None
    manifest = make_manifest(
        gathering.parts,
        gathering.missing,
        moment=moment,
        version=__version__,
        correlation_id=shown_id,
        online=options.online,
    )
    name = f"liqctl_bundle_{moment:%Y%m%d_%H%M%S}"
    if shown_id:
        name += f"_{_UNSAFE.sub('_', shown_id)[:_ID_MAX]}"
    content = pack(name, gathering.parts, manifest, moment=moment)
    path, problems = write(name, content)
    for problem in problems:
        process.print_error(f"liqctl: {problem}")
    if path is None:
        message = "no bundle was made: change to a folder with room that is yours, and run it again"
        process.print_error(f"liqctl: {message}")
        _answer(as_json=options.as_json, document={"path": None, "error_message": message}, text="")
        return ExitCode.FAILED
    _answer(
        as_json=options.as_json,
        document={
            "path": str(path),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "manifest": manifest,
        },
        text="\n".join(
            [
                f"{path}: {len(content):,} bytes",
                *map(clean, describe(gathering.parts, gathering.missing)),
                "Look through it before you send it; it holds what is open, traded and logged.",
            ]
        ),
    )
    return ExitCode.DONE


def write(name: str, content: bytes) -> tuple[Path | None, list[str]]:
    """Write the bundle into the current folder, else into the one for temporary files.

    Returns:
        Where it is, None when it is nowhere, and what went wrong on the way. Nothing that stands
        there is written over or followed, and no half of a bundle is left.
    """
    problems: list[str] = []
    folders = [Path()]
    with contextlib.suppress(OSError):  # it looks for a folder that can be written to
        folders.append(Path(tempfile.gettempdir()))
    for folder in folders:
        for number in range(1, _NAMES_MAX + 1):
            path = folder / (f"{name}.tar.gz" if number == 1 else f"{name}_{number}.tar.gz")
            try:
                _write_new(path, content)
            except FileExistsError:
                continue
            except OSError as error:
                where = "the current folder" if folder == Path() else str(folder)
                why = error.strerror or type(error).__name__
                problems.append(f"the bundle cannot be written into {where}: {why}")
                break
            if problems:
                problems.append(f"it was written to {path} instead")
            return path, problems
    return None, problems


def _write_new(path: Path, content: bytes) -> None:
    fd = os.open(path, _FLAGS, _MODE)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(fd)


def _answer(*, as_json: bool, document: dict[str, Any], text: str) -> None:
    if as_json:
        from liqctl.kernel.as_json import dump

        process.print_answer(dump({"schema": BUNDLE_SCHEMA, **document}))
    elif text:
        process.print_answer(text)
