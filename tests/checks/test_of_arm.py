"""What validate says of `arm`: what would never trip, or trip by mistake."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from liqctl.checks.of_arm import issues_of_arm
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.rules import Guard, Rule
from liqctl.kernel.states import Environment, Margin
from liqctl.settings.values import ArmSettings, ExchangeSettings, Settings

LOSS = Guard(rule=Rule.MAX_LOSS, limit=Decimal(500))
SIZE = Guard(rule=Rule.MAX_POSITION_NOTIONAL, limit=Decimal(500), symbols=("ETHUSDT",))
RATIO = Guard(rule=Rule.MIN_MARGIN_RATIO, limit=Decimal(1))


def found(arm: dict[str, Any], accounts: int = 1, **others: Any) -> list[str]:
    """Return level, field and message of every issue in production."""
    settings = Settings(
        environment=Environment.PRODUCTION,
        arm=ArmSettings(**arm),
        liquidation=LiquidationConfig(**others),
    )
    return [
        f"{issue.level.value} {issue.field}: {issue.message}"
        for issue in issues_of_arm(settings, [settings] * accounts)
    ]


def test_who_configures_nothing_hears_nothing() -> None:
    """Whether anybody runs `arm` is not in the settings."""
    assert found({}) == []
    assert found({}, accounts=20) == []
    assert found({"guards": (LOSS,)}) == []


@pytest.mark.parametrize(
    ("arm", "others", "expected"),
    [
        ({"guards": (SIZE,)}, {"symbols": ("BTCUSDT",)}, "WARNING arm.guards: guard max_position"),
        ({"guards": (LOSS,)}, {"symbols": ("BTCUSDT",)}, "WARNING arm.guards: guard max_loss 500"),
        ({"guards": (RATIO,)}, {}, "WARNING arm.guards: guard min_margin_ratio 1 trips only"),
        ({"guards": (LOSS,), "hold_seconds": 0.0}, {}, "INFO arm.hold_seconds: hold_seconds is 0"),
        (
            {"countdown_seconds": 60.0},
            {},
            "INFO arm.countdown_seconds: countdown_seconds 60 costs 40 request weight a minute",
        ),
        (
            {"countdown_seconds": 60.0},
            {"margin": Margin.PORTFOLIO},
            "WARNING arm.countdown_seconds: portfolio margin has no countdown",
        ),
        ({"heartbeat_file": Path("beat")}, {}, "WARNING arm.heartbeat_file: beat is looked for in"),
        (
            {"heartbeat_file": Path("/nowhere/beat")},
            {},
            "WARNING arm.heartbeat_file: /nowhere/beat is not there: an armed process trips 30 s",
        ),
    ],
)
def test_what_would_not_do_what_it_looks_like_is_said(
    arm: dict[str, Any], others: dict[str, Any], expected: str
) -> None:
    """A guard that never trips is worse than none: somebody relies on it."""
    assert any(each.startswith(expected) for each in found(arm, **others)), found(arm, **others)


def test_a_heartbeat_that_anybody_can_keep_alive_is_a_warning(tmp_path: Path) -> None:
    """Whoever may touch the file may keep the switch from tripping."""
    beat = tmp_path / "beat"
    beat.touch()
    tmp_path.chmod(0o777)

    assert [each for each in found({"heartbeat_file": beat}) if "anybody may write" in each]
    tmp_path.chmod(0o755)
    assert found({"heartbeat_file": beat}) == []


def test_more_accounts_than_one_address_can_watch_are_counted() -> None:
    """Each armed process takes a tenth of the address' weight, and liquidations need some."""
    assert found({"guards": (LOSS,)}, accounts=5) == []
    (told,) = found({"guards": (LOSS,)}, accounts=6)
    assert told == (
        "WARNING arm: 6 accounts armed at one address would use 1440 of its 2400 request weight a "
        "minute: each takes up to 240, and a liquidation needs some, too"
    )


def test_another_host_for_the_stream_sees_the_listen_key() -> None:
    """With it anybody reads the account."""
    settings = replace(
        Settings(environment=Environment.PRODUCTION),
        exchange=ExchangeSettings(stream_url="wss://stream.example.org"),
    )
    (issue,) = issues_of_arm(settings)

    assert (issue.level.value, issue.type.value, issue.field) == (
        "WARNING",
        "SECURITY",
        "exchange.stream_url",
    )
