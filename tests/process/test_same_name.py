"""A correlation id that is used twice: two runs, one chain, no order id in common."""

from collections import Counter
from pathlib import Path

from liqctl.kernel.values import CLIENT_ORDER_ID_MAX
from liqctl.trail.writer import AuditLogger
from tests.process.program import PATIENCE_S, Program, program

NAME = "--correlation-id=drill"
PADDING_RECORDS = 400


def order_ids(running: Program) -> list[str]:
    """Return the client order ids that reached the venue."""
    journal = running.server.venue.account.journal
    return [name for _, method, _, name in list(journal.requests) if method == "POST"]


def assert_verified(running: Program, *, runs: int) -> None:
    """The chain holds, and each of the runs has its end."""
    checked = running.run("audit", "verify", "--log", str(running.trail), "--json")
    assert checked.code == 0, checked.stdout
    assert checked.result["runs"] == runs
    events = Counter(record["event_type"] for record in running.records())
    assert events["LIQUIDATION_START"] == runs
    assert events["LIQUIDATION_COMPLETE"] + events["LIQUIDATION_ABANDONED"] == runs


def test_two_runs_of_one_name_share_no_order_id_and_one_chain(tmp_path: Path) -> None:
    """An id sent again would find the old run's order and take its fill for ours."""
    with program(tmp_path) as first:
        assert first.run(NAME).code == 0
        ids = order_ids(first)
    other = AuditLogger(tmp_path / "logs")
    for number in range(PADDING_RECORDS):  # More than an ordinary look back.
        other.log_event(
            event_type="SNAPSHOT_TAKEN",
            correlation_id="other",
            details={"padding": "x" * 6000, "number": number},
        )
    other.close()

    with program(tmp_path) as second:
        assert second.run(NAME).code == 0
        again = order_ids(second)
        assert_verified(second, runs=2)
        numbers = [r["seq"] for r in second.records() if r["correlation_id"] == "drill"]
        sent = [r for r in second.records() if r["event_type"] == "ORDER_SENT"]

    assert len(ids) == len(again) == 3
    assert not set(ids) & set(again)
    assert max(map(len, ids + again)) <= CLIENT_ORDER_ID_MAX
    assert numbers == list(range(1, len(numbers) + 1))
    assert sorted(r["details"]["client_order_id"] for r in sent) == sorted(ids + again)


def test_the_run_after_a_dead_one_of_the_same_name_closes_its_record(tmp_path: Path) -> None:
    """Its own orders are not taken for the dead run's."""
    with program(tmp_path) as running:
        held = running.hang(method="POST", kind="hang_executed")
        with running.start(NAME) as first:
            running.wait_for("ORDER_SENT", count=3)
            first.kill()
            first.wait(PATIENCE_S)
        running.server.venue.faults.remove(held)
        dead = [
            r["details"]["client_order_id"]
            for r in running.records()
            if r["event_type"] == "ORDER_SENT"
        ]
        ended = running.run(NAME)

        assert ended.code == 0, ended.stdout
        (abandoned,) = [r for r in running.records() if r["event_type"] == "LIQUIDATION_ABANDONED"]
        assert {o["client_order_id"] for o in abandoned["details"]["orders"]} == set(dead)
        assert_verified(running, runs=2)
