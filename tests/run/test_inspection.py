"""Looking in virtual time: what one reading may be called, and what only a watch proves."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from liqctl.drill.runs import LoopClock
from liqctl.kernel.amounts import plain
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import ExitCode, LiquidationState, Margin
from liqctl.run.inspection import (
    Inspection,
    dry_run_result,
    inspect_account,
    inspect_settled,
)
from liqctl.sim.events import make_event
from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import Scenario
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange

EMPTY: Final[dict[str, Any]] = {"positions": {}}
POLICY: Final = LiquidationConfig()
Look = Callable[[BinanceExchange], Awaitable[Inspection]]


def looking(venue: Venue, look: Look) -> tuple[Inspection, float]:
    """Return what a look finds, and when it ended."""

    async def main() -> tuple[Inspection, float]:
        exchange = BinanceExchange(MemoryTransport(venue, latency_s=0.05))
        return await look(exchange), asyncio.get_running_loop().time()

    return run_virtual(main)


async def once(exchange: BinanceExchange) -> Inspection:
    """Take one reading."""
    return await inspect_account(exchange, POLICY, wall_clock=LoopClock())


def watched(settle_s: float) -> Look:
    """Return what watches that long."""

    def look(exchange: BinanceExchange) -> Awaitable[Inspection]:
        return inspect_settled(exchange, POLICY, wall_clock=LoopClock(), settle_s=settle_s)

    return look


def break_(venue: Venue, path: str, *, times: int = 0, kind: str = "service_unavailable") -> None:
    """Let the venue fail on readings of a path; 0 times is for ever."""
    fault = Fault(name=kind, effect=KINDS[kind], method="GET", path=path, times=times)
    venue.faults.append(fault)


def account(**venue: Any) -> Venue:
    """Return an empty account."""
    return Scenario(name="", account=EMPTY, venue=venue).make_venue()


def rehearse(inspection: Inspection) -> LiquidationResult:
    """Return what a dry run makes of it."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return dry_run_result(
        inspection,
        POLICY,
        correlation_id="x",
        environment="testnet",
        started_at=at,
        finished_at=at,
        requests=5,
    )


def test_an_empty_account_is_flat_at_this_reading_and_not_proven() -> None:
    """One reading of both sources; lists lag."""
    found, _ = looking(account(), once)

    assert (found.is_flat, found.is_proven, found.why_unreadable()) == (True, False, None)


@pytest.mark.parametrize(("times", "is_flat"), [(1, True), (0, False)])
def test_a_lost_answer_about_portfolio_margin_is_unknown_and_never_flat(
    times: int, *, is_flat: bool
) -> None:
    """There everything looks empty. One lost answer is asked for again, a second one is told."""
    venue = account()
    break_(venue, "/papi/v1/rateLimit/order", times=times)

    found, _ = looking(venue, once)
    rehearsed = rehearse(found)

    assert found.is_flat is is_flat
    assert rehearsed.verified_flat is is_flat
    if not is_flat:
        assert not found.is_kind_known
        assert "portfolio margin" in (found.why_unreadable() or "")
        assert rehearsed.state is LiquidationState.FAILED
        assert rehearsed.exit_code() is ExitCode.FAILED


def test_a_narrowed_look_asks_about_portfolio_margin_too() -> None:
    """There one symbol is as empty as all."""
    policy = LiquidationConfig(symbols=("BTCUSDT",))

    found, _ = looking(
        account(portfolio_margin=True),
        lambda exchange: inspect_account(exchange, policy, wall_clock=LoopClock()),
    )

    assert found.margin is Margin.PORTFOLIO
    assert found.is_flat


def test_the_question_is_asked_until_it_is_answered() -> None:
    """A watch that got no answer once must not say unknown for ever, nor flat."""
    venue = account()
    break_(venue, "/papi/v1/rateLimit/order")

    async def twice(exchange: BinanceExchange) -> Inspection:
        first = await once(exchange)
        assert not first.is_kind_known
        venue.faults.clear()
        return await inspect_account(exchange, POLICY, wall_clock=LoopClock(), before=first)

    found, _ = looking(venue, twice)

    assert found.is_kind_known
    assert found.is_flat


