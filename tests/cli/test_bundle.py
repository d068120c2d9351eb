"""`liqctl bundle`: made whatever is broken, checkable, and without a single secret byte."""

import hashlib
import io
import json
import os
import re
import resource
import tarfile
from pathlib import Path
from typing import Any, Final

import pytest

from liqctl import AuditEventType, AuditLogger
from tests.cli.house import house
from tests.process.program import Ended, Program, program

KEY: Final = "canaryKey0123456789canaryKey0123456789canaryKey0123456789canary"
SECRET: Final = "canarySecret9876543210canarySecret9876543210canarySecret98765432"
CANARY: Final = re.compile(rb"canary", re.IGNORECASE)
SIGNATURE: Final = re.compile(rb"signature=[0-9A-Za-z%+/]{8,}", re.IGNORECASE)
WHOLE: Final = [
    "manifest.json",
    "trail/audit.jsonl",
    "trail/verification.json",
    "log/liqctl.log",
    "report/report.md",
    "report/report.html",
    "validation/simulator.json",
    "config/simulator.json",
    "status/simulator.json",
    "versions.json",
    "environment.json",
]


def unpack(path: Path) -> dict[str, bytes]:
    """Return every file of a bundle; all lie in one folder and are for their owner only."""
    found = {}
    with tarfile.open(path) as archive:
        for entry in archive.getmembers():
            folder, _, name = entry.name.partition("/")
            assert folder == path.name.removesuffix(".tar.gz")
            assert entry.isfile()
            assert (entry.mode, entry.uid, entry.gid) == (0o600, 0, 0)
            assert (entry.uname, entry.gname) == ("", "")
            stream = archive.extractfile(entry)
            assert stream is not None
            found[name] = stream.read()
    return found


