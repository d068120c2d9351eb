"""Feeds the guards: reads what they need beside each reading, and remembers it across a restart.

What is decided stands in `liqctl.kernel.guards`. What could not be read is handed over as unknown:
it neither trips nor passes.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from liqctl.kernel import pacing, requests
from liqctl.kernel.costs import Rare, armed_costs
from liqctl.kernel.errors import VenueError
from liqctl.kernel.guards import (
    GuardLevel,
    Read,
    Sample,
    Standing,
    explain_standing,
    explain_trip,
    judge,
    restored_state,
    state_as_json,
    transfers_since,
    trip_details,
    wants_transfers,
)
from liqctl.kernel.limits import MINUTE_S
from liqctl.kernel.machine import Exchange, WallClock
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule
from liqctl.kernel.requests import Request
from liqctl.kernel.states import Margin, Product, TripCause
from liqctl.kernel.values import DOLLARS, StreamEvent
from liqctl.run import make_private, state_folders
from liqctl.standby.armed import Armed, Trigger
from liqctl.standby.mirror import Health

if TYPE_CHECKING:
    from liqctl.kernel.values import CoinPrice, Equity, Rows, Transfer

T = TypeVar("T")

_CALL_MAX_S: Final = 5.0
_STATE_BYTES_MAX: Final = 1_048_576


@dataclass(eq=False, repr=False)
class GuardWatch:
    """Judges one account by each reading of an armed process."""

    guards: Sequence[Guard]
    exchange: Exchange
    policy: LiquidationConfig
    identity: str
    wall_clock: WallClock

    def __post_init__(self) -> None:
        """Take up where another process left off on the same day."""
        guards, policy = self.guards, self.policy
        self._margin = policy.margin or Margin.STANDARD
        self._is_portfolio = self._margin is Margin.PORTFOLIO
        self._products = tuple(policy.by_product)
        # In portfolio margin either product gives the whole account's.
        self._equity_of = self._products[:1] if self._is_portfolio else self._products
        self._file = state_folders()[0] / f"{self.identity}.guards"
        text = None
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = self._file.read_bytes()[:_STATE_BYTES_MAX].decode() if guards else None
        self._state = restored_state(text, account=self.identity, now=self.wall_clock.now())
        self._standings: tuple[Standing, ...] = ()
        self._equity: dict[Product, Read[Equity] | None] = {}
        self._transfers: dict[Product, Read[Rows[Transfer]] | None] = {}
        self._prices: Read[Mapping[str, CoinPrice]] | None = None
        self._costs = armed_costs(guards, policy)
        self._moved_at = float("-inf")
        self._unknown_tries = 0
        self._saved_at = float("-inf")
        self._saved = ""
        self._saving: Future[None] | None = None
        self._writer = ThreadPoolExecutor(max_workers=1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual about how the guards begin."""
        return (self._state.note,) if self.guards and self._state.note else ()

    @property
    def is_hurried(self) -> bool:
        """Whether a guard is over its limit, and the next readings decide."""
        return any(each.level is GuardLevel.OVER and not each.trips for each in self._standings)

    @property
    def rare(self) -> tuple[Rare, Rare]:
        """What is asked beside some readings only."""
        return self._costs.transfers, self._costs.prices

    def heard(self, event: StreamEvent) -> None:
        """Let transfers be read soon where money seems to have been moved: else it looks like loss.

        That nothing is heard proves nothing: a silent stream would hide a withdrawal.
        """
        if event.moves_money:
            self._moved_at = asyncio.get_running_loop().time()

    def describe(self) -> list[dict[str, Any]]:
        """Return where each guard stands, as `status` shows it."""
        return [
            {
                "guard": str(each.guard),
                "rule": each.guard.rule.value,
                "level": each.level.value,
                "limit": each.guard.limit,
                "value": each.value,
                "used": each.used,
                "words": explain_standing(each),
            }
            for each in self._standings
        ]

    async def look(self, armed: Armed) -> Trigger | None:
        """Return what trips now, if anything does."""
        if not self.guards:
            return None
        if self._costs.equity:
            # Equity each time; what cannot be read costs the same, and tells nothing.
            asked = [p for p in self._equity_of if p in armed.readable or self._is_portfolio]
            reading = [self._ask_of(requests.equity(product)) for product in asked]
            found = dict(zip(asked, await asyncio.gather(*reading), strict=True))
            self._equity = {product: found.get(product) for product in self._equity_of}
            await self._read_beside(armed)
        state, standings = judge(self.guards, self._state, self._sample(armed))
        if self._may_want_more(standings, armed):
            await self._read_beside(armed, is_at_once=True)
            state, standings = judge(self.guards, self._state, self._sample(armed))
        self._state, self._standings = state, standings
        self._save(asyncio.get_running_loop().time())
        for standing in self._standings:
            if standing.trips:
                why, figures = explain_trip(standing), trip_details(standing)
                return Trigger(by=TripCause.GUARD, why=why, figures=figures)
        return None

    def _sample(self, armed: Armed) -> Sample:
        """Return what is known now."""
        now = asyncio.get_running_loop().time()
        positions: dict[Product, Read[tuple[Any, ...]] | None] = dict.fromkeys(self._products)
        for product, mirror in armed.mirrors.items():
            if (last := mirror.last) is not None:
                positions[product] = Read(value=last.positions.items, at=last.started_at)
        while armed.orders_seen and armed.orders_seen[0] <= now - MINUTE_S:
            armed.orders_seen.popleft()
        # A stream that may be silent counts nothing: that is unknown, and not zero.
        is_counting = armed.health is Health.ARMED and armed.listens_since(now - MINUTE_S)
        # What was heard is the least that there was: over the limit it is known all the same.
        rates = [g.limit for g in self.guards if g.rule is Rule.MAX_ORDERS_PER_MINUTE]
        is_counting |= any(len(armed.orders_seen) > limit for limit in rates)
        return Sample(
            at=now,
            now=self.wall_clock.now(),
            equity=dict(self._equity),
            prices=self._prices,
            transfers=dict(self._transfers),
            positions=positions,
            orders_1m=Read(value=len(armed.orders_seen), at=now) if is_counting else None,
        )

    async def _read_beside(self, armed: Armed, *, is_at_once: bool = False) -> None:
        """Read prices and transfers where it is time for them, or all that are needed at once."""
        now = asyncio.get_running_loop().time()
        prices, transfers = self._costs.prices, self._costs.transfers
        equities = [read.value for read in self._equity.values() if read is not None]
        moved = [row for read in self._transfers.values() if read for row in read.value.items]
        needs_prices = any(each.coins for each in equities)
        needs_prices |= any(row.asset not in DOLLARS for row in moved)
        # Without the equity that they belong to, transfers tell nothing.
        is_whole = len(equities) == len(self._equity_of)
        wants_transfers = is_whole and (is_at_once or self._wants_transfers(armed, now))
        # An equity counts for a peak only where both are as new as it.
        is_time = wants_transfers or is_at_once or prices.is_due(now)
        if needs_prices and prices.weight and is_time:
            prices.asked_at = now
            self._prices = await self._ask_of(requests.coin_prices()) or self._prices
        if wants_transfers and transfers.weight:
            transfers.asked_at = now
            since_ms = transfers_since(self._state, self.wall_clock.now())
            asked = [self._ask_of(requests.transfers(p, since_ms)) for p in self._products]
            self._transfers = dict(zip(self._products, await asyncio.gather(*asked), strict=True))

    def _wants_transfers(self, armed: Armed, now: float) -> bool:
        """Whether it is time for transfers, or money was moved and there is weight to spare."""
        transfers = self._costs.transfers
        if transfers.is_due(now):
            return armed.holds(transfers.weight)
        is_moved = self._moved_at > transfers.asked_at
        is_moved &= now - transfers.asked_at >= pacing.GUARD_TRANSFERS_MIN_S
        return is_moved and armed.spares(transfers)

    def _may_want_more(self, standings: Sequence[Standing], armed: Armed) -> bool:
        """Whether what is read rarely is to be read with this equity.

        What stays unknown all the same is left to its turn: it would be asked for at each reading.
        What decides may be paid for later, once: no gap becomes longer than its weight takes.
        """
        undecided = [each for each in standings if not each.trips]
        if not wants_transfers(undecided):
            self._unknown_tries = 0
            return False
        if any(each.lacks for each in undecided):
            return armed.holds(0)
        if not armed.holds(sum(each.weight for each in self.rare)):
            return False
        self._unknown_tries += 1
        return self._unknown_tries <= pacing.GUARD_UNKNOWN_TRIES

    async def _ask_of(self, request: Request[T]) -> Read[T] | None:
        """Return an answer with the moment of its question, None where there is none."""
        at = asyncio.get_running_loop().time()
        request = replace(request, margin=request.margin or self._margin)
        with contextlib.suppress(VenueError):
            value = await self.exchange.send(request, timeout_s=_CALL_MAX_S)
            return Read(value=value, at=at)
        return None

    def _save(self, now: float) -> None:
        """Write what has to survive a restart, now and then, beside the loop.

        Nobody waits for it: a disk that hangs would keep the guards from judging.
        """
        if self._saving is not None and not self._saving.done():
            return
        text = state_as_json(self._state)
        if text == self._saved or now - self._saved_at < pacing.GUARD_SAVED_S:
            return
        self._saved, self._saved_at = text, now
        with contextlib.suppress(RuntimeError):  # no thread can be had
            self._saving = self._writer.submit(_write_whole, self._file, text)


def _write_whole(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # What was written before stands.
        make_private(path.parent, is_ours=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
