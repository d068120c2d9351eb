"""The Python API of the contract: one call, one result, one run at a time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pytest

import liqctl
from liqctl import LiquidationConfig, LiquidationManager, LiquidationResult, LiquidationState
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.states import ExitCode, is_correlation_id
from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import load_scenario
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.simulation import ListSink

T = TypeVar("T")

METRICS = {
    "execution_count",
    "completed",
    "partial",
    "failed",
    "skipped",
    "abandoned",
    "last_execution_time",
    "last_state",
    "last_positions_closed",
    "last_orders_cancelled",
    "last_duration_seconds",
}


def make_manager(venue: Venue, sink: ListSink, **config: Any) -> LiquidationManager:
    """Return a manager of the venue's account, in memory."""
    return LiquidationManager(
        config=LiquidationConfig(**config),
        exchange=BinanceExchange(MemoryTransport(venue)),
        audit_logger=sink,
        environment="simulator",
        rng=random.Random(1),
    )


def use(
    work: Callable[[LiquidationManager], Awaitable[T]], scenario: str = "default", **config: Any
) -> tuple[T, LiquidationManager, Venue, ListSink]:
    """Let the work use a manager in virtual time."""
    venue = load_scenario(scenario).make_venue()
    sink = ListSink()
    made: list[LiquidationManager] = []

    async def main() -> T:
        made.append(make_manager(venue, sink, **config))
        return await work(made[0])

    return run_virtual(main), made[0], venue, sink


def types(sink: ListSink) -> list[str]:
    """Return the events' types in order."""
    return [event_type for event_type, _ in sink.events]


def test_the_public_names_are_there() -> None:
    """What other programs import stays importable from the top."""
    for name in (
        "LiquidationConfig",
        "LiquidationManager",
        "LiquidationResult",
        "LiquidationState",
        "AuditLogger",
        "AuditEventType",
        "ConfigurationError",
    ):
        assert getattr(liqctl, name).__name__ == name


def test_a_run_ends_completed_and_the_manager_says_so() -> None:
    """IDLE, then IN_PROGRESS while it runs, then how it ended."""
    seen: list[LiquidationState] = []

    async def work(manager: LiquidationManager) -> LiquidationResult:
        seen.append(manager.state)
        running = asyncio.create_task(manager.execute_liquidation(reason="test"))
        await asyncio.sleep(0.01)
        seen.append(manager.state)
        result = await running
        seen.append(manager.state)
        return result

    result, _, venue, sink = use(work)

    assert seen == ["IDLE", "IN_PROGRESS", "COMPLETED"]
    assert result.verified_flat
    assert result.exit_code() is ExitCode.DONE
    assert venue.account.is_flat
    assert is_correlation_id(result.correlation_id)
    assert sink.events[0][1]["reason"] == "test"
    assert types(sink)[-1] == "LIQUIDATION_COMPLETE"


def test_a_second_call_while_one_runs_is_refused() -> None:
    """Re-entry is the predecessor's first issue: the answer is at once, and recorded."""

    async def work(manager: LiquidationManager) -> list[LiquidationResult]:
        first = asyncio.create_task(manager.execute_liquidation())
        await asyncio.sleep(0.01)
        second = await manager.execute_liquidation(correlation_id="second")
        assert manager.state is LiquidationState.IN_PROGRESS
        return [await first, second]

    (first, second), manager, _, sink = use(work)

    assert first.state is LiquidationState.COMPLETED
    assert second.state is LiquidationState.FAILED
    assert second.error_message == "Liquidation already in progress"
    assert second.exit_code() is ExitCode.IN_PROGRESS
    assert second.requests == 0
    assert types(sink).count("LIQUIDATION_BLOCKED") == 1
    assert types(sink).count("LIQUIDATION_START") == 1
    assert manager.get_metrics()["execution_count"] == 1


