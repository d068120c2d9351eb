"""The settings as the README's table, as a file's schema and as a first file, from the model."""

import textwrap
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import liqctl
from liqctl.kernel.states import Environment
from liqctl.settings.model import TABLE, Kind, Setting, SettingsModel

_PACKAGE: Final = Path(liqctl.__file__).parent
SCHEMA_FILE: Final = next(
    (
        file
        for folder in (_PACKAGE / "_configs", _PACKAGE.parent / "configs")
        if (file := folder / "liqctl.schema.json").is_file()
    ),
    Path("liqctl.schema.json"),
)
"""The schema of settings files: in a wheel, or in the repository."""


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a settings file, for editors and for `liqctl schema settings`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SettingsModel.model_json_schema(),
    }


def first_file(
    environment: Environment, *, schema: str = str(SCHEMA_FILE), log_dir: str = "null"
) -> str:
    """Return a settings file with every setting at its default, each with its meaning.

    Args:
        environment: whose settings.
        schema: where editors find the JSON schema.
        log_dir: what `audit.log_dir` is set to.
    """
    lines = [
        f"# yaml-language-server: $schema={schema}",
        f"# Settings of liqctl for {environment}. Options and environment variables, such as",
        "# LIQCTL_LIQUIDATION__TIMEOUT_SECONDS=10, take precedence. After each change run:",
        f"# liqctl validate --env {environment}. Keys and secrets are not allowed here.",
    ]
    for section, settings in groupby(TABLE, lambda each: each.key.rpartition(".")[0]):
        lines += ["", *([f"{section}:"] if section else [])]
        indent = "  " if section else ""
        for setting in settings:
            value = {"environment": environment, "audit.log_dir": log_dir}.get(setting.key)
            text = f"{setting.help} ({_allowed(setting).replace('`', '')})."
            lines += [
                f"{indent}# {line}"
                for line in textwrap.wrap(f"{text[0].upper()}{text[1:]}", 96 - len(indent))
            ]
            lines.append(f"{indent}{setting.name}: {value or _default(setting)}")
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
