"""Tampering is found, crashes are not called tampering, and no file makes the verifier fail."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqctl.trail.verify import Verification, verify
from liqctl.trail.writer import AuditLogger

MUTATIONS = 300
Lines = list[bytes]


def _log_runs(trail: AuditLogger, runs: int) -> str:
    """Log runs of six lines each; return the last one's head."""
    for run in range(runs):
        name = f"run_{run}"
        for event_type, details in (
            ("LIQUIDATION_START", {"pid": 1, "timeout_seconds": 5.0}),
            ("SNAPSHOT_TAKEN", {"positions": 1}),
            ("ORDER_SENT", {"symbol": "BTCUSDT", "quantity": "0.5"}),
            ("ORDER_PLACED", {"symbol": "BTCUSDT", "status": "FILLED"}),
            ("VERIFIED", {"flat": True}),
            ("LIQUIDATION_COMPLETE", {"state": "COMPLETED"}),
        ):
            trail.log_event(event_type=event_type, correlation_id=name, details=details)
    return trail.head(f"run_{runs - 1}") or ""


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """Return the bytes of a trail of ten runs, and its head."""
    logger = AuditLogger(tmp_path_factory.mktemp("trail"))
    head = _log_runs(logger, 10)
    return logger.path.read_bytes(), head


def _verify(tmp_path: Path, content: bytes, head: str | None = None) -> Verification:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(content)
    return verify(path, head)


def _join(lines: Lines) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _flip(lines: Lines, rng: random.Random) -> bytes:
    content = bytearray(_join(lines[:-1]))
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content) + lines[-1] + b"\n"


def _flip_in_last_line(lines: Lines, rng: random.Random) -> bytes:
    content = bytearray(lines[-1])
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return _join([*lines[:-1], bytes(content)])


def _delete(lines: Lines, rng: random.Random) -> bytes:
    at = rng.randrange(len(lines) - 1)
    return _join(lines[:at] + lines[at + 1 :])


def _swap(lines: Lines, rng: random.Random) -> bytes:
    at = rng.randrange(len(lines) - 1)
    return _join([*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]])


def _double(lines: Lines, rng: random.Random) -> bytes:
    at = rng.randrange(len(lines))
    return _join(lines[: at + 1] + lines[at:])


def _insert(lines: Lines, rng: random.Random) -> bytes:
    at = rng.randrange(len(lines))
    forged = json.loads(lines[rng.randrange(len(lines))])
    forged["details"] = {"forged": rng.random()}
    return _join([*lines[:at], json.dumps(forged).encode(), *lines[at:]])


def _cut_inside_a_line(lines: Lines, rng: random.Random) -> bytes:
    at = rng.randrange(len(lines) - 1)
    line = lines[at][: rng.randrange(1, len(lines[at]))]
    return _join([*lines[:at], line, *lines[at + 1 :]])


def _remove_run(lines: Lines, rng: random.Random) -> bytes:
    run = rng.randrange(9)
    return _join(lines[: run * 6] + lines[run * 6 + 6 :])


def _remove_end(lines: Lines, rng: random.Random) -> bytes:
    return _join(lines[: rng.randrange(len(lines))])


def _rewrite(lines: Lines, rng: random.Random) -> bytes:
    """Write all of it anew with a chain that holds, one detail changed."""
    changed = rng.randrange(len(lines))
    hashes: dict[str, str] = {}
    last: str | None = None
    written = []
    for number, line in enumerate(lines):
        record = json.loads(line)
        if number == changed:
            record["details"] = {"forged": True}
        record["prev_hash"] = hashes.get(record["correlation_id"], last)
        forged = json.dumps(record).encode()
        last = hashes[record["correlation_id"]] = hashlib.sha256(forged).hexdigest()
        written.append(forged)
    return _join(written)


