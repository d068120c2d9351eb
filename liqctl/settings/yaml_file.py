"""Finds and reads a settings file: YAML, safely, bounded, every key once.

YAML can name a million values in a hundred bytes (aliases) and run code (tags); neither is needed
here, so neither is read. Depth is counted on the stream of events, before anything recurses:
PyYAML's composer in C overflows the stack at some 50,000 open brackets and takes the process along.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.errors import ConfigurationError
from liqctl.kernel.states import Environment

if TYPE_CHECKING:
    import yaml

FILE_MAX_BYTES: Final = 262_144
DEPTH_MAX: Final = 12

_PREFIX: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(
    f"{_PREFIX}{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp")
)
_CONTAINERS: Final = frozenset({f"{_PREFIX}map", f"{_PREFIX}seq"})


def find_file(environment: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the settings file of an environment, from the first place that has one."""
    if environment not in set(Environment):
        return None
    for place in search_path(environ):
        candidate = place / f"{environment}.yaml"
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):
            continue  # a folder of somebody else, or a name that can be none
    return None


def search_path(environ: Mapping[str, str]) -> list[Path]:
    """Return the folders that are looked in for `NAME.yaml`, in order."""
    places = []
    if environ.get("LIQCTL_CONFIG_DIR"):
        places.append(Path(environ["LIQCTL_CONFIG_DIR"]))
    home = environ.get("XDG_CONFIG_HOME") or (
        f"{environ['HOME']}/.config" if environ.get("HOME") else ""
    )
    if home:
        places.append(Path(home) / "liqctl")
    # Last: a folder that a bot happens to be started in must not decide over the operator's own.
    return [*places, Path("/etc/liqctl"), Path("configs")]


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the file's nested mapping and the line of each dotted key.

    Raises:
        ConfigurationError: the file cannot be read or is no mapping in plain YAML.
    """
    try:
        raw = read_bounded(path)
    except OSError as error:
        hint = "; `liqctl init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}{hint}") from None
    if len(raw) > FILE_MAX_BYTES:
        raise ConfigurationError(f"{path}: is larger than {FILE_MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not text in UTF-8") from None
    return parse(text, str(path))


def read_bounded(path: Path, bytes_max: int = FILE_MAX_BYTES) -> bytes:
    """Return the file's first bytes, one more than allowed; a FIFO must not hang the switch.

    Raises:
        ConfigurationError: the path leads to something else than a file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ConfigurationError(f"{path}: is not a regular file")
        return file.read(bytes_max + 1)


def parse(text: str, name: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the mapping that a YAML text holds and the line of each dotted key.

    Raises:
        ConfigurationError: the text is no mapping in plain YAML; it is never quoted.
    """
    import yaml

    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    lines: dict[str, int] = {}

    def read(node: yaml.Node, key: str) -> Any:  # noqa: ANN401 - YAML holds anything
        """Return the value of a node that stands under a dotted key, and note its line."""
        line = node.start_mark.line + 1
        lines.setdefault(key, line)
        if node.tag not in (_SCALARS if isinstance(node, yaml.ScalarNode) else _CONTAINERS):
            raise ConfigurationError(f"{name}:{line}: tags (a word after !) are refused")
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_object(node)
        if isinstance(node, yaml.SequenceNode):
            return [read(item, f"{key}[{no}]") for no, item in enumerate(node.value)]
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            where = f"{name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigurationError(f"{where}: a name must be a plain word")
            part = str(key_node.value)
            if part in found:
                raise ConfigurationError(f"{where}: a name occurs twice in one section")
            found[part] = read(value_node, f"{key}.{part}" if key else part)
        return found

    try:
        _check_events(yaml.parse(text, Loader=loader_class), name)
        node = yaml.compose(text, Loader=loader_class)
        loader = loader_class("")
        value = None if node is None else read(node, "")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigurationError(f"{where}: is not valid YAML") from None
    except ConfigurationError:
        raise
    except (RecursionError, ValueError, OverflowError):
        raise ConfigurationError(f"{name}: holds a value that cannot be read") from None
    if value is None:
        return {}, {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name}: must hold settings by name, such as `liquidation:`")
    return value, lines


def _check_events(events: "Iterable[yaml.Event]", name: str) -> None:
    """Refuse aliases and deep nesting while nothing has been built yet."""
    import yaml

    depth = 0
    for event in events:
        where = f"{name}:{event.start_mark.line + 1}" if event.start_mark else name
        if isinstance(event, yaml.AliasEvent):
            raise ConfigurationError(f"{where}: aliases are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise ConfigurationError(f"{where}: is nested too deeply")
