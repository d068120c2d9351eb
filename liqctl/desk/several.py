"""The end screen of several accounts: how each run ended, worst first; the first line tells it all.

What a terminal has no room for is summed up, accounts that are flat before all others.
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Final

from liqctl.desk.result import (
    TONES,
    Asked,
    by_hand,
    commands,
    left_alone,
    meaning,
    proof,
    reasons,
    split_residual,
    steps_of,
    sum_up,
    time_of,
)
from liqctl.desk.text import (
    NOT_READ,
    Part,
    Table,
    Tone,
    clean,
    count,
    fit,
    grouped,
    in_one_line,
    labelled,
    listed,
    money,
    paint,
    tally,
)
from liqctl.kernel.result import WORST_STATES, LiquidationResult, PositionReport, Residual, Results
from liqctl.kernel.states import ExitCode, FailureCause, LiquidationState
from liqctl.kernel.values import Position
from liqctl.kernel.words import explain_twin

_SYMBOLS_MAX: Final = 2
_ACCOUNTS_MAX: Final = 12
"""More of them are not named in a command on a short screen: it repeats what was asked for."""

_SUMS_MIN: Final = 2
"""What was closed and what is left, which every screen tells."""

_UNREAD: Final = "unread"
_LABELS: Final = ("why", "WARNING", "note", _UNREAD)
"""What is told of an account beside its row, in this order; the rest is for its own screen."""

_WHICH: Final = {"--account", "--all-accounts"}
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How the run of one account ended; a twin's is that of the account that it is."""

    result: LiquidationResult
    twin_of: str | None

    @property
    def name(self) -> str:
        return clean(self.result.account or "")

    @property
    def is_open(self) -> bool:
        """Whether something is or may be open, after a dry run that anything is."""
        if self.twin_of:
            return False
        if self.result.dry_run:
            return not self.result.verified_flat
        return self.result.state in {LiquidationState.FAILED, LiquidationState.PARTIAL}

    @property
    def left(self) -> Residual:
        """What is left open, or in a dry run all that is."""
        return split_residual(self.result)[0]

    @property
    def notional(self) -> Decimal:
        return sum((abs(position.notional) for position in self.left.positions), _ZERO)

    @property
    def rank(self) -> tuple[bool, bool, int, bool, bool, Decimal, str]:
        """The order of rows: the worst first, and of equals what is not known, then the largest."""
        result = self.result
        return (
            self.twin_of is not None,
            not self.is_open,
            WORST_STATES.index(result.state),
            result.audit_complete,
            result.residual is not None,
            -self.notional,
            self.name,
        )

    def left_in_words(self, asked: Asked) -> str:
        """Return what is left of an account, in a few words."""
        result = self.result
        if result.state is LiquidationState.SKIPPED:
            return "nothing was read"
        if result.cause is FailureCause.BLOCKED:
            return "another run is at work"
        if result.residual is None:
            return "not known"
        left, still_listed = split_residual(result)
        symbols = _symbols(left.positions)
        told = [f"{money(self.notional)} {symbols}"] if symbols else []
        told += [count(len(left.orders), "order")] if left.orders else []
        if still_listed.positions or still_listed.orders:
            told.append("closed, but still listed")
        if result.never_read:
            told.append("not all was read")
        stays = left_alone(result)
        told += [f"{stays}, as asked"] if stays and result.verified_flat else []
        if not told and result.verified_flat:
            return f"nothing{self.scope_in_words(asked)}"
        return "; ".join(told) or "nothing seen, not proven"

    def scope_in_words(self, asked: Asked) -> str:
        """Return where an account is flat, if it is not everywhere."""
        symbols = (asked.scopes or {}).get(self.result.account or "", ())
        if symbols:
            return f" on {listed([clean(symbol) for symbol in symbols], _SYMBOLS_MAX)}"
        products = self.result.products
        return f" in {products[0].shown} futures" if len(products) == 1 else ""


