"""What a service manager is told: that the process is up, how it is, and that it lives."""

import asyncio
import contextlib
import os
import socket
from typing import Final

_SHARE: Final = 0.4
"""Of the watchdog's time, how far apart signs of life are: two may be lost."""


def notify_status(status: str, *words: str) -> None:
    """Send how the process is, in words; what a venue wrote may stand in them, on one line."""
    notify("\n".join([*words, f"STATUS={' '.join(status.split())}"]))


def notify(text: str) -> None:
    """Send a message to the service manager, if there is one; never raises, never blocks."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError, ValueError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(0.0)
        sock.sendto(text.encode(), address)


async def show_life() -> None:
    """Tell the service manager's watchdog that the loop runs, until cancelled."""
    text, own = os.environ.get("WATCHDOG_USEC", ""), str(os.getpid())
    pause_s = int(text) / 1e6 * _SHARE if text.isdecimal() else 0.0
    if not pause_s or os.environ.get("WATCHDOG_PID", own) != own:
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(pause_s)
