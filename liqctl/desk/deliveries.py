"""The document of `notify` as text for people."""

from collections.abc import Mapping
from typing import Any

from liqctl.desk.text import Tone, clean, count, paint, table, wrap


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
