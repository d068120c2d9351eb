"""The incident report's facts as one JSON document, `liqctl.report/1`; amounts are strings."""

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Final

from liqctl.domain.amounts import plain
from liqctl.report.incident import Incident
from liqctl.report.money import LegCost
from liqctl.report.phrases import phrase
from liqctl.report.story import Event, LegStory

REPORT_SCHEMA: Final = "liqctl.report/1"


def report_document(incident: Incident) -> dict[str, object]:
    """Return the document."""
    story = incident.story
    return {
        "schema": REPORT_SCHEMA,
        "correlation_id": story.correlation_id,
        "environment": story.environment,
        "type": incident.kind.name,
        "started_at": story.began_at,
        "ended_at": incident.ended_at,
        "deadline_seconds": story.deadline_s,
        "spent_seconds": story.spent_s,
        "state": incident.state,
        "exit_code": incident.exit_code,
        "verified_flat": incident.verified_flat,
        "settled_seconds": incident.settled_s,
        "unread": list(incident.unread),
        "others_on": list(incident.others_on),
        "error_message": incident.error_message,
        "who": incident.who,
        "reason": incident.reason,
        "scope": incident.scope,
        "version": incident.version,
        "base_url": incident.base_url,
        "symbols": list(incident.symbols),
        "positions_found": incident.positions_found,
        "positions_closed": incident.positions_closed,
        "orders_found": incident.orders_found,
        "orders_cancelled": incident.orders_cancelled,
        "positions_failed": [asdict(failed) for failed in incident.failed],
        "errors": [asdict(code) for code in incident.codes],
        "notes": list(incident.notes),
        "later_runs": [asdict(run) for run in incident.later],
        "money": _money(incident),
        "legs": [_leg(leg) for leg in story.legs],
        "timeline": [_event(event) for event in story.events],
        "audit": {**asdict(incident.chain), "intact": incident.chain.is_intact},
    }


def _money(incident: Incident) -> dict[str, object]:
    reading, costs = incident.reading, incident.costs
    is_read = reading.why_not is None
    return {
        "read": is_read,
        "why_not": reading.why_not,
        "how": reading.how,
        "complete": is_read and costs.is_complete,
        "orders": costs.orders,
        "orders_read": costs.orders_read,
        "unread": dict(reading.unread),
        "realized_pnl": _amounts(costs.realized_pnl) if is_read else None,
        "fees": _amounts(costs.fees) if is_read else None,
        "slippage": _amounts(costs.slippage) if is_read else None,
        "legs_without_mark": costs.unmarked,
        "legs": [_cost(leg) for leg in costs.legs],
    }


def _cost(leg: LegCost) -> dict[str, object]:
    return {
        "symbol": leg.symbol,
        "position_side": leg.position_side,
        "side": leg.side,
        "quantity": plain(leg.quantity),
        "average_price": plain(leg.average_price),
        "mark_price": _plain_or_none(leg.mark_price),
        "slippage": _plain_or_none(leg.slippage),
        "slippage_bps": None if leg.slippage_bps is None else f"{leg.slippage_bps:.4f}",
        "realized_pnl": plain(leg.realized_pnl),
        "asset": leg.asset,
        "fees": _amounts(leg.fees),
    }


def _leg(leg: LegStory) -> dict[str, object]:
    return {
        "symbol": leg.symbol,
        "position_side": leg.position_side,
        "direction": leg.direction,
        "quantity": leg.quantity,
        "outcome": leg.outcome.value,
        "began_seconds": leg.began_s,
        "ended_seconds": leg.ended_s,
        "orders": len(leg.orders),
        "retries": leg.retries,
    }


def _event(event: Event) -> dict[str, object]:
    symbol = event.record.details.get("symbol")
    return {
        "at_seconds": event.at_s,
        "took_seconds": event.took_s,
        "event_type": event.record.event_type,
        "symbol": symbol if isinstance(symbol, str) else None,
        "words": phrase(event),
    }


def _amounts(by_asset: Mapping[str, Decimal]) -> dict[str, str]:
    return {asset: plain(value) for asset, value in by_asset.items()}


def _plain_or_none(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
