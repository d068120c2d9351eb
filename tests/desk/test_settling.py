"""The watch over flat, as the trail's readers tell it: words, story, timeline, report."""

from typing import Any

import pytest

from liqctl.desk.incident import Incident, TradeReading, make_incident
from liqctl.desk.report import draw_timeline, head_of, render_markdown
from liqctl.desk.trail import phrase
from liqctl.kernel.as_json import as_json
from liqctl.trail.file import TrailRecord
from liqctl.trail.fold import Fate, TimedRecord, fold_run
from liqctl.trail.verify import RunChain

WATCH = {"round": 3, "settle_seconds": 2.0, "watch_seconds": 2.0}
REENTRY = {
    "symbol": "BTCUSDT",
    "position_side": "BOTH",
    "quantity": "0.5",
    "client_order_ids": ["bot_1", "bot_2", "bot_3", "bot_4"],
}
VERIFIED = {
    "flat": True,
    "readings_in_a_row": 4,
    "kept": 0,
    "settled_seconds": 2.05,
    "sources": ["positionRisk", "account"],
}
START = {"pid": 1, "timeout_seconds": 5.0, "user": "ops", "host": "h"}
END = {
    "state": "COMPLETED",
    "exit_code": 0,
    "verified_flat": True,
    "settled_seconds": 2.05,
    "unread": ["openAlgoOrders"],
    "duration_seconds": 3.5,
}


def records(*rows: tuple[str, float, dict[str, Any]]) -> list[TrailRecord]:
    """Return records so many seconds after half past ten."""
    return [
        TrailRecord(
            timestamp=f"2026-01-02T10:30:{at_s:09.6f}Z",
            event_type=event_type,
            correlation_id="liq_20260102_103000_abc123",
            environment="production",
            account=None,
            seq=seq,
            prev_hash=None,
            torn_hash=None,
            details=details,
        )
        for seq, (event_type, at_s, details) in enumerate(rows, start=1)
    ]


TROUBLED = records(
    ("LIQUIDATION_START", 0.0, START),
    ("FLAT_SEEN", 0.5, WATCH),
    ("REENTRY_SEEN", 1.0, REENTRY),
    ("ORDER_SENT", 1.01, {"symbol": "BTCUSDT", "client_order_id": "b", "side": "SELL"}),
    ("FLAT_SEEN", 1.25, WATCH),
    ("ORDER_CANCEL_SENT", 2.9, {"symbol": "BTCUSDT", "order_ids": [], "endpoint": "/x"}),
    ("VERIFIED", 3.25, VERIFIED),
    ("LIQUIDATION_COMPLETE", 3.5, END),
)


def incident() -> Incident:
    """Return the report of a run that was disturbed while it watched."""
    chain = RunChain(records=len(TROUBLED), head="a" * 64)
    reading = TradeReading(why_not="no key is at hand", how="set the key")
    return make_incident(TROUBLED, chain=chain, later=(), reading=reading)


@pytest.mark.parametrize(
    ("event_type", "details", "told"),
    [
        ("FLAT_SEEN", WATCH, "nothing is listed; watched for 2.0 s at most"),
        (
            "FLAT_SEEN",
            WATCH | {"watch_seconds": 0.75},
            "nothing is listed; watched for 0.8 s at most: the deadline leaves less than 2 s",
        ),
        (
            "REENTRY_SEEN",
            REENTRY,
            "opened by others during the run: 0.5 on BOTH; orders bot_1, bot_2, bot_3, …",
        ),
        (
            "REENTRY_SEEN",
            {"symbol": "BTCUSDT", "position_side": "BOTH", "client_order_ids": []},
            "opened by others during the run: BOTH",
        ),
        ("VERIFIED", VERIFIED, "flat, by 4 readings of positionRisk and account over 2.050 s"),
        ("VERIFIED", {"flat": True, "readings_in_a_row": 1}, "flat, by 1 reading"),
        ("FLAT_SEEN", {}, None),
        ("FLAT_SEEN", {"settle_seconds": "x", "watch_seconds": None}, None),
        ("REENTRY_SEEN", {"client_order_ids": 5}, None),
    ],
)
def test_each_event_is_told_in_words(
    event_type: str, details: dict[str, Any], told: str | None
) -> None:
    """`audit show`, the report and the log of a ticket are read by people."""
    (record,) = records((event_type, 0.0, details))

    assert phrase(TimedRecord(record=record, at_s=0.0)) == told


def test_a_watch_lasts_until_it_is_proven_or_something_appears() -> None:
    """A sweep of the books late in the watch does not break it off."""
    watches = [(w.began_s, w.ended_s, w.outcome) for w in fold_run(TROUBLED).watches]

    assert watches == [(0.5, 1.0, Fate.OPEN), (1.25, 3.25, Fate.DONE)]


def test_the_timeline_has_a_row_for_the_watch() -> None:
    """Two seconds in which nothing is sent must not look like two seconds lost."""
    row = next(row for row in draw_timeline(incident().story).lanes if row.label == "Flat, watched")

    assert row.outcome == "done"
    assert [(bar.kind, bar.outcome) for bar in row.bars] == [("watch", "open"), ("watch", "done")]


def test_the_report_says_how_long_who_came_and_who_was_silent() -> None:
    """What the proof is worth stands at the head of the report, in every form."""
    facts = {fact.name: (fact.ours, fact.theirs) for fact in head_of(incident())}
    document = as_json(incident())
    text = render_markdown(incident())

    assert facts["State"][0] == "COMPLETED, exit 0, flat, proven: nothing was listed for 2.050 s"
    assert facts["Never answered"] == ("", ("openAlgoOrders",))
    assert facts["Others opened on"] == ("", ("BTCUSDT",))
    assert (document["settled_seconds"], document["unread"]) == (2.05, ["openAlgoOrders"])
    assert document["others_on"] == ["BTCUSDT"]
    assert "FLAT_SEEN" in text
    assert "opened by others during the run" in text


def test_a_trail_of_an_earlier_version_is_told_as_it_was() -> None:
    """There one reading was the proof, and no record tells more."""
    end = {"state": "COMPLETED", "exit_code": 0, "verified_flat": True}
    old = records(("LIQUIDATION_START", 0.0, START), ("LIQUIDATION_COMPLETE", 1.0, end))
    chain = RunChain(records=2, head="a" * 64)
    reading = TradeReading(why_not="no key is at hand", how="set the key")
    told = make_incident(old, chain=chain, later=(), reading=reading)

    state = next(fact for fact in head_of(told) if fact.name == "State")
    assert state.ours == "COMPLETED, exit 0, flat, proven by a reading"
    assert "Never answered" not in {fact.name for fact in head_of(told)}
