"""Feeds the guards: reads what they need beside each reading, and remembers it across a restart.

What is decided stands in `liqctl.kernel.guards`. What could not be read is handed over as unknown:
it neither trips nor passes.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from liqctl.kernel import pacing, requests
from liqctl.kernel.errors import VenueError
from liqctl.kernel.guards import (
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
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule
from liqctl.kernel.ports import Exchange, WallClock
from liqctl.kernel.requests import Request
from liqctl.kernel.states import Margin, Product, TripCause
from liqctl.run.who import make_private, state_folders
from liqctl.standby.mirror import Health

if TYPE_CHECKING:
    from liqctl.kernel.equity import CoinPrice, Equity, Transfer
    from liqctl.kernel.values import Rows
    from liqctl.standby.armed import Armed, Trigger

T = TypeVar("T")

_CALL_MAX_S: Final = 5.0
_OF_EQUITY: Final = frozenset({Rule.MAX_LOSS, Rule.MAX_DRAWDOWN, Rule.MIN_MARGIN_RATIO})
_STATE_BYTES_MAX: Final = 1_048_576


class GuardWatch:
    """Judges one account by each reading of an armed process."""

    def __init__(
        self,
        guards: Sequence[Guard],
        exchange: Exchange,
        policy: LiquidationConfig,
        *,
        identity: str,
        wall_clock: WallClock,
    ) -> None:
        """Take up where another process left off on the same day."""
        self._guards = tuple(guards)
        self._exchange = exchange
        self._margin = policy.margin or Margin.STANDARD
        self._products = tuple(policy.by_product)
        # In portfolio margin either product gives the whole account's.
        self._equity_of = self._products[:1] if self._is_portfolio else self._products
        self._wall_clock = wall_clock
        self._file = state_folders()[0] / f"{identity}.guards"
        self._state = restored_state(
            self._read_file() if guards else None, account=identity, now=wall_clock.now()
        )
        self._standings: tuple[Standing, ...] = ()
        self._equity: dict[Product, Read[Equity] | None] = {}
        self._transfers: dict[Product, Read[Rows[Transfer]] | None] = {}
        self._prices: Read[Mapping[str, CoinPrice]] | None = None
        self._transfers_at = self._prices_at = self._saved_at = float("-inf")
        self._saved = ""
        self._saving: Future[None] | None = None
        self._writer = ThreadPoolExecutor(max_workers=1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual about how the guards begin."""
        return (self._state.note,) if self._guards and self._state.note else ()

    @property
    def weight(self) -> int:
        """What looking costs of the address' weight, beside the positions."""
        rules = {guard.rule for guard in self._guards}
        if not rules & _OF_EQUITY:
            return 0
        return sum(self._ask(requests.equity(product)).weight for product in self._equity_of)

    @property
    def _is_portfolio(self) -> bool:
        return self._margin is Margin.PORTFOLIO

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

    async def look(self, armed: "Armed") -> "Trigger | None":
        """Return what trips now, if anything does."""
        if not self._guards:
            return None
        from liqctl.standby.armed import Trigger

        await self._read()
        loop = asyncio.get_running_loop()
        now = loop.time()
        positions: dict[Product, Read[tuple[Any, ...]] | None] = dict.fromkeys(self._products)
        for product, snapshot in armed.snapshots.items():
            positions[product] = Read(value=snapshot.positions.items, at=snapshot.started_at)
        while armed.orders_seen and armed.orders_seen[0] <= now - MINUTE_S:
            armed.orders_seen.popleft()
        # A stream that may be silent counts nothing: that is unknown, and not zero.
        is_counting = armed.health is Health.ARMED and armed.listens_since(now - MINUTE_S)
        sample = Sample(
            at=now,
            now=self._wall_clock.now(),
            equity=dict(self._equity),
            prices=self._prices,
            transfers=dict(self._transfers),
            positions=positions,
            orders_1m=Read(value=len(armed.orders_seen), at=now) if is_counting else None,
        )
        self._state, self._standings = judge(self._guards, self._state, sample)
        self._save(now)
        for standing in self._standings:
            if standing.trips:
                return Trigger(
                    by=TripCause.GUARD,
                    why=explain_trip(standing),
                    figures=trip_details(standing),
                )
        return None

    async def _read(self) -> None:
        """Read what the rules need: equity each time, prices and transfers less often."""
        rules = {guard.rule for guard in self._guards}
        if not rules & _OF_EQUITY:
            return
        loop = asyncio.get_running_loop()
        reading = [self._ask_of(requests.equity(product)) for product in self._equity_of]
        found = await asyncio.gather(*reading)
        self._equity = dict(zip(self._equity_of, found, strict=True))
        now = loop.time()
        needs_prices = Product.COINM in self._products
        if needs_prices and now - self._prices_at >= pacing.GUARD_PRICES_S:
            self._prices = await self._ask_of(requests.coin_prices()) or self._prices
            self._prices_at = now
        is_wanted = any(rule.needs_transfers for rule in rules) and not self._is_portfolio
        is_due = now - self._transfers_at >= pacing.GUARD_TRANSFERS_S
        if is_wanted and (is_due or wants_transfers(self._standings)):
            since_ms = transfers_since(self._state, self._wall_clock.now())
            moved = [self._ask_of(requests.transfers(p, since_ms)) for p in self._products]
            self._transfers = dict(zip(self._products, await asyncio.gather(*moved), strict=True))
            self._transfers_at = now

    def _ask(self, request: Request[T]) -> Request[T]:
        return replace(request, margin=request.margin or self._margin)

    async def _ask_of(self, request: Request[T]) -> Read[T] | None:
        """Return an answer with the moment of its question, None where there is none."""
        at = asyncio.get_running_loop().time()
        with contextlib.suppress(VenueError):
            value = await self._exchange.send(self._ask(request), timeout_s=_CALL_MAX_S)
            return Read(value=value, at=at)
        return None

    def _read_file(self) -> str | None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return self._file.read_bytes()[:_STATE_BYTES_MAX].decode()
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
