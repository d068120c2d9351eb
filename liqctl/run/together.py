"""Waiting for several pieces of work at once."""

import asyncio
from collections.abc import Awaitable, Sequence


async def together(work: Sequence[Awaitable[None]]) -> None:
    """Return when all is done; the only piece needs no task of its own, and most are alone.

    What fails is raised once every other piece has ended: none goes on unwatched.
    """
    if len(work) == 1:
        await work[0]
        return
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
