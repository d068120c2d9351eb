"""Exchanges that ask less: nothing for as long as the venue asked for that, or so much in all.

An armed process reads for months, and what goes on asking after a 429 or during a ban gets its
address banned, for days in the end: then nothing can be closed either. A liquidation does not pass
through here. It has limits of its own, and may ask when nothing else may.
"""

from typing import TypeVar

from liqctl.kernel.answers import AnswerKind, VenueAnswer, not_sent
from liqctl.kernel.costs import asked_to_wait_s
from liqctl.kernel.errors import VenueError
from liqctl.kernel.limits import Usage
from liqctl.kernel.machine import Exchange, WallClock
from liqctl.kernel.requests import Request
from liqctl.kernel.states import Product

# The `Exchange` port, twice: implemented here, and what is asked through.
T = TypeVar("T")


class KeptOpen:
    """One account on one venue, asked through an exchange that others go on using."""

    def __init__(self, exchange: Exchange) -> None:
        """Ask through this exchange."""
        self._exchange = exchange

    @property
    def base_url(self) -> str:
        """Scheme and host of every request, as configured."""
        return self._exchange.base_url

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""
        return self._exchange.usage

    def serves(self, api: str) -> bool:
        """Whether there is a host for the API of this name (`papi`, `sapi` …)."""
        return self._exchange.serves(api)

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer.

        Raises:
            VenueError: it was refused or not answered.
        """
        return await self._exchange.send(request, timeout_s=timeout_s)

    async def warm_up(self, product: Product, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests; never raises."""
        await self._exchange.warm_up(product, connections, timeout_s=timeout_s)

    async def close(self) -> None:
        """Do nothing: it stays open for the others."""


class RationedExchange(KeptOpen):
    """An exchange for one reading: what is repeated costs at most so much weight in all."""

    def __init__(self, exchange: Exchange, weight: int) -> None:
        """Ask through this exchange until the weight is used up."""
        super().__init__(exchange)
        self._weight = weight

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer.

        Raises:
            VenueError: it was refused or not answered, or the weight is used up.
        """
        if request.weight > self._weight:
            raise VenueError(not_sent("the venue refused too often to be asked once more"))
        self._weight -= request.weight
        return await self._exchange.send(request, timeout_s=timeout_s)


class PatientExchange(KeptOpen):
    """An exchange that asks nothing while the venue asked for that, and counts what it asks."""

    def __init__(self, exchange: Exchange, wall_clock: WallClock) -> None:
        """Ask through this exchange."""
        super().__init__(exchange)
        self._wall_clock = wall_clock
        self._refusal: VenueAnswer | None = None
        self._until_s = 0.0
        self.spent = 0
        """Request weight of everything that was sent."""

    @property
    def wait_s(self) -> float:
        """How long nothing may be asked yet; 0 where anything may."""
        if self._refusal is None:
            return 0.0
        return max(self._until_s - self._wall_clock.now().timestamp(), 0.0)

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer; while nothing may be asked, the last refusal.

        Raises:
            VenueError: it was refused or not answered.
        """
        if self._refusal is not None and self.wait_s:
            raise VenueError(self._refusal)
        self.spent += request.weight
        try:
            return await self._exchange.send(request, timeout_s=timeout_s)
        except VenueError as error:
            # A refused key keeps nobody else off: it may be fit for the other product.
            if error.answer.kind is not AnswerKind.RUN_FATAL:
                now_s = self._wall_clock.now().timestamp()
                wait_s = asked_to_wait_s(error.answer, now=now_s)
                if wait_s and now_s + wait_s > self._until_s:
                    self._refusal, self._until_s = error.answer, now_s + wait_s
            raise

    async def warm_up(self, product: Product, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests; never raises."""
        if not self.wait_s:
            self.spent += connections
            await self._exchange.warm_up(product, connections, timeout_s=timeout_s)
