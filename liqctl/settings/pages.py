"""The settings as the README's table, as a file's schema and as a first file, from the model."""

from itertools import groupby
from typing import Any

from liqctl.kernel.states import Environment
from liqctl.settings.model import TABLE, Kind, Setting, SettingsModel


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a settings file, for editors and for `liqctl schema settings`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SettingsModel.model_json_schema(),
    }


def first_file(environment: Environment) -> str:
    """Return a settings file with every setting at its default, each with what it means."""
    lines = [
        f"# liqctl, {environment}. Every value below is the default; flags and LIQCTL_ variables",
        "# win over it. Check with: liqctl validate. Keys and secrets never stand here.",
    ]
    for section, settings in groupby(TABLE, lambda each: each.key.rpartition(".")[0]):
        lines += ["", *([f"{section}:"] if section else [])]
        indent = "  " if section else ""
        for setting in settings:
            value = environment if setting.name == "environment" else _default(setting)
            lines += [
                f"{indent}# {setting.help} ({_allowed(setting).replace('`', '')})",
                f"{indent}{setting.name}: {value}",
            ]
    return "\n".join(lines) + "\n"


def markdown_table() -> str:
    """Return every setting with its variable, default, range and meaning as a Markdown table."""
    lines = ["| setting | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{setting.key}` | `{_default(setting)}` | {_allowed(setting)} | {setting.help} |"
        for setting in TABLE
    ]
    return "\n".join(lines) + "\n"


def _default(setting: Setting) -> str:
    match setting.default:
        case None:
            return "null"
        case bool():
            return "true" if setting.default else "false"
        case list():
            return "[]"
        case _:
            return str(setting.default)


def _allowed(setting: Setting) -> str:
    if setting.allowed:
        return ", ".join(f"`{each}`" for each in setting.allowed)
    if setting.low is not None:
        unit = "whole number, " if setting.kind is Kind.WHOLE else ""
        return f"{unit}{setting.low} to {setting.high}"
    return setting.kind.value