def test_a_rehearsal_names_the_contradiction() -> None:
    """The operator looks before the run; a stop without a position is worth a look."""
    stop = {"symbol": "BTCUSDT", "side": "SELL", "trigger": "57000", "close_position": True}
    venue = Scenario(name="", account={**EMPTY, "algo": [stop]}).make_venue()

    found, _ = looking(venue, once)

    assert not found.is_flat
    assert rehearse(found).notes[0].startswith("BTCUSDT reads flat, but STOP_MARKET ")


@pytest.mark.parametrize(("settle_s", "readings"), [(0.0, 3), (0.3, 3), (2.0, 5), (30.0, 12)])
def test_a_watch_takes_at_least_three_readings_and_not_too_many(
    settle_s: float, readings: int
) -> None:
    """Weight is shared with the bots of the same address."""
    venue = account()

    found, ended_at = looking(venue, watched(settle_s))
    taken = Counter(path for _, _, path, _ in venue.account.journal.requests)

    assert found.is_proven
    assert found.settled_s >= settle_s
    assert ended_at < settle_s + 1.5
    for path in ("/fapi/v3/positionRisk", "/dapi/v1/positionRisk"):
        assert readings <= taken[path] <= readings + 1


def test_what_appears_in_the_watch_ends_it() -> None:
    """That is what the watch is for."""
    venue = account()
    venue.events.append(
        make_event({"act": "reopen", "symbol": "BTCUSDT", "quantity": "0.5", "at_ms": 1200})
    )

    found, ended_at = looking(venue, watched(2.0))

    assert (found.is_proven, found.is_flat) == (False, False)
    assert [p.symbol for p in found.verdict.positions] == ["BTCUSDT"]
    assert 1.2 < ended_at < 2.0


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/fapi/v3/positionRisk", "positionRisk"),
        ("/fapi/v3/account", "account"),
        ("/dapi/v1/positionRisk", "dapi positionRisk"),
        ("/dapi/v1/account", "dapi account"),
    ],
)
def test_with_one_source_silent_three_readings_of_the_other_are_the_proof(
    path: str, name: str
) -> None:
    """A venue whose one list is down for an hour must not keep an account unproven that long."""
    venue = account()
    break_(venue, path)

    single, _ = looking(venue, once)
    venue = account()
    break_(venue, path)
    settled, _ = looking(venue, watched(2.0))

    assert not single.is_flat
    assert settled.is_proven
    assert settled.silent == (name,)


def test_a_venue_that_does_not_answer_is_given_up() -> None:
    """Not proven, and in bounded time."""
    venue = account()
    break_(venue, "")

    found, ended_at = looking(venue, watched(2.0))

    assert not found.is_proven
    assert ended_at < 2.0 + 2 * POLICY.timeout_seconds


def test_a_refused_key_is_not_asked_with_again() -> None:
    """Asking on is what gets an address banned."""
    venue = account()
    break_(venue, "", kind="key_refused")

    found, ended_at = looking(venue, watched(20.0))

    assert not found.is_proven
    assert ended_at < 2.0


@pytest.mark.parametrize("times", [0, 1])
def test_the_worth_of_contracts_is_asked_for_once_more_where_no_answer_came(times: int) -> None:
    """A lost answer left the usual size of a contract standing; this one is a tenth of it."""
    scenario = Scenario(
        name="",
        account={"positions": {"ETHUSD_PERP": "-400"}},
        markets={"ETHUSD_PERP": {"contract_size": 1}},
    )
    venue = scenario.make_venue()
    break_(venue, "/dapi/v1/positionRisk")  # The account, which stands in, names no worth.
    if times:
        break_(venue, "exchangeInfo", times=times)

    found, _ = looking(venue, once)

    assert [plain(p.notional) for p in found.snapshot.positions.items] == ["400"]
