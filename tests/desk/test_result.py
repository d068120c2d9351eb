"""The end screen: the first line tells it all, every open thing has a next step, nothing breaks."""

import re
from decimal import Decimal
from typing import Final

import pytest

from liqctl.desk.result import Asked, meaning, next_steps, render_result
from liqctl.kernel.result import (
    ErrorReport,
    LeftOver,
    LiquidationResult,
    Residual,
    Results,
)
from liqctl.kernel.states import (
    FailureCause,
    LiquidationState,
    Margin,
    OrderState,
    PositionState,
    Product,
)
from liqctl.kernel.values import Leg, OpenOrder, Position, PositionSide
from liqctl.notify.notice import make_notices
from tests.desk.builders import make_order, make_partial, make_position, make_result

SHORT: Final = "(the deadline left less than the 2 s asked for)"


def test_a_flat_account_is_told_in_one_screen() -> None:
    """Nothing but what the operator asks: is it closed, was it proven, how long did it take."""
    result = make_result(LiquidationState.COMPLETED, positions=(make_position(),))

    screen = render_result(result, width=80, colour=False)

    assert screen == (
        "COMPLETED: flat, proven: nothing was listed for 2.0 s in both sources\n"
        "\n"
        "found     1 position of 25,000.00 notional, 0 orders\n"
        "closed    1 of 1 position, 0 of 0 orders cancelled\n"
        "left      nothing\n"
        "\n"
        "symbol   side  quantity   notional  result\n"
        "BTCUSDT  LONG     0.500  25,000.00  CLOSED at 50000.0\n"
        "\n"
        "time      0.84 s of 5 s, 12 requests\n"
        "run       liq_20260102_103000_abc123 on production\n"
        f"head      {'a' * 64}\n"
    )


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("state", list(LiquidationState))
def test_no_line_is_wider_than_the_terminal(state: LiquidationState, width: int) -> None:
    """A line the terminal breaks by itself hides the table's meaning."""
    long = "a reason that takes many words " * 10
    for result in (make_partial(long), make_result(state, error_message=long, notes=(long,))):
        screen = render_result(result, width=width, colour=False)

        assert max(len(line) for line in screen.splitlines()) <= width


def test_piped_output_keeps_each_message_on_one_line() -> None:
    """`grep` in a runbook must find the whole reason."""
    long = " ".join(["a reason that takes many words"] * 10)

    screen = render_result(
        make_result(LiquidationState.FAILED, error_message=long), width=None, colour=False
    )

    assert f"why       {long}" in screen.splitlines()


def test_what_is_open_comes_with_a_command_and_a_place_to_click() -> None:
    """A screen that says PARTIAL and nothing else leaves the operator alone."""
    steps = next_steps(make_partial())

    by_hand = (
        "by hand: www.binance.com > Futures > USDⓈ-M > Positions > Close All Positions, "
        "then Open Orders > Cancel All, Conditional too"
    )
    assert steps == [
        "again, at once: liqctl liquidate --env production",
        "look: liqctl status --env production",
        by_hand,
        "positions to look for: ETHUSDT BOTH 0.5",
    ]


def test_a_failed_leg_tells_quantity_attempts_reason_and_code() -> None:
    """The code is what the operator looks up."""
    screen = render_result(make_partial(), width=None, colour=False)

    assert "FAILED, 0.5 left after 1 attempt: the symbol is closed for trading (-4141)" in screen
    assert "KEPT, protective stop" in screen


def test_unread_is_never_shown_as_nothing_left() -> None:
    """Unknown is not flat."""
    screen = render_result(
        make_result(LiquidationState.FAILED, residual=None), width=80, colour=False
    )

    assert "FAILED: what is open is not known" in screen
    assert "left      not known: no reading succeeded" in screen


