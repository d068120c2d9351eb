"""The status screen: the open account first, the last run below, unknown never shown as flat."""

from typing import Any

import pytest

from liqctl.report.status import render_status

METRICS = {"execution_count": 3, "completed": 2, "failed": 1, "partial": 0}


def make_document(**changes: Any) -> dict[str, Any]:
    """Return the document of a flat account with three runs behind it."""
    document: dict[str, Any] = {
        "schema": "liqctl.status/1",
        "environment": "testnet",
        "state": "IDLE",
        "in_progress": None,
        "account": {"flat": True, "positions": [], "orders": [], "notional": "0"},
        "account_error": None,
        "last_run": {
            "state": "COMPLETED",
            "correlation_id": "liq_20260102_103000_abc123",
            "finished_at": "2026-01-02T10:30:00.840000Z",
        },
        "metrics": METRICS,
    }
    return document | changes


def test_a_flat_account_is_three_lines() -> None:
    """The common case must not need reading."""
    assert render_status(make_document(), width=80, colour=False) == (
        "FLAT: testnet, no liquidation runs\n"
        "\n"
        "open      0 positions of 0.00 notional, 0 orders\n"
        "last run  COMPLETED, liq_20260102_103000_abc123, 2026-01-02T10:30:00.840000Z\n"
        "runs      3 (2 completed, 1 failed)\n"
    )


def test_an_unread_account_is_unknown_and_says_why() -> None:
    """Not to have looked is not to have found nothing."""
    document = make_document(account=None, account_error="no key is set")

    screen = render_status(document, width=80, colour=False)

    assert screen.startswith("UNKNOWN: testnet")
    assert "unread    no key is set" in screen


def test_open_positions_and_orders_are_listed() -> None:
    """What is open is what the operator came for."""
    account = {
        "flat": False,
        "notional": "25000.0",
        "positions": [
            {
                "symbol": "BTCUSDT",
                "position_side": "BOTH",
                "quantity": "-0.500",
                "notional": "25000.0",
            }
        ],
        "orders": [
            {"symbol": "BTCUSDT", "side": None, "type": "LIMIT", "order_id": "12\x1b[2J"},
        ],
    }

    screen = render_status(make_document(account=account), width=80, colour=False)

    assert screen.startswith("OPEN: testnet")
    assert "BTCUSDT  BOTH    -0.500  25,000.00    ?" in screen
    assert r"BTCUSDT  ?     LIMIT  12\x1b[2J" in screen
    assert "\x1b" not in screen


@pytest.mark.parametrize("width", [80, 200])
def test_the_status_fits_the_terminal(width: int) -> None:
    """A long reason is wrapped under its label."""
    running = {"correlation_id": "liq_" + "x" * 60, "pid": 1, "started_at": "2026-01-02T10:30:00Z"}
    document = make_document(account=None, account_error="no answer " * 40, in_progress=running)

    screen = render_status(document, width=width, colour=False)

    assert max(len(line) for line in screen.splitlines()) <= width