def render_results(
    results: Results,
    *,
    width: int | None,
    height: int | None,
    colour: bool,
    asked: Asked,
    is_drawn: bool = True,
) -> str:
    """Return how the run of each account ended, worst first; the first line tells it of all.

    A screen that is higher than `height` is made short: rows of flat accounts are summed up first,
    then reasons, and only then rows of accounts that are not flat.
    """
    twins = {explain_twin(name): name for result in results.each if (name := result.account)}
    ends = [
        _End(result=result, twin_of=twins.get(result.error_message or ""))
        for result in results.each
    ]
    ends.sort(key=lambda end: end.rank)
    is_dry = any(end.result.dry_run for end in ends)
    is_rehearsed = is_dry and results.state is LiquidationState.SKIPPED
    word = "DRY RUN" if is_rehearsed else results.state.value
    painted = paint(word, TONES.get(results.state, Tone.BAD), colour=colour)
    head: list[Part] = [(f"{painted}: ", _verdict(ends, asked))]
    # Why accounts are not flat, and what else was noticed; what is the same once.
    by_label: dict[str, list[tuple[str, str]]] = {label: [] for label in _LABELS}
    for end in ends:
        for label, text in () if end.twin_of else reasons(end.result):
            if label in by_label:
                by_label[label].append((end.name, text))
    told = [(label, each) for label, texts in by_label.items() for each in grouped(texts)]
    names = len(ends)
    table = partial(_table, ends, asked, is_dry=is_dry, colour=colour)

    def make(rows: int) -> list[Part]:
        # Reasons take what rows of accounts that are not flat leave.
        few = in_one_line([row for row in told if row[0] != _UNREAD], width)
        number = min(max(rows - sum(end.is_open for end in ends), 1), len(few))
        more = f"and {count(len(few) - number, 'more reason')}; --json lists all"
        few[number:] = [("why", more)] if number < len(few) else []
        below = [*islice(_sums(ends, asked, 0), _SUMS_MIN), *few, *_record(ends, 1)[1:]]
        steps = steps_of(_steps(ends, asked, is_short=True), colour=colour)
        return [*head, *table(max(rows - number, 1)), *labelled(*below), *steps]

    below = labelled(*_sums(ends, asked, names), *told, *_record(ends, names), asked.settings)
    steps = steps_of(_steps(ends, asked, is_short=False), colour=colour)
    whole = [*head, "", *table(names), "", *below, *[""] * bool(steps), *steps]
    return "\n".join(fit(whole, make, width=width, height=height, is_drawn=is_drawn)) + "\n"


def _verdict(ends: Sequence[_End], asked: Asked) -> str:
    """Return how all of it ended, or what a dry run found, in counts."""
    own = [end for end in ends if not end.twin_of]
    states = Counter(end.result.state for end in own)
    if any(end.result.dry_run for end in ends):
        unread = states[LiquidationState.FAILED]
        found = sum(end.is_open for end in own) - unread
        told = f"nothing was sent; something is open on {found} of {count(len(own), 'account')}"
        return f"{told}; {count(unread, 'account')} could not be read in full" if unread else told
    blocked = sum(end.result.cause is FailureCause.BLOCKED for end in own)
    flat, skipped = states[LiquidationState.COMPLETED], states[LiquidationState.SKIPPED]
    if skipped == len(own):
        return meaning(own[0].result, asked)
    as_asked = left_alone(*(end.result for end in own))
    scopes = {end.scope_in_words(asked) for end in own}
    scope = scopes.pop() if len(scopes) == 1 and asked.scopes is not None else " in scope"
    done = "done as asked" if as_asked else f"proven flat{scope}"
    others = {
        "partly": states[LiquidationState.PARTIAL],
        "failed": states[LiquidationState.FAILED] - blocked,
        "left to another run": blocked,
        "skipped": skipped,
        "the same account as another": len(ends) - len(own),
    }
    first = f"{flat} of {count(len(own), 'account')} {done}"
    told = ", ".join(filter(None, (first, tally(others))))
    if any(end.is_open and end.result.cause is not FailureCause.BLOCKED for end in own):
        return f"{told}: the rest may be open"
    is_recorded = all(end.result.audit_complete for end in own)
    return told if is_recorded else f"{told}; the audit trail is incomplete"


