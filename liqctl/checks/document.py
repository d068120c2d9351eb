"""The validation document: all findings about one environment, or about several; and as text."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from liqctl.checks import NOTHING_TO_DO, Area, Issue, Level, error, info, of_machine
from liqctl.checks.of_settings import changes, issues_of_arm, issues_of_settings, values_of
from liqctl.desk.text import Part, Tone, clean, count, labelled, paint, show
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import Environment
from liqctl.run import SystemClock
from liqctl.settings.credentials import find_source
from liqctl.settings.kept import load_settings
from liqctl.settings.sources import SettingsError, stated_environment
from liqctl.settings.values import BUILT_IN, Settings
from liqctl.settings.yaml_file import find_file

VALIDATION_SCHEMA: Final = "liqctl.validation/1"
_TONES: Final = {"CRITICAL": Tone.BAD, "ERROR": Tone.BAD, "WARNING": Tone.DOUBT, "INFO": Tone.QUIET}
_VALUE_MAX: Final = 100


def find_environments(config_file: Path | None) -> list[Environment]:
    """Return what to check when none was named: the file's own, or all that have a file."""
    if config_file is not None:
        return [stated_environment(config_file, os.environ)]
    found = [each for each in Environment if find_file(each, os.environ)]
    if not found:
        raise UsageError(
            "no environment was named and no settings file was found; give --env "
            f"{', '.join(Environment)} or --config FILE, or write a file with `liqctl init`"
        )
    return found


def check_environment(
    environment: Environment,
    *,
    config_file: Path | None = None,
    against: Path | None = None,
    ask_venue: Callable[[Sequence[Settings]], Iterable[Issue]] | None = None,
    choose: Callable[[Settings], Sequence[Settings]] | None = None,
) -> dict[str, Any]:
    """Return the validation document of one environment.

    `against` is an earlier settings file to compare with; `ask_venue` returns what the venue says.
    `choose` returns the settings of each account that is checked, by default of all.
    """
    settings: Settings | None = None
    chosen: Sequence[Settings] = ()
    issues: list[Issue] = []
    try:
        settings = _load(environment, config_file)
    except SettingsError as failure:
        for each in failure.problems:
            advice = f"correct it in {each.place}"
            issues.append(error(Area.CONFIGURATION, each.key, each.text, advice))
    except ConfigurationError as failure:
        issues.append(_unreadable("file", failure))
    else:
        every = [settings.of(name) for name in settings.accounts] or [settings]
        chosen = choose(settings) if choose else every
        issues += issues_of_settings(settings, chosen)
        issues += issues_of_arm(settings, chosen)
        issues += of_machine.issues_of_accounts(settings, os.environ)
        issues += of_machine.issues_of_targets(settings, os.environ)
        issues += of_machine.issues_of_metrics(settings)
        issues += of_machine.issues_of_heartbeat(settings, SystemClock().now())
    file = config_file or find_file(environment, os.environ)
    issues += of_machine.issues_of_machine(
        environment,
        os.environ,
        paths={"audit.log_dir": settings.audit.log_dir if settings else None, "file": file},
        needs_keys=not (settings.is_embedded if settings else environment is Environment.SIMULATOR),
        is_compiled=of_machine.has_bytecode(),
        accounts=[its.account for its in chosen] or [None],
    )
    comparison: dict[str, Any] = {}
    if against is not None:
        comparison = {"against": str(against), "changes": []}
        try:
            old = _load(environment, against)
        except ConfigurationError as failure:
            issues.append(_unreadable("against", failure))
        else:
            comparison["changes"] = changes(old, settings) if settings else []
    if ask_venue is not None and settings is not None:
        issues += ask_venue(chosen)
    elif ask_venue is not None:
        text = "the venue was not asked, for the settings cannot be used"
        advice = "correct the settings, then validate again"
        issues.append(info(Area.DEPLOYMENT, "online", text, advice))
    # Every setting with its value and source, secrets as set or not set.
    config: dict[str, Any] = {}
    if settings is not None:
        for key, value in values_of(settings).items():
            source = settings.sources[key]
            config[key] = {"value": value, "source": source.kind.value, "where": source.where}
        names: tuple[str | None, ...] = tuple(settings.accounts) or (None,)
        for account in names:
            for name in of_machine.KEY_NAMES:
                variable = find_source(name, settings.environment, os.environ, account)
                key = f"accounts.{account}.{name.lower()}" if account else name.lower()
                config[key] = {
                    "value": "set" if variable else "not set",
                    "source": "variable" if variable else "default",
                    "where": variable or "",
                }
    document = _document(environment.value, issues, config)
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


