"""Runs over both products, folded from their records: neither speaks for the other."""

from typing import Any

from liqctl.trail.file import TrailRecord
from liqctl.trail.fold import Fate, RunStory, fold_run

START = {"pid": 1, "timeout_seconds": 5.0, "config": {}}
USDM, COINM = {"product": "USDM"}, {"product": "COINM"}
BTC = {"symbol": "BTCUSDT", "position_side": "BOTH"} | USDM
NOTHING = {"positions": 0, "open": []}
OPEN = {"positions": 1, "open": ["BTCUSDT BOTH 0.5"]} | USDM


def folded(*events: tuple[str, dict[str, Any]]) -> RunStory:
    """Return the story of a run with these events, a tenth of a second apart."""
    return fold_run(
        [
            TrailRecord(
                timestamp=f"2026-01-02T10:30:{index // 10:02}.{index % 10}00000Z",
                event_type=event_type,
                correlation_id="liq_1",
                environment="testnet",
                account=None,
                seq=index + 1,
                prev_hash=None,
                torn_hash=None,
                details=details,
            )
            for index, (event_type, details) in enumerate([("LIQUIDATION_START", START), *events])
        ]
    )


def test_a_reading_of_one_product_closes_no_leg_of_the_other() -> None:
    """A leg that was listed again stays open until its own product's reading says otherwise."""
    closed = (
        ("SNAPSHOT_TAKEN", OPEN),
        ("POSITION_CLOSED", BTC | {"quantity": "0.5"}),
        ("SNAPSHOT_TAKEN", OPEN),
        ("SNAPSHOT_TAKEN", NOTHING | COINM),
    )
    (leg,) = folded(*closed).legs
    assert (leg.product, leg.outcome) == ("USDM", Fate.OPEN)

    (leg,) = folded(*closed, ("SNAPSHOT_TAKEN", NOTHING | USDM)).legs
    assert leg.outcome is Fate.DONE


def test_each_product_has_its_own_watch_over_flat() -> None:
    """An order to one product breaks off no other's watch, and a proof ends its own only."""
    seen = {"round": 1, "settle_seconds": 2.0, "watch_seconds": 2.0}
    story = folded(
        ("FLAT_SEEN", seen | COINM),
        ("FLAT_SEEN", seen | USDM),
        ("ORDER_SENT", BTC | {"client_order_id": "a", "side": "SELL"}),
        ("VERIFIED", COINM | {"flat": True}),
        ("FLAT_SEEN", seen | USDM),
    )

    assert [(w.sent.details["product"], w.outcome, len(w.answers)) for w in story.watches] == [
        ("COINM", Fate.DONE, 1),
        ("USDM", Fate.OPEN, 1),
        ("USDM", Fate.OPEN, 0),
    ]
