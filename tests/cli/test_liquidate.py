"""`liqctl liquidate` as an operator meets it: who is asked, what is in scope, which value wins."""

import json
import os
import pty
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from liqctl.kernel.states import ExitCode
from liqctl.sim.scenario import load_scenario
from tests.cli.documents import RESULT, RESULTS, check
from tests.cli.house import house, open_accounts
from tests.process.program import PATIENCE_S, Program, command, overshoot_max_s, program

TRADING_DAY = load_scenario("default")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Program]:
    """The program and an account on an ordinary trading day."""
    with program(tmp_path, TRADING_DAY) as running:
        yield running


def use(served: Program, environment: str, url: str | None = None) -> None:
    """Point the program at an environment, by a file; the venue is the served one."""
    settings = served.folder / f"{environment}.yaml"
    settings.write_text(
        f"environment: {environment}\n"
        f"exchange: {{base_url: '{url or served.server.url}'}}\n"
        "liquidation: {timeout_seconds: 2.0}\n"
        f"audit: {{log_dir: '{served.folder / 'logs'}'}}\n"
    )
    served.variables["LIQCTL_CONFIG"] = str(settings)


def on_terminal(served: Program, answer: str, *arguments: str) -> tuple[int, str]:
    """Run the program on a terminal of 80 columns, type the answer when asked; code and screen."""
    main, side = pty.openpty()
    with served.start(*command(*arguments)[3:], stdin=side, stdout=side, stderr=side) as started:
        os.close(side)
        screen = b""
        typed = False
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at:
            try:
                block = os.read(main, 65536)
            except OSError:  # the terminal's other side is gone
                break
            if not block:
                break
            screen += block
            if not typed and b"to go on" in screen:
                os.write(main, answer.encode() + b"\n")
                typed = True
        code = started.wait(PATIENCE_S)
    os.close(main)
    return code, screen.decode()


def events(served: Program) -> list[str]:
    """Return the types of the trail's records, in order."""
    return [record["event_type"] for record in served.records()]


def test_production_goes_on_when_its_name_is_typed(served: Program) -> None:
    """The question shows where, whose and what before it is asked."""
    use(served, "production")

    code, screen = on_terminal(served, "production", "liquidate")

    assert code == ExitCode.DONE, screen
    asked, _, answered = screen.partition("to go on")
    assert "PRODUCTION" in asked
    assert served.server.url in asked
    assert "BTCUSDT" in asked
    assert "COMPLETED" in answered
    assert served.is_flat


@pytest.mark.parametrize("answer", ["yes", "y", "PRODUCTION", "", "production!"])
def test_production_stops_at_any_other_word(served: Program, answer: str) -> None:
    """A habit of pressing y must not close a real account."""
    use(served, "production")

    code, screen = on_terminal(served, answer, "liquidate")

    assert code == ExitCode.NOT_CONFIRMED, screen
    assert "nothing was sent" in screen
    assert not served.sent()
    assert not events(served)


def test_a_piped_answer_does_not_count(served: Program) -> None:
    """`echo production |` in a script is what --yes is for."""
    use(served, "production")

    with served.start("liquidate", stdin=subprocess.PIPE) as started:
        stdout, stderr = started.communicate(b"production\n", timeout=PATIENCE_S)

    assert started.returncode == ExitCode.NOT_CONFIRMED
    assert b"--yes" in stderr
    assert not stdout
    assert not served.sent()


def test_production_with_yes_does_not_ask(served: Program) -> None:
    """The runbook's way."""
    use(served, "production")

    ended = served.run("liquidate", "--yes", "--json")

    assert (ended.code, ended.result["environment"]) == (ExitCode.DONE, "production")
    assert served.is_flat


def test_testnet_on_loopback_runs_from_cron(served: Program) -> None:
    """No terminal, no --yes: it runs as it stands."""
    use(served, "testnet")

    ended = served.run("liquidate", "--json")

    assert (ended.code, ended.result["environment"]) == (ExitCode.DONE, "testnet")


