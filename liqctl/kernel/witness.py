"""The witness: what the key of the owner's master account sees of an account that reads flat.

A sub-account's own key proves it flat by its own lists. The master's key reads the positions of the
sub-accounts by another way, and can do nothing in them. So it may only make a verdict worse: what
it sees open is open until somebody has looked, what it does not see or does not say proves nothing.

    own lists flat, the master sees a position   contradicts: PARTIAL
    own lists flat, the master sees none         agrees
    refused, late, unreadable, not matched       silent: nothing changes

Which sub-account is whose is known by its API keys, that are asked for while the runs work. An
email is personal: it is shown by its first letters only.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from liqctl.kernel import pacing, requests
from liqctl.kernel.amounts import count
from liqctl.kernel.answers import AnswerKind, VenueAnswer, not_sent, unreadable_rows
from liqctl.kernel.errors import Secret
from liqctl.kernel.machine import Machine, Task
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.requests import Request, SubAccount
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import Rows

T = TypeVar("T")
Seen = Mapping[Product, Rows[str] | VenueAnswer]

_SHOWN: Final = 2
_EMAIL: Final = re.compile(r"[^\s@%<>()\"',;:=&]+(?:@|%40)[^\s@<>()\"',;:&]+")
_ENDS_ALL: Final = frozenset({AnswerKind.RUN_FATAL, AnswerKind.PAUSE})
_MAY_BE_REPEATED: Final = frozenset({AnswerKind.TRANSIENT, AnswerKind.UNKNOWN})


class Says(StrEnum):
    """What a witness says of a flat account."""

    AGREES = "agrees"
    CONTRADICTS = "contradicts"
    SILENT = "silent"


class Statement(NamedTuple):
    """The witness's word: `symbols` are where it sees a position, `why` is why it is silent."""

    says: Says = Says.SILENT
    symbols: tuple[str, ...] = ()
    why: str | None = None

    @property
    def is_contradiction(self) -> bool:
        """Whether the account must not be called flat."""
        return self.says is Says.CONTRADICTS

    def json_fields(self) -> dict[str, object]:
        """Return what documents tell; why stands in a note."""
        return {"says": self.says, "symbols": self.symbols}


NOT_ASKED: Final = Statement()
"""Of an account that its own lists do not show flat there is nothing to be witnessed."""


def silent(why: str) -> Statement:
    """Return that the witness says nothing, and why; emails in the venue's words are masked."""
    return Statement(why=mask_emails(why))


def mask_email(email: str) -> str:
    """Return an email so that its owner recognises it and nobody else learns it.

    >>> mask_email("desk-a@example.com"), mask_email("me@example.com")
    ('de…@…', 'm…@…')
    """
    local = email.partition("@")[0]
    return f"{local[: _SHOWN if len(local) > _SHOWN else 1]}…@…"


def mask_emails(text: str) -> str:
    """Return a text of others with every email in it masked.

    >>> mask_emails("no user desk+a@example.com; email=desk%40example.com")
    'no user de…@…; email=de…@…'
    """
    return _EMAIL.sub(lambda found: mask_email(found[0].replace("%40", "@")), text)


def judge(seen: Seen, policy: LiquidationConfig, margin: Margin) -> Statement:
    """Return what the master's readings say of an account that its own lists show flat."""
    by_product = policy.by_product
    symbols = {
        symbol
        for product, rows in seen.items()
        if isinstance(rows, Rows)
        for symbol in rows.items
        if by_product[product].covers(symbol)
    }
    if symbols:
        return Statement(says=Says.CONTRADICTS, symbols=tuple(sorted(symbols)))
    for rows in seen.values():
        if isinstance(rows, VenueAnswer):
            return silent(f"its positions could not be read: {rows.describe()}")
        if rows.unreadable:
            return silent(unreadable_rows(rows.unreadable).message)
    if margin is Margin.PORTFOLIO:
        # Assumed: Binance does not say whether these lists show positions in portfolio margin.
        return silent("it shows no position, which says nothing of an account in portfolio margin")
    return Statement(says=Says.AGREES)


