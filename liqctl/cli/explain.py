"""`liqctl explain`: what a code, state, event or exit code means and what liqctl does about it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from liqctl.cli.options import Options, takes
from liqctl.cli.output import out
from liqctl.kernel.answers import CODES, HTTP_STATUSES, TIMESTAMP, Adaptation, AnswerKind
from liqctl.kernel.errors import UsageError
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.guards import GuardLevel
from liqctl.kernel.policy import Rule
from liqctl.kernel.states import Explained, LiquidationState, OrderState, PositionState, TripCause
from liqctl.kernel.values import OrderStatus
from liqctl.kernel.words import EXIT_CODES

EXPLAIN_SCHEMA: Final = "liqctl.explain/1"
_NEAR_MAX: Final = 3
_WORD_SHOWN_MAX: Final = 40

ADAPTED: Final[Mapping[Adaptation, str]] = {
    Adaptation.CANCEL_FIRST: "Cancels the symbol's orders, reads again and sends the close again.",
    Adaptation.SPLIT: "Sends the close in halves, and halves again as often as needed.",
    Adaptation.ROUND: "Reads the symbol's limits again and rounds the quantity to them.",
    Adaptation.MODE: "Reads the account's position mode again and sends the order in that mode.",
    Adaptation.AGAIN: "Sends limit and market orders in turn until the deadline.",
    Adaptation.LIMIT_IOC: "Sends limit orders inside the price band and market orders in turn, "
    "until the deadline.",
    Adaptation.REPRICE: "Sends the next limit order at the price that the venue names.",
}
"""What liqctl does about a refusal for which it changes the order."""

_SPECIAL: Final = {TIMESTAMP: "Sets its clock by the venue's and sends the request again."}

_ARM_STATES: Final[Mapping[str, tuple[str, str | None]]] = {
    "ARMED": ("`arm` watches the account and has everything that it needs", None),
    "DEGRADED": (
        (
            "`arm` watches the account, but lacks something, such as a stream, recent readings or "
            "the heartbeat; handovers and signals work as before"
        ),
        "Read the reason in `liqctl status`. A stream is connected anew by itself.",
    ),
    "BLIND": (
        (
            "`arm` has neither a stream nor a recent reading: guards see nothing; handovers, "
            "signals and the heartbeat work as before"
        ),
        "Look at the account by hand, then at the network and at `liqctl validate --online`.",
    ),
    "TRIPPED": (
        "`arm` closes the account, or holds it flat; then it ends with that run's exit code",
        "Follow it with `liqctl status --watch`.",
    ),
    "LATCHED": (
        "`arm` tripped before: nothing watches the account, and `arm` refuses to start (exit 9)",
        "Find out why with `liqctl status`, then arm it again with `liqctl arm --rearm`.",
    ),
}
"""What `status` calls an armed process, and what to do about it."""

_KIND_WORDS: Final = {
    "exit": "exit code",
    "code": "venue code",
    "http": "HTTP status",
    "state": "run state",
    "run": "run state",
    "position": "position state",
    "order": "order state",
    "status": "order status",
    "event": "event",
    "arm": "state of arm",
    "trip": "trip cause",
    "guard": "guard rule",
    "level": "guard level",
}
"""What may stand before a word to say which kind of it is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One meaning of a word; `liqctl_does` and `next` are None where there is nothing to say."""

    word: str
    kind: str
    meaning: str
    liqctl_does: str | None = None
    next: str | None = None


@takes("words", "as_json")
def explain(options: Options) -> None:
    """Tell what a venue code, state, event or exit code means and what liqctl does about it.

    The word before it can name its kind: exit, code, http, run, position, order, status, event,
    arm, trip, guard, level.
    Exit codes: 0, 2 a word is not known; the message names the nearest ones.

    Example: liqctl explain -2015 PARTIAL exit 8
    """
    found = look_up(options.words)

    def render(_: object, **__: object) -> str:
        told = []
        for each in found:
            lines = [f"{each.word} ({each.kind})", f"  means   {each.meaning}"]
            lines += [f"  liqctl  {each.liqctl_does}"] if each.liqctl_does else []
            lines += [f"  next    {each.next}"] if each.next else []
            told.append("\n".join(lines))
        return "\n\n".join(told)

    out.document({"schema": EXPLAIN_SCHEMA, "meanings": found}, options, render)


def look_up(words: Sequence[str]) -> list[Meaning]:
    """Return every meaning of the words, in their order.

    Raises:
        UsageError: a word is not known.
    """
    found: list[Meaning] = []
    kind: str | None = None
    waiting = [part for word in words for part in word.split()]
    for index, word in enumerate(waiting):
        named = _KIND_WORDS.get(word.lower())
        if kind is None and named is not None and index + 1 < len(waiting):
            kind = named
            continue
        # A venue's code may be typed without its minus.
        those = [
            each
            for each in all_meanings()
            if kind in {None, each.kind}
            and (
                word.upper() == each.word.upper()
                or (each.kind == "venue code" and f"-{word}" == each.word)
            )
        ]
        if not those:
            raise UsageError(_unknown(word, kind))
        found += those
        kind = None
    return found


def all_meanings() -> Iterator[Meaning]:
    """Yield everything that can be explained."""
    for exit_code, (meaning, then) in EXIT_CODES.items():
        yield Meaning(word=str(int(exit_code)), kind="exit code", meaning=meaning, next=then)
    for code, row in CODES.items():
        does = _SPECIAL.get(code, row.kind.does)
        if row.adaptation is not None:
            does = ADAPTED[row.adaptation]
        yield Meaning(word=str(code), kind="venue code", meaning=row.words, liqctl_does=does)
    for number, status in HTTP_STATUSES.items():
        does = status.kind.does
        yield Meaning(
            word=str(number), kind="HTTP status", meaning=status.meaning, liqctl_does=does
        )
    for answer in AnswerKind:
        yield Meaning(
            word=answer, kind="kind of answer", meaning=answer.meaning, liqctl_does=answer.does
        )
    for state, (meaning, advice) in _ARM_STATES.items():
        yield Meaning(word=state, kind="state of arm", meaning=meaning, next=advice)
    words: Mapping[str, type[Explained]] = {
        "run state": LiquidationState,
        "position state": PositionState,
        "order state": OrderState,
        "order status": OrderStatus,
        "event": AuditEventType,
        "trip cause": TripCause,
        "guard rule": Rule,
        "guard level": GuardLevel,
    }
    for kind, members in words.items():
        for member in members:
            yield Meaning(word=str(member), kind=kind, meaning=member.meaning)


def _unknown(word: str, kind: str | None) -> str:
    """Return that a word is not known, and the nearest ones that are."""
    from difflib import get_close_matches

    from liqctl.kernel.answers import printable
    from liqctl.kernel.errors import hide_secrets

    known = dict.fromkeys(each.word for each in all_meanings() if kind in {None, each.kind})
    shown = hide_secrets(printable(word, _WORD_SHOWN_MAX))
    number = word.lstrip("-")
    if number.isdecimal() and len(number) < _WORD_SHOWN_MAX:
        # Codes without their minus are typed too.
        wanted = -int(number) if word.startswith("-") else int(number)
        numbers = [each for each in known if each.lstrip("-").isdecimal()]
        numbers.sort(key=lambda each: min(abs(int(each) - wanted), abs(abs(int(each)) - wanted)))
        near = numbers[:_NEAR_MAX]
    else:
        by_capitals = {each.upper(): each for each in reversed(known)}
        like = word.upper()[:_WORD_SHOWN_MAX]
        near = [
            by_capitals[each]
            for each in get_close_matches(like, by_capitals, n=_NEAR_MAX, cutoff=0.0)
        ]
    told = f"{shown!r} is not {f'a known {kind}' if kind else 'known'}; nearest: {', '.join(near)}"
    if word.startswith("-") and number.isdecimal():
        told += (
            ". liqctl decides about a code that it does not know by the HTTP status: a 4xx refused "
            "the order, after a 5xx it is looked up"
        )
    return told
