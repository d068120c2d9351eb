"""What `validate` says about who is told of a run: targets that would not be reached.

Nothing is sent; `liqctl notify` does that.
"""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from liqctl.config.facts import OTHERS_READ, mode_of
from liqctl.config.findings import Issue, IssueType, Level, mild_level
from liqctl.domain.errors import CredentialsError
from liqctl.domain.notices import Holder, Reference, Target, TargetType
from liqctl.settings.credentials import read_secret_file
from liqctl.settings.targets import address_problem, read_targets
from liqctl.settings.values import Settings

_TEXTFILE_SUFFIX: Final = ".prom"
_WITH_ADDRESS: Final = {TargetType.WEBHOOK, TargetType.SLACK, TargetType.HEALTHCHECKS}


def issues_of_targets(settings: Settings, environ: Mapping[str, str]) -> Iterator[Issue]:
    """Yield what keeps a target from being told, and that there is none."""
    if not settings.notifications:
        yield Issue(
            level=Level.INFO,
            type=IssueType.CONFIGURATION,
            field="notifications",
            message="nobody is told when a run ends",
            recommendation="add a target, see the notifications section of the README",
        )
        return
    for number, target in enumerate(read_targets(settings.notifications)):
        field = f"notifications[{number}]"
        for reference in (target.secret, target.token):
            if reference is not None:
                yield from _issues_of_reference(settings, field, target, reference, environ)
        if target.type is TargetType.APPRISE and find_spec("apprise") is None:
            yield _undelivered(
                settings, field, target, "apprise is not installed", "pip install liqctl[apprise]"
            )


def issues_of_metrics(settings: Settings) -> Iterator[Issue]:
    """Yield what keeps figures from reaching Prometheus."""
    path = settings.metrics.textfile
    if path is None:
        return
    if path.suffix != _TEXTFILE_SUFFIX:
        yield Issue(
            level=mild_level(settings.environment),
            type=IssueType.CONFIGURATION,
            field="metrics.textfile",
            message=f"node_exporter reads no file but those that end in {_TEXTFILE_SUFFIX}",
            recommendation=f"name it {path.with_suffix(_TEXTFILE_SUFFIX)}",
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        yield Issue(
            level=mild_level(settings.environment),
            type=IssueType.DEPLOYMENT,
            field="metrics.textfile",
            message=f"the folder {path.parent} is missing or not ours to write",
            recommendation="create it, writable by the user who runs liqctl",
        )


def _issues_of_reference(
    settings: Settings,
    field: str,
    target: Target,
    reference: Reference,
    environ: Mapping[str, str],
) -> Iterator[Issue]:
    value = reference.where
    match reference.holder:
        case Holder.VARIABLE:
            value = environ.get(reference.where, "").strip()
            if not value:
                text = f"the variable {reference.where} is not set"
                yield _undelivered(settings, field, target, text, f"set {reference.where}")
                return
        case Holder.FILE:
            try:
                value = read_secret_file(Path(reference.where), field)
            except CredentialsError as error:
                yield _undelivered(settings, field, target, str(error), "correct the file")
                return
            if mode_of(Path(reference.where)) & OTHERS_READ:
                yield Issue(
                    level=mild_level(settings.environment),
                    type=IssueType.SECURITY,
                    field=field,
                    message=f"others may read {reference.where}",
                    recommendation="chmod 600 it",
                )
        case Holder.TEXT:
            pass
    problem = address_problem(value)
    if problem and target.type in _WITH_ADDRESS and reference is target.secret:
        yield Issue(
            level=Level.ERROR,
            type=IssueType.SECURITY,
            field=field,
            message=f"{target.name}: the address {problem}; nothing is sent there",
            recommendation="correct it",
        )


def _undelivered(
    settings: Settings, field: str, target: Target, why: str, recommendation: str
) -> Issue:
    return Issue(
        level=mild_level(settings.environment),
        type=IssueType.DEPLOYMENT,
        field=field,
        message=f"{target.name} would not be told: {why}",
        recommendation=recommendation,
    )
