"""Several accounts on one screen of 80 columns and 24 lines: no account in trouble is hidden."""

from dataclasses import replace
from typing import Any, Final

import pytest

from liqctl.desk.plan import render_confirmations
from liqctl.desk.result import Asked
from liqctl.desk.several import render_results
from liqctl.kernel.answers import no_answer
from liqctl.kernel.result import LiquidationResult, Residual, Results
from liqctl.kernel.states import FailureCause, LiquidationState, OrderState, PositionState, Product
from liqctl.kernel.values import Reading
from liqctl.kernel.words import DISARMED, explain_twin
from liqctl.run.inspection import Inspection
from tests.desk.builders import (
    POLICY,
    make_look,
    make_order,
    make_partial,
    make_position,
    make_result,
)

QUESTION_LINES: Final = 20
RESULT_LINES: Final = 22
"""What a terminal of 24 lines leaves beside the prompt, and beside the question's own lines."""

FILE: Final = "/etc/liqctl/house.yaml"
LOOK: Final = make_look()
Account = tuple[str, str | None, str | None, Inspection | None]


def named(name: str, result: LiquidationResult) -> LiquidationResult:
    """Return the result as that of an account."""
    return replace(result, account=name, correlation_id=f"liq_20260102_103000_{name}")


def make_flat(name: str, **changes: Any) -> LiquidationResult:
    """Return a run that closed one position."""
    closed = {"positions": (make_position(),), "duration_seconds": 2.9}
    return named(name, make_result(LiquidationState.COMPLETED, **closed | changes))


def make_refused(name: str) -> LiquidationResult:
    """Return a run whose key was refused."""
    return named(
        name,
        make_result(
            LiquidationState.FAILED,
            residual=None,
            error_message="the venue refused the key: " + "a likely cause, " * 20,
            cause=FailureCause.CREDENTIALS,
        ),
    )


def make_silent(name: str) -> LiquidationResult:
    """Return a run that could read nothing."""
    why = "the deadline of 5 s was reached: nothing could be read"
    return named(name, make_result(LiquidationState.FAILED, residual=None, error_message=why))


def make_twin(name: str, of: str, **changes: Any) -> LiquidationResult:
    """Return what is said of an account that is closed under another name."""
    told = {"residual": None, "error_message": explain_twin(of)}
    return named(name, make_result(LiquidationState.SKIPPED, **told | changes))


def results(
    *each: LiquidationResult,
    width: int | None = 80,
    height: int | None = RESULT_LINES,
    options: str = f"--config {FILE} --all-accounts",
    colour: bool = False,
    is_drawn: bool = True,
    **asked: Any,
) -> list[str]:
    """Return the lines of the end screen."""
    given: dict[str, Any] = {"scopes": {}} | asked
    return render_results(
        Results(each=each, are_several=True),
        width=width,
        height=height,
        colour=colour,
        asked=Asked(options=options, settle_s=2.0, config_file=FILE, **given),
        is_drawn=is_drawn,
    ).splitlines()


def question(*each: Account, height: int = QUESTION_LINES, **options: Any) -> list[str]:
    """Return the lines of the question about a production account."""
    given: dict[str, Any] = {"width": 80, "colour": False, "policy": POLICY, "config_file": FILE}
    given |= options
    return render_confirmations(
        each,
        environment="production",
        base_url="https://fapi.binance.com",
        height=height,
        **given,
    ).splitlines()


FIVE: Final = (
    make_flat("desk-a"),
    named("desk-b", make_partial()),
    make_refused("refused"),
    make_silent("silent"),
    make_twin("desk-z", of="desk-b"),
)


def test_one_account_that_is_flat() -> None:
    """`--all-accounts` of a file that names one."""
    assert results(make_flat("desk-a")) == [
        "COMPLETED: 1 of 1 account proven flat",
        "",
        "account  state      closed  cancelled  flat after  left",
        "desk-a   COMPLETED  1 of 1     0 of 0      0.86 s  nothing",
        "",
        "closed    1 of 1 position, 0 of 0 orders cancelled",
        "left      nothing",
        "flat      proven: nothing was listed for 2.0 s in both sources",
        "time      2.90 s of 5 s, 12 requests",
        "run       desk-a liq_20260102_103000_desk-a",
        f"settings  {FILE}",
    ]


