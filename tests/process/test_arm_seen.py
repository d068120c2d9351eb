"""The armed process as others see it: `status`, metrics, and a process that hangs."""

import json
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.documents import STATUS, check
from tests.process.armed import ArmedProcess, armed
from tests.process.program import Program, house, program, wait_until

GUARDS = [
    {"rule": "max_loss", "limit": 1_000_000},
    {"rule": "max_notional", "limit": 60_000},
]


def sees(post: ArmedProcess) -> None:
    """Return once the streams are there and every guard was judged."""
    post.wait_for("armed")

    def is_judged() -> bool:
        told = status(post.running)["armed"]
        levels = [guard["level"] for guard in told["guards"]]
        return told["health"] == "armed" and "green" in levels

    wait_until(is_judged, f"it never saw everything: {post.read()}")


def status(running: Program, *arguments: str) -> dict[str, Any]:
    """Return the status document, held to its schema."""
    return running.run("status", "--json", *arguments).result


def figures(running: Program) -> dict[str, dict[str, float]]:
    """Return what `status --prometheus` writes: value by name and by its own labels."""
    path = running.folder / "liqctl.prom"
    running.run("status", "--prometheus", str(path))
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            labels.pop("environment")
            found.setdefault(sample.name, {})[",".join(labels.values())] = sample.value
    return found


def test_status_shows_how_an_armed_process_is_and_how_near_to_a_trip(tmp_path: Path) -> None:
    """An operator sees what would close the account before it does."""
    beat = tmp_path / "beat"
    beat.touch()
    arm = {"heartbeat_file": str(beat), "heartbeat_seconds": 600.0, "guards": GUARDS}
    with program(tmp_path) as running:
        running.more["arm"] = arm
        with armed(running) as post:
            sees(post)
            told = status(running)["armed"]
            screen = running.run("status").stdout
            shown = figures(running)

    assert (told["answers"], told["pid"]) == (True, post.process.pid)
    assert (told["health"], told["reasons"], told["tripped"]) == ("armed", [], False)
    assert told["correlation_id"].startswith("arm_")
    assert (told["heartbeat_limit_seconds"], told["heartbeat_missing"]) == (600.0, False)
    assert 0 <= told["heartbeat_age_seconds"] < 60
    loss, notional = told["guards"]
    assert loss["rule"] == "max_loss"
    # 0.5 BTC of 60,000, 2 ETH of 3,000 and 10 SOL of 150.
    assert (notional["limit"], Decimal(notional["value"])) == ("60000", Decimal(37500))
    assert (notional["level"], Decimal(notional["used"])) == ("green", Decimal("0.625"))
    assert set(told["streams"]) == {"USDM", "COINM"}
    assert f"armed     since {told['armed_since']}, process {told['pid']}\n" in screen
    assert "s old; trips at 600 s\n" in screen
    assert "guard     max_notional 60000: green, 37500.00, 62 % of the limit used\n" in screen
    assert shown["liqctl_armed"] == {"": 1}
    assert shown["liqctl_armed_health"] == {"armed": 1, "degraded": 0, "blind": 0}
    assert shown["liqctl_guard_used"]["max_notional"] == 0.625
    assert shown["liqctl_heartbeat_limit_seconds"] == {"": 600}
    assert 0 <= shown["liqctl_heartbeat_age_seconds"][""] < 60
    assert shown["liqctl_latched"] == {"": 0}
    assert sum(shown["liqctl_trips_total"].values()) == 0


def test_a_process_that_hangs_is_told_and_delays_nothing(tmp_path: Path) -> None:
    """What hangs takes no handover and sees no guard: nobody may take it for armed."""
    with program(tmp_path) as running, armed(running) as post:
        post.wait_for("armed")
        post.signal(signal.SIGSTOP)
        try:
            ended = running.run("status", "--json")
            screen = running.run("status").stdout
            shown = figures(running)
        finally:
            post.signal(signal.SIGCONT)

    told = ended.result["armed"]
    assert (told["answers"], told["pid"], told["health"]) == (False, post.process.pid, None)
    assert ended.result["account"] is not None
    assert ended.seconds < 10, "it waited for what hangs"
    assert f"armed     process {post.process.pid} does not answer: it hangs" in screen
    assert shown["liqctl_armed"] == {"": 0}
    assert "liqctl_armed_health" not in shown


