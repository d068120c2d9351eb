"""What validate says: levels by environment, as the contract lists them."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from liqctl.checks.of_settings import changes, issues_of_settings
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule
from liqctl.kernel.states import Environment, Margin, Product
from liqctl.settings.model import TABLE, markdown_table
from liqctl.settings.values import AccountSettings, ArmSettings, ExchangeSettings, Settings

DISARMED = {"emergency_liquidation": False, "close_positions": False, "cancel_orders": False}


def levels(environment: Environment, **policy: Any) -> list[tuple[str, str]]:
    """Return level and field of every issue."""
    settings = Settings(environment=environment, liquidation=LiquidationConfig(**policy))
    found = issues_of_settings(settings)
    return [(issue.level.value, issue.field.rpartition(".")[2]) for issue in found]


@pytest.mark.parametrize("environment", Environment)
def test_the_defaults_are_beyond_reproach(environment: Environment) -> None:
    """A warning that is always there is read by nobody."""
    assert levels(environment) == []


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (DISARMED, [("CRITICAL", "emergency_liquidation")]),
        ({"timeout_seconds": 2.9}, "ERROR timeout_seconds"),
        ({"timeout_seconds": 3.0, "max_retries": 2}, "INFO timeout_seconds"),
        ({"timeout_seconds": 10.0}, [("INFO", "timeout_seconds")]),
        ({"max_retries": 0}, [("WARNING", "max_retries")]),
        ({"max_retries": 6, "retry_delay_seconds": 0.1, "timeout_seconds": 30.0}, "WARNING max_re"),
        ({"max_retries": 1}, [("INFO", "max_retries")]),
        ({"retry_delay_seconds": 2.1}, "WARNING retry_delay_seconds"),
        ({"max_retries": 4}, "WARNING retry_delay_seconds"),
        ({"close_positions": False}, [("WARNING", "close_positions")]),
        ({"cancel_orders": False}, [("INFO", "cancel_orders")]),
        ({"symbols": ("BTCUSDT",)}, [("INFO", "symbols")]),
        ({"products": (Product.USDM,)}, [("INFO", "products")]),
        ({"margin": Margin.STANDARD}, [("INFO", "margin")]),
    ],
)
def test_production_is_judged_strictly(
    policy: dict[str, Any], expected: list[tuple[str, str]] | str
) -> None:
    """The list of the contract."""
    found = levels(Environment.PRODUCTION, **policy)

    if isinstance(expected, str):
        assert any(" ".join(each).startswith(expected) for each in found)
    else:
        assert found == expected


def test_testnet_is_judged_mildly() -> None:
    """A drill on testnet may use any value in range."""
    assert levels(Environment.TESTNET, **DISARMED) == [("WARNING", "emergency_liquidation")]
    assert levels(Environment.TESTNET, timeout_seconds=1.0, max_retries=0) == []


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"settle_seconds": 0.0}, ("WARNING", "CONFIGURATION")),
        ({"settle_seconds": 0.5}, ("INFO", "CONFIGURATION")),
        ({"settle_seconds": 4.5}, ("WARNING", "PERFORMANCE")),
        # 5 s less the reserve of 0.75 s and 1 s of work leave 3.25 s.
        ({"settle_seconds": 3.25}, None),
        ({"settle_seconds": 3.26}, ("WARNING", "PERFORMANCE")),
        ({"settle_seconds": 30.0, "timeout_seconds": 30.0}, ("WARNING", "PERFORMANCE")),
        ({"settle_seconds": 20.0, "timeout_seconds": 30.0}, None),
        ({"timeout_seconds": 3.0}, ("WARNING", "PERFORMANCE")),
    ],
)
def test_the_time_that_flat_is_watched_is_judged_with_the_deadline(
    policy: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    """A window that the deadline cuts off proves less than was asked for."""
    settings = Settings(environment=Environment.PRODUCTION, liquidation=LiquidationConfig(**policy))

    found = [
        (issue.level.value, issue.type.value)
        for issue in issues_of_settings(settings)
        if issue.field == "liquidation.settle_seconds"
    ]

    assert found == ([expected] if expected else [])


def test_outside_production_only_a_window_that_was_asked_for_must_fit() -> None:
    """The shortest deadline passes on the testnet; a long window is a mistake anywhere."""
    assert levels(Environment.TESTNET, timeout_seconds=1.0, max_retries=0) == []
    assert levels(Environment.TESTNET, settle_seconds=4.5) == [("WARNING", "settle_seconds")]
    assert levels(Environment.TESTNET, settle_seconds=0.0) == [("INFO", "settle_seconds")]


def test_changes_name_old_new_and_impact() -> None:
    """A reviewer wants to know what a change does, not only that it is one."""
    old = Settings(environment=Environment.TESTNET)
    new = replace(old, liquidation=LiquidationConfig(timeout_seconds=9.0))

    (change,) = changes(old, new)

    assert change == {
        "key": "liquidation.timeout_seconds",
        "old": 5.0,
        "new": 9.0,
        "impact": "when a run ends, finished or not",
    }
    assert changes(old, old) == []


def test_the_table_names_every_setting() -> None:
    """The README's table is made from it."""
    table = markdown_table()

    assert all(f"| `{rule.key}` |" in table for rule in TABLE)