@pytest.mark.parametrize(
    "mutate",
    [_flip, _delete, _swap, _double, _insert, _cut_inside_a_line, _remove_run],
)
def test_tampering_is_found_by_the_file_alone(
    tmp_path: Path, trail: tuple[bytes, str], mutate: Callable[[Lines, random.Random], bytes]
) -> None:
    """300 seeded mutations of each kind: every one is a break."""
    lines = trail[0].splitlines()

    for seed in range(MUTATIONS):
        mutated = mutate(lines, random.Random(seed))
        found = _verify(tmp_path, mutated)
        assert not found.is_intact, f"seed {seed}: {mutated!r}"


@pytest.mark.parametrize(
    "mutate",
    [
        _flip,
        _flip_in_last_line,
        _delete,
        _swap,
        _double,
        _insert,
        _cut_inside_a_line,
        _remove_run,
        _remove_end,
        _rewrite,
    ],
)
def test_tampering_is_found_with_the_head(
    tmp_path: Path, trail: tuple[bytes, str], mutate: Callable[[Lines, random.Random], bytes]
) -> None:
    """With the head also a cut end and a trail written anew: all of 300 each."""
    content, head = trail

    for seed in range(MUTATIONS):
        mutated = mutate(content.splitlines(), random.Random(seed))
        found = _verify(tmp_path, mutated, head)
        assert not found.is_intact, f"seed {seed}: {mutated!r}"


def test_what_the_file_alone_cannot_show_is_known(tmp_path: Path, trail: tuple[bytes, str]) -> None:
    """The reason for `--head`: a chain that holds says nothing of what followed it."""
    lines = trail[0].splitlines()

    assert _verify(tmp_path, _rewrite(lines, random.Random(1))).is_intact
    cut = _verify(tmp_path, _join(lines[:-1]))
    assert (cut.is_intact, [run.correlation_id for run in cut.unfinished]) == (True, ["run_9"])


def test_an_intact_trail_is_counted(tmp_path: Path, trail: tuple[bytes, str]) -> None:
    """What `audit verify` reports, and the head it prints is the result's `audit_head`."""
    content, head = trail

    found = _verify(tmp_path, content, head.upper())
    assert found == Verification(
        path=str(tmp_path / "audit.jsonl"),
        size_bytes=len(content),
        lines=60,
        records=60,
        blank_lines=0,
        correlation_ids=10,
        runs=10,
        unfinished=(),
        torn=(),
        torn_count=0,
        breaks=(),
        break_count=0,
        head=head,
        head_found=True,
    )


def test_every_older_head_is_found_too(tmp_path: Path, trail: tuple[bytes, str]) -> None:
    """A result printed last year still proves its part of the file."""
    content, _ = trail
    for line in content.splitlines():
        assert _verify(tmp_path, content, hashlib.sha256(line).hexdigest()).head_found


def test_breaks_name_the_line(tmp_path: Path, trail: tuple[bytes, str]) -> None:
    """An auditor wants to know where to look; one alteration is one break, not a cascade."""
    lines = trail[0].splitlines()
    lines[7] = lines[7].replace(b'"positions": 1', b'"positions": 0')

    found = _verify(tmp_path, _join(lines))
    assert [(item.line, item.correlation_id) for item in found.breaks] == [(9, "run_1")]
    assert "seq 2" in found.breaks[0].reason


@pytest.mark.parametrize(
    ("content", "is_intact"),
    [
        (b"", True),
        (b"\n\n  \n", True),
        (b'{"timestamp": "2026', True),  # torn and last
        (b"\0\0\0", True),  # a power cut
        (b'{"timestamp": "2026\n', False),  # whole line, unreadable
        (b"hello\n", False),
        (b"[1]\n", False),
        (b"{}", False),  # an object is no stump of one
        (b"[" * 200_000, True),
        (b"[" * 200_000 + b"\n", False),
        (b"x" * 3_000_000, True),
        (b"x" * 3_000_000 + b"\n", False),
    ],
)
def test_unreadable_lines(tmp_path: Path, content: bytes, is_intact: bool) -> None:
    """Only a torn last line is forgiven; everything else is a break, whatever its shape."""
    assert _verify(tmp_path, content).is_intact is is_intact


