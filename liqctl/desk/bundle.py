"""A bundle for others to read: no secret in its text, and always the same bytes.

Redaction is the second line, for the first is not to write. What is looked for, in this order: the
values of every key, secret and web hook that is set on this machine; what stands behind
`signature=`, `X-MBX-APIKEY`, `Authorization` or a name like a secret's; addresses of web hooks; a
URL's user, password and query; private keys; 64 letters and digits of both cases, the shape of
Binance's keys. Hashes are of one case and stay.

The same files at the same moment give the same archive; owners and names of this machine's users
stay out, and every file is readable by its owner only.

>>> Redactor([]).clean("GET /fapi/v1/order?symbol=X&signature=abc123")
('GET /fapi/v1/order?symbol=X&signature=********', True)
>>> Redactor(["hunter2hunter2"]).clean("reason: hunter2hunter2")
('reason: ********', True)
>>> Redactor([]).clean("https://user:word@host/path?token=1")
('https://********@host/path?********', True)
"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from liqctl.kernel.as_json import dump, rfc3339
from liqctl.kernel.errors import MASK

BUNDLE_SCHEMA: Final = "liqctl.bundle/1"
MANIFEST_NAME: Final = "manifest.json"
_MODE: Final = 0o600
# gzip's own; a higher one takes several times as long and saves a few per cent.
_LEVEL: Final = 6

_REDACTED: Final = (
    "lines with something that looks like a secret were masked in {names}: there the trail's "
    "prev_hash no longer matches, which is the bundle's doing and no tampering; the original is "
    "unchanged"
)
_SECRET_MIN: Final = 6
"""Shorter values may be part of any word or number."""

# More than any key file has; a variable may name anything, even a device.
_FILE_MAX_BYTES: Final = 16_384
_SECRET_VARIABLE: Final = re.compile(
    r"secret|api_?key|token|passw|private|credential|authori[sz]ation|webhook|hook_?url|apprise",
    re.IGNORECASE,
)
_NAMES: Final = (
    r"[\w.\- ]*(?:secret|api[_-]?key|token|passw|private|credential|authori[sz]ation)[\w.\-]*"
)
_PATTERNS: Final = (
    re.compile(r"(?P<kept>signature[\"']?\s*[=:]\s*[\"']?)[^&\s\"',;\\}]+", re.IGNORECASE),
    re.compile(
        r"(?P<kept>x-mbx-apikey\\?[\"']?\s*[=:,]\s*\\?[\"']?)[^&\s\"',;\\})\]]+", re.IGNORECASE
    ),
    re.compile(r"(?P<kept>\b(?:bearer|basic)\s+)[A-Za-z0-9+/=._~\-]{8,}", re.IGNORECASE),
    re.compile(
        rf"(?P<kept>\\?[\"']{_NAMES}\\?[\"']\s*:\s*\\?[\"'])(?:[^\"'\\]|\\[^\"'])+", re.IGNORECASE
    ),
    re.compile(
        r"(?P<kept>\b\w*(?:secret|api_?key|token|passw(?:or)?d)\w*=)[^&\s\"',;\\}]+", re.IGNORECASE
    ),
    re.compile(
        r"(?P<kept>https?://(?:hooks\.slack\.com/|(?:\w+\.)?discord(?:app)?\.com/api/webhooks/"
        r"|api\.telegram\.org/bot|[\w.\-]+\.webhook\.office\.com/|ntfy\.sh/))[^\s\"'\\]+",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<kept>\b[a-z][a-z0-9+.\-]*://)[^\s\"'/@\\]+(?=@)", re.IGNORECASE),
    re.compile(r"(?P<kept>\bhttps?://[^\s\"'?\\]*\?)[^\s\"'\\]+", re.IGNORECASE),
    re.compile(
        r"(?P<kept>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END [A-Z ]*PRIVATE KEY-----|$)",
        re.DOTALL,
    ),
    re.compile(
        r"(?P<kept>)(?<![A-Za-z0-9])(?=[a-z0-9]*[A-Z])(?=[A-Z0-9]*[a-z])[A-Za-z0-9]{64}"
        r"(?![A-Za-z0-9])"
    ),
)

_KEY_LINE: Final = re.compile(r"[A-Za-z0-9+/=\s]+")
# The first and the last line of a private key, which are no secret; a password may begin alike.
_KEY_EDGE: Final = re.compile(r"-----(?:BEGIN|END) [A-Z ]+-----")


class Redactor:
    """Masks the given values, and whatever looks like a secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Take the values as they are, as in JSON and in a URL, and each line of longer ones."""
        spelt: set[str] = set()
        for secret in secrets:
            for part in (secret, *secret.splitlines(), *secret.split("\\n")):
                bare = part.strip()
                if len(bare) >= _SECRET_MIN and not _KEY_EDGE.fullmatch(bare):
                    spelt |= {bare, json.dumps(bare)[1:-1], quote(bare, safe=""), quote(bare)}
        self._secrets = sorted(spelt, key=lambda each: (-len(each), each))

    def clean(self, text: str) -> tuple[str, bool]:
        """Return the text without secrets, and whether there was one."""
        cleaned = text
        for secret in self._secrets:
            cleaned = cleaned.replace(secret, MASK)
        for pattern in _PATTERNS:
            cleaned = pattern.sub(lambda found: f"{found['kept']}{MASK}", cleaned)
        return cleaned, cleaned != text

    def clean_lines(self, raw: bytes) -> tuple[bytes, int]:
        """Return the lines without secrets, and how many had one; other lines keep their bytes.

        A private key may go over several lines, so those are looked for in the whole first.
        """
        cleaned, changed, in_key = [], 0, False
        for line in raw.split(b"\n"):
            text = line.decode("utf-8", "surrogateescape")
            if in_key and _KEY_LINE.fullmatch(text):
                cleaned.append(MASK.encode())
                changed += 1
                continue
            in_key = "PRIVATE KEY-----" in text and "-----END" not in text
            found, is_changed = self.clean(text)
            cleaned.append(found.encode("utf-8", "surrogateescape") if is_changed else line)
            changed += is_changed
        return b"\n".join(cleaned), changed


def secrets_of(
    environ: Mapping[str, str], notifications: Iterable[Mapping[str, object]] = ()
) -> set[str]:
    """Return the values that must not be shown: of variables, and of files that they name.

    A notification names its variable or file under a name that ends in `_env` or `_file`.
    """
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET_VARIABLE.search(name):
            found |= set(_read(value)) if name.endswith("_FILE") else {value}
    for name, value in _texts(notifications):
        if name.endswith("_env"):
            found.add(environ.get(value, ""))
        elif name.endswith("_file"):
            found |= set(_read(value))
        elif name == "url":
            found.add(value)
    return {value.strip() for value in found if value.strip()}


def _texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in nested values with the name it stands under."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, name)


def _read(path: str) -> Iterator[str]:
    """Yield the text of a secret file; one that cannot be read hides nothing here."""
    try:
        fd = os.open(Path(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    try:
        yield os.read(fd, _FILE_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return
    finally:
        os.close(fd)


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
    notes = ["the manifest does not list itself"]
    if not online:
        notes.append("the venue was not asked; --online asks it")
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