def test_five_accounts_worst_first_with_why_and_what_to_do() -> None:
    """What is not known stands above what is partly open, and that above what is flat."""
    lines = results(*FIVE)

    assert len(lines) <= RESULT_LINES
    assert max(map(len, lines)) <= 80
    assert " ".join(line.strip() for line in lines[:2]) == (
        "FAILED: 1 of 4 accounts proven flat, 1 partly, 2 failed, 1 the same account as another: "
        "the rest may be open"
    )
    rows = [line for line in lines if line.startswith(("refused ", "silent ", "desk-"))]
    assert [row.split()[:2] for row in rows] == [
        ["refused", "FAILED"],
        ["silent", "FAILED"],
        ["desk-b", "PARTIAL"],
    ]
    assert rows[2] == "desk-b   PARTIAL  1 of 2     0 of 1           -  1,700.00 ETHUSDT"
    assert "and 2 more accounts, 1 COMPLETED, 1 SKIPPED; --json lists all" in lines
    shown = "\n".join(lines)
    assert "why       refused: the venue refused the key: a likely cause" in shown
    assert "run       refused liq_20260102_103000_refused and 2 more" in shown
    words = " ".join(shown.split())
    assert (
        f"again, at once: liqctl liquidate --env production --config {FILE} "
        "--account silent --account desk-b --account desk-z - look"
    ) in words, "exactly those that are not flat, and the other name of one of them"
    assert f"liqctl validate --env production --online --config {FILE} --account refused" in words
    assert "by hand: www.binance.com" in words


def test_a_pipe_gets_everything_of_everybody_on_lines_of_their_own() -> None:
    """`grep desk-b` in a runbook."""
    lines = results(*FIVE, width=None, height=None)

    assert "why       desk-b: 1 of 2 positions is or may be open" in lines
    assert "why       silent: the deadline of 5 s was reached: nothing could be read" in lines
    assert (
        "left      1 position of 1,700.00 notional, 0 orders on desk-b; not known on refused, "
        "silent"
    ) in lines
    assert any(line.startswith("desk-z   SKIPPED") for line in lines)
    assert "  - positions to look for on desk-b: ETHUSDT BOTH 0.5" in lines
    assert any("desk-b liq_20260102_103000_desk-b" in line for line in lines)


def test_of_forty_accounts_those_that_are_flat_are_summed_up_first() -> None:
    """Three that need somebody must not scroll away above thirty-seven that do not."""
    lines = results(*(make_flat(f"desk-{index:02}") for index in range(37)), *FIVE[1:4])

    assert len(lines) <= RESULT_LINES
    assert lines[0] == (
        "FAILED: 37 of 40 accounts proven flat, 1 partly, 2 failed: the rest may be open"
    )
    assert [line.split()[0] for line in lines[2:5]] == ["refused", "silent", "desk-b"]
    assert lines[5] == "and 37 more accounts, 37 COMPLETED; --json lists all"
    assert "why       desk-b: 1 of 2 positions is or may be open" in lines


def test_forty_accounts_that_are_not_flat_are_summed_up_with_what_is_left() -> None:
    """Then one command for all says it shorter than forty names."""
    lines = results(
        make_flat("desk-a"), *(named(f"d{index:02}", make_partial()) for index in range(39))
    )

    assert len(lines) <= RESULT_LINES
    assert lines[0] == "PARTIAL: 1 of 40 accounts proven flat, 39 partly: the rest may be open"
    shown = sum(line.startswith("d") and "PARTIAL" in line for line in lines)
    assert shown >= 3
    rest = f"and {40 - shown} more accounts, {39 - shown} PARTIAL, 1 COMPLETED, "
    assert f"{rest}{(39 - shown) * 1700:,}.00 open on" in " ".join(lines)
    assert "left      39 positions of 66,300.00 notional, 0 orders on 39 accounts" in lines
    assert any(line.startswith("why       d00, d01, d02 and 36 more: ") for line in lines)
    assert "--account" not in "\n".join(lines)


def test_the_whole_screen_names_each_account_to_repeat() -> None:
    """Where nothing limits it, the command is exact however many there are."""
    partly = [named(f"d{index:02}", make_partial()) for index in range(39)]
    screen = "\n".join(results(make_flat("desk-a"), *partly, height=None, width=None))

    again = " ".join(f"--account d{index:02}" for index in range(39))
    assert f"liqctl liquidate --env production --config {FILE} {again}\n" in screen


def test_the_options_of_the_run_are_kept_when_it_is_repeated_for_some() -> None:
    """Another symbol or limit than before would be another run."""
    options = "--symbol ETHUSDT --account desk-a --account desk-b --timeout 10"

    screen = results(*FIVE[:2], width=None, height=None, options=options)

    assert (
        "  - again, at once: liqctl liquidate --env production --symbol ETHUSDT --timeout 10 "
        "--account desk-b"
    ) in screen
    assert "  - look: liqctl status --env production --account desk-a --account desk-b" in screen