def make(running: Program, *arguments: str, **options: Any) -> tuple[Ended, dict[str, bytes]]:
    """Make a bundle; return how that ended and what is in it."""
    ended = running.run("bundle", "--json", *arguments, **options)
    assert ended.code == 0, ended.stderr
    document = ended.result
    path = running.folder / document["path"]
    assert document["schema"] == "liqctl.bundle/1"
    assert document["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_mode & 0o777 == 0o600
    files = unpack(path)
    assert json.loads(files["manifest.json"]) == document["manifest"]
    return ended, files


def manifest(ended: Ended) -> dict[str, Any]:
    """Return the manifest that was printed."""
    found: dict[str, Any] = ended.result["manifest"]
    return found


def test_a_run_is_told_whole_and_every_file_is_accounted_for(tmp_path: Path) -> None:
    """Support must be able to trust the bundle as the trail itself."""
    with program(tmp_path) as running:
        running.run("--correlation-id", "other", "--orders-only")
        running.run("--correlation-id", "wanted")
        asked = running.server.venue.requests
        ended, files = make(running, "wanted")

        assert running.server.venue.requests == asked
    assert re.fullmatch(r"liqctl_bundle_\d{8}_\d{6}_wanted\.tar\.gz", ended.result["path"])
    assert list(files) == WHOLE
    rows = {row["name"]: row for row in manifest(ended)["files"]}
    assert list(rows) == WHOLE[1:]
    for name, row in rows.items():
        assert row["sha256"] == hashlib.sha256(files[name]).hexdigest()
        assert (row["bytes"], row["redacted_lines"]) == (len(files[name]), 0)
        assert row["how"]
    lines = running.trail.read_bytes().splitlines()
    assert files["trail/audit.jsonl"].splitlines() == [ln for ln in lines if b'"wanted"' in ln]
    assert b" wanted " in files["log/liqctl.log"]
    assert b" other " not in files["log/liqctl.log"]
    assert json.loads(files["trail/verification.json"])["intact"] is True
    assert b"wanted" in files["report/report.md"]
    assert b"</html>" in files["report/report.html"]
    assert json.loads(files["status/simulator.json"])["last_run"]["correlation_id"] == "wanted"
    assert json.loads(files["config/simulator.json"])["api_key"]["value"] == "set"
    assert json.loads(files["versions.json"])["libraries"]["ccxt"]
    assert json.loads(files["environment.json"])["disks"]["log_dir"]["mount"]["options"]
    assert [row["name"] for row in manifest(ended)["missing"]] == ["log/drills.jsonl"]


def test_the_runs_of_several_accounts_are_in_one_bundle(tmp_path: Path) -> None:
    """Whoever helps needs the account that failed and those that did not."""
    with house(tmp_path, timeout_s=2.0) as running:
        running.run("liquidate", "--account", "desk-a", "--correlation-id", "other")
        running.run("liquidate", "--all-accounts", "--correlation-id", "X")
        ended, files = make(running, "X")
        lines = running.trail.read_bytes().splitlines()
        keys = list(running.variables.values())

    names = ("desk-a", "desk-b", "portfolio", "refused", "silent")
    assert {name for name in files if name.startswith(("report/", "status/"))} == {
        *(f"report/{name}.{ending}" for name in names for ending in ("md", "html")),
        *(f"status/simulator-{name}.json" for name in names),
    }
    trail = files["trail/audit.jsonl"].splitlines()
    assert sorted(trail) == sorted(line for line in lines if b'"other"' not in line)
    stamps = [json.loads(line)["timestamp"] for line in trail]
    assert stamps == sorted(stamps)
    log = files["log/liqctl.log"]
    assert b" X-silent " in log
    assert b" other " not in log
    status = json.loads(files["status/simulator-desk-b.json"])
    assert (status["account_name"], status["last_run"]["correlation_id"]) == ("desk-b", "X-desk-b")
    set_keys = json.loads(files["environment.json"])["keys"]["simulator desk-a"]
    assert set_keys == {"api_key_is_set": True, "api_secret_is_set": True}
    assert manifest(ended)["correlation_id"] == "X"
    everything = b"".join(files.values())
    assert not [key for key in keys if len(key) > 20 and key.encode() in everything]


def test_without_an_id_the_last_lines_are_told(tmp_path: Path) -> None:
    """Who does not know which run it was has the last ones."""
    with program(tmp_path) as running:
        running.run()
        ended, files = make(running)

    assert files["trail/audit.jsonl"] == running.trail.read_bytes()
    assert re.fullmatch(r"liqctl_bundle_\d{8}_\d{6}\.tar\.gz", ended.result["path"])


def test_no_byte_of_it_is_a_secret(tmp_path: Path) -> None:
    """It is mailed to strangers: keys, signatures, web hooks, users of URLs, pasted notes."""
    hook = "https://hooks.slack.com/services/T/B/canaryHook"
    with program(tmp_path, api_key=KEY, api_secret=SECRET) as running:
        running.run("--correlation-id", "run")
        AuditLogger(log_dir=running.trail.parent).log_event(
            event_type=AuditEventType.ORDER_SENT,
            correlation_id="run",
            details={
                "pasted": f"GET /fapi/v1/order?signature=canary0123456789 X-MBX-APIKEY: {KEY}",
                "hook": hook,
                "secret_note": f"secret is {SECRET}",
                "known_by_its_value_only": "it was canaryToken123, I think",
            },
        )
        running.variables |= {
            "SLACK_WEBHOOK_URL": hook,
            "OTHER_TOKEN": "canaryToken123",
            "LIQCTL_SLACK_HOOK": "https://chat.example/canaryPath",
            "LIQCTL_EXCHANGE__PROXY": "http://canaryUser:canaryWord@proxy.example:1/?canary=1",
            "LIQCTL_EXCHANGE__BASE_URL": "https://canaryUser:word@host.example/?k=canary",
        }
        ended, files = make(running, "run")
        plain = running.run("bundle", "run")

    for name, content in files.items():
        assert not CANARY.search(content), name
        assert not SIGNATURE.search(content), name
    assert not CANARY.search((ended.stdout + ended.stderr + plain.stdout + plain.stderr).encode())
    rows = {row["name"]: row["redacted_lines"] for row in manifest(ended)["files"]}
    assert rows["trail/audit.jsonl"] == 1
    assert "prev_hash no longer matches" in " ".join(manifest(ended)["notes"])
    assert "1 lines masked" in plain.stdout


@pytest.mark.parametrize("trouble", ["settings", "trail", "log_dir", "nothing", "link"])
def test_whatever_is_broken_a_bundle_is_made_and_says_what_is_missing(
    tmp_path: Path, trouble: str
) -> None:
    """The set-up that needs help is the one that is broken."""
    with program(tmp_path) as running:
        running.run()
        match trouble:
            case "settings":
                (tmp_path / "broken.yaml").write_text("exchange: [\x00 {")
                running.variables["LIQCTL_CONFIG"] = str(tmp_path / "broken.yaml")
            case "trail":
                running.trail.write_bytes(b"\xff\x00[[[[\n" * 9 + b'{"torn')
            case "log_dir":
                running.trail.parent.rename(tmp_path / "elsewhere")
                running.trail.parent.write_text("a file")
            case "link":
                (tmp_path / "private").write_text("not to be sent")
                running.trail.unlink()
                running.trail.symlink_to(tmp_path / "private")
            case _:
                running.trail.unlink()
                running.variables["LIQCTL_CONFIG"] = str(tmp_path / "none.yaml")
        ended, files = make(running)

    missing = {row["name"]: row["why"] for row in manifest(ended)["missing"]}
    expected = {
        "settings": "validation",
        "trail": "log/drills.jsonl",
        "log_dir": "trail/audit.jsonl",
        "nothing": "trail/audit.jsonl",
        "link": "trail/audit.jsonl",
    }
    assert expected[trouble] in missing
    assert all(missing.values())
    assert "versions.json" in files
    assert b"not to be sent" not in b"".join(files.values())
    ended.assert_clean()


def test_an_id_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A typing error must not look like a run without records."""
    with program(tmp_path) as running:
        running.run()
        ended, files = make(running, "../../no/such run")

    assert "trail/audit.jsonl" not in files
    assert re.fullmatch(
        r"liqctl_bundle_\d{8}_\d{6}_______no_such_run\.tar\.gz", ended.result["path"]
    )
    assert "no run" in manifest(ended)["missing"][0]["why"]


def test_nothing_is_written_over_or_followed(tmp_path: Path) -> None:
    """A planted link of the bundle's name must not lead it elsewhere."""
    from liqctl.cli.bundle import write

    target = tmp_path / "target"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "name.tar.gz").symlink_to(target)
    (folder / "name_2.tar.gz").write_text("mine")
    before = Path.cwd()
    os.chdir(folder)
    try:
        path, problems = write("name", b"content")
    finally:
        os.chdir(before)

    assert (path, problems) == (Path("name_3.tar.gz"), [])
    assert (folder / "name_3.tar.gz").read_bytes() == b"content"
    assert not target.exists()
    assert (folder / "name_2.tar.gz").read_text() == "mine"


