"""What a run that died had sent and not heard of, from its own records."""

import os
from pathlib import Path
from typing import Final

from liqctl.audit.reading import LineFilter, all_lines, open_for_reading
from liqctl.domain.events import AuditEventType, is_run_start
from liqctl.domain.trail import parse_line

_ORDERS_MAX: Final = 200
_ANSWERS: Final = frozenset(
    {AuditEventType.ORDER_PLACED, AuditEventType.ORDER_REJECTED, AuditEventType.ORDER_UNKNOWN}
)


def last_event_and_unanswered(
    path: Path, correlation_id: str, *, before_latest: bool
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Return a run's last event's type, and (symbol, client order id) of its unanswered orders.

    An answer of "unknown" is none. At most 200 orders; a trail that cannot be read gives nothing.

    Args:
        path: the trail.
        correlation_id: the run's; of several runs of that name the latest is meant.
        before_latest: whether the one before it is meant, because the latest is our own.
    """
    try:
        fd = open_for_reading(path)
    except OSError:
        return None, ()
    runs: list[tuple[str | None, dict[str, str]]] = [(None, {})]
    try:
        wanted = LineFilter(correlation_id=correlation_id)
        for line in all_lines(fd, os.fstat(fd).st_size, wanted):
            record = parse_line(line)
            if record is None:
                continue
            is_start = record.event_type == AuditEventType.LIQUIDATION_START
            if is_start and is_run_start(record.details):
                runs = [*runs[-1:], (None, {})]
            open_orders = runs[-1][1]
            runs[-1] = (record.event_type, open_orders)
            client_order_id = record.details.get("client_order_id")
            if not isinstance(client_order_id, str):
                continue
            if record.event_type == AuditEventType.ORDER_SENT:
                open_orders[client_order_id] = str(record.details.get("symbol", ""))
            elif record.event_type in _ANSWERS - {AuditEventType.ORDER_UNKNOWN}:
                open_orders.pop(client_order_id, None)
    except OSError:
        return None, ()
    finally:
        os.close(fd)
    last_event, open_orders = runs[0 if before_latest else -1]
    found = [(symbol, client_order_id) for client_order_id, symbol in open_orders.items()]
    return last_event, tuple(found[:_ORDERS_MAX])