def test_a_key_that_is_refused_on_two_accounts_is_told_once() -> None:
    """The same paragraph twice pushes the rest out of sight."""
    screen = results(make_refused("a"), make_refused("b"), width=None, height=None)

    (why,) = [line for line in screen if line.startswith("why")]
    assert why.startswith("why       a, b: the venue refused the key: a likely cause")


def test_nothing_that_is_left_alone_is_called_flat() -> None:
    """`--orders-only` leaves the positions, and an account of its own symbols leaves others."""
    stays = make_position(state=PositionState.SKIPPED)
    alone = results(make_flat("a", positions=(stays,)), make_flat("b", positions=()), width=100)
    usdm = make_flat("b", products=(Product.USDM,))
    scoped = results(make_flat("a"), usdm, scopes={"a": ("BTCUSDT",)})
    alike = results(make_flat("a"), scopes={"a": ("BTCUSDT",)})
    unknown = results(make_flat("a"), scopes=None)

    assert alone[0] == "COMPLETED: 2 of 2 accounts done as asked"
    assert alone[3].endswith("1 position of 25,000.00 notional, as asked")
    assert "left      1 position of 25,000.00 notional, as asked" in alone
    assert scoped[0] == "COMPLETED: 2 of 2 accounts proven flat in scope"
    assert scoped[3].endswith("nothing on BTCUSDT")
    assert scoped[4].endswith("nothing in USDS-M futures")
    assert alike[0] == "COMPLETED: 1 of 1 account proven flat on BTCUSDT"
    assert unknown[0] == "COMPLETED: 1 of 1 account proven flat in scope"


def test_a_shorter_proof_than_asked_for_is_named() -> None:
    """The weakest proof is the proof of all."""
    short = make_flat("b", settled_seconds=0.87)
    lines = results(make_flat("a"), short, width=None)

    assert (
        "flat      proven: nothing was listed for 0.8 s (the deadline left less than the 2 s "
        "asked for) in both sources, the shortest on b"
    ) in lines


def test_what_is_closed_on_one_account_is_open_on_another() -> None:
    """Both hold ETHUSDT: a name that is closed here says nothing of there."""
    closed = make_flat("a", positions=(make_position("ETHUSDT"),))
    lines = results(closed, named("b", make_partial()))

    assert "left      1 position of 1,700.00 notional, 0 orders on b" in lines


@pytest.mark.parametrize(
    ("result", "first"),
    [
        (
            make_result(
                LiquidationState.FAILED,
                residual=None,
                cause=FailureCause.BLOCKED,
                error_message="Liquidation already in progress",
            ),
            "FAILED: 1 of 2 accounts proven flat, 1 left to another run",
        ),
        (
            make_result(LiquidationState.COMPLETED, audit_complete=False),
            "COMPLETED: 2 of 2 accounts proven flat; the audit trail is incomplete",
        ),
        (
            make_result(LiquidationState.SKIPPED, residual=None, error_message=DISARMED),
            "COMPLETED: 1 of 2 accounts proven flat, 1 skipped",
        ),
    ],
)
def test_other_ends_have_words_of_their_own(result: LiquidationResult, first: str) -> None:
    """An account that another run has is not one that failed."""
    lines = results(make_flat("a"), named("b", result))

    assert lines[0] == first
    if not result.audit_complete:
        assert "audit     INCOMPLETE: not every event could be recorded on b" in lines


def test_disarmed_is_said_where_nothing_else_is() -> None:
    """All accounts have one switch."""
    off = make_result(LiquidationState.SKIPPED, residual=None, error_message=DISARMED)
    lines = results(named("a", off), named("b", off))

    assert lines[0] == "SKIPPED: emergency_liquidation is false; nothing was sent"
    assert lines[3].endswith("nothing was read")


def test_a_dry_run_shows_what_each_account_would_send() -> None:
    """A rehearsal of all, with the command for the deed."""
    held = {
        "dry_run": True,
        "verified_flat": False,
        "positions": (make_position(state=PositionState.SKIPPED),),
        "orders": (make_order(OrderState.SKIPPED),),
        "residual": make_partial().residual,
    }
    lines = results(
        named("desk-a", make_result(LiquidationState.SKIPPED, dry_run=True, verified_flat=True)),
        named("desk-b", make_result(LiquidationState.SKIPPED, **held)),
        make_twin("desk-z", of="desk-b", dry_run=True),
        height=None,
    )

    assert lines[0] == "DRY RUN: nothing was sent; something is open on 1 of 2 accounts"
    assert lines[2:6] == [
        "account   notional  positions to close  orders to cancel  on",
        "desk-b   25,000.00                   1                 1  BTCUSDT",
        "desk-a        0.00                   0                 0  flat",
        "desk-z                                                    same account as desk-b",
    ]
    assert "found     1 position of 1,700.00 notional, 0 orders on desk-b" in lines
    assert any("to do it: liqctl liquidate" in line for line in lines)
    assert not any(line.startswith("run ") for line in lines), "a dry run leaves no record"


