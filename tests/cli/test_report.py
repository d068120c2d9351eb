"""`liqctl report` as an operator uses it after the fact: the real program, a venue that answers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from liqctl.kernel.states import ExitCode
from liqctl.sim.scenario import Scenario, load_scenario, parse_scenario
from liqctl.trail.writer import AuditLogger
from tests.cli.house import house
from tests.process.program import Ended, Program, program

RUN = "liq_20260102_103000_abc123"
HOSTILE = "<script>alert(1)</script> `x` | \x1b[2J\u202eevil [a](http://evil)"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Program]:
    """The program and an account on an ordinary trading day."""
    with program(tmp_path, load_scenario("default")) as running:
        yield running


@pytest.fixture(scope="module")
def told_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The same after its liquidation, for tests that only read; `after` is what they ask for."""
    with program(tmp_path_factory.mktemp("told"), load_scenario("default")) as running:
        assert liquidate(running).code == ExitCode.DONE
        yield running


@pytest.fixture
def after(told_once: Program) -> Iterator[Program]:
    """The program after its liquidation; what goes wrong at the venue ends with the test."""
    yield told_once
    told_once.server.venue.faults.clear()


def liquidate(running: Program, run: str = RUN, *arguments: str) -> Ended:
    """Liquidate the account under a known id."""
    return running.run("liquidate", "--json", "--correlation-id", run, *arguments)


def facts(running: Program, run: str = RUN, *arguments: str) -> dict[str, Any]:
    """Return the report's facts."""
    ended = running.run("report", run, "--json", *arguments)
    assert ended.code == ExitCode.DONE, ended.stderr
    return ended.result


def log(folder: Path, *events: tuple[str, dict[str, object]], run: str = RUN) -> AuditLogger:
    """Write a trail in `./logs` by hand."""
    trail = AuditLogger(folder / "logs", environment="testnet")
    for event_type, details in events:
        trail.log_event(event_type=event_type, correlation_id=run, details=details)
    return trail


START: tuple[str, dict[str, object]] = (
    "LIQUIDATION_START",
    {"pid": 7, "timeout_seconds": 5.0, "user": "ops", "host": "desk", "reason": HOSTILE},
)


def test_a_run_is_told_with_what_it_cost(served: Program) -> None:
    """Numbers worked by hand: best price 1 bp from mark, entry 2 % below it, fee 5 bp.

    BTC: sold 0.5 at 59,994: pnl 597, fee 14.9985; ETH: bought 2 at 3,000.3: pnl -120.6, fee 3.0003;
    SOL: sold 40 at 149.985: pnl 119.4, fee 2.9997; XRP: bought 3000 at 0.50005, on the tick 0.5.
    150 contracts of 100 USD sold at 59,994: 15000 / 60000 - 15000 / 59994 = -0.000025 BTC to mark.
    """
    result = liquidate(served, RUN, "--reason", "runaway bot").result
    ended = served.run("report", RUN)
    document = facts(served)
    by_symbol = {leg["symbol"]: leg for leg in document["money"]["legs"]}
    bitcoin = by_symbol["BTCUSDT"]

    assert ended.code == ExitCode.DONE, ended.stderr
    assert not ended.stderr
    for line in (
        "# Incident: completed liquidation",
        "- **Environment**: `simulator`",
        f"- **Run**: `{RUN}`",
        "- **Reason**: `runaway bot`",
        "- **Positions closed**: 7 of 7",
        "- **Orders cancelled**: 13 of 13",
        f"- **Head**: `{result['audit_head']}`",
        "- **Read**: from the trades of 7 of 7 orders",
        "## Root cause",
        "## Prevention",
    ):
        assert line in ended.stdout.splitlines()
    assert "- **State**: COMPLETED, exit 0, flat, proven" in ended.stdout
    assert (bitcoin["side"], bitcoin["quantity"]) == ("SELL", "0.500")
    assert [float(bitcoin[name]) for name in ("average_price", "mark_price")] == [59994, 60000]
    assert [float(bitcoin[name]) for name in ("slippage", "slippage_bps")] == [-3, -1]
    assert float(bitcoin["realized_pnl"]) == 597
    assert float(bitcoin["fees"]["USDT"]) == 14.9985
    assert float(by_symbol["ETHUSDT"]["slippage"]) == -0.6
    assert float(by_symbol["ETHUSDT"]["realized_pnl"]) == -120.6
    assert float(document["money"]["realized_pnl"]["USDT"]) == sum(
        float(leg["realized_pnl"]) for leg in by_symbol.values() if leg["asset"] == "USDT"
    )
    contract = by_symbol["BTCUSD_PERP"]
    assert (contract["side"], contract["quantity"], contract["asset"]) == ("SELL", "150", "BTC")
    assert (contract["slippage"], contract["slippage_bps"]) == ("-0.00002500", "-1.0000")
    assert float(contract["realized_pnl"]) == pytest.approx(15000 / 58800 - 15000 / 59994)
    assert "| `BTCUSD_PERP` | SELL 150 contracts | 59994 | 60000 | -1.00 bps | " in ended.stdout
    assert document["money"]["complete"] is True
    assert document["audit"]["intact"] is True


