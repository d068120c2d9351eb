"""Settings for a command, from its options."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liqctl.settings.values import Settings


class HasSettings(Protocol):
    """Options that name an environment and a file."""

    @property
    def environment(self) -> str | None:
        """The environment asked for."""

    @property
    def config_file(self) -> Path | None:
        """The file asked for."""

    @property
    def flags(self) -> "Mapping[str, object]":
        """Settings given as flags, by dotted key."""


def load(options: HasSettings, *, may_be_kept: bool = False) -> "Settings":
    """Return the settings; kept ones only where they may be.

    Raises:
        UsageError: no environment was chosen.
        ConfigurationError: every problem found.
    """
    from liqctl.settings.kept import load_settings

    return load_settings(
        environment=options.environment,
        config_file=options.config_file,
        flags=options.flags,
        environ=os.environ,
        may_be_kept=may_be_kept,
    )
