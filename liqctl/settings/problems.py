"""What is wrong with settings, in the contract's words: where, what was found, what is allowed.

pydantic decides what is valid; its own wording names no place, shows values that may be secrets,
and does not speak of a rule over two fields while a third one is wrong.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.errors import ConfigurationError, hide_secrets
from liqctl.kernel.policy import found_value, problems

if TYPE_CHECKING:
    from liqctl.settings.model import Setting

_TEXT_MAX: Final = 400
_KEY_MAX: Final = 80
_FOUND_MAX: Final = 40
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


def sounds_secret(name: str) -> bool:
    """Return whether the name is one of a secret or of something that leads to one."""
    return bool(_SECRET_LIKE.search(name))


def is_secret_name(name: str) -> bool:
    """Return whether a value under this name would be a secret, rather than lead to one."""
    return sounds_secret(name) and not name.endswith(_REFERRING)


def shown_key(key: str) -> str:
    """Return a name that others wrote, short and on one line."""
    from liqctl.kernel.answers import printable

    return printable(key, _KEY_MAX)


def shortened(text: str) -> str:
    """Return the text as long as a line may be."""
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"


def words_for(wrong: "Sequence[Setting]", values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield key and text of what is wrong, in the order that is told.

    Args:
        wrong: the settings that were refused, in the table's order.
        values: every setting's value as it was found, by dotted key.
    """
    for setting in wrong:
        if not setting.key.startswith(_LIQUIDATION):
            yield from _words(setting, values[setting.key])
    policy = {
        key.removeprefix(_LIQUIDATION): value
        for key, value in values.items()
        if key.startswith(_LIQUIDATION)
    }
    for name, text in problems(policy):
        yield f"{_LIQUIDATION}{name}", text


_LIQUIDATION: Final = "liquidation."


def _words(setting: "Setting", value: object) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of a refused value; a list of targets has a text for each item."""
    from liqctl.settings.model import Kind, is_visible

    key, name = setting.key, setting.name
    match setting.kind:
        case Kind.LIST if isinstance(value, list) and all(isinstance(v, Mapping) for v in value):
            from liqctl.settings.targets import item_problems

            yield from item_problems(value)
        case Kind.LIST:
            found = type(value).__name__  # the value may hold the address of a web hook
            yield key, f"{name} must be a list of sections, got {found}"
        case _ if setting.allowed and isinstance(value, str) and is_visible(value):
            allowed = ", ".join(setting.allowed)
            found = hide_secrets(value)[:_FOUND_MAX]
            yield key, f"{name} must be one of {allowed}, got {found!r}"
        case Kind.WHOLE if isinstance(value, int) and not isinstance(value, bool):
            yield key, f"{name} must be between {setting.low} and {setting.high}, got {value}"
        case Kind.WHOLE:
            yield key, f"{name} must be a whole number, got {found_value(value)}"
        case _:
            yield key, f"{name} must be {setting.kind}, got {found_value(value)}"