def test_a_partial_run_names_what_is_open_why_and_what_came_after(tmp_path: Path) -> None:
    """The fields of the incident template."""
    with program(tmp_path, load_scenario("closed_symbol"), timeout_s=2.0) as running:
        liquidate(running)
        liquidate(running, "second", "--reason", "once more")
        document = facts(running)
        text = running.run("report", RUN).stdout

    assert document["type"] == "PARTIAL"
    (failed,) = document["positions_failed"]
    assert (failed["direction"], failed["outcome"]) == ("LONG", "REFUSED")
    assert "-4141" in failed["reason"]
    assert "| -4141 | " in text
    assert "the symbol is closed for trading" in text
    assert [later["correlation_id"] for later in document["later_runs"]] == ["second"]
    assert document["later_runs"][0]["reason"] == "once more"
    assert document["later_runs"][0]["who"]


def test_fees_in_another_asset_are_summed_apart(tmp_path: Path) -> None:
    """BNB added to USDT would be a number that means nothing."""
    scenario = parse_scenario(
        'account: {positions: {BTCUSDT: "0.5", BTCUSDC: "0.5"}}\n'
        "markets: {BTCUSDC: {quote_asset: USDC, mark_price: 60000}, BNBUSDC: {quote_asset: USDC,"
        " mark_price: 500}}\nvenue: {fee_asset: BNB}\n",
        name="assets",
    )
    with program(tmp_path, scenario) as running:
        liquidate(running)
        money = facts(running)["money"]

    assert money["fees"] == {"BNB": "0.05999400"}
    assert {asset: float(pnl) for asset, pnl in money["realized_pnl"].items()} == {
        "USDC": 597,
        "USDT": 597,
    }


@pytest.mark.parametrize("name", ["clock_ahead", "clock_behind"])
def test_a_machine_whose_clock_is_off_gets_its_sums_too(tmp_path: Path, name: str) -> None:
    """The run corrected itself; its report must not say that the key is missing."""
    with program(tmp_path, load_scenario(name)) as running:
        liquidate(running)
        money = facts(running)["money"]

    assert money["complete"], money
    assert money["orders_read"] == money["orders"] > 0


