"""Nothing the program writes, whatever goes wrong, holds the key, the secret or a signature."""

import re
from pathlib import Path

import pytest

from liqctl.sim.faults import KINDS, Fault
from tests.process.program import SMALL, Ended, Program, program

KEY = "canaryKey0123456789canaryKey0123456789canaryKey0123456789canary"
SECRET = "canarySecret9876543210canarySecret9876543210canarySecret98765432"
SIGNATURE = re.compile(rb"signature=[0-9A-Za-z%+/]{16,}", re.IGNORECASE)

EVERYTHING_LOGGED = """
import logging
logging.basicConfig(level=1)
"""


def search(started: Program, ended: Ended) -> None:
    """Look through the terminal's output and every file that the program left behind."""
    written = {"stdout": ended.stdout.encode(), "stderr": ended.stderr.encode()}
    for path in started.folder.rglob("*"):
        if path.is_file() and "hook" not in path.parts:
            written[str(path)] = path.read_bytes()
    for place, text in written.items():
        assert KEY.encode() not in text, place
        assert SECRET.encode() not in text, place
        assert not SIGNATURE.search(text), place
    assert any(place.endswith("audit.jsonl") for place in written)


GROUPS = [sorted(KINDS)[first::20] for first in range(20)]
"""A kind for each position of the account: at most three."""


@pytest.mark.parametrize("kinds", GROUPS, ids="+".join)
def test_no_fault_makes_it_talk(kinds: list[str], tmp_path: Path) -> None:
    """Libraries put URLs and headers into their words; with all logging on, none gets out."""
    with program(tmp_path, api_key=KEY, api_secret=SECRET) as started:
        started.hook(EVERYTHING_LOGGED)
        closes = [
            Fault(name=kind, effect=KINDS[kind], method="POST", path="/order", symbol=leg, times=2)
            for kind, leg in zip(kinds, SMALL.account["positions"], strict=False)
        ]
        reads = [
            Fault(name=kind, effect=KINDS[kind], method="GET", skip=4, times=2) for kind in kinds
        ]
        started.server.venue.faults += [*closes, *reads]
        ended = started.run("liquidate", "--json", "--verbose")

    assert ended.result["schema"] == "liqctl.result/1"
    assert [fault.name for fault in (*closes, *reads) if not fault.hits] == []
    search(started, ended)


def test_a_refused_key_is_shown_as_a_fingerprint_only(tmp_path: Path) -> None:
    """The trail must tell keys apart without giving one away."""
    with program(tmp_path, api_key=KEY, api_secret=SECRET, timeout_s=1.0) as started:
        started.variables["LIQCTL_API_KEY"] = KEY[::-1]
        ended = started.run("liquidate", "--json", "--verbose")

    assert ended.code == 7
    (start,) = [r for r in started.records() if r["event_type"] == "LIQUIDATION_START"]
    assert re.fullmatch(r"[0-9a-f]{8}", start["details"]["key_fingerprint"])
    assert KEY[::-1] not in ended.stdout + ended.stderr + started.trail.read_text()
    search(started, ended)


def test_an_option_that_looks_like_a_secret_is_not_echoed(tmp_path: Path) -> None:
    """What is typed wrongly must not reach the terminal's scroll-back twice."""
    with program(tmp_path) as started:
        ended = started.run("liquidate", f"--secret={SECRET}")

    assert ended.code == 2
    assert SECRET not in ended.stdout + ended.stderr


def test_hostile_words_of_the_venue_reach_no_terminal(tmp_path: Path) -> None:
    """Escapes could rewrite the screen, bidi characters could turn a number around."""
    hostile = '{"code": -4400, "msg": "\\u001b[2J\\u202e[red]flat[/red]\\nCOMPLETED"}'
    with program(tmp_path, timeout_s=1.0) as started:
        started.server.venue.faults.append(
            Fault(
                name="hostile",
                effect=KINDS["quantitative_rules"].__class__(
                    execute=False, status=400, body=hostile
                ),
                method="POST",
                path="/order",
                times=0,
            )
        )
        ended = started.run("liquidate", "--verbose")

    assert ended.code == 3
    shown = ended.stdout + ended.stderr
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert not any(line.startswith("COMPLETED") for line in shown.splitlines())
    assert len(started.trail.read_text().splitlines()) == len(started.records())


def test_a_key_in_the_reason_is_masked_before_it_is_recorded(tmp_path: Path) -> None:
    """Pasted at three in the morning; the trail is never rewritten, and the report is passed on."""
    with program(tmp_path, api_key=KEY, api_secret=SECRET) as started:
        ended = started.run("liquidate", "--json", "--reason", f"bot of {KEY} {SECRET} is wild")

    assert ended.code == 0
    assert "the reason holds the key or the secret" in ended.stderr
    assert started.records()[0]["details"]["reason"] == "bot of ******** ******** is wild"
    search(started, ended)


@pytest.mark.parametrize(
    "variable", ["LIQCTL_PRODUCTION_MASTER_API_KEY", "LIQCTL_TESTNET_DESK_B_API_SECRET"]
)
def test_the_key_of_another_account_is_masked_too(variable: str, tmp_path: Path) -> None:
    """The reason names the account that ran wild, which need not be the one that is closed."""
    with program(tmp_path) as started:
        started.variables[variable] = f" {KEY}\n"
        ended = started.run("liquidate", "--json", "--reason", f"bot of {KEY} is wild")

    assert ended.code == 0
    assert started.records()[0]["details"]["reason"] == "bot of ******** is wild"
    search(started, ended)