def test_testnet_somewhere_else_asks_like_production(served: Program) -> None:
    """A `testnet` that points at a gateway may be anything."""
    use(served, "testnet", url="https://gateway.invalid")

    ended = served.run("liquidate", "--json")

    assert ended.code == ExitCode.NOT_CONFIRMED
    check(ended.result, RESULT)
    assert "--yes" in ended.stderr


@pytest.mark.parametrize("url", ["https://fapi.binance.com", "http://192.0.2.1:8555"])
def test_the_simulator_speaks_to_loopback_only(served: Program, url: str) -> None:
    """A drill must not reach a real account, whatever the file says."""
    use(served, "simulator", url=url)

    ended = served.run("liquidate", "--json")

    assert ended.code == ExitCode.CONFIGURATION
    assert "loopback" in ended.stderr


def test_testnet_without_a_network_names_its_host_and_leaves_a_record(tmp_path: Path) -> None:
    """The likely first try of a new user on a closed network."""
    with program(tmp_path) as served:
        (tmp_path / "hook").mkdir()
        served.hook(
            """
            import socket

            def refuse(*_, **__):
                raise socket.gaierror(socket.EAI_AGAIN, "no network in this test")

            socket.getaddrinfo = refuse
            """
        )
        served.variables |= {
            "LIQCTL_CONFIG": "",
            "LIQCTL_AUDIT__LOG_DIR": str(tmp_path / "logs"),
        }
        ended = served.run("liquidate", "--env", "testnet", "--timeout", "2")

    ended.assert_clean()
    assert ended.code == ExitCode.FAILED
    assert "demo-fapi.binance.com" in ended.stdout + ended.stderr
    assert ended.seconds < 2.0 + 2 * overshoot_max_s()
    assert events(served)[0] == "LIQUIDATION_START"
    assert events(served)[-1] == "LIQUIDATION_FAILED"


def test_one_symbol_leaves_the_others_alone(served: Program) -> None:
    """Scope is a promise about what is not touched."""
    ended = served.run("--symbol", "ETHUSDT")

    account = served.server.venue.account
    assert ended.code == ExitCode.DONE
    assert {fill[2] for fill in account.journal.fills} == {"ETHUSDT"}
    held = {holding.symbol for holding in account.holdings.values() if holding.amount}
    contracts = {"BTCUSD_PERP", "ETHUSD_PERP"}
    assert held == {"BTCUSDT", "SOLUSDT", "XRPUSDT", "BTCUSD_261225"} | contracts
    assert {order.symbol for order in account.open_orders()} == {
        *("BTCUSDT", "BNBUSDT", "SOLUSD_PERP"),
        *contracts,
    }


def test_the_screen_does_not_call_an_account_flat_that_is_so_in_part(served: Program) -> None:
    """`flat` is said of what was in scope, by name."""
    ended = served.run("liquidate", "--symbol", "ETH/USDT:USDT")

    assert "flat on ETHUSDT" in ended.stdout
    assert "other symbols were left alone" in ended.stdout


def test_a_symbol_with_nothing_open_is_said(served: Program) -> None:
    """A mistyped but existing symbol looks like success otherwise."""
    ended = served.run("liquidate", "--symbol", "DOGEUSDT", "--symbol", "BTCUSDT")
    again = served.run("liquidate", "--symbol", "BTCUSDT")

    assert (ended.code, again.code) == (ExitCode.DONE, ExitCode.DONE)
    assert "nothing is open on" not in ended.stderr
    assert "nothing is open on BTCUSDT" in again.stderr


