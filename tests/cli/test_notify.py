"""`liqctl notify`: tries the targets before the emergency."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notify.receiver import Receiver, receiver
from tests.process.program import Program, program


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A web hook that is there."""
    with receiver() as made:
        yield made


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """The program; its account must stay untouched."""
    with program(tmp_path) as made:
        yield made


def test_every_target_gets_a_test_message_whatever_it_filters(
    running: Program, hook: Receiver
) -> None:
    """Operators must see it arrive, also where only the worst would be sent."""
    running.more = {
        "notifications": [
            {"type": "webhook", "url": f"{hook.url}/a", "min_severity": "critical"},
            {"type": "slack", "url_env": "SLACK_URL", "events": ["unknown"], "name": "ops chat"},
        ]
    }
    running.variables["SLACK_URL"] = f"{hook.url}/slack"

    ended = running.run("notify")

    assert ended.code == 0, ended.stderr
    assert ended.stdout.startswith("DELIVERED: 2 targets accepted the test message\n")
    assert "ops chat" in ended.stdout
    assert sorted(request.path for request in hook.received) == ["/a", "/slack"]
    assert all(b" TEST: sent by hand on " in request.body for request in hook.received)
    assert not running.server.venue.account.journal.requests
    assert not running.trail.exists()


def test_a_target_that_fails_is_named_with_why_and_what_next(
    running: Program, hook: Receiver
) -> None:
    """Exit 1 is what a weekly cron job goes by."""
    hook.status = 403
    running.more = {
        "notifications": [
            {"type": "webhook", "url": f"{hook.url}/a"},
            {"type": "telegram", "token_env": "NO_TOKEN", "chat_id": 5},
        ]
    }

    people, machine = running.run("notify"), running.run("notify", "--json")

    assert (people.code, machine.code) == (1, 1)
    first, *_ = people.stdout.splitlines()
    assert first == "FAILED: 2 targets of 2 would not be notified"
    assert "again: liqctl notify --env simulator" in people.stdout
    assert machine.result["schema"] == "liqctl.notify/1"
    assert [target["problem"] for target in machine.result["targets"]] == [
        "HTTP 403",
        "the variable NO_TOKEN is not set",
    ]


def test_a_target_that_never_answers_ends_in_time(running: Program, hook: Receiver) -> None:
    """It is given no more than after a real run, so that what is seen is what will be."""
    hook.silent = True
    running.more = {"notifications": [{"type": "webhook", "url": hook.url}]}

    ended = running.run("notify", "--json")

    assert ended.code == 1
    assert ended.result["targets"][0]["problem"] == "timed out"
    assert ended.result["targets"][0]["seconds"] < 10


def test_nobody_to_tell_is_said_and_is_no_success(running: Program) -> None:
    """An empty list under a green check mark is worse than a red one."""
    ended = running.run("notify", "--json")

    assert ended.code == 1
    assert ended.result["targets"] == []
    assert "no one is notified when a run ends" in ended.stderr


@pytest.mark.parametrize(
    ("variables", "code"), [({"LIQCTL_CONFIG": ""}, 2), ({"LIQCTL_TIMEOUT": "5"}, 4)]
)
def test_a_refusal_is_one_document_too(
    running: Program, variables: dict[str, str], code: int
) -> None:
    """Programs read stdout whatever happens."""
    running.variables |= variables

    ended = running.run("notify", "--json")

    assert ended.code == code
    assert ended.result["targets"] == []
    assert ended.result["error"]
