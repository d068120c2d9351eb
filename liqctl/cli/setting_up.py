"""`liqctl init` and `liqctl schema`: the first files, and what documents look like."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import liqctl
from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.cli.output import out
from liqctl.kernel.errors import UsageError
from liqctl.kernel.states import Environment

_PACKAGE: Final = Path(liqctl.__file__).parent
_SHIPPED: Final = (
    *(_PACKAGE / "_configs", _PACKAGE / "_deploy"),
    *(_PACKAGE.parent / "configs", _PACKAGE.parent / "docs" / "deploy"),
)
"""Where schema, units and crontab are in a wheel, and in the repository."""

_PROGRAM: Final = "/opt/liqctl/bin/liqctl"
"""The program's path in them."""

# A file is created, never opened: what is there already, or a link, stays as it is.
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_KEY: Final = """
The key is read from two files. Name them in these variables:
  LIQCTL_{variable}_API_KEY_FILE
  LIQCTL_{variable}_API_SECRET_FILE
"""
_NEXT: Final = """
Next:
  liqctl validate {options} --strict
  liqctl drill {options}
  liqctl liquidate {options} --dry-run
"""
_REAL: Final = """
For a real account: liqctl init --env production
"""
_INSTALL: Final = """
To install the {what}, as root, with the program at {program}
and {environment}.yaml and the key files in /etc/liqctl:
  useradd --system --home-dir /var/lib/liqctl --shell /usr/sbin/nologin liqctl
  chgrp liqctl /etc/liqctl /etc/liqctl/{environment}.yaml
  chmod g+rX /etc/liqctl /etc/liqctl/{environment}.yaml
"""
_SYSTEMD: Final = """  install -m 644 {folder}/liqctl*@.* /etc/systemd/system/
  systemctl daemon-reload
  systemctl start liqctl-validate@{environment}    # checks the account
  systemctl start liqctl@{environment}             # closes everything, now
"""
_CRON: Final = """  install -d -o liqctl -m 700 /var/lib/liqctl
  install -m 644 {folder}/liqctl.cron /etc/cron.d/liqctl
  # closes everything every Friday at 22:00: edit the file first
"""


@takes(
    *("environment", "folder", "config_file", "systemd", "cron"),
    environment="Whose settings. Default: simulator.",
    config_file="Settings file to write. Default: NAME.yaml of the environment in --dir.",
)
def init(options: Options) -> None:
    """Write a commented settings file with every setting at its default; never overwrite a file.

    Without --dir it is written to the first folder where liqctl looks for it. Exit codes:
    0 written, 1 a file cannot be written, 2 usage, or every file exists already.

    Example: liqctl init --env production --dir /etc/liqctl --systemd
    """
    from liqctl.settings.model import first_file
    from liqctl.settings.yaml_file import find_file, search_path

    environment = options.environment or Environment.SIMULATOR
    folder = options.folder or search_path(os.environ)[0]
    settings = options.config_file or folder / f"{environment}.yaml"
    files = {settings: first_file(environment, schema=str(_found("liqctl.schema.json")))}
    if options.systemd:
        for unit in sorted(_found("systemd").iterdir()):
            files[folder / unit.name] = unit.read_text(encoding="utf-8")
    if options.cron:
        text = _found("cron/liqctl").read_text(encoding="utf-8")
        text = text.replace("--env production", f"--env {environment}")
        files[folder / "liqctl.cron"] = text.replace("_PRODUCTION_", f"_{environment.upper()}_")
    program = str(Path(shutil.which(sys.argv[0]) or _PROGRAM).absolute())
    # Another user, and a unit with ProtectHome, cannot see what is installed in a home folder.
    if program.startswith(("/root/", "/home/")):
        program = _PROGRAM
    written = [_write(path, text.replace(_PROGRAM, program)) for path, text in files.items()]
    if not any(written):
        raise UsageError("nothing was written: every file exists already")
    is_found = find_file(environment, os.environ) == settings
    steps = (
        ("" if environment is Environment.SIMULATOR else _KEY)
        + _NEXT
        + (_INSTALL.replace("{what}", "units") + _SYSTEMD if options.systemd else "")
        + (_INSTALL.replace("{what}", "crontab") + _CRON if options.cron else "")
        + (_REAL if environment is Environment.SIMULATOR else "")
    )
    out.answer(
        steps.format(
            environment=environment,
            folder=folder,
            options=f"--env {environment}" + ("" if is_found else f" --config {settings}"),
            program=program,
            variable=environment.upper(),
        ).rstrip()
    )


def _found(name: str) -> Path:
    """Return a file or folder that comes with the program."""
    return next(each for folder in _SHIPPED if (each := folder / name).exists())


def _write(path: Path, text: str) -> bool:
    """Create a file and say so; leave one that is there alone and return False."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, _FLAGS, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        out.error(f"liqctl: {path} exists already and was left as it is")
        return False
    except OSError as error:
        out.error(f"liqctl: {path} cannot be written: {error.strerror}")
        process.leave(1)
    out.answer(f"{path} written")
    return True


@takes("document")
def schema(options: Options) -> None:
    """Print the JSON Schema of a document, of the audit events, or of a settings file.

    Example: liqctl schema settings > liqctl.schema.json
    """
    from liqctl.desk.schemas import schema_of
    from liqctl.kernel.as_json import dump

    out.answer(dump(schema_of(options.document)))