def weight_of(count: int, **scope: Any) -> list[str]:
    """Return what is said of so many accounts of one scope at one address."""
    own = AccountSettings(
        **{"symbols": (), "products": ("usdm", "coinm"), "margin": "auto"} | scope
    )
    names = [f"desk-{number}" for number in range(count)]
    settings = Settings(environment=Environment.PRODUCTION, accounts=dict.fromkeys(names, own))
    found = issues_of_settings(settings, [settings.of(name) for name in names])
    return [f"{each.level} {each.message}" for each in found if each.field == "accounts"]


def test_more_accounts_than_one_address_can_prove_are_told_with_how_many_fit() -> None:
    """Twenty times 11 to look, 176 to read and 10 to cancel are 3940 of 2400."""
    (told,) = weight_of(20)

    assert told.startswith(
        "WARNING 20 accounts need about 3940 request weight to be proven flat, and one address has "
        "2400 in a minute: enough for about 12. "
    )
    assert weight_of(12) == []
    assert weight_of(20, symbols=("BTCUSDT",)) == []
    assert weight_of(20, products=("usdm",)) == []
    assert weight_of(20, margin="portfolio") == []  # 6000 of its own
    assert "6000 in a minute" in weight_of(40, margin="portfolio")[0]


def test_what_all_accounts_inherit_is_said_once_and_their_own_with_their_names() -> None:
    """Twenty times the same note hides the twenty-first."""
    common = AccountSettings(symbols=("BTCUSDT",), products=("usdm", "coinm"), margin="auto")
    own = replace(common, symbols=("ETHUSDT",))
    settings = Settings(
        environment=Environment.PRODUCTION,
        liquidation=LiquidationConfig(symbols=("BTCUSDT",)),
        accounts={"a": common, "b": common, "c": own},
    )

    found = issues_of_settings(settings, [settings.of(name) for name in "abc"])

    assert [issue.field for issue in found] == ["liquidation.symbols", "accounts.c.symbols"]


def guarded(rule: Rule, limit: str, *symbols: str, **policy: Any) -> list[str]:
    """Return what is said of a guard itself in production."""
    guard = Guard(rule=rule, limit=Decimal(limit), symbols=symbols)
    settings = Settings(
        environment=Environment.PRODUCTION,
        liquidation=LiquidationConfig(**policy),
        arm=ArmSettings(guards=(guard,)),
    )
    found = [each for each in issues_of_settings(settings) if each.field == "arm.guards[0]"]
    assert all(each.level.value == "WARNING" and each.recommendation for each in found)
    return [each.message for each in found]