@pytest.mark.parametrize(
    "change",
    [
        (b'"seq": 1,', b'"seq": 1, "seq": 1,'),
        (b'"seq": 1,', b'"seq": true,'),
        (b'"seq": 1,', b'"seq": "1",'),
        (b'"seq": 1,', b'"seq": 0,'),
        (b'"pid": 1', b'"pid": NaN'),
        (b'"pid": 1', b'"pid": 1' + b"0" * 5000),
        (b'"details": {', b'"detail": {'),
        (b'"prev_hash": null', b'"prev_hash": 0'),
    ],
)
def test_a_record_that_readers_could_take_in_two_ways_is_refused(
    tmp_path: Path, trail: tuple[bytes, str], change: tuple[bytes, bytes]
) -> None:
    """Doubled keys, NaN and wrong types mean one thing here and another thing in jq."""
    first = trail[0].splitlines()[0]
    assert first.replace(*change) != first

    assert not _verify(tmp_path, first.replace(*change) + b"\n").is_intact


def test_a_torn_line_that_was_altered_later_is_a_break(tmp_path: Path) -> None:
    """The record that steps over it keeps its hash."""
    logger = AuditLogger(tmp_path)
    _log_runs(logger, 1)
    with logger.path.open("ab") as file:
        file.write(b'{"torn')
    _log_runs(AuditLogger(tmp_path), 2)
    content = logger.path.read_bytes()

    assert _verify(tmp_path, content).is_intact
    assert not _verify(tmp_path, content.replace(b'{"torn', b'{"torn!')).is_intact


def test_a_start_logged_by_hand_is_no_run(tmp_path: Path) -> None:
    """Bots embed AuditLogger; their own lines must not look like runs that died."""
    logger = AuditLogger(tmp_path)
    logger.log_event(event_type="LIQUIDATION_START", correlation_id="t", details={"test": True})

    found = verify(logger.path)
    assert (found.runs, found.unfinished, found.is_intact) == (0, (), True)


def test_keys_in_another_order_verify_as_well(tmp_path: Path) -> None:
    """The contract promises keys, not their order: anchors are then found in a second pass."""
    lines: Lines = []
    for run in range(3):
        prev = hashlib.sha256(lines[-1]).hexdigest() if lines else None
        record: dict[str, object] = {
            "prev_hash": prev,
            "details": {},
            "seq": 1,
            "correlation_id": f"r{run}",
        }
        named = {**record, "timestamp": "t", "event_type": "X", "environment": "testnet"}
        lines.append(json.dumps(named, separators=(",", ":")).encode())

    assert _verify(tmp_path, _join(lines)).breaks == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_FIELDS = (
    "timestamp",
    "event_type",
    "correlation_id",
    "environment",
    "seq",
    "prev_hash",
    "details",
)
_LINE = st.one_of(
    st.binary(max_size=60),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from((*_FIELDS, "torn_hash")), _JSON).map(
        lambda value: json.dumps(value).encode()
    ),
)


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(_LINE, max_size=8), ends_whole=st.booleans())
def test_no_file_makes_the_verifier_fail(
    tmp_path_factory: pytest.TempPathFactory, lines: Lines, ends_whole: bool
) -> None:
    """It reads what an attacker wrote: it may find breaks, it may not crash."""
    content = b"\n".join(lines) + (b"\n" if ends_whole else b"")

    found = _verify(tmp_path_factory.getbasetemp(), content)
    assert found.lines == found.records + found.blank_lines + found.torn_count + sum(
        "unreadable" in item.reason for item in found.breaks
    )


@settings(max_examples=200, deadline=None)
@given(position=st.integers(min_value=0), junk=st.binary(min_size=1, max_size=20))
def test_overwriting_bytes_never_makes_the_verifier_fail(
    tmp_path_factory: pytest.TempPathFactory,
    trail: tuple[bytes, str],
    position: int,
    junk: bytes,
) -> None:
    """Damage inside real records reaches deeper into the verifier than random bytes do."""
    content = bytearray(trail[0])
    start = position % len(content)
    content[start : start + len(junk)] = junk

    changed = bytes(content) != trail[0]
    found = _verify(tmp_path_factory.getbasetemp(), bytes(content), trail[1])
    assert found.is_intact is not changed
