"""What a word may go on with when the shell asks: environments, scenarios, events, runs.

Typer completes commands, options and choices by itself; the table of options names what is offered
for the rest.

What a reader would get wrong:
- zsh evaluates what is printed: only plain words may get out, whatever stands in the trail.
- A shell asks at every Tab: no key is read, no venue started, nothing said on stderr.
- bash takes `--env=pro` apart at `=`; the three words are put together again before Typer looks.
"""

import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from liqctl.cli.trails import default_trail, last_lines_of, trail_at
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.events import TRAIL_NAME, AuditEventType
from liqctl.kernel.states import Product

if TYPE_CHECKING:
    from liqctl.settings.values import Settings

_LINES_MAX: Final = 2000
"""Last lines of the trail in which runs are looked for: some hundred runs, 5 ms."""

_RUNS_MAX: Final = 50
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EQUALS: Final = "="


def words(names: Mapping[str, str], incomplete: str) -> list[tuple[str, str]]:
    """Return those of the names that go on from what is typed, each with what it means."""
    return [
        (name, meaning)
        for name, meaning in names.items()
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


def _scenarios(_: typer.Context) -> Mapping[str, str]:
    from liqctl.sim.scenario import list_scenarios

    return dict.fromkeys(list_scenarios(), "")


def _explained(_: typer.Context) -> Mapping[str, str]:
    from liqctl.cli.explain import all_meanings

    return {each.word: "" for each in all_meanings() if each.word[0].isalpha()}


def _settings(given: Mapping[str, Any]) -> "Settings | None":
    """Return the settings that the options typed so far name, None where they name none."""
    from liqctl.settings.kept import load_settings

    environment = given.get("environment") or os.environ.get("LIQCTL_ENV")
    if not (environment or given.get("config_file")):
        return None
    return load_settings(
        environment=environment,
        config_file=given.get("config_file"),
        flags={},
        environ=os.environ,
        may_be_kept=True,
    )


def _accounts(ctx: typer.Context) -> Mapping[str, str]:
    settings = _settings(ctx.params)
    return dict.fromkeys(settings.accounts, "") if settings else {}


def _runs(ctx: typer.Context) -> Mapping[str, str]:
    """Return the runs at the end of the trail, the last one first, with when they began."""
    from liqctl.trail.record import parse_line

    # The options typed so far name the trail; `report` takes several: a list.
    given = ctx.params
    log = given.get("log") or given.get("logs")
    trail = default_trail()
    if log:
        trail = trail_at(Path(log[0] if isinstance(log, list | tuple) else log))
    elif (settings := _settings(given)) is not None:
        trail = settings.audit.log_dir / TRAIL_NAME
    lines = last_lines_of(trail, _LINES_MAX)
    records = [record for line in lines if (record := parse_line(line)) is not None]
    seen = {record.correlation_id: record.timestamp for record in reversed(records)}
    return dict(islice(seen.items(), _RUNS_MAX))


def _completer(
    offer: Callable[[typer.Context], Mapping[str, str]],
) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            return words(offer(ctx), incomplete)
        except (OSError, ConfigurationError, UsageError):
            return []  # a Tab is no place to complain; the command itself will

    return complete


OFFERS: Final = {
    "accounts": _completer(_accounts),
    "products": _completer(lambda _: {each.setting: each.shown for each in Product}),
    "event types": _completer(lambda _: dict.fromkeys(AuditEventType, "")),
    "scenarios": _completer(_scenarios),
    "runs": _completer(_runs),
    "words": _completer(_explained),
}
"""What may stand there, by the name that the table of options gives it."""
