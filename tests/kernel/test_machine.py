"""The machine that is fed: these events, those commands; nothing else it could know."""

import ast
import asyncio
import random
import time
import tomllib
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from typing_extensions import override

import liqctl.kernel
from liqctl.drill.runs import MemorySink
from liqctl.kernel import pacing, requests
from liqctl.kernel.account import AccountLiquidation
from liqctl.kernel.answers import AnswerKind, VenueAnswer, no_answer
from liqctl.kernel.gateway import Account, Gateway, Halted
from liqctl.kernel.limits import Deadline, Usage
from liqctl.kernel.machine import (
    Answered,
    Command,
    Cut,
    Due,
    Event,
    Interrupted,
    Machine,
    Note,
    OnDisk,
    Send,
    Sync,
    Task,
    WakeAt,
)
from liqctl.kernel.outcome import Ending
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.reading import AccountReaders
from liqctl.kernel.requests import Endpoint, Request
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import (
    Leg,
    OrderAnswer,
    OrderKind,
    OrderStatus,
    Position,
    PositionSide,
    Rows,
)
from liqctl.run.driver import Driver
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.venue.exchange import BinanceExchange
from tests import harshness
from tests.kernel.builders import limit
from tests.simulation import make_venue

LEG: Final = Leg(symbol="BTCUSDT", position_side=PositionSide.BOTH)
LONG: Final = Position(leg=LEG, quantity=Decimal("0.5"), notional=Decimal(30000))
EMPTY: Final[Rows[Any]] = Rows()
AT_ONCE: Final = LiquidationConfig(settle_seconds=0.0, products=(Product.USDM,))
REFUSED: Final = VenueAnswer(kind=AnswerKind.RUN_FATAL, message="no", status=401, code=-2015)


class Fed:
    """A liquidation that is fed by hand."""

    def __init__(self, policy: LiquidationConfig = AT_ONCE) -> None:
        """Begin at second 100."""
        deadline = Deadline.after(policy.timeout_seconds, began=100.0, epoch_s=0.0)
        self.machine = Machine(deadline)
        desk = AccountReaders(self.machine, policy)
        self.run = AccountLiquidation(
            desk,
            desk.begin(),
            order_tags=dict.fromkeys(Product, "0" * 12),
            jitter=lambda: 0.0,
            has_executions=False,
        )
        self.task = self.machine.spawn(self.run.converge())
        self.open: dict[int, Request[Any]] = {}
        self.syncs: list[int] = []
        self.notes: list[str] = []
        self.wakes_at = 0.0
        self.take(self.machine.advance())

    def take(self, commands: Sequence[Command]) -> None:
        """Remember what is to be done."""
        for command in commands:
            match command:
                case Send(number, request):
                    self.open[number] = request
                case Cut(number):
                    del self.open[number]
                case Sync(number):
                    self.syncs.append(number)
                case Note(event):
                    self.notes.append(event.event_type.value)
                case WakeAt(at):
                    self.wakes_at = at

    def feed(self, event: Event) -> None:
        """Say what happened."""
        self.take(self.machine.feed(event))

    def answer(self, endpoint: Endpoint, answer: object, *, at: float) -> None:
        """Answer every open request to an endpoint."""
        for number in [n for n, request in self.open.items() if request.endpoint is endpoint]:
            del self.open[number]
            self.feed(Answered(number, answer, at, Usage()))

    def read(self, positions: Rows[Position], *, at: float) -> None:
        """Answer a whole reading without orders."""
        self.answer(Endpoint.POSITIONS, positions, at=at)
        self.answer(Endpoint.OPEN_ORDERS, EMPTY, at=at)
        self.answer(Endpoint.OPEN_ALGO_ORDERS, EMPTY, at=at)

    def sync(self, *, at: float) -> None:
        """Say that everything is on disk."""
        numbers, self.syncs = tuple(self.syncs), []
        self.feed(OnDisk(numbers, at))

    @property
    def asked(self) -> list[str]:
        """What is waited for, by name."""
        return sorted(request.endpoint.name for request in self.open.values())


def filled(order: Any) -> OrderAnswer:
    """Return the answer to an order that was executed as a whole."""
    return OrderAnswer(
        client_order_id=order.client_order_id,
        order_id="7",
        status=OrderStatus.FILLED,
        quantity=order.quantity,
        executed=order.quantity,
    )


