"""`liqctl validate`: what is wrong or risky in the configuration, before the emergency.

One document an environment; without one, every environment whose file is found is checked, and
the worst result is the exit code.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.domain.errors import ConfigurationError, UsageError
from liqctl.domain.states import ExitCode
from liqctl.domain.venue import Environment

if TYPE_CHECKING:
    from liqctl.config.findings import Issue
    from liqctl.settings.values import Settings

VALIDATION_SCHEMA: Final = "liqctl.validation/1"

_INVALIDATING: Final = frozenset({"ERROR", "CRITICAL"})
_COMPILED: Final = {
    "asyncio": "base_events.py",  # container images come without Python's own
    "ccxt": "async_support/binance.py",
    "aiohttp": "client.py",
}


@takes(
    *("environment", "config_file", "strict", "online", "against"),
    *("as_json", "no_color", "verbose"),
    verbose="Show every setting and its source.",
)
def validate(options: Options) -> ExitCode:
    """Check configuration, keys and files; changes nothing.

    Without --env every environment whose settings file is found is checked.
    Exit codes: 0 valid, 2 usage, 4 invalid (with --strict: or warnings).

    Example: liqctl validate --env production --strict --online
    """
    try:
        environments = [options.environment] if options.environment else find_environments(options)
        documents = [check_environment(environment, options) for environment in environments]
    except ConfigurationError as error:
        documents = [_document(None, [_unreadable("file", str(error))], {})]
    _print(documents, options)
    return max(exit_code(document, options) for document in documents)


def find_environments(options: Options) -> list[Environment]:
    """Return what to check when none was named: the file's own, or all that have a file."""
    from liqctl.settings.sources import stated_environment
    from liqctl.settings.yaml_file import find_file

    if options.config_file is not None:
        return [stated_environment(options.config_file, os.environ)]
    found = [each for each in Environment if find_file(each, os.environ)]
    if not found:
        raise UsageError(
            "no environment was named and no settings file was found; give --env "
            f"{', '.join(Environment)} or --config FILE"
        )
    return found


def check_environment(environment: Environment, options: Options) -> dict[str, Any]:
    """Return the validation document of one environment."""
    from liqctl.config.findings import issue_of_problem, issues_of_settings
    from liqctl.settings.problems import SettingsError
    from liqctl.settings.yaml_file import find_file

    settings: Settings | None = None
    issues: list[Issue] = []
    try:
        settings = _load(environment, options.config_file)
        issues += issues_of_settings(settings)
        issues += _issues_of_telling(settings)
    except SettingsError as error:
        issues += [issue_of_problem(problem) for problem in error.problems]
    except ConfigurationError as error:
        issues.append(_unreadable("file", str(error)))
    issues += _issues_of_machine(environment, settings, options)
    comparison: dict[str, Any] = {}
    if options.against is not None:
        comparison = {"against": str(options.against), "changes": []}
        try:
            comparison["changes"] = _changes(settings, environment, options)
        except ConfigurationError as error:
            issues.append(_unreadable("against", str(error)))
    if options.online:
        issues += [_not_asked()] if settings is None else _ask_venue(settings)
    config = _config(settings) if settings else {}
    file = options.config_file or find_file(environment, os.environ)
    named = {"config_file": str(file) if file else None}
    return _document(environment, issues, config) | named | comparison


def _document(
    environment: Environment | None, issues: "list[Issue]", config: Mapping[str, Any]
) -> dict[str, Any]:
    is_valid = not {issue.level.value for issue in issues} & _INVALIDATING
    return {
        "schema": VALIDATION_SCHEMA,
        "environment": environment.value if environment else None,
        "is_valid": is_valid,
        "is_ready": is_valid
        and not any(
            issue.level == "WARNING" and issue.type in {"SECURITY", "DEPLOYMENT"}
            for issue in issues
        ),
        "issues": [asdict(issue) for issue in issues],
        "config": dict(config),
    }


def exit_code(document: Mapping[str, Any], options: Options) -> ExitCode:
    """Return what the document means for scripts."""
    has_warnings = any(issue["level"] == "WARNING" for issue in document["issues"])
    if document["is_valid"] and not (options.strict and has_warnings):
        return ExitCode.DONE
    return ExitCode.CONFIGURATION


