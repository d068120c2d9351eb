"""Values on their way from the sources to settings, and what is wrong with them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from liqctl.config.settings import Source
from liqctl.domain.errors import ConfigurationError

_TEXT_MAX: Final = 400
_KEY_MAX: Final = 80
_SECRET_LIKE: Final = re.compile(
    r"secret|api[_-]?key|token|passw|private|credential|authori[sz]ation", re.IGNORECASE
)
_REFERRING: Final = ("_file", "_env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong: where it stands, under which key, and what is allowed."""

    place: str
    key: str
    text: str

    def __str__(self) -> str:
        """Return the line an operator reads."""
        where = f"{self.place}: {self.key}" if self.key != self.place else self.place
        return f"{where}: {self.text}"


class SettingsError(ConfigurationError):
    """The settings are invalid; `problems` holds what the text lists."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Say every problem on a line of its own."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(slots=True)
class Draft:
    """Values as found, each with its source and what an error names as its place."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    file: Path | None = None
    places: dict[str, str] = field(default_factory=dict)
    """Where each key of the file stands, also inside lists."""

    def put(self, key: str, value: object, source: Source) -> None:
        """Take a value over whatever weaker source gave before."""
        self.values[key] = value
        self.sources[key] = source

    def complain(self, key: str, text: str) -> None:
        """Note a problem with a value at the place it came from."""
        source = self.sources.get(key)
        place = source.where if source and source.where else "defaults"
        self.note(place, key, _shortened(text))

    def place_of(self, key: str) -> str:
        """Return where a key stands, or the nearest section around it that has a place."""
        while key and key not in self.places:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.places.get(key, str(self.file))

    def note(self, place: str, key: str, text: str) -> None:
        """Note a problem at a place; the key is others' words and is shown on one line."""
        self.problems.append(Problem(place=place, key=shown_key(key), text=text))


def sounds_secret(name: str) -> bool:
    """Return whether the name is one of a secret or of something that leads to one."""
    return bool(_SECRET_LIKE.search(name))


def is_secret_name(name: str) -> bool:
    """Return whether a value under this name would be a secret, rather than lead to one."""
    return sounds_secret(name) and not name.endswith(_REFERRING)


def shown_key(key: str) -> str:
    """Return a name that others wrote, short and on one line."""
    from liqctl.domain.answers import printable

    return printable(key, _KEY_MAX)


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"