def test_an_order_whose_answer_was_lost_is_found_by_its_client_order_id(tmp_path: Path) -> None:
    """It traded all the same, and the trail has no id of the venue's for it."""
    with program(tmp_path, load_scenario("default")) as running:
        liquidate(running)
        trail = running.trail
        lines = trail.read_text().splitlines(keepends=True)
        trail.write_text("".join(line for line in lines if '"ORDER_PLACED"' not in line))
        ended = running.run("report", RUN, "--json")

    assert ended.result["money"]["orders_read"] == 7
    assert ended.result["audit"]["intact"] is False
    assert "not whole" in ended.stderr


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("offline", "--offline was given"),
        ("no key", "no key is at hand"),
        ("another key", "is not the run's"),
        ("another venue", "which is not where the run was"),
        ("embedded", "the simulated venue ended with its run"),
        ("refused", "the venue said: "),
        ("down", "the venue said: "),
    ],
)
def test_without_the_venues_word_no_number_is_made_up(
    after: Program, case: str, words: str
) -> None:
    """It says why, and how to get them; the rest of the report stands."""
    environ = after.environ()
    match case:
        case "no key":
            del environ["LIQCTL_API_KEY"], environ["LIQCTL_API_SECRET"]
        case "another key":
            environ["LIQCTL_API_KEY"] = "k" * 64
        case "another venue":
            environ["LIQCTL_EXCHANGE__BASE_URL"] = "http://127.0.0.1:9"
        case "embedded":
            settings = after.folder / "other.yaml"
            settings.write_text(f"audit: {{log_dir: '{after.folder / 'logs'}'}}\n")
            environ["LIQCTL_CONFIG"] = str(settings)
        case "refused":
            after.hang(method="GET", kind="key_refused")
        case "down":
            after.hang(method="GET", kind="service_unavailable")
        case _:
            pass
    with after.start(
        "report", RUN, *(["--offline"] if case == "offline" else []), env=environ
    ) as started:
        stdout, stderr = started.communicate(timeout=40)

    assert started.returncode == ExitCode.DONE, stderr
    text = stdout.decode()
    line = next(line for line in text.splitlines() if "Realised PnL" in line)
    assert "not read, because `" in line
    assert words in line
    assert "USDT**" not in text
    assert "- **How to get them**: " in text
    assert "- **Positions closed**: 7 of 7" in text


def test_an_unknown_id_is_answered_with_near_ones(served: Program) -> None:
    """Ids are typed from a phone; older files are not searched unless they are named."""
    liquidate(served)
    served.trail.with_name("audit.jsonl.1").write_text("")
    ended = served.run("report", RUN[:-1] + "4", "--json")

    assert ended.code == ExitCode.FAILED
    assert RUN in ended.stderr
    assert "audit.jsonl.1" in ended.stderr
    assert RUN in ended.result["error_message"]


def test_a_run_is_put_together_from_rotated_files_in_any_order(served: Program) -> None:
    """What was done afterwards often stands in the next file."""
    liquidate(served)
    old = served.trail.with_name("audit.jsonl.1")
    older = served.trail.with_name("audit.jsonl.2")
    served.trail.rename(old)
    lines = old.read_bytes().splitlines(keepends=True)
    older.write_bytes(b"".join(lines[:9]))
    old.write_bytes(b"".join(lines[9:]))
    liquidate(served, "next")
    document = facts(
        served, RUN, *(f"--log={path}" for path in (served.trail, old, older)), "--offline"
    )

    assert document["audit"]["intact"] is True
    assert document["audit"]["records"] == len(lines)
    assert [later["correlation_id"] for later in document["later_runs"]] == ["next"]


def test_a_run_that_died_is_told_as_far_as_it_goes(served: Program, tmp_path: Path) -> None:
    """Before and after the next run ended its record."""
    served.hang(method="POST")
    with served.start("liquidate", "--json", "--correlation-id", RUN) as running:
        served.wait_for("ORDER_SENT", count=2)
        running.kill()
        running.communicate(timeout=40)
    with served.trail.open("ab") as trail:
        trail.write(b'{"timestamp": "2026-')
    unfinished = facts(served, RUN, "--offline")
    served.server.venue.faults.clear()
    liquidate(served, "next")
    abandoned = facts(served)

    assert unfinished["type"] == "UNFINISHED"
    assert unfinished["spent_seconds"] is None
    assert unfinished["positions_found"] == 7
    assert unfinished["positions_closed"] == 0
    assert {failed["outcome"] for failed in unfinished["positions_failed"]} == {"OPEN"}
    assert abandoned["type"] == "ABANDONED"
    assert any("is gone" in note for note in abandoned["notes"])
    assert abandoned["audit"]["intact"] is True


