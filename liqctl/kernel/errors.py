"""The error tree, split by what the caller does next, and the value that is never shown.

    LiqctlError
    ├── ConfigurationError   correct the configuration; exit 4
    ├── UsageError           correct the command line; exit 2
    ├── CredentialsError     give a key; exit 7
    └── VenueError           look at `answer.kind` (see `liqctl.kernel.answers`)

Messages never hold a key, a secret, a signature or a library's own words.
"""

import hashlib
import re
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from liqctl.kernel.answers import VenueAnswer

MASK: Final = "********"
_LOOKS_SECRET: Final = re.compile(r"[A-Za-z0-9+/=]{20,}")


class LiqctlError(Exception):
    """Base of everything liqctl raises on purpose."""


class ConfigurationError(LiqctlError, ValueError):
    """The configuration is invalid; the text lists every problem found."""


class UsageError(LiqctlError):
    """The command line asks for something that cannot be done."""


class CredentialsError(LiqctlError):
    """A key or secret is missing or unreadable."""


class VenueError(LiqctlError):
    """The venue refused, did not answer, or answered what cannot be read."""

    def __init__(self, answer: "VenueAnswer") -> None:
        super().__init__(answer.describe())
        self.answer = answer


class InvariantError(LiqctlError):
    """Our own bug, noticed before it could cost money."""


def invariant(condition: bool, message: str) -> None:  # noqa: FBT001 - reads like assert
    """Raise InvariantError unless the condition holds; never optimised away."""
    if not condition:
        raise InvariantError(message)


def hide_secrets(text: str) -> str:
    """Return a text of others with everything masked that could be a key in the wrong place.

    >>> hide_secrets("No such option: --secret 3f1cA8c0vjN1bq0y7Zf3")
    'No such option: --secret ********'
    """
    return _LOOKS_SECRET.sub(MASK, text)


class Secret:
    """A key or secret: a text whose repr, str, format and pickle never give it away.

    >>> Secret("hunter2")
    Secret('********')
    >>> f"{Secret('hunter2')}"
    '********'
    >>> Secret("hunter2").reveal()
    'hunter2'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; only the code that signs requests calls this."""
        return self._text

    def fingerprint(self) -> str:
        """Return the first 8 hex digits of the SHA-256: names a key without showing it."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")
