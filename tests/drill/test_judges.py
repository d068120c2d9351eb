"""The judges know what no list showed, and excuse what others did too late for any."""

from typing import Any

import pytest

from liqctl.drill.judges import Case, Events, Judgement, judge
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.result import Residual
from liqctl.kernel.states import LiquidationState, Product
from liqctl.sim.venue import Venue
from tests.desk.builders import make_result
from tests.judging import is_false_alarm
from tests.sim.asking import NOW_MS, SELL, ask, make_venue

POSITIONS = "/v3/positionRisk"
CANCEL_STOPS = ("DELETE", "/v1/algoOpenOrders", {"symbol": "BTCUSDT"})
CLOSE = ("POST", "/v1/order", {**SELL, "newClientOrderId": "liq-1"})

HELD = """
account:
  positions: {BTCUSDT: {quantity: "0.500", opened_ms_ago: 500}}
  algo: [{symbol: BTCUSDT, side: SELL, trigger: "57000", quantity: "0.5", KIND, opened_ms_ago: 500}]
venue: {lag_ms: {positions: 1500, account: 1500}}
"""
ENTERED = """
account: {positions: {BTCUSDT: "0.500"}}
events: [{act: enter, symbol: BTCUSDT, quantity: "0.3", at_ms: AT, stop: KIND}]
venue: {lag_ms: {positions: 1000, account: 1000}}
"""


def follow(venue: Venue, *steps: tuple[int, str, str, dict[str, Any]]) -> None:
    """Send requests, each so long after the first."""
    for ms, method, path, params in steps:
        ask(venue, method, path, now_ms=NOW_MS + ms, **params)


def case_of(venue: Venue, end_ms: int, **changes: Any) -> Case:
    """Return a run that says it is done."""
    state = changes.pop("state", LiquidationState.COMPLETED)
    events = changes.pop("events", ())
    return Case(
        venue=venue,
        result=make_result(state, **{"products": (Product.USDM,), **changes}),
        events=events,
        duration_s=end_ms / 1000,
        ended_ms=NOW_MS + end_ms,
    )


def verdict(venue: Venue, end_ms: int, **changes: Any) -> Judgement:
    """Judge such a run."""
    return judge(case_of(venue, end_ms, **changes))


def broken(venue: Venue, end_ms: int, **changes: Any) -> list[str]:
    """Return the rules that were broken, but for the one of a window that was left early."""
    found = verdict(venue, end_ms, **changes).broken
    return [text for text in found if not text.startswith("flat was not watched")]


def read(ms: int) -> list[tuple[int, str, str, dict[str, Any]]]:
    """Return the four readings of a moment."""
    paths = (POSITIONS, "/v3/account", "/v1/openOrders", "/v1/openAlgoOrders")
    return [(ms, "GET", path, {}) for path in paths]


@pytest.mark.parametrize("kind", ["reduce_only: true", "close_position: true"])
def test_a_stop_is_missed_though_no_list_showed_its_leg(kind: str) -> None:
    """The leg was opened before the start: the stop was the sign of it."""
    venue = make_venue(HELD.replace("KIND", kind))

    follow(venue, *read(0), (100, *CANCEL_STOPS), *read(200))

    assert broken(venue, 250) == [
        "the stop stop-1 on BTCUSDT was cancelled while its leg is open",
        "COMPLETED while the venue is not flat: BTCUSDT",
        "not flat, and nothing says so",
    ]


def test_a_plain_stop_on_a_leg_that_reads_flat_is_not_missed() -> None:
    """It would open a position: nobody can know better."""
    venue = make_venue(HELD.replace("KIND", "reduce_only: false"))

    follow(venue, *read(0), (100, *CANCEL_STOPS), *read(200))

    assert not any("the stop" in text for text in verdict(venue, 250).broken)


def test_a_plain_stop_of_a_leg_that_was_never_read_is_missed() -> None:
    """A list that was not answered is no reading."""
    venue = make_venue(HELD.replace("KIND", "reduce_only: false"))

    follow(venue, (0, *CANCEL_STOPS))

    assert any("the stop" in text for text in verdict(venue, 50).broken)


@pytest.mark.parametrize(("until_ms", "missed"), [(0, False), (500, True)])
def test_a_stop_may_go_when_confirmed_fills_closed_what_was_read(
    until_ms: int, missed: bool
) -> None:
    """A bot adds while the close is on its way, and one list is empty: nobody can know of both."""
    venue = make_venue(
        f"""
account:
  positions: {{BTCUSDT: "0.500"}}
  algo: [{{symbol: BTCUSDT, side: SELL, trigger: "57000", quantity: "0.5", reduce_only: true}}]
events: [{{act: add, symbol: BTCUSDT, quantity: "0.3", at_ms: 40}}]
faults:
  - {{kind: denied, method: POST, hide_ms: {until_ms}}}
  - {{kind: blip, method: GET, path: /positionRisk, skip: 1}}
"""
    )

    follow(venue, *read(0), (50, *CLOSE), (150, "GET", POSITIONS, {}), (260, *CANCEL_STOPS))

    assert any("the stop" in text for text in verdict(venue, 300).broken) is missed


def entered(at_ms: int, kind: str = "close_position") -> Venue:
    """Return a venue whose first leg was closed, and where a bot enters at a moment."""
    venue = make_venue(ENTERED.replace("AT", str(at_ms)).replace("KIND", kind))
    follow(venue, *read(0), (50, *CLOSE))
    return venue


def test_a_stop_of_a_leg_entered_anew_is_missed_once_a_list_showed_either() -> None:
    """Its list showed it on a leg that read flat, and nobody waited."""
    venue = entered(300)

    follow(venue, *read(400), (500, *CANCEL_STOPS), *read(600))

    assert any("the stop" in text for text in verdict(venue, 3000).broken)


