"""The machine that is fed: events go in, commands come out.

    Event   = Answered | OnDisk | Due | Interrupted        what happened, and when
    Command = Send | Cut | Note | Sync | WakeAt            what is to be done about it

It holds no clock, no socket and no task of an event loop: `now` is the moment of the last event,
and the same events make the same commands. Its procedures are coroutines that wait for nothing but
the machine itself (`send`, `on_disk`, `sleep_until`, `wait`), so that each is told from its
first line to its last: "cancel, then close, then look, then cancel the stops". One answer moves on
only the procedure that waits for it.

Requests pass a `Gateway`, one for each product: deadline, pauses, stops and the venue's limits are
kept to there. What carries the commands out stands at the end: the `Exchange`, with the `Transport`
below it, and the calendar.
"""

import heapq
import math
import types
from collections import deque
from collections.abc import Coroutine, Generator, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from liqctl.kernel.answers import VenueAnswer
from liqctl.kernel.events import AuditEvent
from liqctl.kernel.limits import Address, Deadline, RequestBudget, Usage
from liqctl.kernel.requests import EndpointSpec, Request
from liqctl.kernel.states import Product

T = TypeVar("T")
Work: TypeAlias = Coroutine[Any, None, T]


class Answered(NamedTuple):
    """The answer to the request of this number: what was read, a refusal, or a fault of ours."""

    number: int
    answer: object
    at: float
    usage: Usage


class OnDisk(NamedTuple):
    """What was noted before the `Sync`s of these numbers is on disk, or known not to be."""

    numbers: tuple[int, ...]
    at: float


class Due(NamedTuple):
    """It is as late as this: a moment that was waited for may have come."""

    at: float


class Interrupted(NamedTuple):
    """Somebody asked the run to end."""

    at: float


Event = Answered | OnDisk | Due | Interrupted


class Send(NamedTuple):
    """Send the request; cut it at that moment, if it was not answered."""

    number: int
    request: Request[Any]
    cut_at: float


class Cut(NamedTuple):
    """Wait no longer for the answer to the request of this number."""

    number: int


class Note(NamedTuple):
    """Append the event to the trail."""

    event: AuditEvent


class Sync(NamedTuple):
    """Say `OnDisk` once everything noted so far is."""

    number: int


class WakeAt(NamedTuple):
    """Say `Due` then, unless another moment is named before."""

    at: float


Command = Send | Cut | Note | Sync | WakeAt


class Ended(BaseException):
    """Thrown into a procedure that goes no further."""