def test_a_run_whose_caller_gave_up_blocks_no_other_one() -> None:
    """`asyncio.wait_for` around a run left the manager in progress for ever: it closed no more."""

    async def work(manager: LiquidationManager) -> LiquidationResult:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(manager.execute_liquidation(), 0.02)
        assert manager.state is LiquidationState.FAILED
        return await manager.execute_liquidation(correlation_id="again")

    result, manager, venue, sink = use(work)

    assert result.state is LiquidationState.COMPLETED
    assert venue.account.is_flat
    assert types(sink).count("LIQUIDATION_BLOCKED") == 0
    assert types(sink).count("LIQUIDATION_START") == 2
    assert manager.get_metrics()["execution_count"] == 2


@pytest.mark.parametrize("after_s", [0.05, 0.12, 0.3])
def test_a_run_whose_caller_gave_up_sends_nothing_more(after_s: float) -> None:
    """Whether it waited for an answer, or for the disk: then it went on beside the next run."""

    class SlowSink(ListSink):
        async def sync(self) -> None:
            await asyncio.sleep(0.1)

    venue, sink = load_scenario("default").make_venue(), SlowSink()

    async def main() -> None:
        manager = make_manager(venue, sink)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(manager.execute_liquidation(), after_s)
        recorded, asked = len(sink.events), len(venue.account.journal.requests)
        await asyncio.sleep(5)

        assert types(sink)[recorded:] == []
        assert venue.account.journal.requests[asked:] == []

    run_virtual(main)


def test_a_manager_can_be_used_again() -> None:
    """State does not stick: the next call is a run of its own."""

    async def work(manager: LiquidationManager) -> list[LiquidationResult]:
        return [await manager.execute_liquidation() for _ in range(2)]

    (first, second), manager, _, _ = use(work)

    assert (first.positions_closed, second.positions_closed) == (7, 0)
    assert second.state is LiquidationState.COMPLETED
    assert first.correlation_id != second.correlation_id
    assert manager.get_metrics()["completed"] == 2


def test_metrics_have_the_keys_of_status() -> None:
    """Dashboards read both with the same code."""

    async def work(manager: LiquidationManager) -> dict[str, object]:
        before = manager.get_metrics()
        await manager.execute_liquidation()
        return before

    before, manager, _, _ = use(work)

    after = manager.get_metrics()
    assert set(before) == set(after) == METRICS
    assert (before["execution_count"], before["last_state"]) == (0, None)
    assert (after["last_positions_closed"], after["last_orders_cancelled"]) == (7, 13)
    assert after["last_state"] == "COMPLETED"


def test_a_disarmed_manager_skips_and_touches_nothing() -> None:
    """SKIPPED is recorded, has no START, and is no execution."""

    async def work(manager: LiquidationManager) -> LiquidationResult:
        return await manager.execute_liquidation()

    result, manager, venue, sink = use(
        work, emergency_liquidation=False, close_positions=False, cancel_orders=False
    )

    assert (result.state, manager.state) == (LiquidationState.SKIPPED, LiquidationState.SKIPPED)
    assert result.exit_code() is ExitCode.DONE
    assert not result.verified_flat
    assert types(sink) == ["LIQUIDATION_SKIPPED"]
    assert not venue.account.journal.requests
    metrics = manager.get_metrics()
    assert (metrics["skipped"], metrics["execution_count"]) == (1, 0)


def test_an_interrupt_stops_sending_reads_once_more_and_ends() -> None:
    """Ctrl-C is not a crash: what is known is still told."""

    async def work(manager: LiquidationManager) -> LiquidationResult:
        running = asyncio.create_task(manager.execute_liquidation())
        await asyncio.sleep(0.001)
        manager.interrupt()
        return await running

    result, _, venue, sink = use(work)

    writes = [row for row in venue.account.journal.requests if row[1] != "GET"]
    assert result.state is LiquidationState.FAILED
    assert "interrupted" in (result.error_message or "")
    assert not result.deadline_exceeded
    assert not writes
    assert types(sink)[-1] == "LIQUIDATION_FAILED"


