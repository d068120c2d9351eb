"""The status screen: the open account first, the last run below, unknown never shown as flat."""

from typing import Any

import pytest

from liqctl.desk.status import render_status

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
        "FLAT at this reading: testnet, no liquidation runs\n"
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


def test_the_settings_in_force_are_named() -> None:
    """What is watched depends on them."""
    screen = render_status(make_document(config_file="own.yaml"), width=80, colour=False)

    assert "settings  own.yaml" in screen


@pytest.mark.parametrize("width", [80, 200])
def test_the_status_fits_the_terminal(width: int) -> None:
    """A long reason is wrapped under its label."""
    running = {"correlation_id": "liq_" + "x" * 60, "pid": 1, "started_at": "2026-01-02T10:30:00Z"}
    document = make_document(account=None, account_error="no answer " * 40, in_progress=running)

    screen = render_status(document, width=width, colour=False)

    assert max(len(line) for line in screen.splitlines()) <= width


def make_positions(number: int) -> list[dict[str, Any]]:
    """Return that many positions, the worst first, of 10 notional each but for the first."""
    return [
        {
            "symbol": f"C{index}USDT",
            "side": "LONG",
            "quantity": "1",
            "notional": "10" if index else "1000",
        }
        for index in range(number)
    ]


@pytest.mark.parametrize("height", [1, 6, 12, 24, 50])
def test_a_screen_fits_its_height_and_sums_what_it_leaves_out(height: int) -> None:
    """What scrolls off the top of a watch is the answer."""
    account = {
        "flat": False,
        "notional": "2990",
        "positions": make_positions(200),
        "orders": [{"symbol": "X" * 90, "side": "BUY", "type": "LIMIT", "order_id": "1"}] * 300,
    }
    document = make_document(account=account, watch={"next_look_seconds": 5})

    screen = render_status(document, width=80, height=height, colour=False).splitlines()

    assert len(screen) <= height
    assert max(len(line) for line in screen) <= 80
    assert screen[0].startswith("OPEN: testnet")
    assert any("200 positions of 2,990.00 notional, 300 orders" in line for line in screen) == (
        height > 1
    )
    hidden = [line for line in screen if "smaller positions of" in line]
    if hidden:
        shown = sum(line.startswith("C") for line in screen)
        assert hidden == [
            f"and {200 - shown} smaller positions of {10 * (200 - shown):,}.00 notional"
        ]


def test_what_was_seen_before_is_not_what_is() -> None:
    """In an outage the last reading stands below UNKNOWN, with its age."""
    flat = {"flat": True, "positions": [], "orders": [], "notional": "0"}
    known = {"at": "2026-01-02T10:30:00.000000Z", "age_seconds": 12.3, "account": flat}
    document = make_document(account=None, account_error="no answer", last_known=known)

    screen = render_status(document, width=80, colour=False)

    assert screen.startswith("UNKNOWN: testnet")
    assert "FLAT" not in screen
    assert "last seen 12 s ago, before it became unknown" in screen


def test_half_a_reading_that_shows_nothing_is_unknown() -> None:
    """Orders were read and none is open; whether positions are, nobody knows."""
    account = {
        "flat": False,
        "positions": [],
        "orders": [],
        "notional": None,
        "unread": ["positions"],
    }
    document = make_document(account=account, account_error="HTTP 502")

    screen = render_status(document, width=80, colour=False)

    assert screen.startswith("UNKNOWN: testnet")
    assert "open      positions not read, 0 orders\n" in screen


def test_flat_in_scope_names_the_scope() -> None:
    """FLAT of one symbol must not be read as FLAT of the account."""
    account = {"flat": True, "positions": [], "orders": [], "notional": "0", "scope": ["BTCUSD"]}
    account["unknown_symbols"] = ["BTCUSD"]

    screen = render_status(make_document(account=account), width=80, colour=False)

    assert screen.startswith("FLAT at this reading: testnet (BTCUSD only)")
    assert "the venue does not know BTCUSD" in screen


def test_somebody_without_a_name_is_somebody() -> None:
    """A lock whose text cannot be read is held all the same."""
    nobody = {"correlation_id": None, "pid": None, "started_at": None}

    screen = render_status(make_document(in_progress=nobody), width=80, colour=False)

    assert "a liquidation is running" in screen
    assert "does not say who" in screen