def has_bytecode() -> bool:
    """Return whether the heaviest modules are compiled; looks, and imports nothing."""
    for name, module in _COMPILED.items():
        spec = find_spec(name)
        places = spec.submodule_search_locations if spec else None
        if not places or not Path(cache_from_source(f"{places[0]}/{module}")).exists():
            return False
    return True


def _load(environment: Environment, file: Path | None) -> "Settings":
    from liqctl.settings.kept import load_settings

    return load_settings(
        environment=environment.value, config_file=file, flags={}, environ=os.environ
    )


def _issues_of_machine(
    environment: Environment, settings: "Settings | None", options: Options
) -> "list[Issue]":
    from liqctl.cli.wiring import is_embedded
    from liqctl.config.facts import read_facts
    from liqctl.config.findings import issues_of_facts
    from liqctl.settings.yaml_file import find_file

    facts = read_facts(
        environment,
        os.environ,
        paths={
            "audit.log_dir": settings.audit.log_dir if settings else None,
            "file": options.config_file or find_file(environment, os.environ),
        },
        needs_keys=environment is not Environment.SIMULATOR
        if settings is None
        else not is_embedded(settings),
        has_bytecode=has_bytecode(),
    )
    return issues_of_facts(environment, facts)


def _issues_of_telling(settings: "Settings") -> "list[Issue]":
    from liqctl.config.target_findings import issues_of_metrics, issues_of_targets

    return [*issues_of_targets(settings, os.environ), *issues_of_metrics(settings)]


def _config(settings: "Settings") -> dict[str, Any]:
    """Return every setting with its value and source, secrets as set or not set."""
    from liqctl.config.findings import values_of
    from liqctl.settings.credentials import find_source

    found = {}
    for key, value in values_of(settings).items():
        source = settings.sources[key]
        found[key] = {"value": value, "source": source.kind.value, "where": source.where}
    for name in ("API_KEY", "API_SECRET"):
        variable = find_source(name, settings.environment, os.environ)
        found[name.lower()] = {
            "value": "set" if variable else "not set",
            "source": "variable" if variable else "default",
            "where": variable or "",
        }
    return found


def _changes(
    settings: "Settings | None", environment: Environment, options: Options
) -> list[dict[str, Any]]:
    from liqctl.config.findings import changes

    old = _load(environment, options.against)
    return [asdict(change) for change in changes(old, settings)] if settings else []


def _unreadable(key: str, message: str) -> "Issue":
    from liqctl.config.findings import Issue, IssueType, Level

    return Issue(
        level=Level.ERROR,
        type=IssueType.CONFIGURATION,
        field=key,
        message=message,
        recommendation="correct the file",
    )


def _not_asked() -> "Issue":
    from liqctl.config.findings import Issue, IssueType, Level

    return Issue(
        level=Level.INFO,
        type=IssueType.DEPLOYMENT,
        field="online",
        message="the venue was not asked, for the settings cannot be used",
        recommendation="correct the settings, then validate again",
    )


def _ask_venue(settings: "Settings") -> "Iterable[Issue]":
    """Return what the venue itself says; the module is heavy and only loaded here."""
    from liqctl.cli import online

    return online.check(settings)


def _print(documents: list[dict[str, Any]], options: Options) -> None:
    if options.as_json:
        from liqctl.desk.json import dump

        process.print_answer(dump(documents[0] if len(documents) == 1 else _together(documents)))
        return
    from liqctl.desk.validation import render_validation

    told = [
        render_validation(
            document,
            width=process.width_of(1),
            colour=options.colour and process.is_terminal(1),
            verbose=options.verbose,
        )
        for document in documents
    ]
    text = "\n".join(told)
    height = process.height_of(1)
    if height is not None and text.count("\n") >= height - 1:
        # The verdicts have left the screen at its top: they are said again at its end.
        text += "\n" + "".join(each.partition("\n")[0] + "\n" for each in told)
    process.print_answer(text)


def _together(documents: list[dict[str, Any]]) -> dict[str, Any]:
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
