"""Settings for a command, from its options."""

import os
from typing import TYPE_CHECKING

from liqctl.cli.options import FLAG_NAMES, Options

if TYPE_CHECKING:
    from liqctl.settings.values import Settings


def load(options: Options, *, may_be_kept: bool = False) -> "Settings":
    """Return the settings; kept ones only where they may be.

    Raises:
        UsageError: no environment was chosen.
        ConfigurationError: every problem found.
    """
    from liqctl.settings.values import load_settings

    return load_settings(
        environment=options.environment,
        config_file=options.config_file,
        flags=options.flags,
        flag_names=FLAG_NAMES,
        environ=os.environ,
        may_be_kept=may_be_kept,
    )