def test_a_closed_latch_is_shown_with_its_reason_until_somebody_arms_again(tmp_path: Path) -> None:
    """Nothing watches the account after a trip, and status is where people look."""
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 0.0}
        assert (status(running)["armed"], status(running)["latch"]) == (None, None)
        with armed(running) as post:
            post.wait_for("armed")
            post.signal(signal.SIGUSR1)
            assert post.ended() == 0
        document, screen = status(running), running.run("status").stdout
        shown = figures(running)
        with armed(running, "--rearm") as post:
            post.wait_for("armed")
            again = status(running)

    latch = document["latch"]
    assert document["armed"] is None
    assert (latch["by"], latch["why"]) == ("SIGNAL", "SIGUSR1")
    assert latch["correlation_id"] == document["last_run"]["correlation_id"]
    assert document["trips"] == {"GUARD": 0, "HEARTBEAT": 0, "SIGNAL": 1, "HANDOVER": 0}
    assert f"latched   tripped {latch['tripped_at']}: SIGUSR1; run liq_" in screen
    assert "`liqctl arm --rearm`" in screen
    assert (shown["liqctl_armed"], shown["liqctl_latched"]) == ({"": 0}, {"": 1})
    assert shown["liqctl_trips_total"]["SIGNAL"] == 1
    assert again["latch"] is None
    assert again["armed"]["answers"]


def test_without_a_key_nothing_is_said_of_an_armed_process(tmp_path: Path) -> None:
    """Which account's it is only a key tells; not known is not the same as not armed."""
    with program(tmp_path) as running, armed(running) as post:
        post.wait_for("armed")
        running.variables = {"LIQCTL_API_KEY": "", "LIQCTL_API_SECRET": ""}
        document, shown = status(running), figures(running)

    assert not {"armed", "latch"} & set(document)
    assert not {"liqctl_armed", "liqctl_latched"} & set(shown)


def test_of_several_accounts_each_shows_its_own(tmp_path: Path) -> None:
    """One process watches one account; the others are not armed."""
    with house(tmp_path) as running:
        running.more["accounts"] = {"desk-a": {}, "desk-b": {}}
        with armed(running, "--account", "desk-a") as post:
            post.wait_for("armed")
            several = running.run("status", "--json", "--all-accounts").result
            with running.start("status", "--json", "--watch", "--all-accounts") as watch:
                assert watch.stdout is not None
                look = json.loads(watch.stdout.readline())
                watch.terminate()
            screen = running.run("status", "--all-accounts").stdout

    each = {one["account_name"]: one for one in several["statuses"]}
    check(each["desk-a"], STATUS)
    assert each["desk-a"]["armed"]["pid"] == post.process.pid
    assert each["desk-b"]["armed"] is None
    assert look["statuses"][0]["armed"]["pid"] == post.process.pid
    row = next(line for line in screen.splitlines() if line.startswith("desk-a"))
    assert "armed" in row


def test_the_armed_time_is_a_story_in_the_trail_and_no_run(tmp_path: Path) -> None:
    """What it watched, what it lacked, what tripped it; the run beside it counts, it does not."""
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 0.0, "guards": GUARDS}
        with armed(running) as post:
            post.wait_for("armed")
            name = status(running)["armed"]["correlation_id"]
            under_way = running.run("audit", "show", name).stdout
            post.signal(signal.SIGUSR1)
            assert post.ended() == 0
        story = running.run("audit", "show", name).stdout
        verified = running.run("audit", "verify").stdout
        report = running.run("report", name, "--offline").stdout

    assert "No end is recorded: it is armed, or it died." in under_way
    assert story.startswith(f"Armed time {name} in simulator, ")
    assert "The armed process" in story
    assert "max_loss 1000000, max_notional 60000; held flat for 0 s after a trip" in story
    assert "SIGUSR1; run liq_" in story
    assert "Ended " in story
    assert story.rstrip().endswith(": DISARMED")
    assert "records of 2 correlation ids, 1 run, " in verified
    assert "unfinished" not in verified
    assert "# Incident: armed time, not a liquidation" in report
