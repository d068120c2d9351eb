"""What `validate` says of this machine: keys, files, record, lock, drills, and who would be told.

Nothing is created, changed or sent.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Final

from liqctl.checks import (
    NOTHING_TO_DO,
    Area,
    Issue,
    Level,
    error,
    info,
    mild,
    of_account,
    risk,
    warning,
)
from liqctl.desk.text import count
from liqctl.drill import Drill
from liqctl.kernel.answers import printable
from liqctl.kernel.errors import CredentialsError
from liqctl.kernel.events import TRAIL_NAME
from liqctl.kernel.states import Environment
from liqctl.kernel.words import explain_twin
from liqctl.notify.send import DeliveryError, has_apprise, look_up
from liqctl.run import nearest_existing
from liqctl.run.lock import lock_problem, read_lock
from liqctl.settings.credentials import (
    MASTER,
    account_part,
    address_problem,
    find_source,
    load_credentials,
    variable_part,
    variables_of,
)
from liqctl.settings.targets import ReferenceKind, Target, TargetType, nearest, read_targets
from liqctl.settings.values import Settings

KEY_NAMES: Final = ("API_KEY", "API_SECRET")
DRILL_AGE_MAX: Final = timedelta(days=30)

# Room for the records of some hundred runs; below it a disk fills up any moment.
_ROOM_MIN_BYTES: Final = 20_000_000
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ: Final = stat.S_IRGRP | stat.S_IROTH
_COMPILED: Final = {
    "asyncio": "base_events.py",  # container images come without Python's own
    "ccxt": "async_support/binance.py",
    "aiohttp": "client.py",
}
_NAME_MAX: Final = 80
_TEXTFILE_SUFFIX: Final = ".prom"
_WITH_ADDRESS: Final = {TargetType.WEBHOOK, TargetType.SLACK, TargetType.HEALTHCHECKS}


def issues_of_machine(
    environment: Environment,
    environ: Mapping[str, str],
    *,
    paths: Mapping[str, Path | None],
    needs_keys: bool,
    is_compiled: bool,
    accounts: Sequence[str | None] = (None,),
) -> Iterator[Issue]:
    """Yield what is to be said of keys and files; known even where the settings are invalid.

    `paths` is what others must not write, by the setting that names it. The embedded venue needs no
    keys: it brings its own. `accounts` are the names of those that are checked.
    """
    for account in accounts:
        found = []
        sources = {name: find_source(name, environment, environ, account) for name in KEY_NAMES}
        for name in [name for name, source in sources.items() if needs_keys and not source]:
            text = f"no {name.lower()} is set for {environment}"
            variable = variables_of(name, environment, account)[0]
            advice = f"set {variable} or {variable}_FILE"
            found.append(risk(environment, Area.DEPLOYMENT, name.lower(), text, advice))
        if all(sources.values()):
            try:
                load_credentials(environment, environ, account)
            except CredentialsError as failure:
                advice = "correct the variable or the file; liquidate would exit 7"
                found.append(error(Area.DEPLOYMENT, "credentials", str(failure), advice))
        for source in filter(None, sources.values()):
            if source.endswith("_FILE") and _mode_of(Path(environ[source])) & _OTHERS_READ:
                text = f"others may read the file that {source} names"
                found.append(risk(environment, Area.SECURITY, source, text, "chmod 600 it"))
        yield from (of_account(account, issue) for issue in found)
    for key, path in paths.items():
        if path and is_open_to_others(path):
            text, advice = f"others may write {path}", f"chmod go-w {path}"
            yield risk(environment, Area.SECURITY, key, text, advice)
    if not is_compiled:
        text = (
            "Python's library, ccxt or aiohttp is not compiled to bytecode: every start takes "
            "longer, up to seconds"
        )
        advice = (
            "run `python -m compileall` on the installation once; with uv: "
            "`uv tool install --compile-bytecode`"
        )
        yield risk(environment, Area.PERFORMANCE, "installation", text, advice)


def issues_of_accounts(settings: Settings, environ: Mapping[str, str]) -> Iterator[Issue]:
    """Yield what is wrong between the accounts of the settings and the variables with keys."""
    environment, area = settings.environment, Area.CONFIGURATION
    accounts = {variable_part(name): name for name in settings.accounts}
    for variable in sorted(environ):
        part = account_part(variable, environment)
        if part is None or not environ[variable] or part in {variable_part(MASTER), *accounts}:
            continue
        if part:
            text = f"{variable} belongs to no account of {settings.origin}{nearest(part, accounts)}"
            advice = "correct the variable, or name the account under `accounts`"
            yield warning(area, printable(variable, _NAME_MAX), text, advice)
        elif accounts:
            text = f"{variable} is not used: each account has variables of its own"
            yield info(area, variable, text, "unset it")
    first_of: dict[str, str] = {}
    for name in settings.accounts:
        with contextlib.suppress(CredentialsError):
            key = load_credentials(environment, environ, name).api_key.reveal()
            first = first_of.setdefault(key, name)
            if first != name:
                yield of_account(name, same_account(first))


def same_account(first: str) -> Issue:
    """Return that an account is that of another name."""
    advice = "remove one of the names, or set the key of the account that it was meant for"
    return warning(Area.CONFIGURATION, "key", explain_twin(first), advice)


def issues_of_targets(settings: Settings, environ: Mapping[str, str]) -> Iterator[Issue]:
    """Yield what keeps a target from being told, and that there is none; `notify` tries them."""
    environment = settings.environment
    if not settings.notifications:
        advice = "add a target, see the notifications section of the README"
        text = "no one is notified when a run ends"
        yield info(Area.CONFIGURATION, "notifications", text, advice)
    for number, target in enumerate(read_targets(settings.notifications)):
        field = f"notifications[{number}]"
        for reference in filter(None, (target.secret, target.token)):
            kind, where = reference.kind, reference.where
            try:
                value = look_up(reference, environ, field)
            except DeliveryError as why:
                advice = f"set {where}" if kind is ReferenceKind.VARIABLE else "correct the file"
                yield _untold(environment, field, target, why, advice)
                continue
            if kind is ReferenceKind.FILE and _mode_of(Path(where)) & _OTHERS_READ:
                text = f"others may read {where}"
                yield risk(environment, Area.SECURITY, field, text, "chmod 600 it")
            problem = address_problem(value)
            if problem and target.type in _WITH_ADDRESS and reference is target.secret:
                text = f"{target.name}: the address {problem}; nothing is sent there"
                yield error(Area.SECURITY, field, text, "correct it")
        if target.type is TargetType.APPRISE and not has_apprise():
            advice = "pip install liqctl[apprise]"
            yield _untold(environment, field, target, "apprise is not installed", advice)


def _untold(
    environment: Environment, field: str, target: Target, why: object, advice: str
) -> Issue:
    text = f"{target.name} would not be notified: {why}"
    return risk(environment, Area.DEPLOYMENT, field, text, advice)


def issues_of_metrics(settings: Settings) -> Iterator[Issue]:
    """Yield what keeps figures from reaching Prometheus."""
    environment, path, field = settings.environment, settings.metrics.textfile, "metrics.textfile"
    if path is None:
        return
    if path.suffix != _TEXTFILE_SUFFIX:
        text = f"node_exporter reads no file but those that end in {_TEXTFILE_SUFFIX}"
        advice = f"name it {path.with_suffix(_TEXTFILE_SUFFIX)}"
        yield risk(environment, Area.CONFIGURATION, field, text, advice)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        text = f"the folder {path.parent} is missing or not ours to write"
        advice = "create it, writable by the user who runs liqctl"
        yield risk(environment, Area.DEPLOYMENT, field, text, advice)


def issues_of_heartbeat(settings: Settings, now: datetime) -> Iterator[Issue]:
    """Yield what would trip `arm` at once, or keep it from tripping, about the heartbeat file."""
    path, limit_s = settings.arm.heartbeat_file, settings.arm.heartbeat_seconds
    environment, field = settings.environment, "arm.heartbeat_file"
    if path is None:
        return
    try:
        found = path.stat()
    except OSError as failure:
        text = f"{path}: {failure.strerror}: `arm` would trip at once"
        advice = "start what touches the file before `arm`, and give this user access to it"
        yield risk(environment, Area.DEPLOYMENT, field, text, advice)
        return
    if not stat.S_ISREG(found.st_mode):
        text = f"{path} is not a regular file, so its age says nothing"
        yield risk(environment, Area.CONFIGURATION, field, text, "name a file that a bot touches")
        return
    age_s = now.timestamp() - found.st_mtime
    if age_s > limit_s:
        text = (
            f"{path} was last touched {age_s:.0f} s ago, more than heartbeat_seconds {limit_s:g}: "
            "`arm` would trip at once"
        )
        advice = "start what touches the file before `arm`, or raise heartbeat_seconds"
        yield risk(environment, Area.DEPLOYMENT, field, text, advice)
    elif age_s < -limit_s:
        text = f"{path} was touched {-age_s:.0f} s in the future: its silence would be seen late"
        yield risk(environment, Area.DEPLOYMENT, field, text, "set the clocks; touch it again")
    # Whoever may write the folder may also put another file in its place, but for a sticky one.
    folder = _mode_of(path.parent)
    is_folder_open = bool(folder & _OTHERS_WRITE) and not folder & stat.S_ISVTX
    if is_open_to_others(path) or is_folder_open:
        text = f"others may write {path}, and could keep it fresh while the bot is dead"
        yield risk(environment, Area.SECURITY, field, text, f"chmod go-w {path} and its folder")


def issues_of_run(settings: Settings, identity: str, key_problem: str | None) -> Iterator[Issue]:
    """Yield what a run would miss on this machine; `identity` is the account's for the lock."""
    environment, log_dir = settings.environment, settings.audit.log_dir
    problem = _trail_problem(log_dir)
    if problem is not None:
        text = f"the audit trail cannot be written: {problem}"
        advice = "a run would close the account and exit 8; give the folder to this user"
        yield risk(environment, Area.DEPLOYMENT, "audit.log_dir", text, advice)
    problem = None
    with contextlib.suppress(OSError):
        disk = os.statvfs(nearest_existing(log_dir))
        free = disk.f_bavail * disk.f_frsize
        if free < _ROOM_MIN_BYTES:
            problem = f"{free // 1_000_000} MB are free, less than {_ROOM_MIN_BYTES // 1_000_000}"
        elif disk.f_files and not disk.f_favail:
            problem = "no further file can be made on that disk"
    if problem is not None:
        text = f"there is little room for the audit trail: {problem}"
        advice = "make room; on a full disk a run closes the account and exits 8"
        yield risk(environment, Area.DEPLOYMENT, "audit.log_dir", text, advice)
    if key_problem is not None:
        text = f"the key cannot be used: {key_problem}"
        advice = "correct the variable or the file; liquidate would exit 7"
        yield error(Area.DEPLOYMENT, "online.key", text, advice)
    problem = lock_problem(fallback_dir=log_dir)
    if problem is not None:
        text = f"nothing would keep a second run off the account: {problem}"
        advice = "set XDG_STATE_HOME to a folder of this user"
        yield risk(environment, Area.DEPLOYMENT, "lock", text, advice)
    held = read_lock(identity, fallback_dir=log_dir)
    if held is not None:
        who = held.holder
        running = f"process {who.pid}, {who.correlation_id}" if who else "unknown"
        text = f"a liquidation is in progress: {running}"
        yield info(Area.DEPLOYMENT, "lock", text, "liqctl status")


