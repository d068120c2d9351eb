"""A value that is never shown: keys and secrets travel through the program in this."""

import hashlib
import re
from typing import Final, NoReturn

MASK: Final = "********"
_LOOKS_SECRET: Final = re.compile(r"[A-Za-z0-9+/=]{20,}")


def hide_secrets(text: str) -> str:
    """Return a text of others with everything masked that could be a key in the wrong place.

    >>> hide_secrets("No such option: --secret 3f1cA8c0vjN1bq0y7Zf3")
    'No such option: --secret ********'
    """
    return _LOOKS_SECRET.sub(MASK, text)


class Secret:
    """A text whose repr, str, format and pickle never give it away.

    >>> Secret("hunter2")
    Secret('********')
    >>> f"{Secret('hunter2')}"
    '********'
    >>> Secret("hunter2").reveal()
    'hunter2'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hold the text."""
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; only the code that signs requests calls this."""
        return self._text

    def fingerprint(self) -> str:
        """Return the first 8 hex digits of the SHA-256: names a key without showing it."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        """Return a masked representation."""
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        """Return the mask."""
        return MASK

    def __format__(self, spec: str) -> str:
        """Return the mask, whatever the format asks for."""
        return MASK

    def __bool__(self) -> bool:
        """Return whether the text is not empty."""
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same text."""
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        """Return a hash that agrees with equality."""
        return hash(("Secret", self._text))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied into another process."""
        message = "a secret cannot be pickled"
        raise TypeError(message)
