"""The watch over a flat account: when flat is proven, and what is missing from the proof.

Flat is watched for a window, read by two sources, and both books of each symbol that held something
are swept once at its end. What was seen a moment ago and cannot be accounted for begins it anew.
"""

from collections.abc import Iterator

from liqctl.kernel import pacing
from liqctl.kernel.ledger import NO_SWEEP, is_left_over
from liqctl.kernel.plan import SymbolPlan, has_regular_stops, plan_sweep
from liqctl.kernel.proof import Verdict, is_confirmed, reduces_only
from liqctl.kernel.reading import Questions
from liqctl.kernel.state import RunState
from liqctl.kernel.values import OrderKind, Snapshot


class Watch:
    """What the run's readings prove so far."""

    def __init__(self, state: RunState, questions: Questions) -> None:
        self._state = state
        self._gateway = state.gateway
        self._questions = questions

    @property
    def window_s(self) -> float:
        """How long flat is watched: as asked, and no shorter than the longest lag seen here."""
        asked_s = self._state.policy.settle_seconds
        lags = (record.lag_s for record in self._state.legs.values())
        return max(asked_s, *lags, 0.0) if asked_s else 0.0

    @property
    def gap_s(self) -> float:
        """How far readings within the window are apart."""
        return max(self.window_s / pacing.WATCH_READINGS, pacing.WATCH_GAP_MIN_S)

    @property
    def due_at(self) -> float:
        """When the last reading may begin, from which on flat is proven."""
        return min(self._watched_from, self._gateway.deadline.work_until)

    @property
    def _watched_from(self) -> float:
        since = self._state.streak.since
        since = self._gateway.now if since is None else since
        doubted_at = max((at for at, _ in self._doubts()), default=since)
        # A timer may fire a hair early, and a window that is a hair short is none.
        return max(since, doubted_at) + self.window_s + pacing.TIMER_SLACK_S

    @property
    def sweep_lead_s(self) -> float:
        """How long before its end the books are swept."""
        return self._wave_s * (2 if self._is_in_turn else 1)

    @property
    def _wave_s(self) -> float:
        """How long cancels that leave together may take until all are answered."""
        limits = self._gateway.limits
        trips_s = pacing.SWEEP_TRIPS * limits.rtt_s
        return max(trips_s, limits.write_s, pacing.SWEEP_MIN_S)

    @property
    def _is_in_turn(self) -> bool:
        """Whether the two books of a symbol are swept one after the other."""
        return len(self._touched()) > pacing.SWEPT_AT_ONCE_MAX

    def _touched(self) -> set[str]:
        """Return the symbols that held a position or an order."""
        return {leg.symbol for leg in self._state.legs} | {key[0] for key in self._state.orders}

    def is_proven(self, *, late: bool = False) -> bool:
        """Whether flat is proven by the readings so far, the last one included.

        `late` says that no time is left to watch any longer: then a shorter watch counts, unless
        something was open a moment ago that nobody can account for.
        """
        streak = self._state.streak
        if self._questions.unanswered or self._questions.unknown_symbols or not streak.looks:
            return False
        if not self.window_s:
            return True
        is_watched = late or streak.watched_s >= self.window_s
        return (
            is_watched
            and not self._contradictions()
            and self._is_confirmed()
            and not self.unswept()
        )

    def unswept(self) -> list[SymbolPlan]:
        """Return the sweeps that are missing: both books of each symbol that held something."""
        state, since = self._state, self._state.streak.since
        if not state.policy.cancel_orders or since is None:
            return []
        # A stop that no list shows may protect what is open or was opened since.
        guarded = set(state.entered)
        if self._gateway.now < self._watched_from - 2 * self._wave_s:
            # Cut short by the deadline: what vanished may be there, and its stop with it.
            guarded |= {leg.symbol for leg, record in state.legs.items() if record.vanished}
        guarded |= {leg.symbol for leg, record in state.legs.items() if record.current is not None}
        plans = []
        in_turn = self._is_in_turn
        listed = [record.order for record in state.orders.values() if record.present]
        for symbol in sorted(self._touched()):
            if symbol in guarded and (
                # Stops of the regular book go with it; a book not listed yet may hold some.
                not state.has_listed(OrderKind.REGULAR)
                or has_regular_stops(order for order in listed if order.symbol == symbol)
            ):
                continue
            plan = plan_sweep(symbol, with_stops=symbol not in guarded, in_turn=in_turn)
            sweeps = [state.sweeps.get((symbol, book), NO_SWEEP) for book in plan.books]
            if not all(s.sent_at >= since and (s.is_given_up or not s.failed) for s in sweeps):
                plans.append(plan)
        return plans

    def missing(self, verdict: Verdict, snapshot: Snapshot) -> tuple[str, ...]:
        """Return what is missing from the proof of an account that reads flat."""
        if not self._state.streak.looks:
            return ()
        missing = [self._questions.unanswered] if self._questions.unanswered else []
        missing += self._contradictions()
        if verdict.evidence:
            symbols = ", ".join(sorted({order.symbol for order in verdict.evidence}))
            missing.append(f"a stop on {symbols} may belong to a position that no list shows yet")
        if not self._is_confirmed():
            missing.append(f"{' and '.join(sorted(snapshot.silent))} did not answer")
        if not missing and (unswept := sorted({plan.symbol for plan in self.unswept()})):
            missing.append(f"no last cancel of all orders was answered on {', '.join(unswept[:5])}")
        return tuple(missing)

    def _is_confirmed(self) -> bool:
        vanished = any(record.vanished for record in self._state.legs.values())
        return is_confirmed(self._state.streak.looks, is_doubted=vanished)

    def _contradictions(self) -> list[str]:
        """Return why a shorter watch proves nothing: what was open a moment ago.

        A leg that our own confirmed fills closed needs no watch for itself.
        """
        since = self._state.streak.looks[-1].began_at - self.window_s
        return [why for seen_at, why in self._doubts() if seen_at > since]

    def _doubts(self) -> Iterator[tuple[float, str]]:
        """Yield what was seen without an explanation since: when last, and in words."""
        legs, orders = self._state.legs, self._state.orders
        vanished = [record for record in legs.values() if record.vanished]
        for record in sorted(vanished, key=lambda r: (r.leg.symbol, r.last_open_at)):
            why = f"{record.leg.symbol} was open a moment ago and vanished without our order"
            yield record.last_open_at, why
        for symbol, at in sorted(self._state.entered.items()):
            yield at, f"somebody opened {symbol} a moment ago"
        # Its owner or the venue took it, or a list that is older than the one before it.
        gone = [stop for stop in orders.values() if stop.gone and reduces_only(stop.order)]
        for stop in sorted(gone, key=lambda r: (r.order.symbol, r.shown_at)):
            leg = legs.get(stop.order.leg)
            if not is_left_over(stop, leg, began_ms=self._state.began_ms):
                what = f"a stop on {stop.order.symbol} was there a moment ago"
                yield stop.shown_at, f"{what} and vanished without our cancel"