def test_an_interrupt_without_a_run_does_nothing() -> None:
    """A signal may come before the run or after it."""

    async def work(manager: LiquidationManager) -> LiquidationResult:
        manager.interrupt()
        result = await manager.execute_liquidation()
        manager.interrupt()
        return result

    result, _, _, _ = use(work)

    assert result.state is LiquidationState.COMPLETED


def test_one_halted_symbol_makes_it_partial() -> None:
    """What is left is in the residual, with its reason."""

    async def work(manager: LiquidationManager) -> LiquidationResult:
        return await manager.execute_liquidation()

    result, manager, _, _ = use(work, "halted_symbol")

    assert (result.state, manager.state) == (LiquidationState.PARTIAL, LiquidationState.PARTIAL)
    assert result.residual is not None
    assert [p.symbol for p in result.residual.positions] == ["BTCUSDT"]
    failed = next(p for p in result.positions if p.symbol == "BTCUSDT")
    assert failed.error is not None
    assert failed.error.code == -1122
    assert manager.get_metrics()["partial"] == 1


def test_a_sink_that_loses_events_does_not_stop_the_run() -> None:
    """Money first: the result says that the trail is incomplete."""

    async def work(manager: LiquidationManager) -> LiquidationResult:
        manager.audit_logger.lost = True  # type: ignore[attr-defined]
        return await manager.execute_liquidation()

    result, _, venue, _ = use(work)

    assert venue.account.is_flat
    assert result.state is LiquidationState.COMPLETED
    assert result.exit_code() is ExitCode.AUDIT_INCOMPLETE


def test_an_account_that_cannot_be_read_is_failed_by_the_deadline() -> None:
    """Never flat from silence; never later than promised."""
    venue = load_scenario("default").make_venue()
    venue.faults.append(Fault(effect=KINDS["hang"], times=0))
    sink = ListSink()

    async def main() -> tuple[LiquidationResult, float]:
        manager = make_manager(venue, sink, timeout_seconds=2.0)
        result = await manager.execute_liquidation()
        return result, asyncio.get_running_loop().time()

    result, ended_at = run_virtual(main)

    assert result.state is LiquidationState.FAILED
    assert result.residual is None
    assert result.deadline_exceeded
    assert ended_at < 2.25
    assert AuditEventType.LIQUIDATION_FAILED in types(sink)
    counts = [
        *("positions_found", "positions_closed", "positions_failed"),
        *("orders_found", "orders_cancelled", "orders_failed"),
    ]
    (end,) = [d for t, d in sink.events if t == AuditEventType.LIQUIDATION_FAILED]
    assert {end[count] for count in counts} == {None}, "not read is not 0"
    assert {result.as_json()[count] for count in counts} == {None}


