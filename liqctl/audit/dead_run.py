"""What a run that died had sent and not heard of, from its own records."""

import os
from pathlib import Path
from typing import Final

from liqctl.audit.reading import LineFilter, all_lines, open_for_reading
from liqctl.domain.events import AuditEventType
from liqctl.domain.trail import parse_line

_ORDERS_MAX: Final = 200
_ANSWERS: Final = frozenset(
    {AuditEventType.ORDER_PLACED, AuditEventType.ORDER_REJECTED, AuditEventType.ORDER_UNKNOWN}
)


def unanswered_orders(path: Path, correlation_id: str) -> tuple[tuple[str, str], ...]:
    """Return (symbol, client order id) of each order sent without an answer; at most 200.

    An answer of "unknown" is none. A trail that cannot be read gives nothing.
    """
    try:
        fd = open_for_reading(path)
    except OSError:
        return ()
    open_orders: dict[str, str] = {}
    try:
        wanted = LineFilter(correlation_id=correlation_id)
        for line in all_lines(fd, os.fstat(fd).st_size, wanted):
            record = parse_line(line)
            if record is None:
                continue
            client_order_id = record.details.get("client_order_id")
            if not isinstance(client_order_id, str):
                continue
            if record.event_type == AuditEventType.ORDER_SENT:
                open_orders[client_order_id] = str(record.details.get("symbol", ""))
            elif record.event_type in _ANSWERS - {AuditEventType.ORDER_UNKNOWN}:
                open_orders.pop(client_order_id, None)
    except OSError:
        return ()
    finally:
        os.close(fd)
    found = [(symbol, client_order_id) for client_order_id, symbol in open_orders.items()]
    return tuple(found[:_ORDERS_MAX])