def test_an_interrupted_run_is_called_so(served: Program) -> None:
    """A person stopped it: that is the first question after the fact."""
    served.hang(method="POST")
    with served.start("liquidate", "--json", "--correlation-id", RUN) as running:
        served.wait_for("ORDER_SENT", count=2)
        running.terminate()
        running.communicate(timeout=40)

    assert facts(served, RUN, "--offline")["type"] == "INTERRUPTED"


def test_events_logged_by_hand_make_a_report_too(tmp_path: Path) -> None:
    """`AuditLogger` takes anything: numbers that are none, absurd sizes, no symbol."""
    with program(tmp_path, Scenario(name="flat")) as running:
        log(
            tmp_path,
            ("LIQUIDATION_START", {"test": True}),
            ("SNAPSHOT_TAKEN", {"positions": "many", "open": ["x", 1], "reading_s": 1e300}),
            ("ORDER_SENT", {"symbol": "BTCUSDT", "quantity": "1E+999999", "side": 1}),
            ("ORDER_PLACED", {"client_order_id": 5}),
            ("POSITION_FAILED", {"symbol": "BTCUSDT", "error": {"code": 1e308}}),
            ("SOMETHING_ELSE", {"note": HOSTILE}),
            ("LIQUIDATION_FAILED", {"exit_code": "x", "duration_seconds": -1}),
        )
        for option in ("--json", "--html", "--offline"):
            ended = running.run("report", RUN, option)
            ended.assert_clean()
            assert ended.code == ExitCode.DONE
        assert facts(running)["type"] == "BY_HAND"


def test_an_altered_record_is_said_on_stderr_and_in_the_report(served: Program) -> None:
    """A report from a forged trail must not look like one from an honest one."""
    liquidate(served)
    served.trail.write_text(served.trail.read_text().replace('"0.500"', '"0.005"', 1))
    ended = served.run("report", RUN, "--offline")

    assert ended.code == ExitCode.DONE
    page = served.run("report", RUN, "--offline", "--html").stdout

    assert "BROKEN: prev_hash does not fit" in ended.stdout
    assert "NOT WHOLE" in "".join(ended.stdout.splitlines()[:4])
    assert "not whole" in ended.stderr
    assert 'class="verdict doubt"><strong>7 of 7 positions said to be closed' in page


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    """Venue messages, symbols and reasons may hold markup, escapes and right-to-left marks."""
    with program(tmp_path, Scenario(name="flat")) as running:
        log(
            tmp_path,
            START,
            ("ORDER_SENT", {"symbol": HOSTILE, "client_order_id": "a", "side": "SELL"}),
            (
                "ORDER_REJECTED",
                {"symbol": HOSTILE, "client_order_id": "a", "code": -4131, "message": HOSTILE},
            ),
        )
        text = running.run("report", RUN, "--offline").stdout
        page = running.run("report", RUN, "--offline", "--html").stdout

    outside = re.sub(r"(`+) ?.*? ?\1(?!`)", "", text)
    assert "script" in text
    assert "script" not in outside
    assert "http" not in outside
    assert text.replace("\n", "").isprintable()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.replace("\n", "").isprintable()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "-4131" in line]
    assert rows
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5, 7}


def test_a_state_and_a_time_that_are_none_stay_words(tmp_path: Path) -> None:
    """Both stood in the text as they were: a heading, a picture and an escape of their own."""
    evil = "X\n\n# owned <img src=x> [a](http://evil) \x1b[2J"
    with program(tmp_path, Scenario(name="flat")) as running:
        trail = log(tmp_path, START, ("LIQUIDATION_FAILED", {"state": evil, "exit_code": 1}))
        log(tmp_path, START, run="liq_later")
        lines = trail.path.read_text().splitlines()
        later = json.loads(lines[-1]) | {"timestamp": "9 [a](http://evil) \x1b[2J"}
        trail.path.write_text("\n".join([*lines[:-1], json.dumps(later), ""]))
        text = running.run("report", RUN, "--offline").stdout

    outside = re.sub(r"(`+) ?.*? ?\1(?!`)", "", text)
    assert "owned" in text
    assert "liq_later" in text
    assert "http" not in outside
    assert "<img" not in outside
    assert text.replace("\n", "").isprintable()


