"""One liquidation: rounds of reading, planning, sending and reading again, until proven flat.

A round never waits for a straggler: what is still under way when the patience ends keeps its leg
out of the next plan, and nothing else. Flat is *seen* in one reading and *proven* by a window of
them (`liqctl.kernel.proof`); nothing that is open waits for the window.
"""

from collections.abc import Callable, Mapping
from typing import Any

from liqctl.kernel import events, pacing
from liqctl.kernel.costs import look_weight
from liqctl.kernel.gateway import Parts
from liqctl.kernel.machine import Task
from liqctl.kernel.outcome import Ending, Outcome, open_legs
from liqctl.kernel.plan import Memory, Planner, SymbolPlan
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import Verdict, verify
from liqctl.kernel.reading import NOTHING_READ, Questions, Reader
from liqctl.kernel.sending import Cancels, Closes
from liqctl.kernel.state import Looks, RunState, SideReadings, Watch
from liqctl.kernel.states import Product
from liqctl.kernel.values import Leg, OrderKind, Snapshot
from liqctl.kernel.words import explain_unread


class Liquidation:
    """The rounds of one liquidation; `converge` is the procedure, `outcome` what is known of it."""

    def __init__(
        self,
        reader: Reader,
        firsts: Mapping[Product, Task[Snapshot]],
        policy: LiquidationConfig,
        *,
        order_tag: str,
        jitter: Callable[[], float],
    ) -> None:
        """Go on from the first readings, which are under way; nothing is sent before `converge`.

        `order_tag` marks the run's client order ids; `jitter` gives a number from -1 to 1 for each
        backoff.
        """
        gateway = reader.gateway
        self.side = SideReadings(reader)
        self._gateway = gateway
        self._reader = reader
        self._first = firsts[gateway.product]
        self._policy = policy
        self._state = RunState(gateway, policy, order_tag)
        self._questions = Questions(reader, policy, tuple(firsts.values()))
        self._watch = Watch(self._state, self._questions)
        # Seconds the run waited, by what it waited for.
        self._spent = dict.fromkeys(("reading", "cancelling", "closing", "waiting"), 0.0)
        self._looks = Looks(self._state, reader)
        self._cancels = Cancels(self._state, reader, jitter)
        self._closes = Closes(self._state, order_tag, jitter, self._looks.close_sent)
        self._tasks: dict[Task[None], str] = {}
        self._follow_ups: dict[Leg, Task[None]] = {}
        self._last_look_ups: Task[Any] = Task(None)
        self._swept_unseen: set[str] = set()
        self._sweeps: set[Task[None]] = set()
        self._reread_s = pacing.REREAD_MIN_S
        self._snapshot = NOTHING_READ
        self._verdict = verify(NOTHING_READ, policy)
        self._missing: tuple[str, ...] = ()
        self._silent: tuple[str, ...] = ()
        self._unread: str | None = "the account was never read"

    @property
    def is_stale(self) -> bool:
        """Whether the last reading began before the account's last answer, or long before its end.

        Between two readings of a product that waits for another only its positions are looked at.
        Where no time is left to read anew, one that is no older than a list may lag stands.
        """
        account, snapshot, gateway = self._gateway.account, self._snapshot, self._gateway
        has_time = gateway.now < gateway.deadline.work_until
        apart_s = pacing.PROOFS_APART_S if has_time else pacing.LAG_GRACE_S
        is_old = snapshot.finished_at < account.unproven.through_at - apart_s
        return is_old or snapshot.started_at < account.answered_at

    def note_write(self) -> None:
        """Note that something that may move this product's positions was answered now."""
        self._state.wrote()

    @property
    def _is_interrupted(self) -> bool:
        return self._gateway.interruption.is_done

    async def converge(self) -> Ending:
        """Work until the account is proven flat or no write may start; then read once more."""
        gateway = self._gateway
        rounds = gateway.spawn(self._rounds_until_done())
        await gateway.wait([rounds], until=gateway.deadline.work_until)
        ending = rounds.value if rounds.is_done else Ending.DEADLINE
        gateway.end(rounds)
        self._looks.end()
        if ending not in {Ending.FLAT, Ending.UNKNOWN_SYMBOL}:
            # Stop what is still under way; an order without an answer is unknown from here on.
            gateway.end_writes()
            if self._is_interrupted:
                await gateway.wait(self._tasks, until=gateway.now + gateway.call_max_s)
            is_cut = bool(self._tasks)
            self._end_tasks()
            if is_cut:
                self._state.wrote()
            ending = await self._last_reading(ending)
            self._end_tasks()
        self._questions.end()
        self._missing = self._watch.missing(self._verdict, self._snapshot)
        return ending

    async def _rounds_until_done(self) -> Ending:
        while self._state.rounds < pacing.ROUNDS_MAX:
            if self._is_interrupted:
                return Ending.INTERRUPTED
            verdict = await self._read()
            if self._is_over:
                return Ending.STOPPED
            if self._shows_nothing and self._snapshot.age_s:
                continue  # What an armed process knew makes orders, never a proof.
            if self._shows_nothing and self._is_settled() and not self._questions.unknown_symbols:
                if not self._watch.window_s:
                    await self._questions.answered(timeout_s=self._gateway.call_max_s)
                account = self._gateway.account
                if self._snapshot.is_brief or not self._watch.is_proven():
                    account.unproven.add(self._gateway.product)
                    await self._watch_on()
                elif await self._others_through(account.unproven) and not self.is_stale:
                    return self._prove()
                continue
            for parts in (self._gateway.account.unproven, self._gateway.account.working):
                parts.add(self._gateway.product)
            if verdict.is_flat and self._tasks and self._tasks.keys() <= self._sweeps:
                await self._sweeps_answered()
                continue
            ending = await self._pursue(verdict)
            if ending is not None:
                return ending
        return Ending.NOTHING_LEFT_TO_TRY

    async def _pursue(self, verdict: Verdict) -> Ending | None:
        """Do what the last reading asks for; return why nothing more is to be tried, if so."""
        gateway, state, side = self._gateway, self._state, self.side
        listed = [key for key, order in state.orders.items() if order.present]
        memory = Memory(
            legs=state.legs,
            orders=state.orders,
            rules=side.rules,
            marks=side.marks,
            mode=side.mode,
            looks=state.looks,
            began_at=state.began_at,
            began_ms=state.began_ms,
            window_s=self._watch.window_s,
            entered=frozenset(state.entered),
            swept=frozenset(self._swept_unseen),
            conditionals=sum(kind is OrderKind.ALGO for _, kind, _ in listed),
            now=gateway.now,
        )
        planner = Planner(self._snapshot, memory, self._policy)
        side.want(state.legs, rules=planner.needs_rules)
        busy, planned, launched = set(self._tasks.values()), list[SymbolPlan](), False
        for symbol_plan in planner.symbols():
            planned.append(symbol_plan)
            if symbol_plan.symbol not in busy and gateway.may_write:
                task = gateway.spawn(self._work(symbol_plan))
                self._tasks[task] = symbol_plan.symbol
                launched = True
            if len(planned) == pacing.PLANNED_FIRST:
                # The largest leave before the rest is planned, which would keep the disk waiting.
                await gateway.on_disk()
                await gateway.turn()
        self._follow_up()
        if self._questions.unknown_symbols and not self._tasks:
            return Ending.UNKNOWN_SYMBOL
        if not planned and self._is_hopeless(planner, verdict):
            return Ending.NOTHING_LEFT_TO_TRY
        await self._wait(planner.wake_at, launched=launched)
        return None

    async def _read(self) -> Verdict:
        gateway, state = self._gateway, self._state
        await self._space_out()
        began_at = gateway.now
        # Once all are proven, what is older than the last answer is read again: all wait for it.
        is_due = self._shows_nothing and began_at >= self._watch.due_at
        self._gateway.is_proving |= is_due or not gateway.account.unproven.left
        decides = self._gateway.is_proving or self._gateway.is_closed
        state.rounds += 1
        gateway.account.readings += 1
        known = {leg.symbol for leg in state.legs}
        known |= {key[0] for key in state.orders} | set(self._policy.symbols)
        self.side.want_prices(state.legs)
        if self._snapshot is NOTHING_READ:
            snapshot = await gateway.join(self._first)
            gateway.account.note_first(snapshot)
            self._questions.begin(snapshot)
        else:
            # While something is open the first source is enough: only flat has to be doubted.
            is_evidence = bool(self._verdict.evidence)
            is_vanished = any(record.vanished for record in state.legs.values())
            is_doubted = is_evidence or is_vanished or not open_legs(state.legs)
            is_brief = not (gateway.account.has_weight or (decides and self._has_turn))
            both_sources = is_doubted and not is_brief and self._policy.settle_seconds > 0
            snapshot = await self._reader.snapshot(
                known, both_sources=both_sources, is_brief=is_brief
            )
        self._snapshot = snapshot
        self._gateway.has_read = self._gateway.has_read or snapshot.is_any_read
        self._spent["reading"] += gateway.now - began_at
        gateway.note(events.reading_taken(state.rounds, snapshot))
        was_seen = state.streak.seen_flat
        verdict = self._verdict = state.absorb(snapshot)
        self._gateway.is_proving = False
        if state.streak.seen_flat and not was_seen:
            settle_s, watch_s = self._policy.settle_seconds, self._watch.due_at - gateway.now
            gateway.note(
                events.flat_seen(
                    state.rounds, settle_seconds=settle_s, watch_seconds=max(watch_s, 0.0)
                )
            )
        is_open = snapshot.may_be_portfolio and not gateway.account.is_kind_known
        if snapshot.is_refused and not (is_open or self._gateway.budget.is_key_accepted):
            self._gateway.fatal = snapshot.errors[0]
        self._missing = self._watch.missing(verdict, snapshot)
        self._silent = tuple(sorted(snapshot.silent))
        self._unread = explain_unread(snapshot)
        return verdict

    @property
    def _is_over(self) -> bool:
        return self._gateway.fatal is not None or self._gateway.outlasts_deadline

    async def _space_out(self) -> None:
        """Keep readings apart once there were many: the weight of a minute is about 28 of them.

        The one after a sweep's answer is what the proof waits for; there are two at most.
        """
        account, last_at = self._gateway.account, self._snapshot.started_at
        if account.readings < pacing.QUICK_READINGS or not account.unproven.left:
            return
        if self._gateway.is_closed or (last_at < self._state.last_sweep_at and not self._tasks):
            return
        # What is kept for the last readings is that of every product, proven or not.
        gap_s = pacing.LATE_READING_GAP_S * account.products
        if account.is_early:
            gap_s = pacing.READING_GAP_S * max(len(account.working.left), 1)
        next_at = last_at + gap_s
        if self._verdict.is_flat and last_at < self._watch.due_at:
            next_at = min(next_at, self._watch.due_at)
        await self._rest(next_at)

    async def _rest(self, until: float) -> None:
        gateway, account = self._gateway, self._gateway.account
        began_at, margin = gateway.now, account.margin
        # What was read of another kind of account is worth nothing: that is read at once.
        while gateway.now < until and not self._is_interrupted and account.margin is margin:
            awaited = [task for task in (gateway.interruption, account.known) if not task.is_done]
            await gateway.wait(awaited, until=until, first=True)
        self._spent["waiting"] += gateway.now - began_at

    @property
    def _shows_nothing(self) -> bool:
        """Whether the last reading showed nothing, in as much as it asked for."""
        return self._verdict.is_flat or (self._snapshot.is_brief and self._verdict.is_quiet)

    @property
    def _has_turn(self) -> bool:
        """Whether the reading that decides may be taken now, before those of other accounts."""
        return self._gateway.budget.has_turn(look_weight(self._policy), self._gateway.now)

    def _is_settled(self) -> bool:
        """Whether nothing is under way and the last reading began after the last answer."""
        return self._state.is_settled(self._snapshot) and not self._tasks

    async def _others_through(self, parts: Parts) -> bool:
        """Wait for the account's other products; return whether this one still looks flat then.

        One that needs nothing is watched on while another is worked on.
        """
        gateway, account = self._gateway, self._gateway.account
        parts.drop(gateway.product)
        while parts.left:
            work = [parts.through, gateway.interruption]
            gap_s = pacing.PEER_LOOK_GAP_S if account.is_early else pacing.LATE_READING_GAP_S
            await gateway.wait(work, until=gateway.now + gap_s, first=True)
            if self._is_interrupted:
                return False
            if parts.left and (await self._reader.positions()).items:
                return False
        return True

    def _prove(self) -> Ending:
        """Record that flat is proven."""
        event = events.flat_verified(self._state.streak, kept=len(self._verdict.kept))
        self._gateway.note(event)
        return Ending.FLAT

    async def _watch_on(self) -> None:
        """Wait for the next reading of a flat account; sweep the books shortly before the last.

        Whatever appears meanwhile ends the watch with the next reading.
        """
        due_at = self._watch.due_at
        sweep_at = due_at - self._watch.sweep_lead_s
        if not self._watch.unswept():
            self._gateway.account.working.drop(self._gateway.product)
        if self._gateway.now < sweep_at:
            next_at = self._snapshot.started_at + self._watch.gap_s
            # Short of weight nothing is read in between: the last reading is what counts.
            left = self._gateway.budget.weight_left(self._gateway.now)
            kept = pacing.WATCH_WEIGHT_KEPT * self._gateway.account.products
            if next_at < sweep_at and left > kept:
                await self._rest(next_at)
                return
            await self._rest(sweep_at)
            if self._is_interrupted:
                return
        if plans := self._watch.unswept():
            await self._sweep(plans)
            budget = self._gateway.budget
            budget.sweeps = max(budget.sweeps - sum(len(plan.books) for plan in plans), 0)
        elif self._gateway.now >= due_at:
            # Proven but for an answer that is missing: asked again at the pace of the watch.
            await self._rest(self._gateway.now + self._watch.gap_s)
        await self._rest(due_at)
        while not (self._has_turn or self._is_interrupted):
            await self._rest(self._gateway.now + pacing.TURN_POLL_S)
        # The last reading of each product has to follow the last answer of all.
        await self._others_through(self._gateway.account.working)

    async def _sweep(self, plans: list[SymbolPlan], *, timeout_s: float = float("inf")) -> None:
        for plan in plans:
            task = self._gateway.spawn(self._cancels.cancel(plan))
            self._tasks[task] = plan.symbol
            self._sweeps.add(task)
        await self._sweeps_answered(timeout_s=timeout_s)

    async def _sweeps_answered(self, *, timeout_s: float = float("inf")) -> None:
        """Wait for every sweep, or until it is time to look again whether anything appeared."""
        until = self._gateway.now + min(timeout_s, self._watch.gap_s)
        await self._gateway.wait(self._tasks, until=until)
        self._reap()

    async def _work(self, plan: SymbolPlan) -> None:
        """Cancel, then close one symbol's legs; a slow cancel holds the close back only briefly."""
        gateway, spent = self._gateway, self._spent
        began_at = gateway.now
        cancels = gateway.spawn(self._cancels.cancel(plan))
        if OrderKind.ALGO in plan.books:
            self._swept_unseen.add(plan.symbol)
        try:
            patience_s = self._patience(pacing.CANCEL_PATIENCE_MIN_S)
            if plan.blocks and (OrderKind.REGULAR in plan.books or plan.alone):
                until = began_at + patience_s if plan.closes else None
                await gateway.wait([cancels], until=until)
            spent["cancelling"] = max(spent["cancelling"], gateway.now - began_at)
            closing_at = gateway.now
            await gateway.together([self._closes.close_leg(close) for close in plan.closes])
            if plan.closes:
                spent["closing"] = max(spent["closing"], gateway.now - closing_at)
            legs = [self._state.legs[close.position.leg] for close in plan.closes]
            is_filled = all(leg.is_filled and not (leg.lost or leg.is_shown_since) for leg in legs)
            then = plan.then if is_filled else None
            # A whole book would take what was set since the look, where the answers took long.
            is_late = gateway.now - closing_at > patience_s
            if then and not (then.books and is_late) and await self._looks.sees_flat(plan.symbol):
                await self._cancels.cancel(then)
            await gateway.join(cancels)
        finally:
            gateway.end(cancels)

    def _follow_up(self) -> None:
        """Ask again about orders whose fate is open, beside everything else.

        Those that were still filling keep a second close back; those of a leg that reads flat tell
        whether it was us who closed it.
        """
        for leg, record in self._state.legs.items():
            running = self._follow_ups.get(leg)
            is_asked = record.live or (record.unresolved and record.current is None)
            if is_asked and not record.in_flight and (running is None or running.is_done):
                self._follow_ups[leg] = self._gateway.spawn(self._closes.follow_up(leg))

    async def _wait(self, wake_at: float | None, *, launched: bool) -> None:
        """Wait for what was sent; where nothing was, until it is time to look again."""
        gateway = self._gateway
        began_at = gateway.now
        if launched:
            self._reread_s = pacing.REREAD_MIN_S
            until = began_at + self._patience(pacing.PATIENCE_MIN_S)
            await gateway.wait(self._tasks, until=until)
        else:
            until = began_at + self._reread_s
            if wake_at is not None and not self._tasks:
                until = min(wake_at, began_at + pacing.REREAD_MAX_S)
            work = [*self._tasks, gateway.interruption, *self.side.awaited]
            await gateway.wait(work, until=until, first=True)
            self._spent["waiting"] += gateway.now - began_at
            self._reread_s = min(self._reread_s * 2, pacing.REREAD_MAX_S)
        self._reap()

    def _reap(self) -> None:
        """Forget finished work; what failed for our own fault ends its symbol, not the run."""
        for task in [task for task in self._tasks if task.is_done]:
            symbol = self._tasks.pop(task)
            if task.error is None:
                continue
            # The fault's own words may hold anything, a key too: its name has to do.
            why = f"a fault of liqctl itself: {type(task.error).__name__}"
            for leg in [leg for leg in self._state.legs if leg.symbol == symbol]:
                self._closes.give_up_for_fault(leg, why)
            self._cancels.give_up(symbol, why)

    def _patience(self, least_s: float) -> float:
        trips_s = pacing.PATIENCE_ROUND_TRIPS * self._gateway.rtt_s
        return min(max(least_s, trips_s), pacing.PATIENCE_MAX_S)

    def _is_hopeless(self, planner: Planner, verdict: Verdict) -> bool:
        """Whether nothing is under way, nothing waits, and nothing unread could still be read.

        A list that still shows what a fill has closed is not the last word.
        """
        if self._tasks or self.side.awaited or not verdict.is_readable:
            return False
        if self._state.is_doubtful or verdict.is_quiet:
            return False
        kept = {order.key for order in planner.kept}
        is_open = any(r.current and not r.given_up for r in self._state.legs.values())
        is_listed = any(
            record.present and not record.given_up and key not in kept
            for key, record in self._state.orders.items()
        )
        closes = self._policy.close_positions and is_open
        return not (closes or (self._policy.cancel_orders and is_listed))

    def _end_tasks(self) -> None:
        """End what is under way: whoever reads the result finds nothing that goes on."""
        for task in [*self._tasks, *self._follow_ups.values()]:
            self._gateway.end(task)
        self._tasks.clear()

    async def _last_reading(self, ending: Ending) -> Ending:
        """Read once more in the time kept for it, and again while that could prove something."""
        if self._is_over:
            return ending
        gateway = self._gateway
        until = gateway.deadline.ends
        if ending is Ending.INTERRUPTED:
            until = min(until, gateway.now + pacing.GRACE_S)
        unresolved = [leg for leg, record in self._state.legs.items() if record.unresolved]
        reading = gateway.spawn(self._read_on(ending, until))
        self._last_look_ups = gateway.spawn(
            gateway.together(
                [self._closes.follow_up(leg) for leg in unresolved[: pacing.LAST_LOOK_UPS_MAX]]
            )
        )
        await gateway.wait([reading], until=until)
        gateway.end(reading)
        gateway.end(self._last_look_ups)
        return ending if reading.is_cut else reading.value

    async def _read_on(self, ending: Ending, until: float) -> Ending:
        gateway = self._gateway
        delay_s = pacing.REREAD_MIN_S
        while True:
            # A reading that is cut by the deadline would only hide what this one showed.
            trip_s = (
                max(pacing.LAST_TRIPS * self._gateway.rtt_s, pacing.LAST_TRIP_MIN_S)
                + pacing.CALL_MARGIN_S
            )
            # Reading the positions again would take what the proof of another account may need.
            while self._snapshot.is_brief and self._shows_nothing and not self._has_turn:
                if gateway.now + pacing.TURN_POLL_S + trip_s > until:
                    return ending
                await gateway.sleep(pacing.TURN_POLL_S)
            verdict = await self._read()
            if verdict.is_flat and self._is_settled():
                late = gateway.now >= gateway.deadline.work_until
                if self._watch.is_proven(late=late):
                    return self._prove()
                is_due = late or self._state.streak.watched_s >= self._watch.window_s
                plans = (
                    self._watch.unswept() if is_due and not self._gateway.budget.is_stopped else []
                )
                sweep_s = until - 2 * trip_s - gateway.now
                if plans and sweep_s > 0:
                    await self._sweep(plans, timeout_s=sweep_s)
                    self._end_tasks()
                    continue
            is_hopeful = verdict.is_quiet or self._state.is_doubtful
            if verdict.is_readable and (ending is Ending.INTERRUPTED or not is_hopeful):
                await gateway.wait(
                    [self._last_look_ups], until=gateway.now + pacing.LAST_LOOK_UPS_S
                )
                return ending
            if self._is_over or gateway.now + delay_s + trip_s > until:
                return ending
            await gateway.sleep(delay_s)
            delay_s = min(delay_s * 2, pacing.REREAD_MAX_S)

    def outcome(self) -> Outcome:
        """Return what is known of the run at this moment, as a value that no longer changes."""
        state, questions, gateway = self._state, self._questions, self._gateway
        ban = gateway.budget.pause if gateway.outlasts_deadline else None
        legs = dict(state.legs)
        if gateway.product is Product.COINM:
            # What a contract is worth may have been said only after the leg was read.
            for leg, record in legs.items():
                worth = self._reader.worth(leg.symbol, record.first.size)
                if worth is not None and worth != record.first.notional:
                    legs[leg] = record._replace(first=record.first._replace(notional=worth))
        return Outcome(
            legs=legs,
            orders=tuple(state.orders.values()),
            prices=dict(self.side.prices),
            last_known=(state.last_known,) if state.last_known and gateway.has_read else (),
            unread=self._unread,
            silent=self._silent,
            never_read=state.never_read or frozenset(),
            streak=state.streak,
            missing=self._missing,
            unknown_symbols=questions.unknown_symbols or (),
            unanswered=questions.unanswered,
            refusal=gateway.fatal or ban or gateway.key_refusal,
            strangers=tuple(state.strangers),
            entered=tuple(sorted(state.entered)),
            sweeps=dict(state.sweeps),
            # Who trusts one reading asks for no last cancel, and misses none.
            spared=self._watch.spared if self._policy.settle_seconds else (),
            retries=state.retries,
            time_spent_s=dict(self._spent),
        )
