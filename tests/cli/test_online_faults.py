"""`validate --online` when the venue is in trouble: each time a finding that says what it means."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liqctl.kernel.errors import Secret
from liqctl.run.lock import Acquired, Holder, acquire_lock, lock_identity, release
from liqctl.sim.faults import KINDS, Effect, Fault
from liqctl.sim.scenario import Scenario, load_scenario
from liqctl.sim.server import API_KEY, EmbeddedServer
from tests.cli.test_online import findings, level_of, validate
from tests.process.program import command

NOT_FOUND = Effect(execute=False, status=404, body="<html>404 page not found</html>")
FORBIDDEN = KINDS["firewall"]
BAD_GATEWAY = KINDS["bad_gateway_not_executed"]


def refusal(code: int) -> Effect:
    """Return Binance's refusal with a code."""
    return Effect(execute=False, status=400, code=code, message="refused")


def check(
    tmp_path: Path, effect: Effect, path: str = "", scenario: Scenario | None = None
) -> tuple["subprocess.CompletedProcess[str]", dict[str, dict[str, Any]]]:
    """Validate while every request to a path has a fault; return the end and the findings."""
    with EmbeddedServer(scenario) as server:
        server.venue.faults.append(Fault(effect=effect, path=path, times=0))
        ended = validate(tmp_path, "--json", url=server.url)
        assert not server.venue.account.journal.fills
    assert "Traceback" not in ended.stderr
    assert "unexpected error" not in ended.stderr
    return ended, findings(ended)


@pytest.mark.parametrize(
    ("effect", "path", "field", "level", "words"),
    [
        (FORBIDDEN, "", "online.reachable", "ERROR", "firewall"),
        (KINDS["too_many_requests"], "", "online.reachable", "ERROR", "limit of this IP"),
        (KINDS["hang"], "", "online.reachable", "ERROR", "cannot be reached"),
        (NOT_FOUND, "", "online.reachable", "ERROR", "cannot be reached"),
        (NOT_FOUND, "/time", "online.clock", "WARNING", "not checked"),
        (NOT_FOUND, "/exchangeInfo", "online.symbols", "WARNING", "not checked"),
        (NOT_FOUND, "/apiRestrictions", "online.key_rights", "WARNING", "not checked"),
        (FORBIDDEN, "/apiRestrictions", "online.key_rights", "WARNING", "not checked"),
        (KINDS["hang"], "/apiRestrictions", "online.key_rights", "WARNING", "not checked"),
        (NOT_FOUND, "/order/test", "online.key.trading", "WARNING", "not checked"),
        (KINDS["hang"], "/order/test", "online.key.trading", "WARNING", "not checked"),
        (KINDS["key_refused"], "/order/test", "online.key.trading", "ERROR", "may not place"),
        (refusal(-4118), "/order/test", "online.key.trading", "INFO", "by what is open"),
        (refusal(-4400), "/order/test", "online.key.trading", "ERROR", "was refused"),
        (FORBIDDEN, "/accountConfig", "online.position_mode", "WARNING", "not checked"),
        (BAD_GATEWAY, "/papi/v1/rateLimit/order", "online.margin", "WARNING", "portfolio margin"),
        (BAD_GATEWAY, "/rateLimit/order", "online.limits", "WARNING", "usual ones"),
        (BAD_GATEWAY, "/openOrders", "online.account", "WARNING", "not be read in full"),
    ],
)
def test_every_trouble_is_named_for_what_it_is(
    tmp_path: Path, effect: Effect, path: str, field: str, level: str, words: str
) -> None:
    """A traceback tells nobody what would happen in the emergency."""
    ended, found = check(tmp_path, effect, path)

    assert level_of(found, field) == level
    assert words in found[field]["message"]
    assert found[field]["recommendation"]
    assert ended.returncode == (4 if level == "ERROR" else 0)
    if path == "/apiRestrictions":
        assert not {f for f in found if f.startswith("online.key.")} - {"online.key.trading"}


