"""Reads a settings file: YAML, safely, bounded, every key once.

YAML can name a million values in a hundred bytes (aliases) and run code (tags); neither is needed
here, so neither is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from liqctl.domain.errors import ConfigurationError

FILE_MAX_BYTES: Final = 262_144
_DEPTH_MAX: Final = 12


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the file's nested mapping and the line of each dotted key.

    Raises:
        ConfigurationError: the file cannot be read or is no mapping in plain YAML.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > FILE_MAX_BYTES:
        raise ConfigurationError(f"{path}: is larger than {FILE_MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not text in UTF-8") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the mapping that a YAML text holds and the line of each dotted key."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node = yaml.compose(text, Loader=loader)
        if node is None:
            return {}, {}
        lines: dict[str, int] = {}
        value = _construct(node, loader(""), name, "", lines, set(), 0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigurationError(f"{where}: is not valid YAML") from None
    except (RecursionError, ValueError, OverflowError):
        raise ConfigurationError(f"{name}: holds a value that cannot be read") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name}: must hold settings by name, such as `liquidation:`")
    return value, lines


def _construct(
    node: Any, loader: Any, name: str, key: str, lines: dict[str, int], seen: set[int], depth: int
) -> Any:
    """Return the value of a node; a node met twice is an alias and is refused."""
    where = f"{name}:{node.start_mark.line + 1}"
    if id(node) in seen:
        raise ConfigurationError(f"{where}: aliases are not allowed")
    seen.add(id(node))
    if depth > _DEPTH_MAX:
        raise ConfigurationError(f"{where}: is nested too deeply")
    lines.setdefault(key, node.start_mark.line + 1)
    kind = type(node).__name__
    if kind == "ScalarNode":
        if node.tag not in _PLAIN_TAGS:
            raise ConfigurationError(f"{where}: tags such as !!python are not allowed")
        return loader.construct_object(node)
    if node.tag not in {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}:
        raise ConfigurationError(f"{where}: tags such as !!set are not allowed")
    if kind == "SequenceNode":
        return [
            _construct(item, loader, name, f"{key}[{number}]", lines, seen, depth + 1)
            for number, item in enumerate(node.value)
        ]
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if type(key_node).__name__ != "ScalarNode":
            raise ConfigurationError(f"{where}: a name must be a plain word")
        part = str(key_node.value)
        if part in found:
            line = key_node.start_mark.line + 1
            raise ConfigurationError(f"{name}:{line}: a name stands twice in one section")
        path = f"{key}.{part}" if key else part
        found[part] = _construct(value_node, loader, name, path, lines, seen, depth + 1)
    return found


_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp")
)


def flatten(nested: Mapping[str, Any], sections: frozenset[str]) -> dict[str, Any]:
    """Return the values by dotted key; only the known sections are opened."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if name in sections and isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat
