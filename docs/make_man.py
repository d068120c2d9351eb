# ruff: noqa: INP001 - a script, not a module
"""Writes man page, reference, completion scripts, the settings files and their schema.

The page is made of the help, the settings' table and the table of exit codes. Run this with
`make docs`; `make_man.py --check` only says what is stale. click-man reads click's commands, which
Typer's are no longer, and help2man would need Perl; hence these few lines.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import make_reference
import typer
from typer.main import get_command

import liqctl
from liqctl.cli.options import COMPLETION
from liqctl.cli.root import COMMANDS, load, make_app
from liqctl.kernel.states import Environment
from liqctl.kernel.words import EXIT_CODES
from liqctl.settings.model import TABLE, first_file, json_schema, markdown_table

REPOSITORY: Final = Path(__file__).parents[1]
DOCS: Final = REPOSITORY / "docs"
SHELLS: Final = ("bash", "zsh", "fish")

_SETTING: Final = re.compile(r"^\| `([a-z_.]+)` \| `(.+?)` \| (.+) \| (.+) \|$", re.MULTILINE)
_EXAMPLE: Final = re.compile(r"(?P<command>liqctl .*?)(?:   +(?P<meaning>.+))?")

ENVIRONMENT: Final = {
    "LIQCTL_ENV": "The environment, where --env does not name one.",
    "LIQCTL_CONFIG": "The settings file, where --config does not name one.",
    "LIQCTL_CONFIG_DIR": "Where NAME.yaml of the environment is looked for first.",
    "LIQCTL_API_KEY, LIQCTL_API_SECRET": "The key; the secret may be an HMAC secret, or an Ed25519 "
    "or RSA private key in PEM.",
    "LIQCTL_API_KEY_FILE, LIQCTL_API_SECRET_FILE": "Files that hold them.",
    "LIQCTL_PRODUCTION_API_KEY, LIQCTL_TESTNET_API_KEY_FILE, ...": "The same for one environment "
    "only; these come first.",
    "LIQCTL_PRODUCTION_MASTER_API_KEY, LIQCTL_PRODUCTION_MASTER_API_SECRET, ...": "Optional: the "
    "key of the master account, with which a run checks that its sub-accounts are flat; also with "
    "_FILE.",
    "LIQCTL_ALLOW_HOST": "Names, a second time, a host in production that is not Binance's.",
    "LIQCTL_...": "Any setting: LIQCTL_ and its path joined by __, as in "
    "LIQCTL_LIQUIDATION__TIMEOUT_SECONDS=10.",
    "NO_COLOR": "No colours, whatever it holds.",
    "XDG_CONFIG_HOME, XDG_STATE_HOME": "Where settings and the lock are looked for.",
}
FILES: Final = {
    "$XDG_CONFIG_HOME/liqctl/NAME.yaml, /etc/liqctl/NAME.yaml, ./configs/NAME.yaml": "Settings of "
    "the environment NAME; the first that is there counts.",
    "LOG_DIR/audit.jsonl": "The audit trail: one JSON object a line, appended, never rewritten.",
    "LOG_DIR/liqctl.log": "What was tried, for people.",
    "$XDG_STATE_HOME/liqctl, ~/.local/state/liqctl": "The lock that keeps a second run away.",
}


def page() -> str:
    """Return the whole page."""
    context = typer.Context(get_command(make_app()), info_name="liqctl")
    about, _, where = (context.command.help or "").partition("\n\n")
    lines = [
        '.\\" Made by docs/make_man.py from the help; edit that.',
        f'.TH LIQCTL 1 "" "liqctl {liqctl.__version__}" "User Commands"',
        ".SH NAME",
        "liqctl \\- kill switch for Binance USDS\\-M futures",
        ".SH SYNOPSIS",
        ".B liqctl",
        ".I COMMAND",
        ".RI [ OPTION \\&.\\|.\\|.\\&]",
        ".SH DESCRIPTION",
        *_paragraphs(f"{about}\n\n{where}"),
        ".SH OPTIONS",
        *_options(context),
        ".SH COMMANDS",
    ]
    for name, entry in COMMANDS.items():
        lines += _command(load(name, entry), f"liqctl {name}")
    lines += [".SH EXIT STATUS", *_list(_exit_codes()), ".PP"]
    lines += ["Read any other code as failure."]
    lines += [".SH CONFIGURATION", *_list(_settings())]
    lines += [".SH ENVIRONMENT", *_list(ENVIRONMENT.items())]
    lines += [".SH FILES", *_list(FILES.items())]
    lines += [".SH EXAMPLES", *_examples(context.command)]
    lines += [".SH SEE ALSO", *_paragraphs("The pages in docs/, operations.md first.")]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Return the text as roff shows it unchanged.

    >>> escape(r".x --env \\n ±20")
    '\\&.x \\-\\-env \\e\\en \\[u00B1]20'
    """
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in text)
    return f"\\&{text}" if text[:1] in {".", "'"} else text


