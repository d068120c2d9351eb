"""The way of one product's procedures to the venue, through the machine.

Every request passes `ask` or `write`: deadline, pauses, stops and the venue's limits are kept to
there. Nothing is repeated but what was refused for its timestamp, once, after the clock was set.

Each product has its own gateway, with its own pace, refusals and end, so that what one of them
suffers does not delay the other; the limits, a ban, the clock and the kind of account are one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, TypeVar

from liqctl.kernel import pacing, requests
from liqctl.kernel.answers import (
    FIREWALL,
    TIMESTAMP,
    TOO_MANY_ORDERS,
    AnswerKind,
    VenueAnswer,
    not_sent,
)
from liqctl.kernel.events import AuditEvent
from liqctl.kernel.limits import LIMITS_BY_MARGIN, Priority
from liqctl.kernel.machine import Machine, Task
from liqctl.kernel.pacing import CLOCK_SYNCS_MAX, EARLY_READINGS, QUESTION_GAP_S
from liqctl.kernel.requests import Endpoint, Request
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import BOOKS, OrderKind, Snapshot, exposure_of

T = TypeVar("T")

_COUNTED: Final = {Margin.STANDARD: ("fapi", "dapi"), Margin.PORTFOLIO: ("papi",)}
"""The hosts whose headers tell what is used of the weight that a kind of account has."""

_SPOT: Final = "sapi"
"""A key may be fit for the futures alone, and the spot host has limits of its own."""


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
        own = pacing.WHOLE_READINGS_KEPT * (budget.proof + budget.sweeps)
        if budget.notional is None:  # Nobody's positions were read: all need the same.
            return own * budget.address.accounts <= budget.limits.weight_1m
        return budget.weight_left(self.machine.now) >= own

    def note_first(self, snapshot: Snapshot) -> None:
        """Rank the account, among those of its address, by what a product's first reading shows."""
        budget = self.machine.budget
        if snapshot.positions.complete:
            held = exposure_of(snapshot.positions.items)
            budget.notional = (budget.notional or Decimal(0)) + held
            symbols = {position.symbol for position in snapshot.positions.items}
            budget.sweeps += len(BOOKS) * len(symbols)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted(VenueAnswer):
    """No answer of the venue: the request did not leave, and why."""

    kind: AnswerKind = AnswerKind.TRANSIENT
    message: str = "the run may send nothing more"