def test_a_venues_words_cannot_move_the_cursor() -> None:
    """An error text with an escape sequence could clear the screen or fake a line."""
    result = make_partial("a\x1b[2Jb\nc\u202ed")

    screen = render_result(result, width=200, colour=True)

    assert r"a\x1b[2Jb\nc\u202ed" in screen
    assert set(re.findall(r"\x1b\[[^m]*m", screen)) <= {"\x1b[35m", "\x1b[0m", "\x1b[1m"}
    assert screen.count("\x1b") == len(re.findall(r"\x1b\[\d+m", screen))


@pytest.mark.parametrize(
    ("cause", "first"),
    [
        (FailureCause.BLOCKED, "see how the other run does: liqctl status --env production"),
        (FailureCause.CREDENTIALS, "liqctl validate --env production --online"),
        (FailureCause.NOT_CONFIRMED, "look first: liqctl status --env production"),
    ],
)
def test_the_first_next_step_fits_the_cause(cause: FailureCause, first: str) -> None:
    """Trying again does not help against a wrong key or a run that is under way."""
    assert next_steps(make_result(LiquidationState.FAILED, cause=cause))[0] == first


def test_an_incomplete_trail_is_said_on_a_flat_account() -> None:
    """Exit 8 needs its reason on the screen."""
    result = make_result(LiquidationState.COMPLETED, audit_complete=False)

    screen = render_result(result, width=80, colour=False)

    assert "INCOMPLETE: not every event could be recorded" in screen
    assert "liqctl audit verify" in screen


@pytest.mark.parametrize("height", [22, 48])
@pytest.mark.parametrize("number", [1, 6, 200])
def test_the_screen_fits_the_terminal_with_its_first_line(number: int, height: int) -> None:
    """At 3 a.m. nobody scrolls up for the word FAILED."""
    failed = [
        make_position(
            f"C{index:03}USDT",
            state=PositionState.FAILED,
            remaining=Decimal(1),
            error=ErrorReport(code=-1122, message="Invalid symbol status.", retryable=True),
        )
        for index in range(number)
    ]
    left = [
        Position(
            leg=Leg(symbol=position.symbol, position_side=position.position_side),
            quantity=Decimal(1),
            notional=Decimal(100),
        )
        for position in failed
    ]
    result = make_result(
        LiquidationState.PARTIAL,
        error_message="the deadline of 5 s was reached; many are or may be open: "
        + "a reason " * 60,
        positions=(*(make_position(f"D{index:03}USDT") for index in range(number)), *failed),
        orders=make_partial().orders * number,
        residual=Residual(positions=tuple(left)),
    )

    screen = render_result(result, width=80, height=height, colour=False).splitlines()

    assert len(screen) <= height
    assert max(len(line) for line in screen) <= 80
    shown = "\n".join(screen)
    assert screen[0].startswith("PARTIAL")
    assert "again, at once: liqctl liquidate --env production" in shown
    assert "C000USDT" in shown
    assert "run       liq_" in shown
    assert "head      aaaa" in shown


def test_a_screen_that_is_cut_sums_up_what_it_does_not_show() -> None:
    """What is not closed keeps its row; what is closed is a number."""
    closed = [make_position(f"D{index:03}USDT") for index in range(60)]
    failed = make_position("BADUSDT", state=PositionState.FAILED, remaining=Decimal(1))
    result = make_result(LiquidationState.PARTIAL, positions=(*closed, failed))

    screen = render_result(result, width=80, height=24, colour=False)
    whole = render_result(result, width=None, colour=False)

    assert screen.index("BADUSDT") < screen.index("D000USDT")
    assert re.search(r"and \d+ more positions, \d+ CLOSED; --json lists all", screen)
    assert all(position.symbol in whole for position in closed)


def test_nothing_is_called_found_where_nothing_was_read() -> None:
    """`found 0 positions` reads like a flat account."""
    result = make_result(LiquidationState.FAILED, residual=None)

    assert "found" not in render_result(result, width=80, colour=False)


