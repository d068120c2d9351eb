"""Waiting for several pieces of work at once."""

import asyncio
from collections.abc import Awaitable, Sequence


async def together(work: Sequence[Awaitable[None]]) -> None:
    """Return when all is done; the only piece needs no task of its own, and most are alone."""
    if len(work) == 1:
        await work[0]
    else:
        await asyncio.gather(*work)