def _sums(ends: Sequence[_End], asked: Asked, names_max: int) -> Iterator[tuple[str, str | None]]:
    """Yield what was closed and is left of all accounts, or was found, and the shortest proof."""
    results = [end.result for end in ends if not end.twin_of]
    left = [end for end in ends if end.left.positions or end.left.orders]
    held = sum_up(*(end.left for end in left)) + _on([end.name for end in left], names_max)
    if any(result.dry_run for result in results):
        unread = [end.name for end in ends if end.result.residual is None and not end.twin_of]
        yield "found", f"{held}; not known{_on(unread, names_max)}" if unread else held
        return
    read = [result for result in results if result.positions_found is not None]
    orders = [result for result in results if result.orders_found is not None]
    closed = (
        f"{sum(result.positions_closed or 0 for result in read)} of "
        f"{count(sum(result.positions_found or 0 for result in read), 'position')}, "
        f"{sum(result.orders_cancelled or 0 for result in orders)} of "
        f"{count(sum(result.orders_found or 0 for result in orders), 'order')} cancelled"
    )
    missing = len(results) - min(len(read), len(orders))
    yield "closed", f"{closed}; not read on {count(missing, 'account')}" if missing else closed
    unknown = [end.name for end in ends if end.is_open and end.result.residual is None]
    told = [held] if left else []
    told += [f"not known{_on(unknown, names_max)}"] if unknown else []
    told += [f"{stays}, as asked"] if (stays := left_alone(*results)) else []
    if not told:
        is_open = any(end.is_open for end in ends)
        told = ["nothing was seen, but that is not proven" if is_open else "nothing"]
    yield "left", "; ".join(told)
    flat = [result for result in results if result.verified_flat]
    if flat:
        weakest = min(flat, key=lambda result: (result.settled_seconds, -len(result.unread)))
        on = f", the shortest on {clean(weakest.account or '')}" if len(flat) > 1 else ""
        yield "flat", f"{proof(weakest, asked, 'nothing')}{on}"


def _on(names: Sequence[str], names_max: int) -> str:
    """Return which accounts something is said of; how many, where none may be named."""
    if not names:
        return ""
    return f" on {listed(names, names_max) if names_max else count(len(names), 'account')}"


def _table(
    ends: Sequence[_End], asked: Asked, rows_max: int, *, is_dry: bool, colour: bool
) -> list[Part]:
    """Return how runs ended, or what they would send, and a line for what has no row."""
    right = {1, 2, 3} if is_dry else {2, 3, 4}
    head = ["account", "state", "closed", "cancelled", "flat after", "left"]
    if is_dry:
        head = ["account", "notional", "positions to close", "orders to cancel", "on"]
    rows = []
    for end in ends[:rows_max]:
        result, cells = end.result, [end.name]
        if not is_dry:
            tone = TONES.get(result.state, Tone.BAD)
            cells.append(paint(result.state.value, tone, colour=colour))
        if end.twin_of:
            blank = [""] * (len(head) - len(cells) - 1)
            cells += [*blank, f"same account as {clean(end.twin_of)}"]
        elif is_dry:
            held = sum((abs(position.notional) for position in result.positions), _ZERO)
            closes, cancels = result.positions_found, result.orders_found
            cells += ["?", "?"] if closes is None else [money(held), str(closes)]
            cells.append("?" if cancels is None else str(cancels))
            what = _symbols(result.positions) or ("flat" if result.verified_flat else "no position")
            cells.append(NOT_READ if result.state is LiquidationState.FAILED else what)
        else:
            for done, found in (
                (result.positions_closed, result.positions_found),
                (result.orders_cancelled, result.orders_found),
            ):
                cells.append("?" if found is None else f"{done} of {found}")
            cells.append(f"{result.flat_after_seconds:.2f} s" if result.verified_flat else "-")
            cells.append(end.left_in_words(asked))
        rows.append(cells)
    parts: list[Part] = [Table(head=head, rows=rows, right=right)]
    rest = ends[len(rows) :]
    if rest:
        told = tally(end.result.state.value for end in rest)
        is_open = [end for end in rest if end.is_open]
        left = sum((end.notional for end in is_open), _ZERO)
        of = f", {money(left)} open on {count(len(is_open), 'account')}" if is_open else ""
        parts.append(f"and {count(len(rest), 'more account')}, {told}{of}; --json lists all")
    return parts


