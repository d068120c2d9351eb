"""The error tree, split by what the caller does next.

    LiqctlError
    ├── ConfigurationError   correct the configuration; exit 4
    ├── UsageError           correct the command line; exit 2
    ├── CredentialsError     give a key; exit 7
    └── VenueError           look at `answer.kind` (see `liqctl.kernel.answers`)

Messages never hold a key, a secret, a signature or a library's own words.
"""

from liqctl.kernel.answers import VenueAnswer


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

    def __init__(self, answer: VenueAnswer) -> None:
        """Wrap the translated answer."""
        super().__init__(answer.describe())
        self.answer = answer


class InvariantError(LiqctlError):
    """Our own bug, noticed before it could cost money."""


def invariant(condition: bool, message: str) -> None:  # noqa: FBT001 - reads like assert
    """Raise InvariantError unless the condition holds; never optimised away."""
    if not condition:
        raise InvariantError(message)