def test_three_lists_that_show_nothing_and_one_question_make_flat() -> None:
    """The shortest run there is: what is not watched is proven by one reading."""
    fed = Fed()
    assert fed.asked == ["OPEN_ALGO_ORDERS", "OPEN_ORDERS", "POSITIONS"]

    fed.read(EMPTY, at=100.1)
    assert fed.asked == ["PORTFOLIO_MARGIN"]
    assert not fed.task.is_done

    fed.answer(Endpoint.PORTFOLIO_MARGIN, False, at=100.2)
    assert fed.task.value is Ending.FLAT
    assert fed.notes == ["SNAPSHOT_TAKEN", "FLAT_SEEN", "VERIFIED"]


def test_a_close_leaves_once_it_is_on_disk_and_is_believed_once_it_is_read() -> None:
    """Read, record, send, read again: each waits for the event before it."""
    fed = Fed()
    fed.read(Rows(items=(LONG,)), at=100.1)
    assert fed.notes == ["SNAPSHOT_TAKEN", "ORDER_SENT"]
    assert fed.open == {}

    fed.sync(at=100.2)
    (request,) = fed.open.values()
    assert request.close is not None
    assert (request.close.quantity, request.close.reduce_only) == (Decimal("0.5"), True)

    fed.answer(Endpoint.SUBMIT_ORDER, filled(request.close), at=100.3)
    assert fed.asked == ["OPEN_ALGO_ORDERS", "OPEN_ORDERS", "ORDER", "POSITIONS", "POSITIONS"]
    assert not fed.task.is_done

    fed.read(EMPTY, at=100.4)
    assert fed.task.value is Ending.FLAT
    assert fed.run.outcome().legs[LEG].is_closed


def test_of_one_wave_the_cancels_leave_before_the_closes() -> None:
    """A ban that the first close meets must not keep an order that could have been cancelled."""
    fed = Fed()
    other = limit(symbol="ETHUSDT")
    fed.answer(Endpoint.POSITIONS, Rows(items=(LONG,)), at=100.1)
    fed.answer(Endpoint.OPEN_ALGO_ORDERS, EMPTY, at=100.1)
    fed.answer(Endpoint.OPEN_ORDERS, Rows(items=(other,)), at=100.1)
    numbers, fed.syncs = tuple(fed.syncs), []
    commands = fed.machine.feed(OnDisk(numbers, 100.2))

    sent = [each.request.endpoint for each in commands if isinstance(each, Send)]
    assert sent == [Endpoint.CANCEL_ORDERS, Endpoint.SUBMIT_ORDER]


def test_a_list_that_fails_is_asked_for_in_its_second_way() -> None:
    """And neither is an empty one."""
    fed = Fed()
    fed.answer(Endpoint.POSITIONS, no_answer("silence"), at=100.1)

    assert fed.asked == ["ACCOUNT", "OPEN_ALGO_ORDERS", "OPEN_ORDERS"]


def test_contracts_that_coin_ms_list_hides_are_unread_without_the_rules_that_name_them() -> None:
    """The list shows none that is not trading, and the source that does said nothing."""
    fed = Fed(LiquidationConfig(settle_seconds=0.0, products=(Product.COINM,)))
    fed.read(EMPTY, at=100.1)
    fed.answer(Endpoint.ACCOUNT, no_answer("silence"), at=100.1)
    assert fed.asked == ["EXCHANGE_INFO"]
    fed.answer(Endpoint.EXCHANGE_INFO, no_answer("no rules"), at=100.2)

    assert fed.run.outcome().unread == "could not read of COIN-M: positions (no rules)"


def test_a_key_that_everything_refuses_ends_the_run() -> None:
    """Portfolio margin's API included; asking on is what gets the key banned."""
    fed = Fed()
    for endpoint in (Endpoint.POSITIONS, Endpoint.OPEN_ORDERS, Endpoint.OPEN_ALGO_ORDERS):
        fed.answer(endpoint, REFUSED, at=100.1)
    assert fed.asked == ["PORTFOLIO_MARGIN"]
    fed.answer(Endpoint.PORTFOLIO_MARGIN, False, at=100.2)

    assert fed.task.value is Ending.STOPPED
    assert fed.run.outcome().refusal == REFUSED


def test_a_key_refused_by_the_standard_apis_alone_goes_on_in_portfolio_margin() -> None:
    """The account is read anew there, by its own endpoints."""
    fed = Fed()
    for endpoint in (Endpoint.POSITIONS, Endpoint.OPEN_ORDERS, Endpoint.OPEN_ALGO_ORDERS):
        fed.answer(endpoint, REFUSED, at=100.1)
    fed.answer(Endpoint.PORTFOLIO_MARGIN, True, at=100.2)
    assert {request.spec.path for request in fed.open.values()} == {
        "/papi/v1/um/positionRisk",
        "/papi/v1/um/openOrders",
        "/papi/v1/um/algo/openAlgoOrders",
    }
    fed.read(EMPTY, at=100.3)

    assert fed.run.outcome().margin is Margin.PORTFOLIO