class Master:
    """A master's key: which sub-account each key belongs to, and what is open there.

    One for all accounts of a command. It has a machine of its own, with limits of its own: a ban or
    a refusal that it meets stops nothing else.
    """

    def __init__(
        self, machine: Machine, accounts: Mapping[Secret, str | None], *, own: Secret
    ) -> None:
        """Begin to ask which sub-accounts these keys belong to.

        `accounts` are their names by their keys; `own` is the master's key itself.
        """
        self._machine = machine
        self._own = own
        self._names = [name.lower() for name in accounts.values() if name]
        self._known: dict[Secret, Task[None]] = {key: Task(None) for key in accounts if key != own}
        self._emails: dict[Secret, str] = {}
        self._unlisted: VenueAnswer | None = None
        self._unread: VenueAnswer | None = None
        self._refusal: VenueAnswer | None = None
        self._asked: set[str] = set()
        self._unasked = 0
        self.listed: tuple[SubAccount, ...] = ()
        self.learning = machine.spawn(self._learn())

    async def testify(
        self,
        key: Secret,
        policy: LiquidationConfig,
        margin: Margin,
        *,
        answered_at: float = float("-inf"),
    ) -> Statement:
        """Return what the master says of the account of this key, which its own lists show flat.

        A position that it sees is asked for once more before it counts, where time is left: lists
        lag. `answered_at` is when anything sent for the account was last answered.
        """
        machine = self._machine
        if key == self._own:
            return silent("the account's key is the master's own, which is no second way")
        if not policy.close_positions:
            return silent("it lists positions, and they were not to be closed")
        latest = machine.deadline.ends - pacing.DISK_END_MIN_S
        until = min(machine.now + pacing.WITNESS_WAIT_S, latest)
        await machine.wait(
            [self._known.get(key, self.learning), machine.interruption], until=until, first=True
        )
        email = self._emails.get(key)
        if email is None:
            why = "it did not answer in time which sub-account this is"
            if self.learning.is_done:
                why = self.problem or "none of its sub-accounts has this account's key"
            return silent(why)
        seen = await self._read(email, policy.by_product, until)
        first = judge(seen, policy, margin)
        again_at = max(machine.now + pacing.WITNESS_PAUSE_S, answered_at + pacing.LAG_GRACE_S)
        if not first.is_contradiction or again_at >= latest:
            return first
        await machine.wait([machine.interruption], until=again_at)
        until = min(machine.now + pacing.WITNESS_WAIT_S, latest)
        doubted = [product for product, rows in seen.items() if _shows_any(rows)]
        again = await self._read(email, doubted, until)
        # What is not answered in full takes nothing back.
        told = {product: rows for product, rows in again.items() if _shows_any(rows, nothing=True)}
        return judge({**seen, **told}, policy, margin)

    async def survey(self) -> list[tuple[SubAccount, int | None]]:
        """Return the sub-accounts of none of the keys, and how many positions each has.

        The count is None where it could not be read in full. One whose keys were not read may be
        covered, unless every key has its sub-account: it is left out.
        """
        await self._machine.wait([self.learning])
        covered = set(self._emails.values())
        is_complete = len(self._emails) == len(self._known)
        left = [
            sub
            for sub in self.listed
            if sub.email not in covered and (is_complete or sub.email in self._asked)
        ]

        async def count_of(sub: SubAccount) -> int | None:
            seen = await self._read(sub.email, Product, self._machine.deadline.ends)
            read = [each for each in seen.values() if isinstance(each, Rows)]
            is_whole = len(read) == len(seen) and not any(rows.unreadable for rows in read)
            return sum(len(rows.items) for rows in read) if is_whole else None

        found: list[tuple[SubAccount, int | None]] = []
        for start in range(0, len(left), pacing.WITNESS_AT_ONCE):
            part = left[start : start + pacing.WITNESS_AT_ONCE]
            counts = await self._machine.together([count_of(sub) for sub in part])
            found += zip(part, counts, strict=True)
        return found

    @property
    def problem(self) -> str | None:
        """Why it is not known whose every sub-account is, None where it is."""
        if self.learning.error is not None:
            return "a fault of liqctl itself"
        refusal = self._refusal or self._unlisted
        if refusal is None and len(self._emails) < len(self._known):
            refusal = self._unread
        if refusal is not None:
            return mask_emails(refusal.describe())
        if self._unasked and len(self._emails) < len(self._known):
            return f"the keys of {count(self._unasked, 'sub-account')} were not asked for"
        return None

    async def _read(self, email: str, products: Iterable[Product], until: float) -> Seen:
        """Return what is open in each product, as far as it is told until then."""
        machine = self._machine
        questions = {
            product: machine.spawn(self._ask(requests.sub_positions(email, product), until))
            for product in products
        }
        everything = machine.spawn(machine.finish(list(questions.values())))
        await machine.wait([everything, machine.interruption], until=until, first=True)
        machine.end(everything)
        late = not_sent("no answer in time")
        return {product: each.result or late for product, each in questions.items()}

    async def _learn(self) -> None:
        """Find the sub-account of each key; stop as soon as all are found."""
        try:
            await self._machine.sleep(pacing.WITNESS_HEAD_START_S)
            for page in range(1, pacing.WITNESS_PAGES_MAX + 1):
                answer = await self._ask(requests.sub_accounts(page))
                if isinstance(answer, VenueAnswer):
                    self._unlisted = answer
                    break
                self.listed += answer.items
                if answer.unreadable:
                    self._unlisted = unreadable_rows(answer.unreadable)
                if len(answer.items) + len(answer.unreadable) < requests.SUB_ACCOUNTS_MAX:
                    break

            # The keys of one that is named like an account are asked for first.
            def is_hinted(sub: SubAccount) -> bool:
                return any(name in f"{sub.email} {sub.remark}".lower() for name in self._names)

            due = sorted(self.listed, key=is_hinted, reverse=True)
            self._unasked = max(len(due) - pacing.WITNESS_KEYS_MAX, 0)
            due = due[: pacing.WITNESS_KEYS_MAX]
            for start in range(0, len(due), pacing.WITNESS_AT_ONCE):
                if len(self._emails) == len(self._known) or self._refusal is not None:
                    return
                part = due[start : start + pacing.WITNESS_AT_ONCE]
                await self._machine.together([self._ask_keys(sub) for sub in part])
        finally:
            for known in self._known.values():
                self._machine.complete(known)

    async def _ask_keys(self, sub: SubAccount) -> None:
        answer = await self._ask(requests.sub_keys(sub.email))
        if isinstance(answer, VenueAnswer):
            self._unread = answer
            return
        self._asked.add(sub.email)
        for key in answer:
            if key in self._known:
                self._emails[key] = sub.email
                self._machine.complete(self._known[key])

    async def _ask(self, request: Request[T], until: float = float("inf")) -> T | VenueAnswer:
        """Return the answer, after some tries; once refused, the master is asked nothing more."""
        machine = self._machine
        until = min(until, machine.deadline.ends - pacing.CALL_MARGIN_S)
        answer: T | VenueAnswer = not_sent("no time was left to ask")
        for tries in range(pacing.WITNESS_TRIES_MAX):
            if tries:
                await machine.sleep(pacing.QUESTION_GAP_S)
            if self._refusal is not None:
                return self._refusal
            cut_at = min(machine.now + pacing.CALL_MAX_S, until)
            if cut_at <= machine.now:
                return answer
            answer = await machine.send(request, cut_at)
            if not isinstance(answer, VenueAnswer):
                return answer
            if answer.kind in _ENDS_ALL or answer.is_rate_limit:
                self._refusal = answer
            if answer.kind not in _MAY_BE_REPEATED:
                return answer
        return answer


def _shows_any(rows: Rows[str] | VenueAnswer, *, nothing: bool = False) -> bool:
    """Return whether a reading shows a position; with `nothing`, or tells in full of none."""
    if isinstance(rows, VenueAnswer):
        return False
    return bool(rows.items) or (nothing and not rows.unreadable)
