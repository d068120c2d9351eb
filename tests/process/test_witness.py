"""The master's key beside the runs of the installed program, over real HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from liqctl.kernel import pacing
from liqctl.sim.address import Address, email_of, key_of, secret_of
from liqctl.sim.faults import make_fault
from liqctl.sim.scenario import load_scenario
from tests.process.program import Ended, Program
from tests.process.test_accounts import ALL, each, house

MASTER = "LIQCTL_SIMULATOR_MASTER_API"
ODD = "trader+a@desk.example.com"
AGREES = {"says": "agrees", "symbols": []}
SILENT = {"says": "silent", "symbols": []}


@contextmanager
def watched(folder: Path, scenario: str = "house_uncovered", **options: Any) -> Iterator[Program]:
    """Yield the program with the master's key beside those of the accounts."""
    with house(folder, load_scenario(scenario), **options) as running:
        running.variables |= {
            f"{MASTER}_KEY": key_of("master"),
            f"{MASTER}_SECRET": secret_of("master"),
        }
        yield running


def address_of(running: Program) -> Address:
    """Return the house as the venue has it."""
    assert running.server.address is not None
    return running.server.address


def show_forgotten_as(running: Program, name: str, email: str) -> None:
    """Let the master have the key of an account listed at another account, under this email."""
    address = address_of(running)
    forgotten = address.venues["forgotten"]
    forgotten.other_keys[key_of(name)] = secret_of(name)
    subs = {email_of(each): address.venues[each] for each in ("desk-a", "desk-b") if each != name}
    address.master.subs = {email: forgotten, **subs}


def assert_nothing_personal(running: Program, *ended: Ended) -> None:
    """No email, and no key or secret of anybody, on the screen or in a file of the program."""
    texts = [text for one in ended for text in (one.stdout, one.stderr)]
    files = [path for path in running.folder.rglob("*") if path.is_file()]
    texts += [path.read_text(errors="replace") for path in files if path.suffix != ".pyc"]
    for word in ("simulator.invalid", "example.com", "%40", "simulatorKey", "simulatorSecret"):
        assert not [text for text in texts if word in text], word


def test_one_master_agrees_with_every_account(tmp_path: Path) -> None:
    """The list and the keys are asked for once, and what nobody covers contradicts nobody."""
    with watched(tmp_path) as running:
        ended = running.run(ALL)

        journal = address_of(running).master.account.journal
        asked = [path for _, _, path, _ in journal.requests if path.startswith("/sapi/")]
        assert ended.code == 0, ended.stderr
        assert {name: r["witness"] for name, r in each(ended).items()} == {
            "desk-a": AGREES,
            "desk-b": AGREES,
        }
        assert asked.count("/sapi/v1/sub-account/list") == 1
        assert len(asked) == 1 + 3 + 2 * 2, asked
        ends = [r["details"]["witness"] for r in running.records() if "witness" in r["details"]]
        assert ends == [AGREES, AGREES]
        running.assert_trail_closed()
        assert_nothing_personal(running, ended)
        ended.assert_clean()


@pytest.mark.parametrize("arguments", [[ALL], ["--account", "desk-a"]])
def test_what_only_the_master_sees_is_exit_3(tmp_path: Path, arguments: list[str]) -> None:
    """Its email has a + in it; the signature is checked."""
    with watched(tmp_path) as running:
        show_forgotten_as(running, "desk-a", ODD)
        ended = running.run(*arguments)
        shown = running.run("liquidate", *arguments)

        result = each(ended)["desk-a"] if arguments == [ALL] else ended.result
        assert ended.code == shown.code == 3
        assert (result["state"], result["verified_flat"]) == ("PARTIAL", False)
        assert result["witness"] == {
            "says": "contradicts",
            "symbols": ["BTCUSD_PERP", "SOLUSDT"],
        }
        assert "the master key sees a position on BTCUSD_PERP, SOLUSDT" in result["error_message"]
        assert "BTCUSD_PERP, SOLUSDT" in shown.stdout
        if arguments == [ALL]:
            assert each(ended)["desk-b"]["witness"] == AGREES
            assert each(ended)["desk-b"]["state"] == "COMPLETED"
        running.assert_trail_closed()
        assert_nothing_personal(running, ended, shown)


