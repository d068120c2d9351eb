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


def make_account(count: int, **changes: Any) -> dict[str, Any]:
    """Return an account with so many positions of 100 each, all of it read."""
    position = {"symbol": "ETHUSDT", "side": "LONG", "quantity": "1", "notional": "100"}
    account = {"positions": [position] * count, "orders": [], "notional": str(100 * count)}
    return {"flat": not count, **account, **changes}


def make_several(**accounts: dict[str, Any] | None) -> dict[str, Any]:
    """Return the document of accounts by name; None is one whose key is refused."""
    last = {"state": "PARTIAL", "finished_at": "2026-01-02T10:30:00.840000Z"}
    return {
        "schema": "liqctl.statuses/1",
        "environment": "production",
        "statuses": [
            make_document(
                account_name=name,
                account=account,
                account_error=None if account else "the key was refused: " + "why " * 30,
                last_run=last,
                looked_at="2026-01-02T11:00:00.000000Z",
                config_file="own.yaml",
            )
            for name, account in accounts.items()
        ],
    }


def test_several_accounts_are_a_row_each_worst_first_then_details() -> None:
    """Open by how much is open, then what nobody could read, then flat."""
    document = make_several(a=make_account(0), b=None, c=make_account(1), d=make_account(2))

    lines = render_status(document, width=None, colour=False).splitlines()

    cut = "the key was refused: why why why why why why why why why…"
    assert lines[:9] == [
        "OPEN: production, 4 accounts: 2 OPEN, 1 UNKNOWN, 1 FLAT; no liquidation runs",
        "",
        "account  state    positions  notional  orders  remarks",
        "d        OPEN             2    200.00       0  last run PARTIAL 10:30:00 UTC",
        "c        OPEN             1    100.00       0  last run PARTIAL 10:30:00 UTC",
        f"b        UNKNOWN          ?         ?       ?  {cut}; last run PARTIAL 10:30:00 UTC",
        "a        FLAT             0      0.00       0  last run PARTIAL 10:30:00 UTC",
        "",
        "open      at least 3 positions of 300.00 notional, 0 orders",
    ]
    assert [line for line in lines[9:] if len(line) == 1] == ["d", "c", "b"]
    assert lines[-1] == "settings  own.yaml"
    assert "unread    the key was refused: " + ("why " * 30).strip() in lines[-2]


@pytest.mark.parametrize("height", [3, 6, 12, 24])
def test_rows_of_accounts_outlast_details_where_there_is_little_room(height: int) -> None:
    """Forty positions of one account must not push another one off the screen."""
    document = make_several(a=make_account(40), b=None, c=make_account(3))

    screen = render_status(document, width=80, colour=False, height=height)

    assert screen.count("\n") <= height
    assert screen.startswith("OPEN: production, 3 accounts: 2 OPEN, 1 UNKNOWN; ")
    if height >= 12:
        assert [line[0] for line in screen.splitlines()[3:5]] == ["a", "c"]
        assert "\nb " in screen
        assert ("smaller positions" in screen) is (height == 24)


def test_flat_is_said_as_it_is_proven_least() -> None:
    """One account that was read once makes the whole no proof."""
    proven = make_account(0, proven=True, settled_seconds=2.0)
    both = make_several(a=proven, b=proven | {"settled_seconds": 1.5})
    one = make_several(a=proven, b=make_account(0))

    assert render_status(both, width=80, colour=False).startswith("FLAT, proven over 1.5 s: ")
    assert render_status(one, width=80, colour=False).startswith("FLAT at this reading: ")


def test_rows_tell_half_a_reading_a_narrow_scope_and_what_was_seen_before() -> None:
    """A question mark is not a zero, and an old reading not the present."""
    known = {"age_seconds": 12.0, "account": make_account(2)}
    half = make_account(0, flat=False, unread=["positions"], notional=None, scope=["ETHUSDT"])
    document = make_several(a=half, b=None)
    document["statuses"][1]["last_known"] = known

    lines = render_status(document, width=None, colour=False).splitlines()

    assert "a        UNKNOWN          ?         ?       0  ETHUSDT only; " in lines[3]
    assert "; last seen 12 s ago: 2 positions of 200.00, 0 orders; " in lines[4]