def _symbols(positions: Iterable[Position | PositionReport]) -> str:
    return listed(list(dict.fromkeys(clean(p.symbol) for p in positions)), _SYMBOLS_MAX)


def _record(ends: Sequence[_End], names_max: int) -> list[tuple[str, str | None]]:
    """Return what it took, and the runs' names: of accounts that are not flat, if there are any."""
    results = [end.result for end in ends if not end.twin_of]
    is_dry = any(result.dry_run for result in results)
    wanted = [end for end in ends if end.is_open] or ends
    # What was refused before it began has left no record.
    runs = [
        f"{end.name} {clean(end.result.correlation_id)}"
        for end in wanted
        if end.result.audit_head or end.result.requests
    ]
    untold = [end.name for end in ends if not end.result.audit_complete]
    incomplete = f"INCOMPLETE: not every event could be recorded{_on(untold, names_max)}"
    return [
        ("time", time_of(results)),
        ("run", None if is_dry or not runs else listed(runs, names_max)),
        ("audit", incomplete if untold else None),
    ]


def _steps(ends: Sequence[_End], asked: Asked, *, is_short: bool) -> list[str]:
    """Return what to do now: commands for the accounts that need them, then where to click."""
    by_advice: dict[tuple[str, ...], list[_End]] = {}
    for end in ends:
        if advice := () if end.twin_of else tuple(commands(end.result, Asked())):
            by_advice.setdefault(advice, []).append(end)
    look = _looking(asked.options)
    steps: dict[str, None] = {}
    for group in by_advice.values():
        names = {end.result.account for end in group}
        # Under the name of a twin more may be in scope.
        names |= {end.result.account for end in ends if end.twin_of in names}
        wanted = [name for end in ends if (name := end.result.account) in names]
        is_all = len(wanted) == len(ends) or (is_short and len(wanted) > _ACCOUNTS_MAX)
        again = asked.options if is_all else _only(asked.options, wanted)
        its = replace(asked, options=again, look=look)
        if group[0].result.exit_code() in {ExitCode.CREDENTIALS, ExitCode.CONFIGURATION}:
            its = replace(its, look=_looking(again))
        steps |= dict.fromkeys(commands(group[0].result, its))
    clicks = by_hand([end.result for end in ends if end.is_open])
    return [*steps, *clicks[: 1 if is_short else None]]


def _only(options: str, names: Sequence[str | None]) -> str:
    """Return the options of a run of these accounts only.

    >>> _only("--config a.yaml --all-accounts --timeout 10", ["desk-a"])
    '--config a.yaml --timeout 10 --account desk-a'
    >>> _only("--account desk-a --account desk-b", ["desk-b"])
    '--account desk-b'
    """
    kept = [word for pair in _pairs(options) for word in pair if pair[0] not in _WHICH]
    return shlex.join(
        [*kept, *(word for name in names if name for word in ("--account", clean(name)))]
    )


def _looking(options: str) -> str:
    """Return those of the options that a command takes which only looks.

    >>> _looking("--config a.yaml --timeout 10 --account desk-a")
    '--config a.yaml --account desk-a'
    """
    kept = {"--config", *_WHICH}
    return shlex.join([word for pair in _pairs(options) for word in pair if pair[0] in kept])


def _pairs(options: str) -> Iterator[tuple[str, ...]]:
    """Yield each option with its value, where it has one."""
    words = shlex.split(options)
    for at, word in enumerate(words):
        if word.startswith("--"):
            value = words[at + 1 : at + 2]
            yield (word, *(each for each in value if not each.startswith("--")))
