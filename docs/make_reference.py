# ruff: noqa: INP001 - a script, not a module
"""Makes docs/reference.md of the help, the exit codes and the published schemas.

`make docs` writes it together with the man page.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import typer

from liqctl.cli.root import COMMANDS, load
from liqctl.desk.schemas import DETAILS, DOCUMENTS
from liqctl.kernel.words import exit_code_table

_HEAD: Final = """<!-- Made by `make docs`. Do not edit. -->
# Reference

[Commands](#commands) · [Exit codes](#exit-codes) · [Audit events](#audit-events) ·
[JSON documents](#json-documents)

The [README](../README.md#configuration) lists the settings, the man page the environment variables.

A field that is marked *optional* can be absent. Quantities and prices are decimal strings, as the
venue writes them. Times are UTC. New versions may add fields; they do not rename or remove any.
"""
_EVENTS_HEAD: Final = """## Audit events

`audit.jsonl` holds one JSON object a line. `liqctl schema event` prints the JSON Schema of a line.
Every line has these fields:

"""
_DETAILS_HEAD: Final = """
The tables below list the fields of `details`. Details that do not fit a line of 8 kB are cut, and
`cut_bytes` holds their full size. Events that another program records with `AuditLogger` can have
other details.
"""
_DOCUMENTS: Final = {
    "result": "`liqctl liquidate --json` prints it, whatever the exit code.",
    "results": "`liqctl liquidate --json` prints it for several accounts.",
    "status": "`liqctl status --json` prints it; with `--watch` one a line.",
    "statuses": "`liqctl status --json` prints it for several accounts.",
    "validation": "`liqctl validate --json` prints it.",
}
_TYPES: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "array": "list",
    "null": "null",
}


def page() -> str:
    """Return the whole page."""
    lines = [_HEAD, "## Commands", ""]
    for name, entry in COMMANDS.items():
        lines += _command(load(name, entry), f"liqctl {name}")
    lines += ["## Exit codes", "", exit_code_table(), "", "Read any other code as failure.", ""]
    frame = {k: v for k, v in DOCUMENTS["event"].items() if k != "allOf"}
    lines += [_EVENTS_HEAD + "\n".join(_table(frame)), _DETAILS_HEAD]
    for event_type, details in DETAILS.items():
        lines += [f"### {event_type}", "", f"{_sentence(event_type.meaning)}", ""]
        lines += [*_table(details), ""]
    lines += ["## JSON documents", ""]
    for name, text in _DOCUMENTS.items():
        lines += [f"### {name}", "", f"{text} `liqctl schema {name}` prints its JSON Schema.", ""]
        lines += [*_table(DOCUMENTS[name]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _command(command: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - of Typer
    """Yield a command's section, then those of its subcommands."""
    context = typer.Context(command, info_name=path)
    yield from (f"### {path}", "", "```text")
    yield " ".join([path, *command.collect_usage_pieces(context)])
    yield from ("```", "")
    for block in re.split(r"\n\s*\n", (command.help or "").replace("\b", "").strip()):
        words = " ".join(block.split())
        if words.startswith("Example: "):
            yield from ("```sh", words.removeprefix("Example: "), "```", "")
        else:
            yield from (words, "")
    records = [each.get_help_record(context) for each in command.get_params(context)]
    rows = [each for each in records if each and "--help" not in each[0]]
    if rows:
        yield from ("| option | meaning |", "| --- | --- |")
        for names, meaning in rows:
            yield f"| `{_cell(names)}` | {_cell(' '.join(meaning.split()))} |"
        yield ""
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from _command(subcommand, f"{path} {name}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(schema: dict[str, Any]) -> Iterator[str]:
    yield from ("| field | type | meaning |", "| --- | --- | --- |")
    yield from _rows(schema, "")


def _rows(schema: dict[str, Any], prefix: str) -> Iterator[str]:
    """Yield a row for each field, and below it those of what it holds."""
    for name, field in schema["properties"].items():
        kind = _kind(field) + ("" if name in schema["required"] else ", optional")
        yield f"| `{prefix}{name}` | {kind} | {_cell(field['description'])} |"
        inner, place = field, f"{prefix}{name}"
        for each in field.get("anyOf", ()):
            inner = each if each.get("type") != "null" else inner
        if inner.get("type") == "array":
            inner, place = inner["items"], f"{place}[]"
        elif "additionalProperties" in inner:
            inner, place = inner["additionalProperties"], f"{place}{{}}"
        # What is a document of its own has a table of its own.
        if "properties" in inner and "schema" not in inner["properties"]:
            yield from _rows(inner, f"{place}.")


def _kind(field: dict[str, Any]) -> str:
    """Return a field's type in words."""
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join("null" if each is None else f"`{each}`" for each in field["enum"])
    if "anyOf" in field:
        return " or ".join(map(_kind, field["anyOf"]))
    kinds = field.get("type", "any")
    names = [_TYPES.get(each, each) for each in (kinds if isinstance(kinds, list) else [kinds])]
    for word, sign in (("time", "T"), ("hash", "{64}"), ("decimal", "-?")):
        if sign in field.get("pattern", ""):
            names[0] = word
    return " or ".join(names)