def test_orders_only_says_what_stays_open(served: Program) -> None:
    """Cancelled is not closed; stops stay where positions do."""
    ended = served.run("liquidate", "--orders-only")

    account = served.server.venue.account
    assert ended.code == ExitCode.DONE
    assert "7 positions of 67,500.00 notional STAY OPEN" in ended.stdout.splitlines()[0]
    assert "flat" not in ended.stdout
    assert [order.client_order_id for order in account.open_orders()] == ["older-stop-1"]
    assert len(list(account.open_algo_orders())) == 5
    assert not account.journal.fills


def test_positions_only_leaves_orders_and_tells_what_they_block(served: Program) -> None:
    """A resting reduce-only order keeps its position from closing: said, not hidden."""
    served.timeout_s = 1.5
    ended = served.run("--positions-only")

    states = {p["symbol"]: p["state"] for p in ended.result["positions"]}
    assert ended.code == ExitCode.PARTIAL
    assert states == {
        "BTCUSDT": "FAILED",
        "ETHUSDT": "FAILED",
        "SOLUSDT": "CLOSED",
        "XRPUSDT": "CLOSED",
        "BTCUSD_PERP": "FAILED",
        "ETHUSD_PERP": "CLOSED",
        "BTCUSD_261225": "CLOSED",
    }
    assert {o["state"] for o in ended.result["orders"]} == {"SKIPPED"}
    assert "-4118" in ended.result["error_message"]


def test_a_flag_wins_over_a_variable_and_that_over_the_file(served: Program) -> None:
    """The order of the contract, seen in the result."""
    served.timeout_s = 7.0
    by_file = served.run("liquidate", "--dry-run", "--json")
    served.variables["LIQCTL_LIQUIDATION__TIMEOUT_SECONDS"] = "8"
    by_variable = served.run("liquidate", "--dry-run", "--json")
    by_flag = served.run("liquidate", "--dry-run", "--json", "--timeout", "9")

    told = [each.result["timeout_seconds"] for each in (by_file, by_variable, by_flag)]
    assert told == [7.0, 8.0, 9.0]


def test_the_reason_and_who_ran_it_stand_in_the_trail(served: Program) -> None:
    """The first question after an emergency is who pressed the button, and why."""
    served.run("--reason", "bot runs wild", "--correlation-id", "drill-7")

    start = served.records()[0]
    assert (start["event_type"], start["seq"]) == ("LIQUIDATION_START", 1)
    assert (start["correlation_id"], start["environment"]) == ("drill-7", "simulator")
    assert start["details"]["reason"] == "bot runs wild"
    assert start["details"]["base_url"] == served.server.url
    assert start["details"]["pid"] > 0
    served.assert_trail_closed()


def test_the_result_adds_up(served: Program) -> None:
    """Counts, rows and the venue's own truth tell the same."""
    ended = served.run()

    result = ended.result
    check(result, RESULT)
    assert (result["positions_found"], result["positions_closed"]) == (7, 7)
    assert (result["orders_found"], result["orders_failed"]) == (13, 0)
    assert len(result["orders"]) == 13
    assert result["residual"] == {"positions": [], "orders": []}
    for position in result["positions"]:
        executed = [Decimal(order["executed"]) for order in position["orders"]]
        assert sum(executed) == Decimal(position["quantity"])
    served.assert_never_overclosed()


def test_no_colour_where_nobody_looks_and_where_it_is_unwanted(served: Program) -> None:
    """Escape codes in a mail from cron are noise; NO_COLOR is a convention."""
    piped = served.run("liquidate", "--dry-run")
    code, coloured = on_terminal(served, "", "liquidate", "--dry-run")
    _, flagged = on_terminal(served, "", "liquidate", "--dry-run", "--no-color")
    served.variables["NO_COLOR"] = "1"
    _, plain = on_terminal(served, "", "liquidate", "--dry-run")

    assert code == ExitCode.DONE
    assert "\x1b" in coloured
    assert "\x1b" not in piped.stdout + flagged + plain