@pytest.mark.parametrize(
    ("settled_s", "unread", "settle_s", "told"),
    [
        (2.04, (), 2.0, "flat, proven: nothing was listed for 2.0 s in both sources"),
        (
            0.87,
            (),
            2.0,
            f"flat, proven: nothing was listed for 0.8 s {SHORT} in both sources",
        ),
        (
            2.0,
            ("account",),
            2.0,
            "flat, proven: nothing was listed for 2.0 s in one source, account never answered",
        ),
        (0.0, (), 0.0, "flat, proven by a single reading after the last order"),
        (
            0.0,
            (),
            2.0,
            f"flat, proven by a single reading after the last order {SHORT}",
        ),
    ],
)
def test_the_first_line_says_how_long_flat_was_watched(
    settled_s: float, unread: tuple[str, ...], settle_s: float, told: str
) -> None:
    """A proof that is shorter than asked for must not look like the whole one."""
    result = make_result(LiquidationState.COMPLETED, settled_seconds=settled_s, unread=unread)

    screen = render_result(result, width=None, colour=False, asked=Asked(settle_s=settle_s))

    assert screen.splitlines()[0] == f"COMPLETED: {told}"
    assert ("unread    account: no answer in the whole run" in screen) is bool(unread)


def test_the_screen_names_the_settings_that_were_in_force() -> None:
    """A run by another file than the one that was checked is a surprise."""
    result = make_result(LiquidationState.COMPLETED)

    asked = Asked(config_file="/etc/liqctl/production.yaml")
    named = render_result(result, width=None, colour=False, asked=asked)

    assert "settings  /etc/liqctl/production.yaml" in named
    assert "settings" not in render_result(result, width=None, colour=False)


@pytest.mark.parametrize(
    ("changes", "word", "unseen"),
    [
        ({"positions": (make_position(state=PositionState.SKIPPED),)}, "orders cancelled", "order"),
        ({"orders": (make_order(OrderState.SKIPPED),)}, "positions closed", "position"),
    ],
)
def test_half_a_scope_says_how_long_it_was_watched_too(
    changes: dict[str, object], word: str, unseen: str
) -> None:
    """The rest stays; what was asked for is proven like everything else."""
    screen = render_result(
        make_result(LiquidationState.COMPLETED, **changes), width=None, colour=False
    )

    assert screen.startswith(
        f"COMPLETED: {word}, as asked, proven: no {unseen} was listed for 2.0 s in both sources; 1 "
    )


def listed_after_all(*, also: str | None = None) -> LiquidationResult:
    """Return a run whose closes and cancel were confirmed while the last reading lists them."""
    symbols = ("BTCUSDT", "ETHUSDT", *([also] if also else []))
    states = dict.fromkeys(symbols, PositionState.CLOSED)
    if also:
        states[also] = PositionState.FAILED
    order = make_order(OrderState.CANCELLED)
    return make_result(
        LiquidationState.PARTIAL,
        error_message="the deadline of 5 s was reached",
        deadline_exceeded=True,
        positions=tuple(make_position(symbol, state=state) for symbol, state in states.items()),
        orders=(order,),
        residual=Residual(
            positions=tuple(
                Position(
                    leg=Leg(symbol=symbol, position_side=PositionSide.BOTH),
                    quantity=Decimal("0.5"),
                    notional=Decimal(25000),
                )
                for symbol in symbols
            ),
            orders=(
                OpenOrder(
                    symbol=order.symbol,
                    position_side=PositionSide.BOTH,
                    order_id=order.order_id,
                    client_order_id="",
                    kind=order.kind,
                    type=order.type,
                    side=order.side,
                ),
            ),
        ),
    )


def test_what_was_closed_is_not_left_as_well() -> None:
    """`closed 2 of 2` and `left 2 positions` on one screen: nobody knows what to believe."""
    lines = render_result(listed_after_all(), width=None, colour=False).splitlines()

    assert lines[0] == (
        "PARTIAL: the venue confirmed every close and cancel, but no reading proves flat"
    )
    assert "closed    2 of 2 positions, 1 of 1 order cancelled" in lines
    (left,) = [line for line in lines if line.startswith("left ")]
    assert left == (
        "left      not proven: 2 positions of 50,000.00 notional, 1 order still listed although "
        "the venue confirmed the close or cancel; lists lag by up to about 2 s"
    )