def test_a_stop_that_was_waited_for_is_excused() -> None:
    """Listed two seconds before the position came to be: a list had all the time to show one."""
    venue = make_venue(
        ENTERED.replace("AT", "400").replace("KIND", "close_position, stop_after_ms: -2500")
    )
    follow(venue, *read(0), (50, *CLOSE), *read(500), *read(2900), (3000, *CANCEL_STOPS))
    again = {**SELL, "newClientOrderId": "liq-2"}
    follow(venue, *read(4500), (4600, "POST", "/v1/order", again), *read(4700))

    found = verdict(venue, 4800)

    assert (found.broken, len(found.excused)) == ([], 1)


def test_what_others_open_after_the_last_look_is_excused_and_told() -> None:
    """No list showed it, and none could."""
    venue = entered(2500)
    follow(venue, *read(2000))

    found = verdict(venue, 2600)

    assert found.broken == []
    assert [text.partition("-")[0] for text in found.excused] == ["BTCUSDT is open", "botstop"]


def test_what_a_list_showed_is_not_excused() -> None:
    """The run knew, or would have by reading."""
    venue = entered(500)
    follow(venue, *read(2000))

    assert any("not flat: BTCUSDT" in text for text in verdict(venue, 2100).broken)


def test_what_was_open_long_before_the_end_is_not_excused() -> None:
    """Whoever stops looking sees nothing: that is no excuse."""
    venue = entered(500)

    assert any("not flat: BTCUSDT" in text for text in verdict(venue, 20_000).broken)


def test_what_comes_to_be_open_after_the_end_was_not_flat() -> None:
    """An order of the run's own lands late, and opens again what was closed."""
    venue = make_venue(
        """
account: {positions: {BTCUSDT: "0.500"}}
faults: [{kind: executed_late, method: POST, late_ms: 2000}]
"""
    )
    opens = {**SELL, "reduceOnly": "false", "newClientOrderId": "liq-2"}
    follow(venue, *read(0), (10, "POST", "/v1/order", opens), (20, *CLOSE), *read(100))

    assert broken(venue, 200) == [
        "BTCUSDT came to be open after COMPLETED",
        "liq-2 took BTCUSDT BOTH from 0.000 to -0.500",
    ]


def test_flat_must_have_been_watched() -> None:
    """By every list, and by both sources of positions, as long as the window asks for."""
    early, alone, late = make_venue(), make_venue(), make_venue()
    follow(early, *read(0), *read(1900))
    follow(alone, *(step for step in read(0) + read(2000) if "account" not in step[2]))
    follow(late, *read(0), *read(2000))

    assert [text.partition(":")[0] for text in verdict(early, 2050).broken] == [
        "flat was not watched"
    ] * 3
    assert verdict(alone, 2050).broken == ["the second source of positions was not asked"]
    assert verdict(late, 2050) == Judgement()


def test_a_deadline_without_room_for_the_window_must_have_been_used() -> None:
    """A run that stops with four seconds left has no such excuse."""
    used, unused = make_venue(), make_venue()
    for venue in (used, unused):
        follow(venue, *read(0), *read(700))

    assert verdict(used, 750, timeout_seconds=1.0) == Judgement()
    assert verdict(unused, 750).broken != []


def test_a_hidden_order_on_a_symbol_that_was_never_listed_is_excused() -> None:
    """Nobody sweeps every symbol of the venue."""
    hidden = "{symbol: BTCUSDT, side: BUY, price: '58000', quantity: '1', hidden: true}"
    unknown = make_venue(f"account: {{orders: [{hidden}]}}")
    known = make_venue(f"account: {{positions: {{BTCUSDT: '0.5'}}, orders: [{hidden}]}}")
    follow(unknown, *read(0), *read(2000))
    follow(known, *read(0), (50, *CLOSE), *read(2000))

    assert (broken(unknown, 2050), len(verdict(unknown, 2050).excused)) == ([], 1)
    assert broken(known, 2050)[0] == "COMPLETED while the venue is not flat: bot-1"


def test_others_do_nothing_new_after_the_end() -> None:
    """What a bot does later is nobody's fault."""
    venue = entered(2500)
    follow(venue, *read(2000))

    assert verdict(venue, 2100) == Judgement()


def test_an_alarm_is_false_only_where_nobody_traded() -> None:
    """In words or as an event."""
    quiet, busy = make_venue(), entered(100)
    words = {"state": LiquidationState.PARTIAL, "error_message": "something is still trading"}
    event: Events = ((AuditEventType.REENTRY_SEEN, {}),)

    follow(quiet, *read(0))
    follow(busy, *read(200))

    assert is_false_alarm(case_of(quiet, 100, **words))
    assert is_false_alarm(case_of(quiet, 100, events=event))
    assert not is_false_alarm(case_of(quiet, 100))
    assert not is_false_alarm(case_of(busy, 300, **words))


def test_a_leg_that_the_last_list_showed_must_be_listed() -> None:
    """And one that the last list did not show cannot be."""
    venue = make_venue('account: {positions: {BTCUSDT: "0.500"}}')
    partial = {
        "state": LiquidationState.PARTIAL,
        "error_message": "1 position is open",
        "residual": Residual(),
    }
    follow(venue, *read(0))
    shown = verdict(venue, 100, **partial)
    venue.faults = make_venue("faults: [{kind: blip, method: GET, times: 2}]").faults
    follow(venue, *read(200))

    assert shown.broken == ["still open and not listed: ['BTCUSDT']"]
    assert verdict(venue, 300, **partial).broken == []
