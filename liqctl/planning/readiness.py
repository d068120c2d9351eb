"""What the venue told of itself, the key and the account, before the emergency."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from liqctl.domain.account import PositionMode, Snapshot
from liqctl.domain.answers import VenueAnswer
from liqctl.planning.budget import Limits


class Question(StrEnum):
    """What is asked of the venue."""

    REACHABLE = "reachable"
    CLOCK = "clock"
    SYMBOLS = "symbols"
    ACCOUNT = "account"
    MODE = "position mode"
    RIGHTS = "key rights"
    LIMITS = "limits"
    ORDER = "test order"
    MARGIN = "margin"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRights:
    """What a key may do; a switch that sits unused wants futures, a bound IP and no withdrawals.

    None is what the venue did not tell: nothing is claimed of it.
    """

    futures: bool
    withdrawals: bool | None
    ip_restricted: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueFacts:
    """Answers to the questions of a preflight; None where there was none.

    Attributes:
        refusals: why a question stayed open.
        round_trip_s: median of five pings.
        clock_ahead_s: our clock less the venue's, in seconds.
        rehearsed: the symbol on which the venue accepted a test of a reducing order.
        pings: how many pings that is the median of.
        is_portfolio_margin: None when the venue did not tell.
        not_trading: symbols with a position or order that the venue does not trade now, or does
            not list.
        asked_s: how long all of it took.
        requests: how many requests that were.
        weight_used_by_others: request weight of this address in the minute, before ours; -1 when
            the venue did not say.
    """

    refusals: Mapping[Question, VenueAnswer] = field(default_factory=dict)
    round_trip_s: float | None = None
    pings: int = 0
    clock_ahead_s: float | None = None
    has_key: bool = True
    snapshot: Snapshot | None = None
    mode: PositionMode | None = None
    is_portfolio_margin: bool | None = False
    rights: KeyRights | None = None
    rehearsed: str | None = None
    not_trading: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    weight_used_by_others: int = -1
    asked_s: float = 0.0
    requests: int = 0
