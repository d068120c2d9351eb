"""What `validate` looks up on this machine: keys that are set, permissions of files."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from liqctl.config.findings import Facts
from liqctl.domain.errors import CredentialsError
from liqctl.domain.venue import Environment
from liqctl.settings.credentials import find_source, load_credentials

_NAMES: Final = ("API_KEY", "API_SECRET")
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
OTHERS_READ: Final = stat.S_IRGRP | stat.S_IROTH


def read_facts(
    environment: Environment,
    environ: Mapping[str, str],
    *,
    paths: Mapping[str, Path | None],
    needs_keys: bool,
    has_bytecode: bool,
) -> Facts:
    """Return the facts; nothing is created or changed.

    Args:
        environment: whose keys.
        environ: the environment variables.
        paths: what others must not write, by the setting that names it.
        needs_keys: False for the embedded venue, which brings its own.
        has_bytecode: whether the heavy libraries are compiled.
    """
    sources = {name: find_source(name, environment, environ) for name in _NAMES}
    broken: tuple[str, ...] = ()
    if all(sources.values()):
        try:
            load_credentials(environment, environ)
        except CredentialsError as error:
            broken = (str(error),)
    files = [source for source in sources.values() if source and source.endswith("_FILE")]
    return Facts(
        missing_keys=tuple(n for n, source in sources.items() if not source) if needs_keys else (),
        broken_keys=broken,
        open_paths=tuple(
            (key, str(path)) for key, path in paths.items() if path and is_open_to_others(path)
        ),
        readable_secrets=tuple(
            source for source in files if mode_of(Path(environ[source])) & OTHERS_READ
        ),
        has_bytecode=has_bytecode,
    )


def is_open_to_others(path: Path) -> bool:
    """Return whether others may write the path, or its nearest parent that exists."""
    for each in (path, *path.absolute().parents):
        mode = mode_of(each)
        if mode:
            is_sticky = bool(mode & stat.S_ISVTX) and each != path
            return bool(mode & _OTHERS_WRITE) and not is_sticky
    return False


def mode_of(path: Path) -> int:
    """Return the mode of what is there, 0 when nothing is or nobody may look."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0
