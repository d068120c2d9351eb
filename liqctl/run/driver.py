"""The only asyncio of a run: carries out what the machine commands, and tells it what happened.

    append the notes · sync the trail · start and cut requests · wake the machine · feed the answers

`OnDisk` is a group commit: notes appended before a sync begins are on disk when it ends, and what
is asked for while one is under way shares the next, so a wave of orders costs one sync.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from liqctl.kernel import pacing
from liqctl.kernel.errors import VenueError
from liqctl.kernel.events import AuditEvent, EventSink
from liqctl.kernel.limits import Address, Deadline
from liqctl.kernel.machine import (
    Answered,
    Cut,
    Due,
    Event,
    Exchange,
    Interrupted,
    Machine,
    Note,
    OnDisk,
    Send,
    Sync,
    Task,
    WakeAt,
    WallClock,
    Work,
)
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.reading import AccountReaders
from liqctl.kernel.states import Product
from liqctl.kernel.values import MarketRules, Snapshot

if TYPE_CHECKING:
    from liqctl.run.lock import AccountLock, Blocked

T = TypeVar("T")


class Driver:
    """Drives one machine against one venue; needs a running event loop."""

    def __init__(self, machine: Machine, venue: Exchange) -> None:
        self.machine = machine
        self._venue = venue
        self._loop = asyncio.get_running_loop()
        self._sink: EventSink | None = None
        self._name = ""
        self._on_turn: Callable[[], object] | None = None
        self._telling: asyncio.Handle | None = None
        self._told_at = float("-inf")
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._awaited: list[tuple[Task[Any], asyncio.Future[None]]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._unsynced: list[int] = []
        self._syncing: asyncio.Task[None] | None = None
        self._is_closed = False

    @classmethod
    def starting_now(
        cls,
        venue: Exchange,
        timeout_s: float,
        wall_clock: WallClock,
        address: Address | None = None,
    ) -> "Driver":
        """Return the driver of a machine whose time begins now."""
        began = asyncio.get_running_loop().time()
        epoch_s = wall_clock.now().timestamp()
        deadline = Deadline.after(timeout_s, began=began, epoch_s=epoch_s)
        return cls(Machine(deadline, address), venue)

    @property
    def spent_s(self) -> float:
        """Seconds since the machine's time began."""
        return self._loop.time() - self.machine.deadline.began

    @property
    def remaining_s(self) -> float:
        """Seconds left until the deadline, never negative."""
        return max(self.machine.deadline.ends - self._loop.time(), 0.0)

    def record_to(
        self, sink: EventSink, correlation_id: str, on_turn: Callable[[], object]
    ) -> None:
        """Append notes to the sink from now on; `on_turn` is called when something happened."""
        self._sink, self._name, self._on_turn = sink, correlation_id, on_turn

    def record(self, event: AuditEvent) -> None:
        """Append one event."""
        if self._sink is not None:
            event.log_to(self._sink, self._name)

    async def perform(self, work: Work[T]) -> T:
        """Return what a procedure of the machine returns."""
        task = self.machine.spawn(work)
        self.advance()
        if not task.is_done:
            done = self._loop.create_future()
            self._awaited.append((task, done))
            try:
                await done
            except asyncio.CancelledError:
                self.machine.end(task)
                self.advance()
                raise
        return task.value

    def interrupt(self) -> None:
        """Tell the machine that somebody asked the run to end."""
        self._feed(Interrupted(self._loop.time()))

    def advance(self) -> None:
        """Let the machine go on with what was begun since the last event."""
        self._feed(Due(self._loop.time()))

    def close(self) -> None:
        """Wait for nothing any more, and let nothing more leave. Closing twice is safe."""
        self._is_closed, self._on_turn = True, None
        for request in self._requests.values():
            request.cancel()
        self._requests.clear()
        for timer in (self._alarm, self._telling):
            if timer is not None:
                timer.cancel()

    def _feed(self, event: Event) -> None:
        # A run that was cancelled may still have procedures, which would go on with its orders once
        # the disk has its records: after its end, and beside the next run.
        for command in () if self._is_closed else self.machine.feed(event):
            match command:
                case Note(noted):
                    self.record(noted)
                case Send():
                    self._requests[command.number] = self._loop.create_task(self._carry(command))
                case Sync(number):
                    self._unsynced.append(number)
                    if self._syncing is None:
                        self._syncing = self._loop.create_task(self._sync())
                case Cut(number):
                    if request := self._requests.pop(number, None):
                        request.cancel()
                case WakeAt(at):
                    alarm = self._alarm
                    if alarm is None or alarm.cancelled() or alarm.when() != at:
                        if alarm is not None:
                            alarm.cancel()
                        self._alarm = self._loop.call_at(at, self._wake, at)
        if self._on_turn is not None and self._telling is None:
            if event.at - self._told_at >= pacing.TELLING_GAP_S:
                self._tell()
            else:
                self._telling = self._loop.call_at(self._told_at + pacing.TELLING_GAP_S, self._tell)
        for each in [each for each in self._awaited if each[0].is_done]:
            self._awaited.remove(each)
            if not each[1].done():
                each[1].set_result(None)

    def _tell(self) -> None:
        self._telling, self._told_at = None, self.machine.now
        if self._on_turn is not None:
            self._on_turn()

    async def _carry(self, send: Send) -> None:
        answer: object
        try:
            timeout_s = send.cut_at - self._loop.time()
            answer = await self._venue.send(send.request, timeout_s=timeout_s)
        except VenueError as error:
            answer = error.answer
        except Exception as error:  # noqa: BLE001 - a fault of ours ends what asked, not the run
            answer = error
        if self._requests.pop(send.number, None) is not None:
            self._feed(Answered(send.number, answer, self._loop.time(), self._venue.usage))

    async def _sync(self) -> None:
        while self._unsynced:
            numbers, self._unsynced = tuple(self._unsynced), []
            if self._sink is not None:
                await self._sink.sync()
            self._feed(OnDisk(numbers, self._loop.time()))
        self._syncing = None

    def _wake(self, at: float) -> None:
        self._alarm = None
        # A timer may fire a hair early: then it is as late as it was asked for.
        self._feed(Due(max(self._loop.time(), at)))