@pytest.mark.parametrize(
    ("rule", "limit", "policy", "told"),
    [
        (Rule.MAX_LOSS, "0", {}, "trips as soon as"),
        (Rule.MAX_NOTIONAL, "0", {}, "trips as soon as"),
        (Rule.MIN_MARGIN_RATIO, "0", {}, "never trips in time"),
        (Rule.MIN_MARGIN_RATIO, "1", {}, "never trips in time"),
        (Rule.MIN_MARGIN_RATIO, "1.05", {"margin": Margin.PORTFOLIO}, "at a ratio of 1.05"),
        (Rule.MAX_DRAWDOWN, "100", {}, "when everything is lost"),
        (Rule.MAX_DRAWDOWN, "0.1", {}, "the limit is no fraction"),
        (Rule.MAX_ORDERS_PER_MINUTE, "1200", {}, "never trips"),
        (Rule.MAX_LOSS, "500", {"margin": Margin.PORTFOLIO}, "counts money that is moved out"),
    ],
)
def test_a_guard_that_trips_never_or_always_is_doubted(
    rule: Rule, limit: str, policy: dict[str, Any], told: str
) -> None:
    """Somebody relies on it."""
    (message,) = guarded(rule, limit, **policy)

    assert told in message


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        (Rule.MAX_LOSS, "500"),
        (Rule.MIN_MARGIN_RATIO, "1.05"),
        (Rule.MAX_DRAWDOWN, "1"),
        (Rule.MAX_ORDERS_PER_MINUTE, "1199"),
        (Rule.MAX_POSITION_NOTIONAL, "1000"),
    ],
)
def test_a_guard_that_can_trip_is_not_doubted(rule: Rule, limit: str) -> None:
    """A warning that is always there is read by nobody."""
    assert guarded(rule, limit) == []


def test_a_guard_of_what_is_out_of_scope_is_doubted() -> None:
    """It would trip, and nothing would be closed."""
    rule = Rule.MAX_POSITION_NOTIONAL

    (other,) = guarded(rule, "9", "BTCUSDT", "ETHUSDT", symbols=("BTCUSDT",))
    (product,) = guarded(rule, "9", "BTCUSD_PERP", products=(Product.USDM,))

    assert "watches ETHUSDT, which a trip would not close" in other
    assert "watches BTCUSD_PERP" in product


def test_how_often_guards_look_is_told() -> None:
    """The weight is the same with every guard; what it is spent on is not."""
    guards = tuple(Guard(rule=rule, limit=Decimal(5)) for rule in Rule)
    usdm = LiquidationConfig(products=(Product.USDM,))

    told = [
        each.message
        for liquidation in (LiquidationConfig(), usdm)
        for each in issues_of_settings(
            Settings(
                environment=Environment.PRODUCTION,
                arm=ArmSettings(guards=guards),
                liquidation=liquidation,
            )
        )
        if each.field == "arm.guards"
    ]

    assert [each.partition(": ")[0].partition("reads ")[2] for each in told] == [
        "the account every 10 s, and trips up to 6 s after the first reading over a limit",
        "the account every 3 s, and trips up to 6 s after the first reading over a limit",
    ]
    assert all("takes at most 240 of the 2400 request weight" in each for each in told)


def test_an_armed_process_is_judged_by_what_it_would_do() -> None:
    """Neither is a mistake in itself."""
    arm = ArmSettings(hold_seconds=0.0, countdown_seconds=29.0)
    exchange = ExchangeSettings(stream_url="wss://gateway.example")
    settings = Settings(environment=Environment.PRODUCTION, arm=arm, exchange=exchange)

    found = {
        each.field: (each.level.value, each.type.value) for each in issues_of_settings(settings)
    }

    assert found == {
        "arm.hold_seconds": ("INFO", "CONFIGURATION"),
        "arm.countdown_seconds": ("WARNING", "CONFIGURATION"),
        "exchange.stream_url": ("WARNING", "SECURITY"),
    }
    kept = replace(settings, arm=ArmSettings(countdown_seconds=30.0), exchange=ExchangeSettings())
    assert [*issues_of_settings(kept)] == []


def test_a_changed_guard_is_a_change() -> None:
    """And told in words."""
    old = Settings(environment=Environment.TESTNET)
    guard = Guard(rule=Rule.MAX_DRAWDOWN, limit=Decimal(10))
    new = replace(old, arm=ArmSettings(guards=(guard,)))

    (change,) = changes(old, new)

    assert (change["key"], change["old"], change["new"]) == (
        "arm.guards",
        [],
        ["max_drawdown 10 %"],
    )