def test_an_account_without_a_name_has_a_witness_too(tmp_path: Path) -> None:
    """One key, one master, no accounts in the settings."""
    with watched(tmp_path) as running:
        del running.more["accounts"]
        running.variables["LIQCTL_API_KEY"] = key_of("desk-b")
        running.variables["LIQCTL_API_SECRET"] = secret_of("desk-b")
        ended = running.run()

        assert (ended.code, ended.result["witness"]) == (0, AGREES)


def test_every_kind_of_account_has_its_word(tmp_path: Path) -> None:
    """Only what is called flat is witnessed; portfolio margin is no proof of nothing."""
    with watched(tmp_path, "house_of_five") as running:
        ended = running.run(ALL)

        results = each(ended)
        assert {name: result["witness"]["says"] for name, result in results.items()} == {
            "desk-a": "agrees",
            "desk-b": "agrees",
            "portfolio": "silent",
            "refused": "silent",
            "silent": "silent",
        }
        assert "portfolio margin" in results["portfolio"]["notes"][-1]
        assert results["refused"]["notes"] == []
        assert_nothing_personal(running, ended)


@pytest.mark.parametrize("kind", ["hang", "key_refused", "banned", "garbage_body", "drop_after"])
def test_a_master_that_fails_changes_nothing(tmp_path: Path, kind: str) -> None:
    """Nor does a hung one hold the end up by more than a second."""
    with watched(tmp_path) as running:
        address_of(running).master.faults.append(make_fault(kind, times=0))
        ended = running.run(ALL)

        results = each(ended)
        assert ended.code == 0
        assert {r["state"] for r in results.values()} == {"COMPLETED"}
        assert {r["witness"]["says"] for r in results.values()} == {"silent"}
        assert all("the master key says nothing" in r["notes"][-1] for r in results.values())
        for result in results.values():
            extra_s = result["duration_seconds"] - result["settled_seconds"]
            assert extra_s < pacing.WITNESS_WAIT_S + 1.0
        ended.assert_clean()
        assert_nothing_personal(running, ended)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({f"{MASTER}_SECRET": ""}, "no api secret for account master"),
        ({f"{MASTER}_KEY": "", f"{MASTER}_KEY_FILE": "/nowhere"}, "/nowhere: No such file"),
        ({f"{MASTER}_SECRET": "-----BEGIN PRIVATE KEY-----"}, "cannot be read"),
        ({f"{MASTER}_SECRET": "x" * 64}, "-1022"),
        ({f"{MASTER}_KEY": key_of("desk-a"), f"{MASTER}_SECRET": secret_of("desk-a")}, "master"),
        ({f"{MASTER}_KEY": key_of("desk-b"), f"{MASTER}_SECRET": secret_of("desk-b")}, "-1002"),
    ],
    ids=["no secret", "no file", "no pem", "wrong secret", "own key", "another's key"],
)
def test_a_master_key_that_is_none_stops_no_run(
    tmp_path: Path, variables: dict[str, str], why: str
) -> None:
    """Neither one that is half given, nor one of the accounts' own."""
    with watched(tmp_path) as running:
        running.variables |= variables
        ended = running.run(ALL)

        result = each(ended)["desk-a"]
        assert ended.code == 0
        assert result["witness"] == SILENT
        assert why in result["notes"][-1]
        assert_nothing_personal(running, ended)


def test_a_key_file_on_a_disk_that_hangs_holds_nothing_up(tmp_path: Path) -> None:
    """The runs need no master key."""
    with watched(tmp_path) as running:
        running.hook(
            """
            import time
            from liqctl.settings import credentials
            load = credentials.load_credentials
            def slow(environment, environ, account=None):
                if account == "master":
                    time.sleep(30)
                return load(environment, environ, account)
            credentials.load_credentials = slow
            """
        )
        ended = running.run(ALL)

        assert (ended.code, each(ended)["desk-a"]["witness"]) == (0, SILENT)
        assert "could not be read in time" in each(ended)["desk-a"]["notes"][-1]
        assert ended.seconds < 5.0
        ended.assert_clean()