class Known(NamedTuple):
    """What an armed process knows of an account when a run begins.

    Attributes:
        mirrored: what the first orders are made from, of products that hold anything.
        rules: the market rules of each product.
    """

    mirrored: Mapping[Product, Snapshot]
    rules: Mapping[Product, Mapping[str, MarketRules]]


class Opening:
    """How a run begins: the account's lock taken, the first reading and spare connections begun.

    A program whose other half is still being loaded can open a run; `LiquidationManager` takes over
    from there. Nothing but readings is sent before it does. `blocked` tells who else has the
    account; then nothing is sent at all.
    """

    def __init__(  # noqa: PLR0913 - the last five are what only some callers have
        self,
        *,
        exchange: Exchange,
        policy: LiquidationConfig,
        correlation_id: str,
        wall_clock: WallClock,
        lock: "AccountLock | None" = None,
        deadline: Deadline | None = None,
        address: Address | None = None,
        account: str | None = None,
        known: Known | None = None,
    ) -> None:
        """Take the lock and start reading; needs a running event loop.

        The deadline of a process that began before is its own, else it counts from now. One of
        several accounts has a name, and shares their address. What an armed process has `known`
        spares the first reading, and nothing waits for the lock's disk then.
        """
        self.account = account
        self.correlation_id = correlation_id
        self.started_at = wall_clock.now()
        self.requests_before = exchange.usage.requests
        deadline = deadline or Deadline.after(
            policy.timeout_seconds,
            began=asyncio.get_running_loop().time(),
            epoch_s=self.started_at.timestamp(),
        )
        self.blocked: Blocked | None = None
        if lock is not None:
            wait_s = pacing.LOCK_WAIT_MAX_S if known is None else 0.0
            self.blocked = lock.acquire(
                correlation_id, self.started_at, policy.timeout_seconds, wait_s=wait_s
            )
        machine = Machine(deadline, address)
        self.driver = Driver(machine, exchange)
        self.readers = AccountReaders(machine, policy)
        self._warm_up: asyncio.Task[None] | None = None
        if self.blocked is None:
            self.firsts = self.readers.recall(known.mirrored if known else {})
            for product, rules in (known.rules if known else {}).items():
                if product in self.readers.readers:
                    self.readers.readers[product].rules = rules
            self._twin: Task[str | None] = Task(None)
            if address is not None and address.accounts > 1 and account:
                self._twin = machine.spawn(self.readers.find_twin(account, policy))
            self.driver.advance()
            # Of many accounts each request counts: their cancels open the connections.
            if self.readers.account.has_weight and known is None:
                self._warm_up = asyncio.create_task(self._open_spares(exchange))

    async def _open_spares(self, exchange: Exchange) -> None:
        await asyncio.sleep(pacing.READING_FIRST_S)
        gateway = self.readers.gateway
        timeout_s = gateway.call_max_s
        await exchange.warm_up(gateway.product, pacing.WARM_CONNECTIONS, timeout_s=timeout_s)

    async def find_twin(self) -> str | None:
        """Return under which other name this account is being liquidated already, if it is."""
        if self._twin.work is None:
            return None
        return await self.driver.perform(self.driver.machine.join(self._twin))

    def close(self) -> None:
        """Open no more spare connections, and wait for nothing any more."""
        if self._warm_up is not None:
            self._warm_up.cancel()
        self.driver.close()