def _paragraphs(text: str) -> Iterator[str]:
    for number, block in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        words = " ".join(block.split())
        if words.startswith("Example: "):
            yield "Example:"
            yield from _literal([words.removeprefix("Example: ")])
        else:
            yield escape(words)


def _literal(lines: list[str]) -> Iterator[str]:
    yield from (".RS 4", ".nf", *map(escape, lines), ".fi", ".RE")


def _list(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in rows:
        yield from (".TP", f".B {escape(term)}", escape(" ".join(meaning.split())))


def _command(command: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - of Typer
    """Yield a command's section, then those of its subcommands."""
    context = typer.Context(command, info_name=path)
    yield f".SS {escape(' '.join([path, *command.collect_usage_pieces(context)]))}"
    yield from _paragraphs((command.help or "").replace("\b", ""))
    yield from _options(context)
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from _command(subcommand, f"{path} {name}")


def _options(context: typer.Context) -> Iterator[str]:
    parameters = context.command.get_params(context)
    records = [parameter.get_help_record(context) for parameter in parameters]
    return _list(record for record in records if record and "--help" not in record[0])


def _exit_codes() -> Iterator[tuple[str, str]]:
    for code, (meaning, then) in EXIT_CODES.items():
        yield f"{code:d}", f"{meaning}. {then}".replace("`", "")


def _settings() -> Iterator[tuple[str, str]]:
    rows = list(_SETTING.finditer(markdown_table()))
    if len(rows) != len(TABLE):
        raise ValueError("the table of settings has lines of another form")
    for match in rows:
        allowed = match[3].replace("`", "")
        yield match[1], f"{match[4]}. Default {match[2]}; {allowed}."


def _examples(command: Any) -> Iterator[str]:  # noqa: ANN401 - of Typer
    """Yield the examples that stand under the help."""
    for line in (command.epilog or "").splitlines():
        match = _EXAMPLE.fullmatch(line.strip())
        if match is not None:
            yield from (".TP", f".B {escape(match['command'])}", escape(match["meaning"] or ""))


def script(shell: str) -> str:
    """Return Typer's completion script for a shell, as the program hands it out."""
    return (
        subprocess.run(
            [sys.executable, "-m", "liqctl"],
            check=True,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, COMPLETION: f"source_{shell}"},
        ).stdout.strip()
        + "\n"
    )


def main() -> int:
    """Write the files, or with --check return 1 when one is stale."""
    made = {
        DOCS / "man" / "liqctl.1": page(),
        DOCS / "reference.md": make_reference.page(),
    }
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    made[REPOSITORY / "configs" / "liqctl.schema.json"] = f"{schema}\n"
    made |= {
        REPOSITORY / "configs" / f"{each}.yaml": first_file(
            each, schema="liqctl.schema.json", log_dir="logs"
        )
        for each in Environment
    }
    made |= {DOCS / "completion" / f"liqctl.{shell}": script(shell) for shell in SHELLS}
    stale = [
        file
        for file, text in made.items()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    ]
    for file in stale:
        if sys.argv[1:] == ["--check"]:
            sys.stderr.write(f"{file.relative_to(REPOSITORY)} is stale: run `make docs`\n")
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(made[file], encoding="utf-8")
    return int(bool(stale) and sys.argv[1:] == ["--check"])


if __name__ == "__main__":
    sys.exit(main())