def test_an_interrupt_lets_nothing_leave_and_reads_once_more() -> None:
    """What was recorded is taken back where it was not sent yet."""
    fed = Fed()
    fed.read(Rows(items=(LONG,)), at=100.1)
    fed.feed(Interrupted(100.15))
    fed.sync(at=100.2)

    assert fed.asked == ["OPEN_ALGO_ORDERS", "OPEN_ORDERS", "POSITIONS"]
    assert fed.notes[-1] == "ORDER_REJECTED"
    fed.read(Rows(items=(LONG,)), at=100.3)
    fed.feed(Due(100.6))
    assert fed.task.value is Ending.INTERRUPTED


def test_a_fault_of_our_own_ends_its_leg_and_no_other() -> None:
    """Its words may hold anything; its name is what is told."""
    fed = Fed()
    other = Position(
        leg=Leg(symbol="ETHUSDT", position_side=PositionSide.BOTH),
        quantity=Decimal(-2),
        notional=Decimal(6000),
    )
    fed.read(Rows(items=(LONG, other)), at=100.1)
    fed.sync(at=100.2)
    first = next(n for n, request in fed.open.items() if request.symbol == "BTCUSDT")
    del fed.open[first]
    fed.feed(Answered(first, ZeroDivisionError("secret"), 100.3, Usage()))
    fed.answer(Endpoint.SUBMIT_ORDER, filled(next(iter(fed.open.values())).close), at=100.3)
    fed.read(Rows(items=(LONG,)), at=100.4)

    outcome = fed.run.outcome()
    assert outcome.legs[LEG].given_up
    error = outcome.legs[LEG].error
    assert error is not None
    assert error.message == "a fault of liqctl itself: ZeroDivisionError"
    assert not outcome.legs[other.leg].given_up


def test_an_outcome_does_not_change_any_more() -> None:
    """Who ends the run from another thread must not see it half-changed."""
    fed = Fed()
    fed.read(Rows(items=(LONG,)), at=100.1)
    before = fed.run.outcome()
    attempts = before.legs[LEG].attempts
    fed.sync(at=100.2)
    fed.answer(Endpoint.SUBMIT_ORDER, REFUSED, at=100.3)

    assert before.legs[LEG].attempts == attempts
    assert before.legs[LEG].error is None
    assert fed.run.outcome().legs[LEG].error == REFUSED


# The core alone.


def gateway(it: Machine) -> Gateway:
    """Return the way of the machine's one product to the venue."""
    return Gateway(Account(it, [Product.USDM]), Product.USDM)


def machine() -> Machine:
    """Return a machine that begins at second 0 and has five."""
    return Machine(Deadline.after(5.0, began=0.0, epoch_s=0.0))


def test_who_waits_is_woken_in_the_order_of_waiting() -> None:
    """The same events make the same commands, to the order within a moment."""
    it = machine()
    woken: list[str] = []

    async def sleeper(name: str, at: float) -> None:
        await it.sleep_until(at)
        woken.append(name)

    for name, at in (("b", 2.0), ("a", 1.0), ("c", 2.0)):
        it.spawn(sleeper(name, at))
    assert it.advance() == [WakeAt(1.0)]
    assert it.feed(Due(2.0)) == []
    assert woken == ["a", "b", "c"]


def test_a_procedure_that_is_ended_cuts_what_it_sent_and_all_that_it_began() -> None:
    """Nothing goes on unwatched."""
    it = machine()
    way = gateway(it)

    async def three() -> list[object]:
        return await it.together([way.ask(requests.positions(USDM, s)) for s in ("A", "B", "C")])

    task: Task[list[object]] = it.spawn(three())
    numbers = [command.number for command in it.advance() if isinstance(command, Send)]
    it.feed(Answered(numbers[1], EMPTY, 0.1, Usage()))
    it.end(task)

    assert it.advance() == [Cut(numbers[0]), Cut(numbers[2])]
    assert task.is_cut
    assert it.feed(Answered(numbers[0], EMPTY, 0.2, Usage())) == []


def test_a_call_is_cut_before_the_deadline_and_none_begins_without_time() -> None:
    """Running out of time is an answer, not an exception."""
    it = machine()
    way = gateway(it)
    first = it.spawn(way.ask(requests.positions(USDM)))
    (send,) = (command for command in it.advance() if isinstance(command, Send))
    assert 0 < send.cut_at < it.deadline.ends
    it.feed(Answered(send.number, no_answer("silence"), 4.99, Usage()))
    assert isinstance(first.value, VenueAnswer)

    late = it.spawn(way.ask(requests.positions(USDM)))
    assert not [command for command in it.advance() if isinstance(command, Send)]
    assert isinstance(late.value, VenueAnswer)