def reading(*legs: str, reading_s: float = 0.0) -> tuple[str, dict[str, object]]:
    """Return a whole reading that lists these legs."""
    details: dict[str, object] = {"positions": len(legs), "open": list(legs), "notional": "5"}
    orders = {"regular_orders": 0, "algo_orders": 0, "reading_s": reading_s}
    return "SNAPSHOT_TAKEN", details | orders


BTC = "BTCUSDT BOTH 0.5"
SENT: tuple[str, dict[str, object]] = (
    "ORDER_SENT",
    {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", "client_order_id": "a"},
)
CLOSED: tuple[str, dict[str, object]] = ("POSITION_CLOSED", {"symbol": "BTCUSDT", "attempts": 1})


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ((), "DONE"),
        ((reading(BTC),), "OPEN"),
        ((SENT,), "OPEN"),
        ((reading(BTC, reading_s=3.0),), "DONE"),  # it began before the close
        ((reading(BTC), reading()), "DONE"),
        ((reading(BTC), SENT, CLOSED), "DONE"),
        ((reading(BTC), ("LIQUIDATION_PARTIAL", {"state": "PARTIAL"})), "UNKNOWN"),
    ],
)
def test_a_leg_that_is_open_again_is_not_told_as_closed(
    tmp_path: Path, after: tuple[tuple[str, dict[str, object]], ...], outcome: str
) -> None:
    """A bot that buys back what was closed, and a run that dies then: money is in, not out."""
    with program(tmp_path, Scenario(name="flat")) as running:
        log(tmp_path, START, reading(BTC), SENT, CLOSED, *after)
        told = facts(running, RUN, "--offline")
        text = running.run("report", RUN, "--offline").stdout

    assert [leg["outcome"] for leg in told["legs"]] == [outcome]
    assert told["positions_closed"] == (outcome == "DONE")
    assert ("Positions not proven closed\n\nnone" in text) == (outcome == "DONE")


def test_a_second_run_of_the_same_id_takes_the_first_ones_end_back(tmp_path: Path) -> None:
    """A runbook with a fixed --correlation-id: the run that died must not bear the other's flat."""
    flat = {"state": "COMPLETED", "exit_code": 0, "verified_flat": True, "positions_found": 1}
    end = ("LIQUIDATION_COMPLETE", flat | {"positions_closed": 1})
    with program(tmp_path, Scenario(name="flat")) as running:
        log(tmp_path, START, reading(BTC), SENT, CLOSED, end, START, reading(BTC))
        told = facts(running, RUN, "--offline")

    assert (told["type"], told["state"], told["verified_flat"]) == ("UNFINISHED", None, None)
    assert (told["positions_closed"], told["positions_found"]) == (0, 1)


def test_the_report_asks_the_venue_nothing_but_trades(after: Program) -> None:
    """It is run with the production key: it must change nothing and cost little."""
    before = len(after.server.venue.account.journal.requests)
    after.run("report", RUN)

    asked = after.server.venue.account.journal.requests[before:]
    assert {(method, path) for _, method, path, _ in asked} == {
        ("GET", "/fapi/v1/userTrades"),
        ("GET", "/dapi/v1/userTrades"),
    }
    assert len(asked) == 7


def test_json_is_one_document_whatever_happens(tmp_path: Path) -> None:
    """A missing trail too."""
    with program(tmp_path, Scenario(name="flat")) as running:
        ended = running.run("report", RUN, "--json")

    assert ended.code == ExitCode.FAILED
    assert json.loads(ended.stdout)["error_message"].startswith("no audit trail at ")


