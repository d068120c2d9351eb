"""docs/reference.md tells everything that other programs may rely on; `make docs` writes it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from liqctl.cli.root import COMMANDS, load
from liqctl.desk.schemas import DETAILS, DOCUMENTS
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.states import ExitCode

TEXT: Final = (Path(__file__).parents[1] / "docs" / "reference.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """Return what stands under a heading, up to the next one of any level."""
    found = re.search(rf"(?ms)^##+ {re.escape(heading)}$(.*?)(?=^##|\Z)", TEXT)
    assert found is not None, f"no section {heading}"
    return found[1]


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield a command and its subcommands, each with its path."""
    yield path, command
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from commands(subcommand, f"{path} {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_there_with_every_option(name: str) -> None:
    """An option that is missing here does not exist for who writes a runbook."""
    for path, command in commands(load(name, COMMANDS[name]), f"liqctl {name}"):
        text = section(path)
        options = [option for each in command.params for option in each.opts]
        missing = [each for each in options if each.startswith("-") and each not in text]
        assert missing in ([], ["--help"])


def test_every_exit_code_stands_there() -> None:
    """Scripts branch on these."""
    rows = re.findall(r"(?m)^\| (\d+) \|", section("Exit codes"))

    assert rows == [str(int(code)) for code in ExitCode]


@pytest.mark.parametrize("event_type", AuditEventType)
def test_every_event_stands_there_with_every_field(event_type: AuditEventType) -> None:
    """Who reads the trail needs the names; `tests.drill` holds real lines to the same schema."""
    text = section(event_type)

    assert [f for f in DETAILS[event_type]["properties"] if f"| `{f}` |" not in text] == []


@pytest.mark.parametrize("name", ["result", "results", "status", "statuses", "validation"])
def test_every_document_stands_there_with_every_field(name: str) -> None:
    """The CLI's tests hold real documents to the same schema, which must name each key."""
    text = section(name)

    assert [f for f in DOCUMENTS[name]["properties"] if f"| `{f}` |" not in text] == []
