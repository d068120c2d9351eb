"""What validate says of `arm`: what would never trip, or trip by mistake."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from liqctl.checks.of_settings import issues_of_arm
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule
from liqctl.kernel.states import Environment, Margin
from liqctl.settings.values import ArmSettings, Settings

LOSS = Guard(rule=Rule.MAX_LOSS, limit=Decimal(500))


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
        ({"guards": (LOSS,)}, {"symbols": ("BTCUSDT",)}, "WARNING arm.guards: guard max_loss 500"),
        (
            {"countdown_seconds": 60.0},
            {"margin": Margin.PORTFOLIO},
            "WARNING arm.countdown_seconds: portfolio margin has no countdown",
        ),
        (
            {"countdown_seconds": 60.0},
            {},
            "INFO arm.countdown_seconds: countdowns come on top of what `arm` takes: up to 240",
        ),
        ({"heartbeat_file": Path("beat")}, {}, "WARNING arm.heartbeat_file: beat is looked for in"),
    ],
)
def test_what_would_not_do_what_it_looks_like_is_said(
    arm: dict[str, Any], others: dict[str, Any], expected: str
) -> None:
    """A guard that never trips is worse than none: somebody relies on it."""
    assert any(each.startswith(expected) for each in found(arm, **others)), found(arm, **others)


def test_more_accounts_than_one_address_can_watch_are_counted() -> None:
    """Each armed process takes a tenth of the address' weight, and liquidations need some."""
    assert found({"guards": (LOSS,)}, accounts=5) == []
    (told,) = found({"guards": (LOSS,)}, accounts=6)
    assert told == (
        "WARNING arm: 6 accounts armed at one address would use 1440 of its 2400 request weight a "
        "minute: each takes up to 240, and a liquidation needs some, too"
    )