def test_a_folder_that_takes_nothing_is_left_for_one_that_does(tmp_path: Path) -> None:
    """In /proc nobody can write, as on a full or read-only disk."""
    spare = tmp_path / "spare"
    spare.mkdir()
    with program(tmp_path) as running:
        running.run()
        running.variables["TMPDIR"] = str(spare)
        ended, files = make(running, cwd="/proc")

    assert ended.result["path"].startswith(str(spare))
    assert "cannot be written into the current folder" in ended.stderr
    assert "trail/audit.jsonl" in files


def test_where_nothing_can_be_written_it_says_so_and_exits_1(tmp_path: Path) -> None:
    """No half of a bundle is left that somebody would send."""
    with program(tmp_path) as running:
        ended = running.run(
            "bundle",
            "--json",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)),
        )

    assert ended.code == 1
    assert ended.result["path"] is None
    assert "no bundle was made" in ended.result["error_message"]
    assert not list(tmp_path.glob("*.tar.gz"))
    ended.assert_clean()


def test_the_same_content_gives_the_same_bytes() -> None:
    """Two people can compare what they were sent."""
    from datetime import UTC, datetime

    from liqctl.desk.bundle import Part, make_manifest, pack

    moment = datetime(2026, 1, 2, tzinfo=UTC)
    parts = [Part(name="a/b", content=b"x", how="made up")]
    document = make_manifest(
        parts, [], moment=moment, version="1", correlation_id=None, online=False
    )

    first, second = (pack("folder", parts, document, moment=moment) for _ in range(2))

    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert archive.getnames() == ["folder/manifest.json", "folder/a/b"]