def test_what_is_left_is_counted_apart_from_what_is_only_listed() -> None:
    """The one position that is open must not hide among those that are closed."""
    lines = render_result(listed_after_all(also="SOLUSDT"), width=None, colour=False).splitlines()

    assert "closed    2 of 3 positions, 1 of 1 order cancelled" in lines
    (left,) = [line for line in lines if line.startswith("left ")]
    assert left.startswith(
        "left      1 position of 25,000.00 notional, 0 orders; and 2 positions of 50,000.00 "
    )


def test_a_message_counts_the_same_way() -> None:
    """What is read on a telephone must agree with the screen."""
    *_, end = make_notices(Results(each=(listed_after_all(also="SOLUSDT"),)), 3)

    assert "; left: SOLUSDT 0.5 (25,000.00); still listed although confirmed: BTCUSDT" in end.text


def test_what_was_not_read_is_said_to_be_not_read_and_never_zero() -> None:
    """An operator who reads "0 positions" goes home."""
    result = make_result(
        LiquidationState.FAILED, never_read=frozenset({"positions"}), orders=make_partial().orders
    )

    screen = render_result(result, width=80, colour=False)
    (*_, end) = make_notices(Results(each=(result,)), 1, reason="", symbols=())

    assert "found     positions not read, 1 order\n" in screen
    assert "closed    positions not read, 0 of 1 order cancelled\n" in screen
    assert "positions not read, 0/1 orders cancelled" in end.text
    assert end.details["positions_found"] is None
    assert end.details["orders_found"] == 1


def test_what_stands_beside_the_futures_is_warned_of_in_one_line() -> None:
    """Debts and margin orders are no futures: told, and the state is what it was."""
    result = make_result(
        LiquidationState.COMPLETED,
        products=tuple(Product),
        margin=Margin.PORTFOLIO,
        left_over=LeftOver(
            borrowed={"BTC": Decimal("0.5")},
            negative_balances={"USDT": Decimal("-12.3")},
            margin_orders=("ETHUSDT BUY LIMIT 7",),
        ),
        unread=("sapi algo/futures/openOrders",),
    )

    lines = render_result(result, width=None, colour=False).splitlines()

    assert lines[0].startswith("COMPLETED: flat, proven: nothing was listed for 2.0 s in both")
    assert "margin    PORTFOLIO" in lines
    assert [line for line in lines if line.startswith("WARNING")] == [
        (
            "WARNING   not futures, and left as they are: 1 margin order: ETHUSDT BUY LIMIT 7; "
            "borrowed 0.5 BTC; negative balance -12.3 USDT"
        )
    ]
    assert [line for line in lines if line.startswith("unread")] == [
        "unread    execution algorithms (spot host) could not be read"
    ]
    plain_result = make_result(LiquidationState.COMPLETED, left_over=LeftOver())
    told = render_result(plain_result, width=None, colour=False)
    assert "WARNING" not in told
    assert "PORTFOLIO" not in told


def test_closing_by_hand_names_the_products_tab() -> None:
    """COIN-M has a tab of its own on the website."""
    perp = Position(
        leg=Leg("BTCUSD_PERP", PositionSide.BOTH, Product.COINM),
        quantity=Decimal(-12),
        notional=Decimal(1200),
    )
    left = make_result(
        LiquidationState.FAILED,
        products=tuple(Product),
        residual=Residual(positions=(perp,)),
        verified_flat=False,
    )
    unknown = make_result(LiquidationState.FAILED, products=tuple(Product))

    assert any("Futures > COIN-M > Positions" in step for step in next_steps(left))
    assert any("BTCUSD_PERP BOTH -12 contracts" in step for step in next_steps(left))
    assert any("USDⓈ-M and COIN-M > Positions" in step for step in next_steps(unknown))


def test_a_silent_source_of_either_product_shortens_the_proof() -> None:
    """`unread` names COIN-M's sources with their host."""
    result = make_result(LiquidationState.COMPLETED, unread=("dapi account",))

    assert "one source, dapi account never answered" in meaning(result)
