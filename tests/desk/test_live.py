"""The live view's model and its frame: what an operator sees of the events, worst first."""

from decimal import Decimal
from typing import Any

import pytest

from liqctl.desk.live import LiveAccounts, LiveModel, Stage, draw

BTC = {"symbol": "BTCUSDT", "position_side": "BOTH"}
ETH = {"symbol": "ETHUSDT", "position_side": "BOTH"}
START = {"config": {"symbols": (), "close_positions": True}}


def reading(*open_: tuple[str, str], positions: int | None = None, **more: Any) -> dict[str, Any]:
    """Return what an event keeps of a reading; more positions than are listed may be open."""
    listed = sum(Decimal(notional) for _, notional in open_)
    return {
        "positions": len(open_) if positions is None else positions,
        "regular_orders": 1,
        "algo_orders": 2,
        "notional": str(listed),
        "open": [line for line, _ in open_],
        "notionals": [notional for _, notional in open_],
    } | more


TWO = reading(("BTCUSDT BOTH 0.5", "30000"), ("ETHUSDT BOTH -2", "6000"))


def model_of(*events: tuple[str, dict[str, Any]], at: float = 0.1) -> LiveModel:
    """Return a model that has seen these events, all at one moment."""
    model = LiveModel(began_at=0.0, timeout_s=5.0)
    for event_type, details in (("LIQUIDATION_START", START), *events):
        model.note(event_type, details, at)
    return model


def ways(model: LiveModel, now: float = 0.1) -> dict[str, str]:
    """Return each row's way by its symbol."""
    return {row.symbol: row.way(now) for row in model.rows()}


def drawn(
    model: LiveModel | LiveAccounts, *, now: float = 0.1, width: int = 80, height: int = 23
) -> list[str]:
    """Return the frame's lines without colours."""
    return draw(model, now, title="testnet  liq_1", width=width, height=height, colour=False)


def test_a_leg_goes_its_way_step_by_step() -> None:
    """The way is what tells a slow venue from a stuck one."""
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("SNAPSHOT_TAKEN", TWO, "open"),
        ("ORDER_CANCEL_SENT", {"symbol": "BTCUSDT", "order_ids": ["1"]}, "cancelling"),
        ("ORDER_CANCELLED", {"symbol": "BTCUSDT", "order_ids": ["1"]}, "cancelling"),
        ("ORDER_SENT", {**BTC, "attempt": 1}, "cancelling → closing"),
        ("ORDER_PLACED", {**BTC, "executed": "0.5"}, "cancelling → closing → filled"),
        ("POSITION_CLOSED", BTC, "cancelling → closing → filled → flat"),
    ]
    model = model_of()
    for event_type, details, way in steps:
        model.note(event_type, details, 0.1)
        assert ways(model)["BTCUSDT"] == way


def test_what_is_open_goes_down_with_each_fill_and_not_before() -> None:
    """A part that was executed counts; an order that was only sent does not."""
    model = model_of(("SNAPSHOT_TAKEN", TWO), ("ORDER_SENT", {**BTC, "attempt": 1}))
    assert model.open_notional() == 36000

    model.note("ORDER_PLACED", {**BTC, "client_order_id": "a", "executed": "0.1"}, 0.2)
    assert model.open_notional() == 30000
    assert ways(model)["BTCUSDT"] == "closing"

    model.note("ORDER_PLACED", {**BTC, "client_order_id": "a", "executed": "0.5"}, 0.3)
    assert model.open_notional() == 6000
    assert model.found_notional == 36000


def test_a_retry_says_when_and_why() -> None:
    """`closing` for seconds without a reason leaves the operator guessing."""
    refused = {**BTC, "message": "halted", "code": -1122}
    model = model_of(
        ("SNAPSHOT_TAKEN", TWO),
        ("ORDER_SENT", {**BTC, "attempt": 1}),
        ("ORDER_REJECTED", refused),
        ("RETRY_SCHEDULED", {**BTC, "reason": "halted (code -1122)", "backoff_s": 0.5}),
    )

    assert ways(model, 0.2)["BTCUSDT"] == "closing → attempt 2 in 0.4 s: halted (code -1122)"
    screen = "\n".join(drawn(model))
    assert "retries   1" in screen
    assert "trouble   BTCUSDT: halted (code -1122)" in screen