def test_no_write_begins_in_the_time_kept_for_the_last_reading() -> None:
    """A reading still does, and so does the last sweep."""
    it = machine()
    way = gateway(it)
    it.feed(Due(it.deadline.work_until))
    one = it.spawn(way.write(requests.cancel_book(*BOOK)))
    last = it.spawn(way.write(requests.cancel_book(*BOOK), is_last=True))

    assert len([c for c in it.advance() if isinstance(c, Send)]) == 1
    assert isinstance(one.value, Halted)
    assert not last.is_done


USDM: Final = Product.USDM
BOOK: Final = (USDM, OrderKind.REGULAR, "BTCUSDT")
CLOCK_WRONG: Final = VenueAnswer(kind=AnswerKind.TRANSIENT, message="ahead", code=-1021)


@pytest.mark.parametrize(("write", "sends"), [(False, 2), (True, 1)])
def test_only_an_order_is_not_sent_again_once_the_clock_is_set(write: bool, sends: int) -> None:
    """One measurement, one repeat; an order's id is never used twice."""
    it = machine()
    way = gateway(it)
    order: Request[OrderAnswer] = Request(endpoint=Endpoint.SUBMIT_ORDER, symbol="BTCUSDT")
    it.spawn(way.write(order) if write else way.ask(requests.positions(USDM)))
    sent: list[Endpoint] = []
    commands = it.advance()
    for _ in range(6):
        for command in [c for c in commands if isinstance(c, Send)]:
            sent.append(command.request.endpoint)
            clock = command.request.endpoint is Endpoint.TIME
            answer = 0.5 if clock else CLOCK_WRONG
            commands = it.feed(Answered(command.number, answer, 0.1, Usage()))

    assert len([endpoint for endpoint in sent if endpoint is not Endpoint.TIME]) == sends
    assert sent.count(Endpoint.TIME) == sends - 1


# Whole runs, written down and fed again.


class Turn(NamedTuple):
    """One event and what it made the machine want."""

    event: Event
    commands: list[Command]


class Written(Machine):
    """A machine whose turns are kept."""

    turns: list[Turn]

    @override
    def feed(self, event: Event) -> list[Command]:
        """Keep the turn."""
        commands = super().feed(event)
        self.turns.append(Turn(event, commands))
        return commands


def begin(
    kind: Callable[[Deadline], Machine], policy: LiquidationConfig, seed: int
) -> tuple[Machine, AccountLiquidation, Task[Ending]]:
    """Return a liquidation that was not fed yet."""
    it = kind(Deadline.after(policy.timeout_seconds, began=0.0, epoch_s=0.0))
    rng = random.Random(seed)
    desk = AccountReaders(it, policy)
    run = AccountLiquidation(
        desk,
        desk.begin(),
        order_tags={product: f"{number:012d}" for number, product in enumerate(Product)},
        jitter=lambda: rng.uniform(-1, 1),
        has_executions=True,
    )
    return it, run, it.spawn(run.converge())


def written(seed: int) -> tuple[list[Turn], LiquidationConfig, Ending]:
    """Return the turns of a run against a venue where things go wrong."""
    venue = make_venue(random.Random(seed), seed)
    policy = harshness.draw(venue, seed).policy

    async def main() -> tuple[list[Turn], Ending]:
        it, _, task = begin(Written, policy, seed)
        assert isinstance(it, Written)
        it.turns = []
        driver = Driver(it, BinanceExchange(MemoryTransport(venue)))
        driver.record_to(MemorySink(), "written", lambda: None)

        async def whole() -> Ending:
            await it.wait([task])
            return task.value

        ending = await driver.perform(whole())
        driver.close()
        return it.turns, ending

    turns, ending = run_virtual(main)
    return turns, policy, ending


def test_the_largest_leave_before_the_rest_is_planned() -> None:
    """Planning sixty symbols takes longer than sending six."""
    many = tuple(
        LONG._replace(leg=LEG._replace(symbol=f"C{number}USDT"), notional=Decimal(number))
        for number in range(60)
    )
    fed = Fed()
    fed.read(Rows(items=many), at=100.1)
    planned = fed.notes.count("ORDER_SENT")
    fed.feed(OnDisk(tuple(fed.syncs), 100.2))
    sent = [request.close for request in fed.open.values() if request.close is not None]
    fed.feed(Due(fed.wakes_at))

    assert planned == len(sent) == pacing.PLANNED_FIRST
    assert {close.notional for close in sent} == set(map(Decimal, range(60)[-planned:]))
    assert fed.notes.count("ORDER_SENT") == len(many)


