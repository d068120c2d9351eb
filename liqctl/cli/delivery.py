"""Wires what is sent to how: secrets from variables and files, trusted authorities, our name."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liqctl import __version__
from liqctl.domain.notices import Delivery, Notice
from liqctl.exchange.tls import make_tls_context
from liqctl.notify.sending import Sender
from liqctl.settings.credentials import read_secret_file
from liqctl.settings.targets import address_problem, read_targets


def deliver(
    items: Sequence[Mapping[str, Any]], notices: Sequence[Notice], *, ends_at: float
) -> list[Delivery]:
    """Send the notices to those targets of the settings that want them; return what became of it.

    Args:
        items: the settings' `notifications`.
        notices: in the order in which each target is to get them.
        ends_at: when to stop, on the monotonic clock.
    """
    sender = Sender(
        environ=os.environ,
        read_file=_read_file,
        check_address=address_problem,
        tls=make_tls_context(),
        user_agent=f"liqctl/{__version__}",
    )
    return sender.send(read_targets(items), notices, ends_at=ends_at)


def _read_file(path: Path) -> str:
    return read_secret_file(path, "notifications")