def test_the_next_step_repeats_the_runs_own_options(served: Program) -> None:
    """A pasted line that closes more than the rehearsal showed is a trap."""
    ended = served.run("liquidate", "--dry-run", "--symbol", "BTCUSDT", "--timeout", "7")

    assert "liqctl liquidate --env simulator" in ended.stdout
    assert "--symbol BTCUSDT --timeout 7" in ended.stdout


def test_usage_errors_of_the_command_are_json_too(served: Program) -> None:
    """A program that asked for JSON gets JSON."""
    ended = served.run("--orders-only", "--positions-only")

    assert ended.code == ExitCode.USAGE
    check(ended.result, RESULT)
    assert "exclude one another" in ended.result["error_message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("liquidate",),
        ("status",),
        ("validate",),
        ("audit", "tail"),
        ("audit", "show"),
        ("audit", "verify"),
        ("simulator", "serve"),
        ("simulator", "list"),
    ],
)
def test_every_help_has_an_example(served: Program, arguments: tuple[str, ...]) -> None:
    """The line to copy is what help is opened for."""
    ended = served.run(*arguments, "--help")

    assert ended.code == ExitCode.DONE
    assert "Example: liqctl" in ended.stdout
    assert all(len(line) <= 80 for line in ended.stdout.splitlines())


def test_verbose_tells_events_on_stderr_and_keeps_stdout_pure(served: Program) -> None:
    """Progress is for people; stdout is the answer."""
    ended = served.run("--verbose")

    assert json.loads(ended.stdout)["state"] == "COMPLETED"
    assert "BTCUSDT" in ended.stderr


def test_at_the_default_flat_is_watched_for_two_seconds_in_both_sources(tmp_path: Path) -> None:
    """The proof as it is shipped: the one run here that nothing makes shorter."""
    with program(tmp_path, variables={"LIQCTL_LIQUIDATION__SETTLE_SECONDS": "2.0"}) as running:
        ended = running.run("liquidate")
        told = [record["event_type"] for record in running.records()]
        verified = next(r for r in running.records() if r["event_type"] == "VERIFIED")

    assert ended.code == ExitCode.DONE, ended.stderr
    assert re.match(
        r"COMPLETED: flat, proven: nothing was listed for 2\.\d s in both sources\n", ended.stdout
    )
    assert told.index("FLAT_SEEN") < told.index("VERIFIED")
    assert verified["details"]["settled_seconds"] >= 2.0


def test_a_window_that_the_deadline_cuts_off_is_told_on_the_first_line(tmp_path: Path) -> None:
    """Proven, but for less than was asked: that must not look the same."""
    with program(tmp_path, timeout_s=1.5) as running:
        ended = running.run("liquidate", "--settle", "30")

    assert ended.code == ExitCode.DONE, ended.stderr
    first = ended.stdout.splitlines()[0]
    assert "(the deadline left less than the 30 s asked for)" in first


def test_one_reading_is_trusted_where_that_was_asked_for(tmp_path: Path) -> None:
    """`--settle 0` says so as well."""
    with program(tmp_path) as running:
        ended = running.run("liquidate", "--json", "--settle", "0")

    assert ended.code == ExitCode.DONE, ended.stderr
    assert ended.result["verified_flat"] is True
    assert ended.result["settled_seconds"] < 0.5


def test_several_accounts_end_in_one_document(tmp_path: Path) -> None:
    """Three end flat although one key is refused and one account never answers."""
    with house(tmp_path, timeout_s=2.0) as running:
        ended = running.run("liquidate", "--all-accounts", "--json")
        left = open_accounts(running)

    check(ended.result, RESULTS)
    assert (ended.code, ended.result["state"]) == (ExitCode.FAILED, "FAILED")
    assert left == {"refused", "silent"}
    assert {each["account"]: each["state"] for each in ended.result["results"]} == {
        "desk-a": "COMPLETED",
        "desk-b": "COMPLETED",
        "portfolio": "COMPLETED",
        "refused": "FAILED",
        "silent": "FAILED",
    }


