"""Figures for Prometheus: parsed by its own library, absent where unknown, written as a whole."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from liqctl.desk.metrics import CATALOGUE, render_metrics, write_textfile

NOW = 1_767_350_000.0
RUN = {
    "correlation_id": "liq_1",
    "state": "PARTIAL",
    "finished_at": "2026-01-02T10:30:00.000000Z",
    "positions_found": 3,
    "positions_closed": 2,
    "positions_failed": 1,
    "orders_found": 4,
    "orders_cancelled": 3,
    "orders_failed": 0,
    "duration_seconds": 0.84,
    "timeout_seconds": 5.0,
    "exit_code": 3,
    "verified_flat": False,
    "settled_seconds": 1.25,
}
ARMED: dict[str, Any] = {
    "answers": True,
    "health": "degraded",
    "heartbeat_age_seconds": 12.5,
    "heartbeat_limit_seconds": 30.0,
    "heartbeat_missing": False,
    "guards": [
        {"rule": "max_position_notional", "used": "0.25"},
        {"rule": "max_position_notional", "used": "0.75"},
        {"rule": "max_loss", "used": None},
    ],
}
TRIPS = {"GUARD": 1, "HEARTBEAT": 0, "SIGNAL": 0, "HANDOVER": 2}
DOCUMENT: dict[str, Any] = {
    "environment": 'pro"duction\n',
    "in_progress": None,
    "account": {"flat": False, "positions": [{"notional": "25000.5"}], "orders": [{}, {}]},
    "last_run": RUN,
    "unfinished_runs": [{"correlation_id": "dead"}],
    "metrics": {"completed": 5, "partial": 1, "failed": 0, "skipped": 2, "abandoned": 0},
    "armed": ARMED,
    "latch": None,
    "trips": TRIPS,
}
NO_RUNS = dict.fromkeys(DOCUMENT["metrics"], 0)


def read(document: dict[str, Any], **others: Any) -> dict[str, dict[str, float]]:
    """Return value by name and by the label that tells samples apart, as Prometheus reads it."""
    text = render_metrics([document], version="1.2.3", written_at=NOW, **others).decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("environment") == document["environment"]
            found.setdefault(sample.name, {})[",".join(labels.values())] = sample.value
    return found


def test_every_figure_is_what_the_status_document_says() -> None:
    """Alerts are built on these names."""
    assert read(DOCUMENT, audit_complete=True, drill_passed_at=NOW - 60) == {
        "liqctl_build_info": {"1.2.3": 1},
        "liqctl_metrics_written_timestamp_seconds": {"": NOW},
        "liqctl_run_in_progress": {"": 0},
        "liqctl_account_flat": {"": 0},
        "liqctl_account_exposure": {"USDM": 25000.5},
        "liqctl_account_open_positions": {"USDM": 1},
        "liqctl_account_open_orders": {"USDM": 2},
        "liqctl_account_read_timestamp_seconds": {"": NOW},
        "liqctl_runs_total": {
            "COMPLETED": 5,
            "PARTIAL": 1,
            "FAILED": 0,
            "SKIPPED": 2,
            "ABANDONED": 0,
        },
        "liqctl_unfinished_runs": {"": 1},
        "liqctl_last_run_timestamp_seconds": {"": 1_767_349_800},
        "liqctl_last_run_state": {"COMPLETED": 0, "PARTIAL": 1, "FAILED": 0, "ABANDONED": 0},
        "liqctl_last_run_duration_seconds": {"": 0.84},
        "liqctl_last_run_deadline_seconds": {"": 5},
        "liqctl_last_run_exit_code": {"": 3},
        "liqctl_last_run_verified_flat": {"": 0},
        "liqctl_last_settled_seconds": {"": 1.25},
        "liqctl_last_run_positions": {"closed": 2, "failed": 1, "other": 0},
        "liqctl_last_run_orders": {"cancelled": 3, "failed": 0, "other": 1},
        "liqctl_audit_complete": {"": 1},
        "liqctl_drill_last_passed_timestamp_seconds": {"": NOW - 60},
        "liqctl_armed": {"": 1},
        "liqctl_armed_health": {"armed": 0, "degraded": 1, "blind": 0},
        # Of two guards of one rule the nearer one; what is not known is absent.
        "liqctl_guard_used": {"max_position_notional": 0.75},
        "liqctl_heartbeat_age_seconds": {"": 12.5},
        "liqctl_heartbeat_limit_seconds": {"": 30},
        "liqctl_trips_total": TRIPS,
        "liqctl_latched": {"": 0},
    }
    assert set(read(DOCUMENT, audit_complete=True, drill_passed_at=1.0)) == set(CATALOGUE)


def labels_of(*documents: dict[str, Any]) -> dict[str, set[tuple[str | None, ...]]]:
    """Return by name which environment and account the samples have, None: no such label."""
    text = render_metrics(
        documents, version="1.2.3", written_at=NOW, audit_complete=True, drill_passed_at=1.0
    ).decode()
    return {
        family.samples[0].name: {
            (sample.labels.get("environment"), sample.labels.get("account"))
            for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }


def test_every_figure_of_named_accounts_has_the_name_as_a_label() -> None:
    """Files of several accounts in one folder must not hold the same figure twice."""
    documents = [DOCUMENT | {"environment": "live", "account_name": each} for each in ("a", "b")]

    found = labels_of(*documents)

    assert set(found) == set(CATALOGUE)
    assert all(labels == {("live", "a"), ("live", "b")} for labels in found.values())


def test_an_account_without_a_name_has_the_labels_that_it_always_had() -> None:
    """Dashboards, recording rules and files of before go on without a change."""
    document = DOCUMENT | {"environment": "live"}
    named = document | {"account_name": None}

    assert labels_of(named) == labels_of(document) == {each: {("live", None)} for each in CATALOGUE}


def test_what_is_not_known_is_absent_and_never_zero() -> None:
    """Zero positions on an account that nobody could read would silence every alert."""
    bare = DOCUMENT | {"account": None, "last_run": None, "unfinished_runs": [], "metrics": NO_RUNS}
    for name in ("armed", "latch", "trips"):
        del bare[name]

    assert set(read(bare)) == {
        "liqctl_build_info",
        "liqctl_metrics_written_timestamp_seconds",
        "liqctl_runs_total",
        "liqctl_unfinished_runs",
    }


@pytest.mark.parametrize(
    ("account", "told"),
    [
        ({"positions": [], "orders": [], "unread": ["positions"]}, {"open_orders": 0}),
        (
            {"positions": [], "orders": [{}], "unread": ["positions"]},
            {"flat": 0, "open_orders": 1},
        ),
        (
            {"positions": [{"notional": "7"}], "orders": [], "unread": ["conditional orders"]},
            {"flat": 0, "exposure": 7, "open_positions": 1},
        ),
        (
            {"positions": [], "orders": [], "unread": ["regular orders"]},
            {"exposure": 0, "open_positions": 0},
        ),
    ],
)
def test_half_a_reading_tells_half_the_account(
    account: dict[str, Any], told: dict[str, float]
) -> None:
    """A venue that lists orders and no positions must not be told as 0 positions, nor as open."""
    found = read(DOCUMENT | {"account": account | {"flat": False}})

    assert {
        name.removeprefix("liqctl_account_"): sum(values.values())
        for name, values in found.items()
        if name.startswith("liqctl_account_")
    } == told


def test_a_trail_that_cannot_be_read_counts_nothing() -> None:
    """Runs that fall to zero look like a reset, and no dead run like all is well."""
    found = read(DOCUMENT | {"trail_error": "no", "metrics": NO_RUNS, "last_run": None})

    assert not [name for name in found if "run" in name and name != "liqctl_run_in_progress"]


@pytest.mark.parametrize("number", [10**400, -(10**400), float("inf"), "3", None], ids=range(5))
def test_a_number_that_no_run_has_is_left_out(number: object) -> None:
    """One altered line of the trail must not end the figures that alerts are built on."""
    keys = ("duration_seconds", "exit_code", "verified_flat", "positions_found", "orders_failed")

    found = read(DOCUMENT | {"last_run": RUN | dict.fromkeys(keys, number)})

    assert not {f"liqctl_last_run_{key}" for key in keys} & set(found)
    assert found["liqctl_last_run_deadline_seconds"] == {"": 5}


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59", "soon"])
def test_a_moment_that_cannot_be_told_is_no_figure(moment: str) -> None:
    """A time without a zone is not ours: it may be hours away."""
    assert "liqctl_last_run_timestamp_seconds" not in read(
        DOCUMENT | {"last_run": RUN | {"finished_at": moment}}
    )


def test_the_run_under_way_is_not_counted_as_unfinished() -> None:
    """An alert on a dead run must not fire while one works."""
    running = DOCUMENT | {"in_progress": {"correlation_id": "dead"}}

    found = read(running)

    assert found["liqctl_unfinished_runs"] == {"": 0}
    assert found["liqctl_run_in_progress"] == {"": 1}


def test_the_file_is_replaced_as_a_whole_and_readable_by_others(tmp_path: Path) -> None:
    """node_exporter is another user, and may read at any moment."""
    path = tmp_path / "liqctl.prom"
    mask = os.umask(0o077)
    try:
        write_textfile(path, b"one")
        before = path.stat().st_ino
        with path.open("rb") as reader:
            write_textfile(path, b"two")

            assert reader.read() == b"one"
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"two"
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["liqctl.prom"]


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Whoever may write the folder must not choose which of our files is overwritten."""
    (tmp_path / "treasure").write_bytes(b"mine")
    (tmp_path / "liqctl.prom").symlink_to("treasure")

    write_textfile(tmp_path / "liqctl.prom", b"figures")

    assert (tmp_path / "treasure").read_bytes() == b"mine"
    assert not (tmp_path / "liqctl.prom").is_symlink()


@pytest.mark.parametrize("name", ["no/liqctl.prom", "folder"])
def test_a_file_that_cannot_be_written_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    """Half-grown files would pile up, one a minute."""
    (tmp_path / "folder").mkdir()

    with pytest.raises(OSError, match=r"No such file|Is a directory|not empty|exists"):
        write_textfile(tmp_path / name, b"figures")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_missing_heartbeat_file_is_infinitely_old() -> None:
    """An absent figure would let the alert on its age sleep."""
    armed = ARMED | {"heartbeat_age_seconds": None, "heartbeat_missing": True}

    assert read(DOCUMENT | {"armed": armed})["liqctl_heartbeat_age_seconds"] == {"": float("inf")}


@pytest.mark.parametrize("armed", [None, {"answers": False, "pid": 7, "guards": []}])
def test_without_an_armed_process_that_answers_the_account_is_not_armed(armed: Any) -> None:
    """One that hangs watches nothing; what it would say of itself is absent."""
    found = read(DOCUMENT | {"armed": armed, "latch": {"by": "GUARD"}})

    assert (found["liqctl_armed"], found["liqctl_latched"]) == ({"": 0}, {"": 1})
    assert not {"liqctl_armed_health", "liqctl_guard_used"} & set(found)
