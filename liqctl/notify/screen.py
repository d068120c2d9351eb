"""The document of `notify`, and as text for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from liqctl.desk.text import Tone, clean, count, paint, table, wrap
from liqctl.notify.notice import Delivery

NOTIFY_SCHEMA: Final = "liqctl.notify/1"


def make_document(
    environment: str | None, deliveries: Sequence[Delivery], *, error: str | None = None
) -> dict[str, Any]:
    """Return what `notify --json` prints."""
    return {
        "schema": NOTIFY_SCHEMA,
        "environment": environment,
        "error": error,
        "targets": [
            {
                "name": delivery.target.name,
                "type": delivery.target.type.value,
                "delivered": delivery.problem is None,
                "problem": delivery.problem,
                "seconds": round(delivery.seconds, 3),
            }
            for delivery in deliveries
        ],
    }


def render_deliveries(document: Mapping[str, Any], *, width: int | None, colour: bool) -> str:
    """Return whether everybody can be reached, then each target and why not."""
    targets = document["targets"]
    missed = [target for target in targets if not target["delivered"]]
    if missed:
        word = paint("FAILED", Tone.BAD, colour=colour)
        head = f"{word}: {count(len(missed), 'target')} of {len(targets)} would not be told"
    else:
        word = paint("DELIVERED", Tone.GOOD, colour=colour)
        head = f"{word}: {count(len(targets), 'target')} accepted the test message"
    rows = [
        (
            clean(target["name"]),
            target["type"],
            f"{target['seconds']:.2f} s",
            "delivered" if target["delivered"] else clean(target["problem"]),
        )
        for target in targets
    ]
    listed = table(("target", "type", "took", "result"), rows, right={2}, width=width)
    again = f"liqctl notify --env {document['environment']}"
    steps = [
        "",
        paint("Next", Tone.STRONG, colour=colour),
        *wrap(
            f"  - correct the variable, file or address, then again: {again}",
            indent="    ",
            width=width,
        ),
    ]
    return "\n".join([head, "", listed, *(steps if missed else [])]) + "\n"