def test_positions_that_no_reading_showed_are_null_beside_orders_that_one_did() -> None:
    """A 0 in an event or a result would be taken for an empty account."""
    venue = load_scenario("default").make_venue()
    for path in ("/positionRisk", "/account"):
        venue.faults.append(Fault(effect=KINDS["hang"], path=path, times=0))
    sink = ListSink()

    async def main() -> LiquidationResult:
        return await make_manager(venue, sink, timeout_seconds=2.0).execute_liquidation()

    result = run_virtual(main)
    readings = [d for t, d in sink.events if t == AuditEventType.SNAPSHOT_TAKEN]

    assert result.residual is not None
    assert (result.positions_found, result.positions_closed, result.positions_failed) == (
        None,
        None,
        None,
    )
    assert result.orders_found == 13
    assert {d["product"] for d in readings} == {"USDM", "COINM"}
    assert {(d["positions"], d["notional"]) for d in readings} == {(None, None)}
    assert any(d.get("regular_orders") for d in readings)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"timeout_seconds": 0.5}, "timeout_seconds must be between 1.0 and 30.0, got 0.5"),
        ({"timeout_seconds": "5"}, "timeout_seconds must be a number, got '5' (str)"),
        ({"max_retries": -1}, "max_retries must be between 0 and 10, got -1"),
        (
            {"retry_delay_seconds": 0.01},
            "retry_delay_seconds must be between 0.1 and 5.0, got 0.01",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_in_the_contracts_words(
    changes: dict[str, Any], text: str
) -> None:
    """Operators search for these texts."""
    with pytest.raises(liqctl.ConfigurationError) as caught:
        LiquidationConfig(**changes)

    assert str(caught.value) == text


def test_nothing_is_recorded_after_the_end() -> None:
    """A look at the positions that nobody needs any more must not follow the proof's last line."""
    venue = load_scenario("default").make_venue()
    venue.faults.append(
        Fault(name="slow", effect=KINDS["slow"], path="/v3/positionRisk", skip=1, times=1)
    )
    sink = ListSink()

    async def main() -> LiquidationResult:
        result = await make_manager(venue, sink, settle_seconds=0.0).execute_liquidation()
        await asyncio.sleep(1.0)
        return result

    result = run_virtual(main)

    assert result.state is LiquidationState.COMPLETED
    assert result.duration_seconds < 0.5, "the look outlived the run"
    assert types(sink)[-1] == "LIQUIDATION_COMPLETE"


def test_an_order_is_recorded_with_the_mark_price_it_was_decided_at() -> None:
    """What it cost to leave is measured against it, also when the run dies right after."""
    _, _, _, sink = use(lambda manager: manager.execute_liquidation())

    marks = {
        details["symbol"]: details["mark_price"]
        for event_type, details in sink.events
        if event_type == "ORDER_SENT"
    }
    assert marks == {
        "BTCUSDT": "60000.00000000",
        "ETHUSDT": "3000.00000000",
        "SOLUSDT": "150.00000000",
        "XRPUSDT": "0.50000000",
        "BTCUSD_PERP": "60000.00000000",
        "BTCUSD_261225": "60000.00000000",
        "ETHUSD_PERP": "3000.00000000",
    }


@pytest.mark.parametrize("scenario", ["halted_symbol", "key_may_not_trade", "all_closes_hang"])
def test_every_position_that_was_not_closed_has_its_own_event(scenario: str) -> None:
    """`audit tail --failed` and the report must name each, and tell what is left of it."""
    result, _, _, sink = use(lambda manager: manager.execute_liquidation(), scenario)

    failed = [d["symbol"] for event, d in sink.events if event == "POSITION_FAILED"]
    not_closed = [p.symbol for p in result.positions if p.state not in {"CLOSED", "SKIPPED"}]
    assert not_closed
    assert sorted(failed) == sorted(not_closed)


class TimedSink(ListSink):
    """Notes when each event came, too."""

    def log_event(
        self, *, event_type: AuditEventType, correlation_id: str, details: Mapping[str, Any]
    ) -> None:
        """Keep the event with its time."""
        timed = {**details, "at": asyncio.get_running_loop().time()}
        super().log_event(event_type=event_type, correlation_id=correlation_id, details=timed)


@pytest.mark.parametrize("timeout_seconds", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("scenario", ["halted_symbol", "rate_limited_orders", "overloaded"])
def test_no_order_leaves_before_the_moment_that_was_recorded(
    scenario: str, timeout_seconds: float
) -> None:
    """A wait that did not fit the deadline was recorded, and the order sent at once instead."""
    venue = load_scenario(scenario).make_venue()
    sink = TimedSink()

    async def main() -> None:
        await make_manager(venue, sink, timeout_seconds=timeout_seconds).execute_liquidation()

    run_virtual(main)

    due: dict[str, float] = {}
    for event_type, details in sink.events:
        if event_type == "RETRY_SCHEDULED":
            due[details["symbol"]] = details["at"] + details["backoff_s"]
        elif event_type == "ORDER_SENT":
            assert details["at"] >= due.get(details["symbol"], 0.0) - 0.001
    assert due