def test_failed_and_unknown_come_first_and_flat_last() -> None:
    """Where the terminal ends, what needs no look is what is cut off."""
    third = ("SOLUSDT BOTH 40", "90000")
    model = model_of(
        ("SNAPSHOT_TAKEN", reading(third, *zip(TWO["open"], TWO["notionals"], strict=True))),
        ("POSITION_CLOSED", {"symbol": "SOLUSDT", "position_side": "BOTH"}),
        ("ORDER_UNKNOWN", {**BTC, "message": "no answer"}),
        ("POSITION_FAILED", {**ETH, "message": "closed for trading", "code": -4141}),
    )

    stages = [row.stage for row in model.rows()]
    assert stages == [Stage.FAILED, Stage.UNKNOWN, Stage.FLAT]


def test_a_missing_answer_is_counted_in_seconds() -> None:
    """A hanging venue looks like a working one otherwise."""
    model = model_of(("SNAPSHOT_TAKEN", TWO), ("ORDER_SENT", {**BTC, "attempt": 1}))

    assert ways(model, 0.2)["BTCUSDT"] == "closing"
    assert ways(model, 2.1)["BTCUSDT"] == "closing, no answer for 2.0 s"


def test_positions_that_no_reading_names_are_counted_with_their_sum() -> None:
    """A reading names fifty; the frame must not lose the others or their notional."""
    model = model_of(
        ("SNAPSHOT_TAKEN", reading(("BTCUSDT BOTH 0.5", "30000"), positions=5, notional="38000"))
    )
    assert (model.unlisted, model.open_notional()) == (4, Decimal(38000))

    model.note("ORDER_SENT", {"symbol": "X", "position_side": "BOTH", "quantity": "3"}, 0.2)
    assert (model.unlisted, model.open_notional()) == (3, Decimal(38000))

    sent = {"symbol": "X", "position_side": "BOTH", "executed": "3"}
    model.note("ORDER_PLACED", sent, 0.3)
    assert model.open_notional() == 36000
    assert "and 3 more, 6,000.00 still open: 3 open" in drawn(model)


def test_a_reading_that_failed_makes_nothing_flat() -> None:
    """Unread is not empty."""
    unread = {"positions": None, "unread": {"positions": "no answer"}, "notional": "0"}
    model = model_of(("SNAPSHOT_TAKEN", TWO), ("SNAPSHOT_TAKEN", unread))

    assert set(ways(model).values()) == {"open"}
    assert "unread    positions: no answer" in drawn(model)


def test_a_leg_that_others_open_again_is_open_again() -> None:
    """A bot that works against the run must be seen."""
    model = model_of(("SNAPSHOT_TAKEN", TWO), ("POSITION_CLOSED", BTC), ("SNAPSHOT_TAKEN", TWO))

    assert ways(model)["BTCUSDT"] == "open: listed again"


def test_flat_is_watched_before_the_eyes_of_the_operator() -> None:
    """Nothing is open and nothing ends: without a word that looks like a program that hangs."""
    watch = {"round": 3, "settle_seconds": 2.0, "watch_seconds": 2.0}
    model = model_of(("SNAPSHOT_TAKEN", TWO), ("POSITION_CLOSED", BTC), ("POSITION_CLOSED", ETH))
    model.note("FLAT_SEEN", watch, 0.6)
    model.note("SNAPSHOT_TAKEN", reading(positions=0), 1.0)
    model.note("ORDER_CANCEL_SENT", {"symbol": "BTCUSDT", "order_ids": []}, 1.9)

    assert drawn(model, now=2.0)[0].endswith("flat, watching 1.4 s of 2.0 s")
    assert model.phase(9.0) == "flat, watching 2.0 s of 2.0 s"

    model.note("VERIFIED", {"flat": True}, 2.7)
    assert model.phase(2.7) == "flat, proven"