def test_a_ban_is_told_with_its_end_and_nothing_more_is_asked(tmp_path: Path) -> None:
    """Asking during a ban makes it longer."""
    with EmbeddedServer(load_scenario("ban_from_start")) as server:
        ended = validate(tmp_path, "--json", url=server.url)
        asked = len(server.venue.account.journal.requests)

    found = findings(ended)
    assert ended.returncode == 4
    assert "banned until 20" in found["online.reachable"]["message"]
    assert "send nothing until then" in found["online.reachable"]["recommendation"]
    assert asked == 1


def test_a_ban_in_the_middle_ends_the_questions(tmp_path: Path) -> None:
    """The second question's ban is the answer to all that would follow."""
    banned = Effect(execute=False, status=418, code=-1003, message="banned until 4102444800000.")
    with EmbeddedServer() as server:
        server.venue.faults.append(Fault(effect=banned, path="/time", times=0))
        found = findings(validate(tmp_path, "--json", url=server.url))
        paths = [path for _, _, path, _ in server.venue.account.journal.requests]

    assert paths[-1].endswith("/time")
    assert "banned until" in found["online.account"]["message"]


def test_a_key_that_may_not_trade_coin_m_is_told_long_before(tmp_path: Path) -> None:
    """Every run would end PARTIAL; what to do about it stands beside it."""
    with EmbeddedServer(load_scenario("coinm_refused")) as server:
        ended = validate(tmp_path, "--json", url=server.url)

    found = findings(ended)
    assert ended.returncode == 4
    assert level_of(found, "online.account") == "ERROR"
    assert found["online.account"]["message"].startswith("COIN-M could not be read in full")
    assert "exchange.products: [usdm]" in found["online.account"]["recommendation"]


def test_an_account_in_portfolio_margin_is_told(tmp_path: Path) -> None:
    """It is read and closed by another API, so another permission of the key counts."""
    with EmbeddedServer(load_scenario("portfolio_both_products")) as server:
        ended = validate(tmp_path, "--json", url=server.url)

    found = findings(ended)
    assert "portfolio margin" in found["online.margin"]["message"]
    assert "2 positions" in found["online.exposure"]["message"]


@pytest.mark.parametrize(
    "told", ['{"enableFutures":true}', '{"enableFutures":true,"ipRestrict":1}']
)
def test_a_right_that_was_not_told_is_not_claimed(tmp_path: Path, told: str) -> None:
    """A gateway that answers half must not make a key look safe."""
    _, found = check(tmp_path, Effect(status=200, body=told), "/apiRestrictions")

    for field in ("online.key.withdrawals", "online.key.addresses"):
        assert level_of(found, field) == "WARNING"
        assert "did not tell" in found[field]["message"]


@pytest.mark.parametrize(
    ("scenario", "mode"), [("hedge_mode", "hedge mode"), ("default", "one-way mode")]
)
def test_the_test_order_fits_the_position_mode(tmp_path: Path, scenario: str, mode: str) -> None:
    """Reduce-only is refused in hedge mode, a position side in one-way mode: neither is guessed."""
    with EmbeddedServer(load_scenario(scenario)) as server:
        found = findings(validate(tmp_path, "--json", url=server.url))
        journal = server.venue.account.journal.requests
        # The listen key, which `arm` needs, changes nothing of the account.
        writes = [
            (method, path)
            for _, method, path, _ in journal
            if method != "GET" and not path.endswith("/listenKey")
        ]

    assert found["online.position_mode"]["message"].startswith(mode)
    assert "accepted a test of a reducing order" in found["online.key.trading"]["message"]
    assert writes == [("POST", "/fapi/v1/order/test")]