def render_validation(
    document: Mapping[str, Any], *, width: int | None, colour: bool, verbose: bool
) -> str:
    """Return the verdict, every issue, what changed, and with `verbose` every setting."""
    issues = document["issues"]
    levels = [issue["level"] for issue in issues]
    word, tone = "VALID", Tone.GOOD
    if not document["is_valid"]:
        word, tone = "INVALID", Tone.BAD
    elif not document["is_ready"]:
        word, tone = "VALID, NOT READY", Tone.DOUBT
    counted = (
        count(levels.count("CRITICAL") + levels.count("ERROR"), "blocker"),
        count(levels.count("WARNING"), "warning"),
        count(levels.count("INFO"), "note"),
    )
    name = clean(str(document["environment"]))
    parts: list[Part] = [(f"{paint(word, tone, colour=colour)}: ", f"{name}, {', '.join(counted)}")]
    if "config_file" in document:
        parts += labelled(("settings", clean(document["config_file"] or BUILT_IN)))
    for issue in sorted(issues, key=lambda issue: list(_TONES).index(issue["level"])):
        level, advice = issue["level"], clean(issue["recommendation"])
        text = f"{clean(issue['field'])}: {clean(issue['message'])}"
        if advice != NOTHING_TO_DO:
            text += f" ({advice})"
        painted = paint(level, _TONES[level], colour=colour)
        parts.append((f"{level:<10}".replace(level, painted), text))
    if "changes" in document:
        changed = count(len(document["changes"]), "change")
        parts += ["", f"{changed} from {clean(document['against'])}"]
        for change in document["changes"]:
            old, new = _value(change["old"]), _value(change["new"])
            parts.append(("  ", f"{change['key']}: {old} -> {new} ({change['impact']})"))
    if verbose and document["config"]:
        parts.append("")
        for key, setting in document["config"].items():
            where = f" {clean(setting['where'])}" if setting["where"] else ""
            value = f"{_value(setting['value'])}  ({setting['source']}{where})"
            parts.append((f"{key} = ", value))
    return show(parts, width=width)


def _load(environment: Environment, file: Path | None) -> Settings:
    return load_settings(
        environment=environment.value, config_file=file, flags={}, environ=os.environ
    )


def _unreadable(key: str, failure: ConfigurationError) -> Issue:
    return error(Area.CONFIGURATION, key, str(failure), "correct the file")


def _document(
    environment: str | None, issues: list[Issue], config: Mapping[str, Any]
) -> dict[str, Any]:
    is_valid = not {issue.level for issue in issues} & {Level.ERROR, Level.CRITICAL}
    return {
        "schema": VALIDATION_SCHEMA,
        "environment": environment,
        "is_valid": is_valid,
        "is_ready": is_valid
        and not any(
            issue.level is Level.WARNING and issue.type in {Area.SECURITY, Area.DEPLOYMENT}
            for issue in issues
        ),
        "issues": [asdict(issue) for issue in issues],
        "config": dict(config),
    }


def _value(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(str, value))}]"
        case Mapping():
            return f"{{{', '.join(map(str, value))}}}"
        case _:
            return clean(str(value))[:_VALUE_MAX]