@pytest.mark.parametrize(
    ("event_type", "details"),
    [
        ("REENTRY_SEEN", {**BTC, "quantity": "0.5"}),
        ("ORDER_SENT", {**BTC, "quantity": "0.5", "attempt": 1}),
        ("SNAPSHOT_TAKEN", TWO),
    ],
)
def test_what_appears_ends_the_watch(event_type: str, details: dict[str, Any]) -> None:
    """An account that is being closed again is not flat."""
    model = model_of(("SNAPSHOT_TAKEN", TWO), ("POSITION_CLOSED", BTC), ("POSITION_CLOSED", ETH))
    model.note("FLAT_SEEN", {"watch_seconds": 2.0}, 0.6)
    model.note(event_type, details, 0.8)

    assert "watching" not in model.phase(0.9)


def test_what_is_out_of_scope_is_not_shown() -> None:
    """With --symbol the rest of the account is nobody's business here."""
    model = model_of()
    config = {"symbols": ("ETHUSDT",), "close_positions": True}
    model.note("LIQUIDATION_START", {"config": config}, 0.0)
    model.note("SNAPSHOT_TAKEN", TWO, 0.1)

    assert set(ways(model)) == {"ETHUSDT"}
    assert model.open_notional() == 6000


def test_positions_left_alone_as_asked_are_called_so() -> None:
    """`open` for ever would look like a hang with --orders-only."""
    model = model_of()
    model.note("LIQUIDATION_START", {"config": {"close_positions": False}}, 0.0)
    model.note("SNAPSHOT_TAKEN", TWO, 0.1)

    assert set(ways(model).values()) == {"left alone"}


@pytest.mark.parametrize(
    ("width", "height"),
    [(80, 23), (200, 49), (40, 8), *((60, height) for height in range(10, 14))],
)
def test_a_frame_never_leaves_the_terminal(width: int, height: int) -> None:
    """One line too many scrolls, and the next frame is drawn over the wrong lines."""
    rows = [(f"C{number:03}USDT BOTH 1", "100") for number in range(50)]
    model = model_of(("SNAPSHOT_TAKEN", reading(*rows, positions=200, notional="20000")))
    long = {"symbol": "C007USDT", "position_side": "BOTH", "message": "many words " * 40}
    model.note("POSITION_FAILED", long, 0.2)

    lines = drawn(model, width=width, height=height)

    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width
    if height > 8:
        assert "C007USDT" in "".join(lines)
        assert lines[-1].startswith("and ")
        assert "still open" in lines[-1]


def test_a_venues_words_cannot_move_the_cursor() -> None:
    """An error text with an escape sequence could draw over the frame."""
    model = model_of(
        ("SNAPSHOT_TAKEN", TWO), ("POSITION_FAILED", {**BTC, "message": "a\x1b[2Jb\n[red]c"})
    )

    shown = "\n".join(drawn(model, width=200))

    assert "\x1b" not in shown
    assert r"a\x1b[2Jb\n[red]c" in shown


@pytest.mark.parametrize(
    "details", [{}, {"symbol": 7}, {"open": ["X"], "positions": 1}, {"a": None}]
)
@pytest.mark.parametrize("event_type", ["SNAPSHOT_TAKEN", "ORDER_SENT", "ORDER_CANCELLED", "NEW"])
def test_an_event_of_another_shape_is_no_error(event_type: str, details: dict[str, Any]) -> None:
    """The view may know less than the trail, and must not die of it."""
    assert drawn(model_of((event_type, details)))


BOTH = {"config": {"symbols": (), "products": ("USDM", "COINM"), "close_positions": True}}
USDM, COINM = {"product": "USDM"}, {"product": "COINM"}
NOTHING = reading(regular_orders=0, algo_orders=0)


def both(*events: tuple[str, dict[str, Any]]) -> LiveModel:
    """Return a model of a run over both products that has seen these events."""
    return model_of(("LIQUIDATION_START", BOTH), *events)


