"""`liqctl explain`: no word that the program shows is left without a meaning."""

import json
import subprocess
import sys
from enum import Enum

import pytest

from liqctl.cli.explain import ADAPTED, all_meanings, look_up
from liqctl.kernel.answers import CODES, Adaptation, AnswerKind
from liqctl.kernel.errors import UsageError
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.guards import GuardLevel
from liqctl.kernel.policy import Rule
from liqctl.kernel.states import (
    ExitCode,
    LiquidationState,
    OrderState,
    PositionState,
    TripCause,
)
from liqctl.kernel.values import OrderStatus
from liqctl.standby.mirror import Health
from tests.cli.test_app import TIMEOUT_S, run


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        (LiquidationState, "run state"),
        (PositionState, "position state"),
        (OrderState, "order state"),
        (OrderStatus, "order status"),
        (AuditEventType, "event"),
        (AnswerKind, "kind of answer"),
        (TripCause, "trip cause"),
        (Rule, "guard rule"),
        (GuardLevel, "guard level"),
    ],
)
def test_every_word_of_an_enumeration_is_explained(members: type[Enum], kind: str) -> None:
    """Who adds a state or an event adds its line; a bare word in an emergency helps nobody."""
    explained = {each.word: each.meaning for each in all_meanings() if each.kind == kind}

    assert list(explained) == [str(member.value) for member in members]
    assert all(explained.values())


def test_what_status_calls_an_armed_process_is_explained_in_any_case() -> None:
    """Screens say `blind`, `TRIPPED` and `max_loss`; people type what they see."""
    states = {each.word for each in all_meanings() if each.kind == "state of arm"}

    assert states == {*(health.value.upper() for health in Health), "TRIPPED", "LATCHED"}
    assert [each.kind for each in look_up(["blind", "MAX_LOSS", "arm", "armed", "exit", "9"])] == [
        "state of arm",
        "guard rule",
        "state of arm",
        "exit code",
    ]


def test_every_code_and_every_exit_code_is_explained_with_what_follows() -> None:
    """A meaning without a next step leaves the operator where they were."""
    for code, row in CODES.items():
        (found,) = look_up([str(code)])
        assert (found.word, found.kind, found.meaning) == (str(code), "venue code", row.words)
        assert found.liqctl_does
        assert look_up([str(-code)])[-1].word == str(code), "the minus is easily forgotten"
    for exit_code in ExitCode:
        (found,) = look_up(["exit", str(int(exit_code))])
        assert (found.word, found.kind) == (str(int(exit_code)), "exit code")
        assert found.meaning
        assert found.next
    assert set(ADAPTED) == set(Adaptation)


def test_the_program_explains_several_words_at_once() -> None:
    """The words of one screen are looked up together; a code begins like an option."""
    ended = run("explain", "-4131", "exit", "8", "order", "unknown", "ORDER_UNKNOWN", "http 418")

    assert (ended.returncode, ended.stderr) == (ExitCode.DONE, "")
    heads = [line for line in ended.stdout.splitlines() if line and not line.startswith(" ")]
    assert heads == [
        "-4131 (venue code)",
        "8 (exit code)",
        "UNKNOWN (order state)",
        "ORDER_UNKNOWN (event)",
        "418 (HTTP status)",
    ]
    assert "best price is too far from the mark price" in ended.stdout
    assert "  liqctl  Sends limit orders inside the price band" in ended.stdout


def test_json_is_one_document_with_every_meaning_of_a_word() -> None:
    """PARTIAL is said of runs and of positions; a program must see both."""
    ended = run("explain", "PARTIAL", "--json")

    document = json.loads(ended.stdout)
    assert document["schema"] == "liqctl.explain/1"
    assert [each["kind"] for each in document["meanings"]] == ["run state", "position state"]
    assert document["meanings"][0].keys() == {"word", "kind", "meaning", "liqctl_does", "next"}


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["PARTAIL"], "nearest: PARTIAL"),
        (["exit", "14"], "known exit code; nearest: 9"),
        (["-2007"], "nearest: -2008"),
        (["2007"], "nearest: -2008"),
        (["ORDER_UNKOWN"], "nearest: ORDER_UNKNOWN"),
        (["--jsno"], "nearest: "),
    ],
)
def test_an_unknown_word_names_the_nearest_known_one(words: list[str], near: str) -> None:
    """A typing error at night is answered, not only refused."""
    with pytest.raises(UsageError) as refused:
        look_up(words)

    assert near in str(refused.value)


def test_an_unknown_word_is_wrong_usage_in_json_too() -> None:
    """Programs that ask get a document, whatever happens."""
    ended = run("explain", "NONSENSE", "--json")

    assert ended.returncode == ExitCode.USAGE
    assert json.loads(ended.stdout)["exit_code"] == ExitCode.USAGE
    assert run("explain").returncode == ExitCode.USAGE


def test_explaining_loads_nothing_heavy() -> None:
    """It is asked in the middle of an emergency, beside the run; Typer itself brings pydantic."""
    heavy = {"ccxt", "aiohttp", "rich", "pydantic_settings", "yaml", "httpx", "cryptography"}
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys; from liqctl.cli.app import run; run(['explain', '-2015'])\n"
                f"sys.stderr.write(repr(sorted({heavy!r} & set(sys.modules))))"
            ),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    assert ended.stderr == "[]"