def test_a_dry_run_that_could_not_read_an_account_failed() -> None:
    """Nothing open on the others proves nothing here."""
    flat = make_result(LiquidationState.SKIPPED, dry_run=True, verified_flat=True)
    lines = results(named("a", flat), replace(make_silent("b"), dry_run=True))

    assert lines[0] == (
        "FAILED: nothing was sent; something is open on 0 of 2 accounts; 1 account could"
    )
    assert any(line.startswith("b ") and line.endswith("NOT READ") for line in lines)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_nothing_moves_the_cursor(width: int) -> None:
    """Names and messages come from others."""
    evil = named("evil\x1b[2J\n\u202ename", make_partial("a\x1b[2J\u202ereason " * 20))
    look = question((f"x\x1b[2J{'y' * 20}", "0a1b2c3d", None, LOOK), width=width, height=60)
    for lines in (results(evil, *FIVE, width=width, height=None), look):
        assert max(map(len, lines)) <= width
        assert "".join(lines).isprintable()


def test_the_watchdogs_screen_says_the_same_without_rich() -> None:
    """It is made for the moment in which nothing may be loaded any more."""
    lines = results(*FIVE, is_drawn=False)

    assert lines[0].startswith("FAILED: 1 of 4 accounts proven flat, 1 partly, 2 failed")
    assert len(lines) <= RESULT_LINES
    assert "desk-b   PARTIAL  1 of 2     0 of 1           -  1,700.00 ETHUSDT" in lines


def make_sized(factor: int) -> Inspection:
    """Return the reading with positions so many times as large."""
    found = LOOK.snapshot
    items = tuple(p._replace(notional=p.notional * factor) for p in found.positions.items)
    return replace(
        LOOK,
        snapshot=found._replace(positions=found.positions._replace(items=items)),
        verdict=LOOK.verdict._replace(positions=items),
    )


def test_the_question_about_one_account() -> None:
    """As of an account without a name, one row an account."""
    assert question(("desk-a", "0a1b2c3d", None, LOOK)) == [
        "PRODUCTION  https://fapi.binance.com",
        f"settings  {FILE}",
        "",
        "account  positions   notional     PnL  orders  key",
        "desk-a           2  31,000.00  +87.50       1  0a1b2c3d",
        "",
        "open      2 positions of 31,000.00 notional, PnL +87.50, on 1 of 1 account",
        "orders    1",
        "cancel    1 order, 0 conditional orders",
        "close     2 orders at market, reducing only",
        "takes     4 round trips of 100 ms, 18 requests, weight 348 of 2400, 2 orders of",
        "          300 in 10 s",
        "lasts     0.41 s expected, 4.91 s at worst: fits the limit of 5 s",
        "then      flat is watched for 2 s, or for what the limit leaves",
    ]


def test_the_question_about_five_says_loudly_what_is_not_read() -> None:
    """Before a yes it must be seen which positions nobody knows, and which are not closed."""
    lines = question(
        ("small", "0a1b2c3d", None, LOOK),
        ("large", "11111111", None, make_sized(3)),
        ("twin", "0a1b2c3d", "small", None),
        ("nokey", None, None, None),
        ("slow", "22222222", None, None),
    )

    assert len(lines) <= QUESTION_LINES
    assert lines[3:9] == [
        "account  positions   notional     PnL  orders  key",
        "nokey     NOT READ          ?       ?       ?  no usable key",
        "slow      NOT READ          ?       ?       ?  22222222",
        "large            2  93,000.00  +87.50       1  11111111",
        "small            2  31,000.00  +87.50       1  0a1b2c3d",
        "twin                                           same account as small",
    ]
    words = " ".join(" ".join(lines).split())
    assert "unread nokey: no usable key; NOTHING IS CLOSED there" in words
    assert "unread slow: no reading ended in time" in words
    assert (
        "open at least 4 positions of 124,000.00 notional, PnL +175.00, on 2 of 4 accounts; "
        "2 accounts NOT READ"
    ) in words
    assert "orders 2, but not read on 2 accounts" in words
    assert "lasts 0.43 s expected, 4.93 s at worst: fits the limit of 5 s" in words


