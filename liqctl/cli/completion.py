"""What a word may go on with when the shell asks: environments, scenarios, events, runs.

Typer completes commands and options by itself; this gives values to options by their names, so that
a new command with `--env` has them too. The module is loaded only when a shell asks.

What a reader would get wrong:
- zsh evaluates what is printed: only plain words may get out, whatever stands in the trail.
- A shell asks at every Tab: no key is read, no venue started, nothing said on stderr.
- bash takes `--env=pro` apart at `=`; the three words are put together again before Typer looks.
"""

import os
import re
from collections.abc import Callable, Iterable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typer._click.shell_completion import CompletionItem

from liqctl.domain.errors import ConfigurationError, UsageError
from liqctl.domain.events import TRAIL_NAME, AuditEventType
from liqctl.domain.venue import Environment

if TYPE_CHECKING:
    from typer._click import Command, Context

_LINES_MAX: Final = 2000
"""Last lines of the trail in which runs are looked for: some hundred runs, 5 ms."""

_RUNS_MAX: Final = 50
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EQUALS: Final = "="


def offer_values(command: "Command") -> None:
    """Let the options and arguments of a command, and of its subcommands, know their values."""
    for subcommand in getattr(command, "commands", {}).values():
        offer_values(subcommand)
    for parameter in command.params:
        offer = _OFFERS.get((command.name or "", parameter.name or "")) or _OFFERS.get(
            ("", parameter.name or "")
        )
        if offer is not None:
            parameter.shell_complete = _completer(offer)  # type: ignore[assignment, method-assign]


def words(names: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """Return those of the names that go on from what is typed, each with what it means."""
    return [
        CompletionItem(name, help=meaning or None)
        for name, meaning in names
        if name.startswith(incomplete) and _PLAIN.fullmatch(name)
    ]


def join_equals(environ: MutableMapping[str, str]) -> None:
    r"""Put `--env`, `=`, `pro` together again, as bash hands them over in COMP_WORDS.

    >>> asked = {"COMP_WORDS": "liqctl\nstatus\n--env\n=\npro", "COMP_CWORD": "4"}
    >>> join_equals(asked)
    >>> asked == {"COMP_WORDS": "liqctl\nstatus\n--env=pro", "COMP_CWORD": "2"}
    True
    """
    if _EQUALS not in environ.get("COMP_WORDS", ""):
        return
    typed = environ["COMP_WORDS"].split("\n")[: int(environ.get("COMP_CWORD", "0")) + 1]
    joined: list[str] = []
    for index, word in enumerate(typed):
        is_value = index > 1 and typed[index - 1] == _EQUALS and typed[index - 2].startswith("--")
        if joined and (is_value or (word == _EQUALS and typed[index - 1].startswith("--"))):
            joined[-1] += word
        else:
            joined.append(word)
    environ["COMP_WORDS"] = "\n".join(joined)
    environ["COMP_CWORD"] = str(len(joined) - 1)


def _completer(
    offer: "Callable[[Context], Iterable[tuple[str, str]]]",
) -> "Callable[[Context, str], list[CompletionItem]]":
    def complete(ctx: "Context", incomplete: str) -> list[CompletionItem]:
        try:
            return words(offer(ctx), incomplete)
        except (OSError, ConfigurationError, UsageError):
            return []  # a Tab is no place to complain; the command itself will

    return complete


def _environments(ctx: "Context") -> Iterable[tuple[str, str]]:
    del ctx
    return ((environment.value, "") for environment in Environment)


def _event_types(ctx: "Context") -> Iterable[tuple[str, str]]:
    del ctx
    return ((event_type.value, "") for event_type in AuditEventType)


def _explained(ctx: "Context") -> Iterable[tuple[str, str]]:
    del ctx
    from liqctl.cli.explain import all_meanings

    return dict.fromkeys((each.word, "") for each in all_meanings() if each.word[0].isalpha())


def _scenarios(ctx: "Context") -> Iterable[tuple[str, str]]:
    del ctx
    from liqctl.sim.scenario import list_scenarios

    return ((name, "") for name in list_scenarios())


def _runs(ctx: "Context") -> Iterable[tuple[str, str]]:
    """Yield the runs at the end of the trail, the last one first, with when they began."""
    from liqctl.audit.reading import LineFilter, last_lines, open_for_reading
    from liqctl.domain.trail import parse_line

    fd = open_for_reading(_trail(ctx.params))
    try:
        lines = last_lines(fd, os.fstat(fd).st_size, _LINES_MAX, LineFilter())
    finally:
        os.close(fd)
    records = [record for line in lines if (record := parse_line(line)) is not None]
    seen = {record.correlation_id: record.timestamp for record in reversed(records)}
    return list(seen.items())[:_RUNS_MAX]


def _trail(given: MutableMapping[str, Any]) -> Path:
    """Return the trail that the options typed so far name, else that of ./logs."""
    if given.get("log"):
        log = Path(given["log"])
        return log / TRAIL_NAME if log.is_dir() else log
    environment = given.get("env") or os.environ.get("LIQCTL_ENV")
    if not (environment or given.get("config")):
        return Path("logs") / TRAIL_NAME
    from liqctl.config import load_settings

    settings = load_settings(
        environment=environment, config_file=given.get("config"), flags={}, environ=os.environ
    )
    return Path(settings.audit.log_dir) / TRAIL_NAME


_OFFERS: "Final[dict[tuple[str, str], Callable[[Context], Iterable[tuple[str, str]]]]]" = {
    ("", "env"): _environments,
    ("", "event_type"): _event_types,
    ("", "scenario"): _scenarios,
    ("", "correlation_id"): _runs,
    ("explain", "words"): _explained,
    ("liquidate", "correlation_id"): lambda ctx: (),  # it names a new run  # noqa: ARG005
}
"""Command, or none for any, and parameter: what may stand there."""