def test_an_empty_reading_of_one_product_says_nothing_of_the_other() -> None:
    """COIN-M, where most accounts hold nothing, must not show USDS-M's positions flat."""
    model = both(("SNAPSHOT_TAKEN", NOTHING | COINM))
    assert model.phase(0.1) == "reading the account"
    assert "not known yet" in drawn(model)[1]

    model.note("SNAPSHOT_TAKEN", TWO | USDM, 0.2)
    model.note("SNAPSHOT_TAKEN", NOTHING | COINM, 0.3)

    assert ways(model) == {"BTCUSDT": "open", "ETHUSDT": "open"}
    assert model.open_notional() == model.found_notional == 36000
    assert sum(model.orders_by.values()) == 3


def test_both_products_are_summed_up_and_named() -> None:
    """One number for the money at stake; contracts are called so."""
    perp = reading(("BTCUSD_PERP BOTH -12", "1200"), positions=3, notional="1500")
    model = both(("SNAPSHOT_TAKEN", TWO | USDM), ("SNAPSHOT_TAKEN", perp | COINM))

    frame = drawn(model, width=110)

    assert (model.open_notional(), model.unlisted) == (Decimal(37500), 2)
    assert any("BTCUSD_PERP COIN-M" in line and "12 contracts" in line for line in frame)
    model.note("SNAPSHOT_TAKEN", NOTHING | USDM, 0.3)
    assert (model.open_notional(), model.unlisted) == (Decimal(1500), 2)


def test_flat_is_watched_and_proven_when_every_product_is() -> None:
    """The first product to be proven flat does not end the run."""
    seen = {"watch_seconds": 2.0}
    model = both(
        ("SNAPSHOT_TAKEN", NOTHING | COINM),
        ("FLAT_SEEN", seen | COINM),
        ("SNAPSHOT_TAKEN", TWO | USDM),
    )
    assert model.phase(0.1) == "cancelling"

    model.note("POSITION_CLOSED", BTC | USDM, 0.2)
    model.note("POSITION_CLOSED", ETH | USDM, 0.2)
    model.note("FLAT_SEEN", seen | USDM, 1.0)
    assert model.phase(1.5) == "flat, watching 0.5 s of 2.0 s"

    model.note("VERIFIED", COINM, 2.0)
    assert model.phase(2.0).startswith("flat, watching")
    model.note("ORDER_SENT", BTC | USDM, 2.1)
    assert model.phase(2.1) == "closing"
    model.note("POSITION_CLOSED", BTC | USDM, 2.2)
    model.note("FLAT_SEEN", seen | USDM, 2.2)
    model.note("VERIFIED", USDM, 3.0)
    assert model.phase(3.0) == "flat, proven"


def test_symbols_of_one_product_are_the_whole_run() -> None:
    """A product without a symbol in scope is never read, and not waited for."""
    start = {"config": BOTH["config"] | {"symbols": ("BTCUSDT",)}}
    model = model_of(("LIQUIDATION_START", start), ("SNAPSHOT_TAKEN", NOTHING | USDM))

    assert model.phase(0.1) == "reading again: is it flat?"


Event = tuple[str, dict[str, Any]]
CLOSED: list[Event] = [
    ("SNAPSHOT_TAKEN", TWO),
    ("ORDER_CANCELLED", {"symbol": "BTCUSDT", "order_ids": ["1"]}),
    ("POSITION_CLOSED", BTC),
    ("POSITION_CLOSED", ETH),
]
FLAT: list[Event] = [*CLOSED, ("LIQUIDATION_COMPLETE", {"state": "COMPLETED"})]


def accounts(**events: list[Event]) -> LiveAccounts:
    """Return the model of several accounts that have seen these events, by their names."""
    model = LiveAccounts(began_at=0.0, timeout_s=5.0)
    for name, own in events.items():
        for event_type, details in (("LIQUIDATION_START", START), *own):
            model.note(event_type, details | {"account": name}, 0.1)
    return model


def test_one_account_with_a_name_has_a_line() -> None:
    """`--account desk_a` of a file of one."""
    lines = drawn(accounts(desk_a=[("SNAPSHOT_TAKEN", TWO)]))

    assert lines[0] == "testnet  liq_1  1 cancelling"
    assert lines[1].startswith("open      36,000.00 of 36,000.00 notional")
    assert lines[3] == "orders    0 of 3 cancelled"
    assert [line.split() for line in lines[5:]] == [
        ["account", "state", "open", "closed", "cancelled", "why"],
        ["desk_a", "cancelling", "36,000.00", "0", "of", "2", "0", "of", "3"],
    ]