def test_several_accounts_end_on_one_screen_that_says_what_to_repeat(tmp_path: Path) -> None:
    """The command on the screen, pasted, closes what is left and nothing else."""
    with house(tmp_path, timeout_s=2.0) as running:
        first = running.run("liquidate", "--all-accounts")
        (line,) = [each for each in first.stdout.splitlines() if "again, at once" in each]
        running.server.address.venues["silent"].faults.clear()  # type: ignore[union-attr]
        again = running.run(*shlex.split(line.partition(": liqctl ")[2]))
        left = open_accounts(running)

    lines = first.stdout.splitlines()
    assert lines[0].startswith("FAILED: 3 of 5 accounts proven flat")
    assert lines[0].endswith(", 2 failed: the rest may be open")
    assert [each.split()[:2] for each in lines[3:8]] == [
        ["refused", "FAILED"],
        ["silent", "FAILED"],
        ["desk-a", "COMPLETED"],
        ["desk-b", "COMPLETED"],
        ["portfolio", "COMPLETED"],
    ]
    assert line.endswith("--account silent")
    assert again.code == ExitCode.DONE
    assert left == {"refused"}


def test_the_question_about_several_accounts_is_asked_once(tmp_path: Path) -> None:
    """What could not be read is said loudly; one word stands for all."""
    with house(tmp_path, timeout_s=2.0) as running:
        running.variables |= {
            name.replace("SIMULATOR", "PRODUCTION"): value
            for name, value in running.variables.items()
        }
        settings = running.folder / "production.yaml"
        settings.write_text(
            "environment: production\n"
            f"exchange: {{base_url: '{running.server.url}'}}\n"
            "liquidation: {timeout_seconds: 2.0}\n"
            "accounts: {desk-a: , desk-b: , silent: }\n"
            f"audit: {{log_dir: '{running.folder / 'logs'}'}}\n"
        )
        running.variables["LIQCTL_CONFIG"] = str(settings)
        refused = on_terminal(running, "no", "liquidate", "--all-accounts")
        before = open_accounts(running)
        _, screen = on_terminal(running, "production", "liquidate", "--all-accounts")
        left = open_accounts(running)

    assert refused[0] == ExitCode.NOT_CONFIRMED
    assert {"desk-a", "desk-b"} <= before
    asked, _, answered = screen.partition("to go on")
    words = " ".join(re.sub(r"\x1b\[[0-9]*m", "", asked).split())
    assert "PRODUCTION" in asked
    assert "silent NOT READ" in words
    assert "desk-a 3 51,000.00" in words
    assert words.index("silent NOT READ") < words.index("desk-a 3") < words.index("desk-b 2")
    assert "1 account NOT READ" in words
    assert "FAILED: 2 of 3 accounts proven flat" in re.sub(r"\x1b\[[0-9]*m", "", answered)
    assert left & {"desk-a", "desk-b", "silent"} == {"silent"}


def test_a_twin_is_closed_once_and_named(tmp_path: Path) -> None:
    """One key under two names."""
    with house(tmp_path, "house_twins") as running:
        address = running.server.address
        key, secret = address.credentials["desk-a"]  # type: ignore[union-attr]
        running.variables |= {
            "LIQCTL_SIMULATOR_DESK_B_API_KEY": key,
            "LIQCTL_SIMULATOR_DESK_B_API_SECRET": secret,
        }
        rehearsed = running.run("liquidate", "--all-accounts", "--dry-run")
        ended = running.run("liquidate", "--all-accounts")

    assert rehearsed.stdout.startswith("DRY RUN: nothing was sent; something is open on 1 of 1 acc")
    assert ended.stdout.startswith("COMPLETED: 1 of 1 account proven flat")
    assert "1 the same account as another" in ended.stdout
    assert any("same account as desk-a" in line for line in ended.stdout.splitlines())
