"""The way of one product's procedures to the venue, through the machine.

Every request passes `ask` or `write`: deadline, pauses, stops and the venue's limits are kept to
there. Nothing is repeated but what was refused for its timestamp, once, after the clock was set.

Each product has its own gateway, with its own pace, refusals and end, so that what one of them
suffers does not delay the other; the limits, a ban, the clock and the kind of account are one.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, TypeVar

from liqctl.kernel import pacing, requests
from liqctl.kernel.answers import VenueAnswer, not_sent
from liqctl.kernel.codes import TIMESTAMP
from liqctl.kernel.events import AuditEvent
from liqctl.kernel.limits import LIMITS_BY_MARGIN, Allowance, Deadline, Halted
from liqctl.kernel.machine import Machine, Task
from liqctl.kernel.pacing import CLOCK_SYNCS_MAX, EARLY_READINGS, QUESTION_GAP_S
from liqctl.kernel.requests import Endpoint, Request
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import BOOKS, OrderKind, Snapshot, exposure_of

T = TypeVar("T")

_COUNTED: Final = {Margin.STANDARD: ("fapi", "dapi"), Margin.PORTFOLIO: ("papi",)}
"""The hosts whose headers tell what is used of the weight that a kind of account has."""


class Parts:
    """Parts of an account that are waited for, and the task that is done while there are none.

    Attributes:
        left: the parts that are waited for.
        through: done once none is left.
        through_at: when that was last so.
    """

    def __init__(self, machine: Machine, products: Iterable[Product]) -> None:
        self.left: set[Product | OrderKind] = set(products)
        self.through: Task[None] = Task(None)
        self.through_at = float("-inf")
        self._machine = machine

    def add(self, part: Product | OrderKind) -> None:
        """Wait for this part, perhaps again."""
        if not self.left and self.through.is_done:
            self.through = Task(None)
        self.left.add(part)

    def drop(self, part: Product | OrderKind) -> None:
        """Wait for this part no longer."""
        self.left.discard(part)
        if not (self.left or self.through.is_done):
            self.through_at = self._machine.now
            self._machine.complete(self.through)


class Account:
    """What the products of one account share: its clock, its kind, and which are proven flat.

    Attributes:
        answered_at: when anything sent for the account was last answered.
        readings: how many were begun, of all products: they share the weight.
        products: how many there are.
        unproven: the products that are not proven flat and not given up, and the executions while
            any runs.
        working: the products that may still send something; the last readings follow them.
        known: done once the kind is certain.
    """

    def __init__(
        self, machine: Machine, products: Iterable[Product], margin: Margin | None = None
    ) -> None:
        """Begin with a standard account, or with what the settings say."""
        self.machine = machine
        self.margin = Margin.STANDARD
        self.known: Task[None] = Task(None)
        self.answered_at = float("-inf")
        self.readings = 0
        in_scope = tuple(products)
        self.products = len(in_scope)
        self.unproven = Parts(machine, in_scope)
        self.working = Parts(machine, in_scope)
        self.clock: Task[float | VenueAnswer] | None = None
        self.clock_syncs = 0
        self._asking: Task[None] | None = None
        if margin is not None:
            self._be(margin)

    @property
    def is_kind_known(self) -> bool:
        """Whether the kind is certain."""
        return self.known.is_done

    @property
    def is_early(self) -> bool:
        """Whether so few readings were taken that the next ones may follow soon."""
        return self.readings < EARLY_READINGS

    @property
    def has_weight(self) -> bool:
        """Whether order lists may be read that do not decide yet; always where it is alone."""
        budget = self.machine.budget
        if budget.address.accounts == 1:
            return True
        own = pacing.WHOLE_READINGS_KEPT * (budget.share.proof + budget.share.sweeps)
        if budget.share.notional is None:  # Nobody's positions were read: all need the same.
            return own * budget.address.accounts <= budget.share.limits.weight_1m
        return budget.weight_left(self.machine.now) >= own

    def note_first(self, snapshot: Snapshot) -> None:
        """Rank the account, among those of its address, by what a product's first reading shows."""
        share = self.machine.budget.share
        if snapshot.positions.complete:
            held = exposure_of(snapshot.positions.items)
            share.notional = (share.notional or Decimal(0)) + held
            symbols = {position.symbol for position in snapshot.positions.items}
            share.sweeps += len(BOOKS) * len(symbols)

    def know(self) -> None:
        """Take the present kind for certain: something of the account was seen this way."""
        self.machine.complete(self.known)

    async def ask_kind(self, gateway: "Gateway", *, until: float) -> None:
        """Ask until the kind is known; who asks meanwhile shares the question.

        A standard account answers in the standard APIs and is refused by portfolio margin's; an
        account in portfolio margin the other way round, or its standard lists are empty.
        """
        if self._asking is None or self._asking.is_done:
            self._asking = self.machine.spawn(self._ask(gateway))
        await self.machine.wait([self._asking], until=until)

    async def _ask(self, gateway: "Gateway") -> None:
        while not self.is_kind_known:
            answer = await gateway.ask(requests.PORTFOLIO_MARGIN)
            if isinstance(answer, VenueAnswer):
                await self.machine.sleep(QUESTION_GAP_S)
            elif not self.is_kind_known:
                self._be(Margin.PORTFOLIO if answer else Margin.STANDARD)

    def _be(self, margin: Margin) -> None:
        if margin is not self.margin:
            self.machine.budget.begin(LIMITS_BY_MARGIN[margin])
        self.margin = margin
        self.know()