@pytest.mark.parametrize("unread", [2, 30])
def test_the_question_about_forty_stays_in_sight_with_the_largest(unread: int) -> None:
    """Neither a crowd of small accounts nor one of silent ones hides the largest."""
    silent: list[Account] = [(f"s{index:02}", "22222222", None, None) for index in range(unread)]
    lines = question(
        *silent,
        *(
            (f"d{index:02}", "0a1b2c3d", None, make_sized(index + 1))
            for index in range(40 - unread)
        ),
    )

    assert len(lines) <= QUESTION_LINES
    assert any(line.startswith(f"d{39 - unread:02}") for line in lines)
    assert any(line.startswith("s00") for line in lines)
    rest = next(line for line in lines if line.startswith("and, smaller, "))
    shown = sum(line.startswith(("d0", "d1", "d2", "d3", "s0", "s1")) for line in lines)
    assert rest.startswith(f"and, smaller, {40 - shown} accounts of ")
    names = "s00, s01" if unread == 2 else "s00, s01, s02 and 27 more"
    assert f"unread    {names}: no reading ended in time" in lines


def test_orders_that_were_not_asked_for_are_not_none() -> None:
    """Of many accounts the first reading looks at positions only."""
    unread: Reading[Any] = Reading(complete=False)
    brief = LOOK.snapshot._replace(regular_orders=unread, algo_orders=unread, is_brief=True)
    seen = replace(LOOK, snapshot=brief, verdict=LOOK.verdict._replace(orders=()))

    lines = question(("a", "0a1b2c3d", None, seen))

    assert lines[4] == "a                2  31,000.00  +87.50       ?  0a1b2c3d"
    assert "orders    none, but not read on 1 account" in lines


def test_positions_that_were_read_in_part_are_a_least() -> None:
    """Half an account is not its worth."""
    found = LOOK.snapshot
    part = found.positions._replace(complete=False, error=no_answer("no answer in time"))
    seen = replace(
        LOOK, snapshot=found._replace(positions=part), refusal=no_answer("no answer in time")
    )

    lines = question(("a", "0a1b2c3d", None, seen))

    assert lines[4].split() == [
        "a",
        "NOT",
        "READ",
        "at",
        "least",
        "31,000.00",
        "?",
        "1",
        "0a1b2c3d",
    ]
    assert any(line.startswith("unread    a: no answer in time") for line in lines)


def test_where_nothing_could_be_read_the_question_says_so() -> None:
    """`0 positions` before a yes is a lie."""
    lines = question(*((f"s{index:02}", "22222222", None, None) for index in range(40)))

    assert len(lines) <= QUESTION_LINES
    assert "NOTHING COULD BE READ: what is open is not known" in lines
    assert any(line.startswith("go on     the run reads for itself") for line in lines)


def test_positions_that_are_left_alone_are_shown_before_the_question() -> None:
    """With --orders-only they stay, and somebody has to know of them."""
    seen = replace(LOOK, verdict=LOOK.verdict._replace(positions=()))
    policy = replace(POLICY, close_positions=False)

    lines = question(("a", "0a1b2c3d", None, seen), policy=policy)

    assert lines[4] == "a                2  31,000.00  +87.50       1  0a1b2c3d"


def test_many_accounts_take_more_time_than_one() -> None:
    """They wait for the network side by side, and for the processor one after the other."""
    lines = question(*((f"d{index:02}", "0a1b2c3d", None, LOOK) for index in range(40)), height=80)

    words = " ".join(" ".join(lines).split())
    assert "takes 4 round trips of 100 ms, 720 requests, weight 13920 of 2400" in words
    assert "lasts 0.90 s expected, 5.40 s at worst: not every repeat fits the limit of 5 s" in words


def test_a_residual_without_anything_open_is_nothing_seen() -> None:
    """A deadline that cut the watch short leaves no proof."""
    cut = make_result(LiquidationState.PARTIAL, residual=Residual(), error_message="no proof")

    lines = results(named("a", cut))

    assert lines[3].endswith("nothing seen, not proven")
    assert "left      nothing was seen, but that is not proven" in lines


def test_an_account_without_a_key_has_no_run_to_look_up() -> None:
    """Its refusal left no record, and its name would be looked for in vain."""
    why = "LIQCTL_PRODUCTION_B_API_KEY is not set"
    unopened = make_result(
        LiquidationState.FAILED,
        residual=None,
        cause=FailureCause.CREDENTIALS,
        error_message=why,
        requests=0,
        audit_head=None,
    )
    lines = results(make_flat("a"), named("b", unopened), width=None)

    assert f"why       b: {why}" in lines
    assert not any(line.startswith("run ") for line in lines)