class Task(Generic[T]):
    """A procedure under way, or the end of one.

    `nap` counts its steps: who would wake it for something it no longer waits for, wakes nobody.
    """

    __slots__ = ("error", "is_cut", "is_done", "nap", "result", "watchers", "work")

    def __init__(self, work: Work[T] | None) -> None:
        """Begin nothing yet; without work it is done when somebody says so."""
        self.work = work
        self.is_done = False
        self.is_cut = False
        self.result: T | None = None
        self.error: Exception | None = None
        self.nap = 0
        self.watchers: list[tuple[Task[Any], int]] = []

    @property
    def value(self) -> T:
        """What the procedure returned; what it raised is raised."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


@types.coroutine
def _pause() -> Generator[None, None, None]:
    yield


class Machine:
    """Procedures, the moments they wait for, and what they want done."""

    def __init__(self, deadline: Deadline, address: Address | None = None) -> None:
        self.now = deadline.began
        self.deadline = deadline
        address = address or Address(minute_start=deadline.minute_start)
        self.budget = RequestBudget(address=address)
        self.usage = Usage()
        self.interruption: Task[None] = Task(None)
        self._current: Task[Any] = self.interruption
        self._ready: deque[tuple[Task[Any], int]] = deque()
        self._timers: list[tuple[float, Decimal, int, Task[Any], int]] = []
        self._awaited: dict[int, tuple[Task[Any], int]] = {}
        self._answers: dict[int, object] = {}
        self._commands: list[Command] = []
        self._last_number = 0

    def feed(self, event: Event) -> list[Command]:
        """Take in what happened; return what is to be done now, in order."""
        self.now = max(self.now, event.at)
        match event:
            case Answered(number, answer, _, usage):
                self.usage = usage
                self._arrive(number, answer)
            case OnDisk(numbers):
                for number in numbers:
                    self._arrive(number, None)
            case Interrupted():
                self.budget.is_stopped = True
                self.complete(self.interruption)
            case Due():
                pass
        return self.advance()

    def advance(self) -> list[Command]:
        """Go on with every procedure that can; return what is to be done now, in order."""
        while self._timers and self._timers[0][0] <= self.now:
            *_, task, nap = heapq.heappop(self._timers)
            self._ready.append((task, nap))
        while self._ready:
            task, nap = self._ready.popleft()
            if task.nap == nap and not task.is_done:
                self._step(task)
        # What nobody waits for any more is not waked for.
        while self._timers and self._timers[0][3].nap != self._timers[0][4]:
            heapq.heappop(self._timers)
        commands, self._commands = self._commands, []
        # Of one wave the cancels leave first: a ban that the first close meets must not keep an
        # order open that could have been cancelled. Of the closes the largest leaves first,
        # whatever its product: what a limit keeps back is the tail.
        commands.sort(key=_leaves_last)
        if self._timers:
            commands.append(WakeAt(self._timers[0][0]))
        return commands

    # What procedures call.

    def spawn(self, work: Work[T]) -> Task[T]:
        """Begin another procedure beside this one."""
        task = Task(work)
        self._ready.append((task, task.nap))
        return task

    def note(self, event: AuditEvent) -> None:
        """Have the event appended to the trail."""
        self._commands.append(Note(event))

    async def on_disk(self) -> None:
        """Return once everything noted so far is on disk, or known not to be."""
        self._last_number += 1
        self._commands.append(Sync(self._last_number))
        await self._arrival(self._last_number)

    async def sleep_until(self, at: float, *, notional: Decimal = Decimal(0)) -> None:
        """Wait until a moment; of those who wait for the same, the largest goes first."""
        while self.now < at:
            self._wake_at(at, -notional)
            await _pause()

    async def turn(self) -> None:
        """Let what was decided so far be carried out before going on."""
        self._wake_at(math.nextafter(self.now, math.inf))
        await _pause()

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        await self.sleep_until(self.now + seconds)

    async def wait(
        self, tasks: Iterable[Task[Any]], *, until: float | None = None, first: bool = False
    ) -> None:
        """Wait until all are done, or one of them with `first`; no longer than `until`."""
        groups = [tuple(tasks)] if first else [(task,) for task in tasks]
        for group in groups:
            while not any(task.is_done for task in group):
                if until is not None and self.now >= until:
                    return
                for task in group:
                    task.watchers.append((self._current, self._current.nap))
                self._wake_at(until)
                await _pause()

    async def join(self, task: Task[T]) -> T:
        """Return what a procedure returns, or raise what it raises."""
        await self.wait([task])
        return task.value

    async def together(self, work: Sequence[Work[T]]) -> list[T]:
        """Return what each piece of work returned, in order; the only one needs no task.

        What fails is raised once every other piece has ended: none goes on unwatched.
        """
        if len(work) == 1:
            return [await work[0]]
        tasks = [self.spawn(piece) for piece in work]
        await self.finish(tasks)
        return [task.value for task in tasks]

    async def finish(self, tasks: Sequence[Task[Any]]) -> None:
        """Wait until all are done; if this procedure is ended before, so are they."""
        try:
            await self.wait(tasks)
        finally:
            for task in tasks:
                self.end(task)

    def end(self, task: Task[Any]) -> None:
        """Let a procedure go no further; what it had begun to send is cut."""
        if not task.is_done:
            task.is_cut = True
            self._step(task, Ended())

    def complete(self, task: Task[Any]) -> None:
        """Have a task be done, and wake who waits for it."""
        if not task.is_done:
            task.is_done = True
            self._ready.extend(task.watchers)
            task.watchers.clear()

    async def send(self, request: Request[T], cut_at: float) -> T | VenueAnswer:
        """Return the answer to a request that leaves now, whatever it is: see `Gateway`."""
        self._last_number += 1
        number = self._last_number
        self._commands.append(Send(number, request, cut_at))
        try:
            answer: Any = await self._arrival(number)
        except Ended:
            self._awaited.pop(number, None)
            self._commands.append(Cut(number))
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    # How it is done.

    async def _arrival(self, number: int) -> object:
        while number not in self._answers:
            self._awaited[number] = (self._current, self._current.nap)
            await _pause()
        return self._answers.pop(number)

    def _arrive(self, number: int, answer: object) -> None:
        waiting = self._awaited.pop(number, None)
        if waiting is not None:
            self._answers[number] = answer
            self._ready.append(waiting)

    def _wake_at(self, at: float | None, rank: Decimal = Decimal(0)) -> None:
        if at is not None:
            self._last_number += 1
            timer = (at, rank, self._last_number, self._current, self._current.nap)
            heapq.heappush(self._timers, timer)

    def _step(self, task: Task[Any], thrown: Ended | None = None) -> None:
        """Go on with a procedure until it waits again, or let it end."""
        if task.work is None:
            return
        caller, self._current = self._current, task
        task.nap += 1
        try:
            if thrown is None:
                task.work.send(None)
                return
            task.work.throw(thrown)
        except StopIteration as end:
            task.result = end.value
        except Ended:
            pass
        except Exception as error:  # noqa: BLE001 - told to who asks for its value
            task.error = error
        finally:
            self._current = caller
        self.complete(task)


def _leaves_last(command: Command) -> tuple[int, Decimal]:
    if isinstance(command, Send) and command.request.close is not None:
        return 1, -command.request.close.notional
    # What is cut in the turn it was sent in must still be cut after it.
    return (2 if isinstance(command, Cut) else 0), Decimal(0)


class Connected(Protocol):
    """What both ends of the way to one venue know of it."""

    @property
    def base_url(self) -> str:
        """Scheme and host of every request, as configured."""

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""

    def serves(self, api: str) -> bool:
        """Whether there is a host for the API of this name (`papi`, `sapi` …)."""

    async def close(self) -> None:
        """Close connections at once; never raises."""


class Exchange(Connected, Protocol):
    """One account on one venue. `timeout_s` cuts a call that takes longer.

    Every method raises `VenueError` (see `liqctl.kernel.answers` for what its kind means) and
    nothing else but `asyncio.CancelledError`. No method repeats a request by itself.
    """

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer."""

    async def warm_up(self, product: Product, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests; never raises."""


class WallClock(Protocol):
    """The only source of calendar time."""

    def now(self) -> datetime:
        """Return the current time in UTC."""


class Transport(Connected, Protocol):
    """Carries one request to the venue: the ccxt client, or the simulator in memory."""

    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:  # noqa: ANN401 - decoded JSON
        """Send one request and return the decoded JSON object or array of a success.

        Numbers with a fraction arrive as Decimal, never as float. Refusals, silence, an unreadable
        or non-JSON success body raise VenueError, with the kinds of `liqctl.kernel.answers`.
        """

    async def sync_clock(self, spec: EndpointSpec, *, timeout_s: float) -> float:
        """Measure and apply the clock difference; return it in seconds, positive if ahead."""