def test_a_halted_symbol_is_not_blamed_on_the_key(tmp_path: Path) -> None:
    """The test order goes to the worst position that trades."""
    with EmbeddedServer(load_scenario("halted_symbol")) as server:
        found = findings(validate(tmp_path, "--json", url=server.url))

    assert level_of(found, "online.symbols") == "WARNING"
    assert level_of(found, "online.key.trading") == "INFO"
    assert "BTCUSDT" not in found["online.key.trading"]["message"]


def test_weight_that_others_use_is_told(tmp_path: Path) -> None:
    """A limit that bots have used up delays the first reading of a liquidation."""
    heavy = Scenario(name="", venue={"other_weight": 1500})
    with EmbeddedServer(heavy) as server:
        found = findings(validate(tmp_path, "--json", url=server.url))

    assert level_of(found, "online.weight") == "WARNING"
    assert "used 1500 of 2400" in found["online.weight"]["message"]
    assert "900 left" in found["online.weight"]["message"]


def test_a_private_key_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    """All that can be known is told: way and clock need no key."""
    with EmbeddedServer() as server:
        ended = validate_with(
            tmp_path,
            server.url,
            LIQCTL_API_SECRET="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        )

    document = json.loads(ended.stdout)
    assert ended.returncode == 4
    levels = {(issue["field"], issue["level"]) for issue in document["issues"]}
    assert ("online.key", "ERROR") in levels
    assert ("online.clock", "INFO") in levels
    assert "AAAA" not in ended.stdout + ended.stderr


def validate_with(tmp_path: Path, url: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Validate with other variables than the venue's own."""
    settings = tmp_path / "production.yaml"
    settings.write_text(f"exchange: {{base_url: '{url}'}}\n")
    settings.chmod(0o600)
    return subprocess.run(
        command("validate", "--env", "production", "--online", "--json", "--config", str(settings)),
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LIQCTL_API_KEY": API_KEY, **environ},
    )


@pytest.mark.parametrize("plant", [Path.mkdir, lambda p: p.symlink_to("/etc/hostname")])
def test_a_trail_that_cannot_be_written_is_told(
    tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    """A run would close the account and end with 8."""
    (tmp_path / "logs").mkdir(mode=0o700)
    plant(tmp_path / "logs" / "audit.jsonl")
    with EmbeddedServer() as server:
        found = findings(validate(tmp_path, "--json", url=server.url))

    assert level_of(found, "audit.log_dir") == "WARNING"
    assert "not a regular file" in found["audit.log_dir"]["message"]


def test_a_run_that_is_under_way_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who checks the switch should know that somebody has just pulled it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with EmbeddedServer() as server:
        identity = lock_identity(
            environment="production",
            key_fingerprint=Secret(API_KEY).fingerprint(),
            base_url=server.url,
        )
        holder = Holder(
            correlation_id="busy",
            pid=os.getpid(),
            host="here",
            user="me",
            started_at="2026-01-02T10:30:00.000000Z",
            deadline_at=4e9,
            log_path="",
            environment="production",
        )
        taken = acquire_lock(identity, holder, fallback_dir=tmp_path, now=0.0)
        assert isinstance(taken, Acquired)
        found = findings(validate(tmp_path, "--json", url=server.url))
        release(taken)

    assert f"process {os.getpid()}, busy" in found["lock"]["message"]


def test_settings_that_cannot_be_used_are_told_and_the_venue_is_not_asked(tmp_path: Path) -> None:
    """A check that silently left the venue out would read as a good one."""
    (tmp_path / "broken.yaml").write_text("exchange: {base_uri: x}\n")

    ended = validate(tmp_path, "--json", "--config", "broken.yaml")

    assert ended.returncode == 4
    assert "was not asked" in findings(ended)["online"]["message"]


def test_the_time_it_may_take_is_said_first(tmp_path: Path) -> None:
    """Nobody should wonder whether it hangs."""
    with EmbeddedServer() as server:
        ended = validate(tmp_path, url=server.url)

    assert "asking the venue, 15 s at most" in ended.stderr
    assert "the venue was asked" in ended.stdout