SEEDS: Final = range(5000, 5040)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_events_make_the_same_commands(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where every clock is poisoned and no event loop is there to ask."""
    turns, policy, ending = written(seed)

    def poisoned(*_: object) -> float:
        message = "the kernel looked at a clock"
        raise AssertionError(message)

    for module, name in (
        *((time, name) for name in ("time", "monotonic", "perf_counter", "time_ns")),
        *((asyncio, name) for name in ("get_running_loop", "sleep", "create_task")),
        *((random, name) for name in ("random", "uniform", "choice")),
    ):
        monkeypatch.setattr(module, name, poisoned)
    it, _, task = begin(Machine, policy, seed)
    whole = it.spawn(it.wait([task]))
    again = [Turn(turn.event, it.feed(turn.event)) for turn in turns]

    assert again == turns
    assert task.value is ending
    assert whole.is_done


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_written_to_the_venue_before_it_is_on_disk(seed: int) -> None:
    """Write-ahead is the order of a list: the note, the sync, its answer, the request."""
    turns, _, _ = written(seed)
    noted: dict[str, int] = {}
    synced_before: dict[int, int] = {}
    durable = step = 0
    for turn in turns:
        if isinstance(turn.event, OnDisk):
            durable = max([durable, *(synced_before[each] for each in turn.event.numbers)])
        for command in turn.commands:
            step += 1
            match command:
                case Note(event) if event.event_type == "ORDER_SENT":
                    noted[str(event.details["client_order_id"])] = step
                case Sync(number):
                    synced_before[number] = step
                case Send(_, request) if request.close is not None:
                    assert noted[request.close.client_order_id] < durable
                case _:
                    continue


@pytest.mark.parametrize("seed", SEEDS)
def test_every_run_ends_by_its_deadline_and_sends_nothing_after_it(seed: int) -> None:
    """And no moment is waited for that has passed: a loop that spins would never end."""
    turns, policy, _ = written(seed)

    assert turns[-1].event.at <= policy.timeout_seconds
    for event, commands in turns:
        wakes = [command.at for command in commands if isinstance(command, WakeAt)]
        assert all(at > event.at for at in wakes)
        sends = [command for command in commands if isinstance(command, Send)]
        assert all(event.at < send.cut_at <= policy.timeout_seconds for send in sends)


CONTRACTS: Final = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
"""Modules that the kernel must not import are named once, where the imports are checked."""
FORBIDDEN: Final = {"importlib", "io", "pathlib"}.union(
    *(
        contract["forbidden_modules"]
        for contract in CONTRACTS["tool"]["importlinter"]["contracts"]
        if contract.get("source_modules") == ["liqctl.kernel"]
    )
)
NOW: Final = frozenset({"now", "utcnow", "today", "monotonic", "perf_counter", "urandom"})
"""Called, they say what time it is, or something that nobody can foretell."""
BUILTINS: Final = frozenset({"__import__", "eval", "exec", "input", "open", "print"})


def found_outside(source: str) -> list[str]:
    """Return what a module learns from outside, or does there, without being told."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=aliases):
                found += {alias.name.partition(".")[0] for alias in aliases} & FORBIDDEN
            case ast.ImportFrom(module=str(module)):
                found += {module.partition(".")[0]} & FORBIDDEN
            case ast.Call(func=ast.Attribute(attr=name)):
                found += {name} & NOW
            case ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=name):
                found += {name} & NOW
            case ast.Name(id=name):
                found += {name} & BUILTINS
            case _:
                continue
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "from time import monotonic",
        "import asyncio.events",
        "from random import uniform",
        "import os",
        "import pathlib",
        "import ccxt",
        "at = datetime.now(tz=UTC)",
        "clock = datetime.utcnow",
        "at = self._loop.monotonic()",
        "text = open('settings').read()",
        "module = __import__('time')",
    ],
)
def test_a_look_outside_is_found(line: str) -> None:
    """A check that cannot fail proves nothing."""
    assert found_outside(line)


def test_no_module_of_the_kernel_looks_outside() -> None:
    """A moment, a chance or a file that is not in an event is one that no test can set."""
    folder = Path(liqctl.kernel.__file__).parent
    found = {
        f"{file.name}: {what}"
        for file in folder.glob("*.py")
        for what in found_outside(file.read_text())
    }

    assert found == set()