class Gateway:
    """One product of one account: what its procedures ask, and what of the machine they need."""

    def __init__(self, account: Account, product: Product) -> None:
        """Begin with everything allowed."""
        machine = account.machine
        self.account = account
        self.product = product
        self.limits = Allowance(machine.deadline, machine.budget)
        self.interruption = machine.interruption
        self.spawn = machine.spawn
        self.on_disk = machine.on_disk
        self.sleep_until = machine.sleep_until
        self.sleep = machine.sleep
        self.turn = machine.turn
        self.wait = machine.wait
        self.join = machine.join
        self.together = machine.together
        self.finish = machine.finish
        self.end = machine.end
        self._machine = machine

    @property
    def now(self) -> float:
        """The moment of the machine's last event."""
        return self._machine.now

    @property
    def deadline(self) -> Deadline:
        """When the run has to be over."""
        return self._machine.deadline

    def note(self, event: AuditEvent) -> None:
        """Have the event appended to the trail, with the product that it is about."""
        self._machine.note(event._replace(details={**event.details, "product": self.product.value}))

    def addressed(self, request: Request[T]) -> Request[T]:
        """Return the request as the present kind of account is asked it."""
        return replace(request, margin=request.margin or self.account.margin)

    @property
    def may_write(self) -> bool:
        """Whether a close or cancel could still leave."""
        return self.limits.may_write(self.now)

    async def ask(self, request: Request[T]) -> T | VenueAnswer:
        """Return what a reading gave, or why it gave nothing; pauses and limits are waited for."""
        return await self._pass(request, until=self.deadline.ends)

    async def write(
        self,
        request: Request[T],
        *,
        is_last: bool = False,
        veto: Callable[[], str | None] | None = None,
    ) -> T | VenueAnswer:
        """Return the venue's answer to a close or cancel, `Halted` when it may not leave any more.

        `is_last` marks the sweep, which may leave in the time kept for the last reading. `veto` is
        asked at the last moment: what waited for the limits may be wrong by then.
        """
        if is_last:
            if self.limits.budget.is_stopped or self.limits.fatal is not None:
                return Halted.of()
            return await self._pass(request, until=self.deadline.ends, veto=veto)
        if not self.may_write:
            return Halted.of()
        return await self._pass(request, until=self.deadline.work_until, veto=veto)

    async def sync_clock(self) -> None:
        """Set the clock from the venue's; who asks meanwhile shares the measurement."""
        account = self.account
        if account.clock is None or account.clock.is_done:
            if account.clock_syncs >= CLOCK_SYNCS_MAX:
                return
            account.clock_syncs += 1
            cut_at = self.now + self.limits.call_max_s
            question = requests.clock(self.product)
            account.clock = self.spawn(self._machine.send(question, cut_at))
        self.limits.note_clock(await self.join(account.clock), self.now)

    async def _pass(
        self,
        request: Request[T],
        *,
        until: float,
        veto: Callable[[], str | None] | None = None,
    ) -> T | VenueAnswer:
        request = self.addressed(request)
        # An order is never sent twice under one id: whoever sends it reacts himself.
        may_repeat = request.endpoint is not Endpoint.SUBMIT_ORDER
        while True:
            if (refusal := await self._turn(request, until)) is not None:
                return refusal
            if veto is not None and (why := veto()) is not None:
                return Halted.of(why)
            sent_at, cut_at = self.now, self.limits.cut_at(request.endpoint, self.now)
            if cut_at <= sent_at:
                return not_sent("the deadline left no time for a request")
            try:
                answer = await self._machine.send(request, cut_at)
            finally:
                if request.spec.is_write:
                    self.limits.write_s = self.now - sent_at
            self.limits.note_answer(request, answer, sent_at, self.now)
            # Each kind of account has a count of its own, and the spot host another.
            if request.spec.api in _COUNTED[self.account.margin]:
                self.limits.budget.note_usage(self._machine.usage, self.now)
            is_late = isinstance(answer, VenueAnswer) and answer.code == TIMESTAMP
            if not (is_late and may_repeat):
                return answer
            may_repeat = False
            await self.sync_clock()

    async def _turn(self, request: Request[Any], until: float) -> VenueAnswer | None:
        """Wait out a pause and the venue's limits; return why not, where that outlasts `until`."""
        while True:
            ready_at = self.limits.ready_at(request, self.now)
            if ready_at >= until:
                return self.limits.refusal_of(request, self.now)
            if ready_at <= self.now:
                self.limits.budget.note_sent(request, self.now)
                return None
            notional = request.close.notional if request.close else Decimal(0)
            await self.sleep_until(ready_at, notional=notional)
            if request.spec.is_write and not self.may_write and until < self.deadline.ends:
                return Halted.of()