def test_accounts_are_told_apart_and_come_worst_first() -> None:
    """Each at a step of its own, and the same symbol in several of them."""
    model = accounts(
        done=FLAT,
        watching=[*CLOSED, ("FLAT_SEEN", {"watch_seconds": 2.0})],
        closing=[("SNAPSHOT_TAKEN", TWO), ("ORDER_SENT", {**BTC, "attempt": 1})],
        reading=[],
        partly=[
            ("SNAPSHOT_TAKEN", TWO),
            ("POSITION_CLOSED", ETH),
            ("LIQUIDATION_PARTIAL", {"state": "PARTIAL", "error_message": "BTCUSDT is open"}),
        ],
        refused=[("LIQUIDATION_FAILED", {"state": "FAILED", "error_message": "no\x1b[2J key"})],
        blocked=[("LIQUIDATION_BLOCKED", {"holder": "liq_2"})],
        twin=[("LIQUIDATION_SKIPPED", {"reason": "the same account"})],
    )

    lines = drawn(model, width=100)

    assert lines[0] == (
        "testnet  liq_1  1 failed, 1 partly, 1 with another run, 1 closing, 1 reading, "
        "1 watching flat, 1 fl…"
    )
    assert "66,000.00 of 144,000.00 notional" in lines[1]
    assert "unread    what is open on 2 accounts is not known" in lines
    assert [line.split("  ")[0] for line in lines[7:]] == [
        "refused",
        "partly",
        "blocked",
        "closing",
        "reading",
        "watching",
        "done",
        "twin",
    ]
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[7:]}
    assert shown["refused"] == r"failed no\x1b[2J key"
    assert shown["partly"] == "partly 30,000.00 1 of 2 0 of 3 BTCUSDT is open"
    assert shown["watching"] == "watching flat 0.00 2 of 2 1 of 3"
    assert shown["done"] == "flat 0.00 2 of 2 1 of 3"
    assert shown["twin"].startswith("skipped")


@pytest.mark.parametrize(("width", "height"), [(80, 23), (40, 8), (200, 49)])
def test_of_forty_accounts_flat_ones_are_summed_up_first(width: int, height: int) -> None:
    """A frame that scrolls is drawn over the wrong lines, and the worst must be in it."""
    failed: Event = ("POSITION_FAILED", {**BTC, "message": "closed for trading " * 9})
    model = accounts(
        **{f"d{index:02}": FLAT for index in range(37)},
        trouble=[("SNAPSHOT_TAKEN", TWO), failed],
        partly=[("SNAPSHOT_TAKEN", TWO), ("LIQUIDATION_PARTIAL", {"state": "PARTIAL"})],
        silent=[],
    )

    lines = drawn(model, width=width, height=height)

    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    if height > 8:
        names = [line.split()[0] for line in lines[7:10]]
        assert names == ["partly", "trouble", "silent"]
        assert "closed for trading" in lines[8]
    if height == 23:
        assert lines[-1] == "and 25 more, 0.00 still open: 25 flat"


def test_what_is_left_alone_is_done_and_not_flat() -> None:
    """With --orders-only the positions stay."""
    start = ("LIQUIDATION_START", {"config": {"close_positions": False}})
    model = accounts(a=[start, ("SNAPSHOT_TAKEN", TWO), *FLAT[-1:]])

    assert drawn(model)[0].endswith("1 done")


def test_several_accounts_that_are_stopped_say_so_and_how_far_they_are() -> None:
    """The key was pressed: who waits wants to know for what."""
    model = accounts(a=[("SNAPSHOT_TAKEN", TWO)], b=FLAT)

    lines = draw(model, 0.2, title="t", width=80, height=23, colour=False, stopping=True)

    assert lines[0] == "t  stopping: 1 cancelling, 1 flat"
