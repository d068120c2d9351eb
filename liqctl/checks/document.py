"""The validation document: all findings about one environment, or about several."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from liqctl.checks.issue import Area, Issue, Level, error, info
from liqctl.checks.of_machine import (
    KEY_NAMES,
    has_bytecode,
    issues_of_machine,
    issues_of_metrics,
    issues_of_targets,
)
from liqctl.checks.of_settings import changes, issues_of_settings, values_of
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import Environment
from liqctl.settings.credentials import find_source
from liqctl.settings.sources import SettingsError, stated_environment
from liqctl.settings.values import Settings, load_settings
from liqctl.settings.yaml_file import find_file

VALIDATION_SCHEMA: Final = "liqctl.validation/1"


def find_environments(config_file: Path | None) -> list[Environment]:
    """Return what to check when none was named: the file's own, or all that have a file."""
    if config_file is not None:
        return [stated_environment(config_file, os.environ)]
    found = [each for each in Environment if find_file(each, os.environ)]
    if not found:
        raise UsageError(
            "no environment was named and no settings file was found; give --env "
            f"{', '.join(Environment)} or --config FILE"
        )
    return found


def check_environment(
    environment: Environment,
    *,
    config_file: Path | None = None,
    against: Path | None = None,
    ask_venue: Callable[[Settings], Iterable[Issue]] | None = None,
) -> dict[str, Any]:
    """Return the validation document of one environment.

    Args:
        environment: what to check.
        config_file: the settings file, None for the usual one.
        against: an earlier settings file to compare with.
        ask_venue: returns what the venue itself says; None does not ask it.
    """
    settings, issues = _read(environment, config_file)
    if settings is not None:
        issues += issues_of_settings(settings)
        issues += issues_of_targets(settings, os.environ)
        issues += issues_of_metrics(settings)
    file = config_file or find_file(environment, os.environ)
    issues += issues_of_machine(
        environment,
        os.environ,
        paths={"audit.log_dir": settings.audit.log_dir if settings else None, "file": file},
        needs_keys=not (settings.is_embedded if settings else environment is Environment.SIMULATOR),
        is_compiled=has_bytecode(),
    )
    comparison: dict[str, Any] = {}
    if against is not None:
        comparison = {"against": str(against), "changes": []}
        try:
            old = _load(environment, against)
        except ConfigurationError as failure:
            issues.append(_unreadable("against", failure))
        else:
            found = changes(old, settings) if settings else []
            comparison["changes"] = [asdict(change) for change in found]
    if ask_venue is not None and settings is not None:
        issues += ask_venue(settings)
    elif ask_venue is not None:
        text = "the venue was not asked, for the settings cannot be used"
        advice = "correct the settings, then validate again"
        issues.append(info(Area.DEPLOYMENT, "online", text, advice))
    document = _document(environment, issues, _config(settings) if settings else {})
    return document | {"config_file": str(file) if file else None} | comparison


def unreadable_document(failure: ConfigurationError) -> dict[str, Any]:
    """Return the document of a settings file that does not even tell its environment."""
    return _document(None, [_unreadable("file", failure)], {})


def join_documents(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one document for several environments: the worst of each, and each of them."""
    return {
        "schema": VALIDATION_SCHEMA,
        "environment": None,
        "is_valid": all(document["is_valid"] for document in documents),
        "is_ready": all(document["is_ready"] for document in documents),
        "issues": [
            {**issue, "environment": document["environment"]}
            for document in documents
            for issue in document["issues"]
        ],
        "environments": documents,
    }


def _read(environment: Environment, file: Path | None) -> tuple[Settings | None, list[Issue]]:
    """Return the settings, or None and why they cannot be used."""
    try:
        return _load(environment, file), []
    except SettingsError as failure:
        return None, [
            error(Area.CONFIGURATION, each.key, each.text, f"correct it in {each.place}")
            for each in failure.problems
        ]
    except ConfigurationError as failure:
        return None, [_unreadable("file", failure)]


def _load(environment: Environment, file: Path | None) -> Settings:
    return load_settings(
        environment=environment.value, config_file=file, flags={}, environ=os.environ
    )


def _document(
    environment: Environment | None, issues: list[Issue], config: Mapping[str, Any]
) -> dict[str, Any]:
    is_valid = not {issue.level for issue in issues} & {Level.ERROR, Level.CRITICAL}
    return {
        "schema": VALIDATION_SCHEMA,
        "environment": environment.value if environment else None,
        "is_valid": is_valid,
        "is_ready": is_valid
        and not any(
            issue.level is Level.WARNING and issue.type in {Area.SECURITY, Area.DEPLOYMENT}
            for issue in issues
        ),
        "issues": [asdict(issue) for issue in issues],
        "config": dict(config),
    }


def _config(settings: Settings) -> dict[str, Any]:
    """Return every setting with its value and source, secrets as set or not set."""
    found = {}
    for key, value in values_of(settings).items():
        source = settings.sources[key]
        found[key] = {"value": value, "source": source.kind.value, "where": source.where}
    for name in KEY_NAMES:
        variable = find_source(name, settings.environment, os.environ)
        found[name.lower()] = {
            "value": "set" if variable else "not set",
            "source": "variable" if variable else "default",
            "where": variable or "",
        }
    return found


def _unreadable(key: str, failure: ConfigurationError) -> Issue:
    return error(Area.CONFIGURATION, key, str(failure), "correct the file")