def issue_of_drills(settings: Settings, drill: Drill | None, now: datetime) -> Issue:
    """Return how long ago a drill passed."""
    level, advice = mild(settings.environment), f"run `liqctl drill --env {settings.environment}`"
    if drill is None:
        text = "no drill is on record"
    elif not drill.passed:
        text = f"the last drill, on {drill.finished_at:%Y-%m-%d}, failed"
    else:
        days = max((now - drill.finished_at).days, 0)
        ago = f"{count(days, 'day')} ago" if days else "less than a day ago"
        text = f"the last drill passed {ago}, on {drill.finished_at:%Y-%m-%d}"
        if now - drill.finished_at <= DRILL_AGE_MAX:
            level, advice = Level.INFO, NOTHING_TO_DO
    return Issue(level, Area.DEPLOYMENT, "drills", text, advice)


def has_bytecode() -> bool:
    """Return whether the heaviest modules are compiled; looks, and imports nothing."""
    for name, module in _COMPILED.items():
        spec = find_spec(name)
        places = spec.submodule_search_locations if spec else None
        if not places or not Path(cache_from_source(f"{places[0]}/{module}")).exists():
            return False
    return True


def is_open_to_others(path: Path) -> bool:
    """Return whether others may write the path, or its nearest parent that exists."""
    for each in (path, *path.absolute().parents):
        mode = _mode_of(each)
        if mode:
            is_sticky = bool(mode & stat.S_ISVTX) and each != path
            return bool(mode & _OTHERS_WRITE) and not is_sticky
    return False


def _mode_of(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _trail_problem(log_dir: Path) -> str | None:
    """Return why the trail could not be written, without writing; None when it could."""
    trail = log_dir / TRAIL_NAME
    try:
        if not (trail.is_symlink() or trail.exists()):
            folder = nearest_existing(log_dir)
            if not folder.is_dir():
                return f"{folder} is not a folder"
            usable = os.access(folder, os.W_OK | os.X_OK)
            return None if usable else f"{folder} is not ours to write"
        found = trail.lstat()
    except OSError as error:
        return error.strerror or type(error).__name__
    if not stat.S_ISREG(found.st_mode):
        return f"{trail} is not a regular file"
    if found.st_nlink > 1:
        return f"{trail} has a second name (a hard link), so it may be somebody else's file"
    return None if os.access(trail, os.W_OK) else f"{trail} is not ours to write"