def test_what_the_run_could_not_read_is_not_reported_as_zero(served: Program) -> None:
    """The report is read by who was not there."""
    served.timeout_s = 1.0
    for path in ("/fapi/v3/positionRisk", "/fapi/v3/account"):
        served.hang(path=path)
    both = liquidate(served, "both")
    report = served.run("report", "both").stdout
    served.variables["LIQCTL_EXCHANGE__PRODUCTS"] = "usdm"
    liquidate(served)

    told = facts(served)
    story = served.run("audit", "show", RUN).stdout
    last = served.run("status", "--json").result["last_run"]

    assert both.result["positions_found"] == 3
    assert "- **Positions closed**: 3 of 3" in report
    assert "- **Note**: `the positions of USDS-M were never read`" in report
    assert (told["positions_found"], told["positions_closed"]) == (None, None)
    assert told["orders_found"] == 6
    assert "positions not read, " in story
    assert last["positions_found"] is None
    assert "not read" in served.run("report", RUN).stdout


def test_several_accounts_that_ran_under_one_name_are_told_together(tmp_path: Path) -> None:
    """At night one name is known, the one that was given; who needs help is told first."""
    with house(tmp_path, timeout_s=2.0) as running:
        running.run("liquidate", "--all-accounts", "--correlation-id", "X")
        running.run("liquidate", "--account", "desk-a", "--correlation-id", "Y")
        text = running.run("report", "X")
        document = running.run("report", "X", "--json")
        page = running.run("report", "X", "--html")
        one = facts(running, "X-desk-a")
        story = running.run("audit", "show", "X").stdout
        told = running.run("audit", "show", "X", "--json").result
        tail = running.run("audit", "tail", "-n", "0").stdout

    lines = text.stdout.splitlines()
    assert text.code == ExitCode.DONE
    assert lines[0] == "# Incident: `X`, 5 accounts"
    assert [line.split(" | ")[:3] for line in lines[4:9]] == [
        ["| `refused`", "`X-refused`", "failed liquidation"],
        ["| `silent`", "`X-silent`", "failed liquidation"],
        ["| `desk-a`", "`X-desk-a`", "completed liquidation"],
        ["| `desk-b`", "`X-desk-b`", "completed liquidation"],
        ["| `portfolio`", "`X-portfolio`", "completed liquidation"],
    ]
    assert lines[6].endswith("| 3 of 3 | 3 of 3 |")
    assert text.stdout.count("\n# Incident: ") == 5
    assert "- **Account**: `desk-b`" in lines
    assert document.result["schema"] == "liqctl.reports/1"
    assert [each["account"] for each in document.result["reports"]][:2] == ["refused", "silent"]
    assert page.code == ExitCode.FAILED
    assert "a page is about one: give X-refused, X-silent, X-desk-a, " in page.stderr
    assert (one["account"], one["money"]["complete"]) == ("desk-a", True), one["money"]
    assert [later["correlation_id"] for later in one["later_runs"]] == ["Y"]
    assert "Run X-desk-a of account desk-a in simulator, " in story
    assert story.index("Run X-silent") < story.index("Run X-desk-a")
    assert [each["account"] for each in told["runs"]][:2] == ["refused", "silent"]
    assert all("  account " in line for line in tail.splitlines())


def test_a_run_of_that_very_name_is_meant_and_not_those_of_accounts(tmp_path: Path) -> None:
    """And what only looks like an account's run is none."""
    with program(tmp_path, Scenario(name="flat")) as running:
        log(tmp_path, START, run="X")
        log(tmp_path, START, run="Y-desk-a")

        assert facts(running, "X", "--offline")["correlation_id"] == "X"
        assert running.run("report", "Y", "--offline").code == ExitCode.FAILED


def test_settings_that_do_not_name_the_account_give_no_figures(tmp_path: Path) -> None:
    """Another account's key must not be asked about its orders."""
    with house(tmp_path, "house_twins") as running:
        running.run("liquidate", "--account", "desk-a", "--correlation-id", "X")
        running.more["accounts"] = {"desk-b": None}
        money = facts(running, "X")["money"]

    assert "they name no account desk-a" in money["why_not"]
