"""A bundle's bytes: files of one folder as a `.tar.gz`, and the manifest that tells what they are.

The same files at the same moment give the same bytes; owners and names of this machine's users
stay out, and every file is readable by its owner only.
"""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from liqctl.kernel.as_json import dump, rfc3339

BUNDLE_SCHEMA: Final = "liqctl.bundle/1"
MANIFEST_NAME: Final = "manifest.json"
_MODE: Final = 0o600
_LEVEL: Final = 6

_REDACTED: Final = (
    "lines with something that looks like a secret were masked in {names}: there the trail's "
    "prev_hash no longer matches, which is the bundle's doing and no tampering; the original is "
    "unchanged"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a bundle: its content, and how it came about."""

    name: str
    content: bytes
    how: str
    redacted_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A file that could not be made, and why."""

    name: str
    why: str


def make_manifest(
    parts: Sequence[Part],
    missing: Sequence[Missing],
    *,
    moment: datetime,
    version: str,
    correlation_id: str | None,
    online: bool,
) -> dict[str, Any]:
    """Return the manifest: every file with its size, hash and origin, and what is missing."""
    redacted = [part.name for part in parts if part.redacted_lines]
    notes = ["the manifest is no part of its own list"]
    if not online:
        notes.append("nothing was asked of the venue; --online does")
    if redacted:
        notes.append(_REDACTED.format(names=", ".join(redacted)))
    return {
        "schema": BUNDLE_SCHEMA,
        "made_at": rfc3339(moment),
        "liqctl": version,
        "correlation_id": correlation_id,
        "online": online,
        "files": [
            {
                "name": part.name,
                "bytes": len(part.content),
                "sha256": hashlib.sha256(part.content).hexdigest(),
                "how": part.how,
                "redacted_lines": part.redacted_lines,
            }
            for part in parts
        ],
        "missing": [{"name": each.name, "why": each.why} for each in missing],
        "notes": notes,
    }


def pack(
    folder: str, parts: Sequence[Part], manifest: dict[str, Any], *, moment: datetime
) -> bytes:
    """Return the archive; the manifest comes first, the files in the order given."""
    packed = io.BytesIO()
    head = Part(name=MANIFEST_NAME, content=dump(manifest).encode() + b"\n", how="")
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for part in (head, *parts):
            entry = tarfile.TarInfo(f"{folder}/{part.name}")
            entry.size = len(part.content)
            entry.mode = _MODE
            entry.mtime = int(moment.timestamp())
            archive.addfile(entry, io.BytesIO(part.content))
    return gzip.compress(packed.getvalue(), compresslevel=_LEVEL, mtime=0)