class Gateway:
    """One product of one account: what may still be sent of it, and the machine that sends it.

    Attributes:
        budget: what is left of the venue's limits, for both products.
        call_max_s: how long an answer is waited for, of most requests.
        fatal: the refusal that ended the run.
        has_read: whether any list was ever read in full.
        is_proving: whether the reading that may prove the account flat is under way.
        rtt_s: the usual time to an answer.
        write_s: how long the last write took.
    """

    def __init__(self, account: Account, product: Product) -> None:
        machine = account.machine
        self.account = account
        self.product = product
        self.deadline = machine.deadline
        self.budget = machine.budget
        self.call_max_s = min(
            max(machine.deadline.timeout_s * pacing.CALL_SHARE, pacing.CALL_MIN_S),
            pacing.CALL_MAX_S,
        )
        self.fatal: VenueAnswer | None = None
        self.has_read = False
        self.is_proving = False
        self.rtt_s = 0.1
        self.write_s = 0.0
        self._is_closed = False
        self._key_refusals: dict[bool, VenueAnswer] = {}
        self._machine = machine
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

    @property
    def now(self) -> float:
        """The moment of the machine's last event."""
        return self._machine.now

    def note(self, event: AuditEvent) -> None:
        """Have the event appended to the trail, with the product that it is about."""
        self._machine.note(event._replace(details={**event.details, "product": self.product.value}))

    def addressed(self, request: Request[T]) -> Request[T]:
        """Return the request as the present kind of account is asked it."""
        return replace(request, margin=request.margin or self.account.margin)

    def end_writes(self) -> None:
        """Let no further close or cancel pass; readings, and the last sweep, still do."""
        self._is_closed = True

    @property
    def is_closed(self) -> bool:
        """Whether no further close or cancel may pass."""
        return self._is_closed or self.budget.is_stopped

    @property
    def may_write(self) -> bool:
        """Whether a close or cancel could still leave."""
        return not self.is_closed and self.fatal is None and self.now < self.deadline.work_until

    @property
    def key_refusal(self) -> VenueAnswer | None:
        """The refusal of the key that every later write met too, else every later reading."""
        return self._key_refusals.get(True) or self._key_refusals.get(False)

    @property
    def was_refused(self) -> bool:
        """Whether a reading met the rate limit: from then on only what is needed is asked."""
        return self.budget.reads_refused > 0

    @property
    def outlasts_deadline(self) -> bool:
        """Whether a pause forbids every request until the deadline."""
        return self.budget.paused_until >= self.deadline.ends

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
            may_leave, until = not self.budget.is_stopped and self.fatal is None, self.deadline.ends
        else:
            may_leave, until = self.may_write, self.deadline.work_until
        return await self._pass(request, until=until, veto=veto) if may_leave else Halted()

    async def sync_clock(self) -> None:
        """Set the clock from the venue's; who asks meanwhile shares the measurement."""
        account = self.account
        if account.clock is None or account.clock.is_done:
            if account.clock_syncs >= CLOCK_SYNCS_MAX:
                return
            account.clock_syncs += 1
            question = requests.clock(self.product)
            account.clock = self.spawn(self._machine.send(question, self.now + self.call_max_s))
        ahead = await self.join(account.clock)
        if isinstance(ahead, VenueAnswer):
            self._learn(ahead)
        else:
            self.budget.clock_ahead_s = ahead

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
                return Halted(message=why)
            most_s, sent_at = self.call_max_s, self.now
            if request.endpoint is Endpoint.EXCHANGE_INFO:
                most_s = max(most_s, pacing.LARGE_ANSWER_MAX_S)
            cut_at = min(sent_at + most_s, self.deadline.ends - pacing.CALL_MARGIN_S)
            if cut_at <= sent_at:
                return not_sent("the deadline left no time for a request")
            try:
                answer = await self._machine.send(request, cut_at)
            finally:
                if request.spec.is_write:
                    self.write_s = self.now - sent_at
            self._note_answer(request, answer, sent_at)
            # Each kind of account has a count of its own, and the spot host another.
            if request.spec.api in _COUNTED[self.account.margin]:
                self.budget.note_usage(self._machine.usage, self.now)
            is_late = isinstance(answer, VenueAnswer) and answer.code == TIMESTAMP
            if not (is_late and may_repeat):
                return answer
            may_repeat = False
            await self.sync_clock()

    async def _turn(self, request: Request[Any], until: float) -> VenueAnswer | None:
        """Wait out a pause and the venue's limits; return why not, where that outlasts `until`."""
        is_write = request.spec.is_write
        while True:
            wait_s = self._wait_s(request)
            ready_at = max(self.now + wait_s, self.budget.paused_until)
            if not is_write:
                ready_at = max(ready_at, self.budget.reads_not_before)
            if ready_at >= until:
                if is_write:
                    return Halted()
                if self.budget.pause is not None:
                    return not_sent(self.budget.pause.message)
                if wait_s > 0:
                    return not_sent(
                        "the venue's request limits are used up, by this or by other programs"
                    )
                return not_sent("the venue asked to wait until after the deadline")
            if ready_at <= self.now:
                self.budget.note_sent(request, self.now)
                return None
            notional = request.close.notional if request.close else Decimal(0)
            await self.sleep_until(ready_at, notional=notional)
            if is_write and not self.may_write and until < self.deadline.ends:
                return Halted()

    def _wait_s(self, request: Request[Any]) -> float:
        # Nothing can be decided without the first reading nor proven without the last.
        decides = self.is_closed or self.is_proving or not self.has_read
        is_essential = decides and not request.spec.is_write
        priority = Priority.CLOSE if is_essential else None
        return self.budget.delay_s(request, self.now, priority=priority)

    def _note_answer(self, request: Request[Any], answer: object, sent_at: float) -> None:
        """Learn from an answer how fast the venue is, and what it lets pass."""
        spec, is_futures = request.spec, request.spec.api != _SPOT
        is_silence = isinstance(answer, VenueAnswer) and answer.status is None
        if is_futures:
            self.budget.is_silent = is_silence
        if isinstance(answer, VenueAnswer):
            if answer.kind is AnswerKind.RUN_FATAL and is_futures:
                self._key_refusals[spec.is_write] = answer
            self._learn(answer)
            return
        if spec.signed and is_futures and request.endpoint is not Endpoint.PORTFOLIO_MARGIN:
            self.budget.is_key_accepted = True
            self._key_refusals.pop(spec.is_write, None)
        self.rtt_s = 0.7 * self.rtt_s + 0.3 * (self.now - sent_at)

    def _learn(self, answer: VenueAnswer) -> None:
        """Take over from a refusal how long nothing, or no reading, may be sent."""
        budget, now = self.budget, self.now
        budget.note_refusal(answer, now)
        if answer.is_rate_limit and answer.code != TOO_MANY_ORDERS:
            # Readings that left together and were refused together are one refusal.
            budget.reads_refused += int(now >= budget.reads_not_before)
            wait_s = pacing.READ_BACKOFF_S * pacing.READ_BACKOFF_FACTOR**budget.reads_refused
            if answer.retry_after_s is not None:
                wait_s = answer.retry_after_s
            budget.reads_not_before = max(budget.reads_not_before, now + wait_s)
        if answer.kind is not AnswerKind.PAUSE:
            return
        budget.pause = answer
        wait_s = pacing.FIREWALL_PAUSE_S if answer.status == FIREWALL else pacing.BAN_PAUSE_S
        if answer.retry_after_s is not None:
            wait_s = answer.retry_after_s
        if answer.banned_until_ms is not None:
            # The moment is of the venue's clock, which the answer's own date tells to a second.
            epoch_s = self.deadline.began_epoch_s + now - self.deadline.began
            venue_s = epoch_s - budget.clock_ahead_s
            if answer.answered_at_ms is not None:
                venue_s = answer.answered_at_ms / 1000
            wait_s = answer.banned_until_ms / 1000 - venue_s
        budget.paused_until = max(budget.paused_until, now + max(wait_s, 0.0))
