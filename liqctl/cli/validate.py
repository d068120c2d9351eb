"""`liqctl init`, `schema`, `validate`, `notify`: what is done before the emergency.

The first files and what documents look like; what is wrong, risky or unheard. `validate` makes one
document an environment; without one it checks every environment whose file is found, and the worst
result is the exit code.
"""

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import liqctl
from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.cli.output import STDOUT, out
from liqctl.cli.wiring import Account, has_master, open_account, open_master
from liqctl.kernel.as_json import dump
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError
from liqctl.kernel.limits import Address
from liqctl.kernel.states import Environment, ExitCode
from liqctl.run import create_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from liqctl.checks import Issue
    from liqctl.checks.preflight import Coverage, VenueFacts
    from liqctl.kernel.errors import Secret
    from liqctl.settings.values import Settings

_NO_KEY: Final = {"LIQCTL_ENV": ""}
"""Variables that set no key; an empty mapping would stand for the process's own."""

_PACKAGE: Final = Path(liqctl.__file__).parent
_SHIPPED: Final = (
    *(_PACKAGE / "_configs", _PACKAGE / "_deploy"),
    *(_PACKAGE.parent / "configs", _PACKAGE.parent / "docs" / "deploy"),
)
"""Where schema, units and crontab are in a wheel, and in the repository."""

_PROGRAM: Final = "/opt/liqctl/bin/liqctl"
"""The program's path in them."""

_KEY: Final = """
The key is read from two files. Name them in these variables:
  LIQCTL_{variable}_API_KEY_FILE
  LIQCTL_{variable}_API_SECRET_FILE
"""
_NEXT: Final = """
Next:
  liqctl validate {options} --strict
  liqctl drill {options}
  liqctl liquidate {options} --dry-run
"""
_REAL: Final = """
For a real account: liqctl init --env production
"""
_INSTALL: Final = """
To install the {what}, as root, with the program at {program}
and {environment}.yaml and the key files in /etc/liqctl:
  useradd --system --home-dir /var/lib/liqctl --shell /usr/sbin/nologin liqctl
  chgrp liqctl /etc/liqctl /etc/liqctl/{environment}.yaml
  chmod g+rX /etc/liqctl /etc/liqctl/{environment}.yaml
"""
_SYSTEMD: Final = """  install -m 644 {folder}/liqctl*@.* /etc/systemd/system/
  systemctl daemon-reload
  systemctl start liqctl-validate@{environment}    # checks the account
  systemctl start liqctl@{environment}             # closes everything, now
"""
_CRON: Final = """  install -d -o liqctl -m 700 /var/lib/liqctl
  install -m 644 {folder}/liqctl.cron /etc/cron.d/liqctl
  # closes everything every Friday at 22:00: edit the file first
"""


@takes(
    *("environment", "folder", "config_file", "systemd", "cron"),
    environment="Whose settings. Default: simulator.",
    config_file="Settings file to write. Default: NAME.yaml of the environment in --dir.",
)
def init(options: Options) -> None:
    """Write a commented settings file with every setting at its default; never overwrite a file.

    Without --dir it is written to the first folder where liqctl looks for it. Exit codes:
    0 written, 1 a file cannot be written, 2 usage, or every file exists already.

    Example: liqctl init --env production --dir /etc/liqctl --systemd
    """
    from liqctl.settings.model import first_file
    from liqctl.settings.yaml_file import find_file, search_path

    environment = options.environment or Environment.SIMULATOR
    folder = options.folder or search_path(os.environ)[0]
    settings = options.config_file or folder / f"{environment}.yaml"
    files = {settings: first_file(environment, schema=str(_found("liqctl.schema.json")))}
    if options.systemd:
        for unit in sorted(_found("systemd").iterdir()):
            files[folder / unit.name] = unit.read_text(encoding="utf-8")
    if options.cron:
        text = _found("cron/liqctl").read_text(encoding="utf-8")
        text = text.replace("--env production", f"--env {environment}")
        files[folder / "liqctl.cron"] = text.replace("_PRODUCTION_", f"_{environment.upper()}_")
    program = str(Path(shutil.which(sys.argv[0]) or _PROGRAM).absolute())
    # Another user, and a unit with ProtectHome, cannot see what is installed in a home folder.
    if program.startswith(("/root/", "/home/")):
        program = _PROGRAM
    is_any_written = False
    for path, text in files.items():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            create_private(path, text.replace(_PROGRAM, program).encode())
        except FileExistsError:
            out.error(f"liqctl: {path} exists already and was left as it is")
        except OSError as error:
            out.error(f"liqctl: {path} cannot be written: {error.strerror}")
            process.leave(1)
        else:
            out.answer(f"{path} written")
            is_any_written = True
    if not is_any_written:
        raise UsageError("nothing was written: every file exists already")
    is_found = find_file(environment, os.environ) == settings
    steps = (
        ("" if environment is Environment.SIMULATOR else _KEY)
        + _NEXT
        + (_INSTALL.replace("{what}", "units") + _SYSTEMD if options.systemd else "")
        + (_INSTALL.replace("{what}", "crontab") + _CRON if options.cron else "")
        + (_REAL if environment is Environment.SIMULATOR else "")
    )
    out.answer(
        steps.format(
            environment=environment,
            folder=folder,
            options=f"--env {environment}" + ("" if is_found else f" --config {settings}"),
            program=program,
            variable=environment.upper(),
        ).rstrip()
    )


def _found(name: str) -> Path:
    """Return a file or folder that comes with the program."""
    return next(each for folder in _SHIPPED if (each := folder / name).exists())


@takes("document")
def schema(options: Options) -> None:
    """Print the JSON Schema of a document, of the audit events, or of a settings file.

    Example: liqctl schema settings > liqctl.schema.json
    """
    from liqctl.desk.schemas import schema_of

    out.answer(dump(schema_of(options.document)))


@takes(
    *("environment", "config_file", "accounts", "all_accounts", "strict", "online", "against"),
    *("as_json", "no_color", "verbose"),
    verbose="Show every setting and its source.",
)
def validate(options: Options) -> ExitCode:
    """Check configuration, keys and files; changes nothing.

    Without --env every environment whose settings file is found is checked, without --account every
    account in it.
    Exit codes: 0 valid, 2 usage, 4 invalid (with --strict: or warnings).

    Example: liqctl validate --env production --strict --online
    """
    from liqctl.checks.document import (
        check_environment,
        find_environments,
        join_documents,
        unreadable_document,
    )

    file = options.config_file
    choose = options.chosen if options.accounts or options.all_accounts else None
    ask = ask_venue if options.online else None
    try:
        documents = [
            check_environment(
                each, config_file=file, against=options.against, ask_venue=ask, choose=choose
            )
            for each in ([options.environment] if options.environment else find_environments(file))
        ]
    except ConfigurationError as error:
        documents = [unreadable_document(error)]

    def render(_: object, *, width: int | None, colour: bool) -> str:
        from liqctl.checks.document import render_validation

        told = [
            render_validation(each, width=width, colour=colour, verbose=options.verbose)
            for each in documents
        ]
        text = "\n".join(told)
        height = out.height_of(STDOUT)
        if height is not None and text.count("\n") >= height - 1:
            # The verdicts have left the screen at its top: they are said again at its end.
            text += "\n" + "".join(each.partition("\n")[0] + "\n" for each in told)
        return text

    joined = documents[0] if len(documents) == 1 else join_documents(documents)
    out.document(joined, options, render)
    for document in documents:
        has_warnings = any(issue["level"] == "WARNING" for issue in document["issues"])
        if not document["is_valid"] or (options.strict and has_warnings):
            return ExitCode.CONFIGURATION
    return ExitCode.DONE


def ask_venue(chosen: "Sequence[Settings]") -> "Iterable[Issue]":
    """Return everything that can be known before the emergency; changes nothing anywhere."""
    import asyncio

    from liqctl.checks.of_machine import same_account
    from liqctl.checks.of_venue import (
        issues_of_accounts_online,
        issues_of_sub_accounts,
        issues_online,
    )
    from liqctl.checks.preflight import ASK_MAX_S, Preflight

    out.progress(f"asking the venue, {ASK_MAX_S:.0f} s at most")
    key_problems: dict[str | None, str] = {}
    with contextlib.ExitStack() as stack:
        accounts, asking, address = [], [], Address(accounts=len(chosen))
        for its in chosen:
            try:
                account = stack.enter_context(open_account(its, needs_key=False))
            except CredentialsError as error:  # a private key that cannot be read
                key_problems[its.account] = str(error)
                account = stack.enter_context(open_account(its, _NO_KEY, needs_key=False))
            door = account.stream_door(its)
            preflight = Preflight(account.exchange, account.transport, address, door)
            accounts.append(account)
            asking.append(preflight.ask(its.liquidation, has_key=account.has_key))

        async def ask_all() -> "tuple[list[VenueFacts], Coverage | None]":
            return await asyncio.gather(asyncio.gather(*asking), _ask_master(chosen[0]))

        # No asyncio.run: it would wait for a thread that hangs in a name look-up.
        facts, coverage = asyncio.new_event_loop().run_until_complete(ask_all())
    found: dict[str | None, list[Issue]] = {}
    first_of: dict[str, Account] = {}
    for its, account, told in zip(chosen, accounts, facts, strict=True):
        problem = key_problems.get(its.account)
        found[its.account] = [*issues_online(its, told, account.identity, problem)]
        if told.alias is None or its.is_embedded:
            continue
        first = first_of.setdefault(told.alias, account)
        # Of two names with one key the settings tell already.
        if first.identity != account.identity:
            found[its.account].append(same_account(first.name or ""))
    yield from issues_of_accounts_online(found)
    if coverage is not None:
        yield from issues_of_sub_accounts(chosen[0].environment, coverage)


async def _ask_master(settings: "Settings") -> "Coverage | None":
    """Return which sub-accounts no account covers, chosen or not; None without a master key."""
    from liqctl.checks.preflight import Coverage, survey_sub_accounts
    from liqctl.settings.credentials import MASTER, load_credentials

    environment = settings.environment
    if not has_master(settings):
        return None
    try:
        credentials = load_credentials(environment, os.environ, MASTER)
        exchange = open_master(settings, credentials)
    except CredentialsError as error:
        return Coverage(problem=str(error))
    keys: dict[Secret, str | None] = {}
    names: list[str | None] = [*settings.accounts]
    for name in names or [None]:
        with contextlib.suppress(CredentialsError):
            keys[load_credentials(environment, os.environ, name).api_key] = name
    return await survey_sub_accounts(exchange, keys, own=credentials.api_key)


@takes("environment", "config_file", "as_json", "no_color")
def notify(options: Options) -> ExitCode:
    """Send a test message to every notification target; touches no account.

    Exit codes: 0 all delivered, 1 one was not, or none is configured, 2 usage, 4 configuration.

    Example: liqctl notify --env production
    """
    from liqctl.notify.send import make_document, render_deliveries

    try:
        settings = options.settings()
    except (UsageError, ConfigurationError) as error:
        document = make_document(options.environment, [], error=str(error))
        return out.refusal(error, document, options)
    deliveries = []
    if settings.notifications:
        from liqctl.notify.notice import COURIER_S, make_test_notice, plain_environment
        from liqctl.notify.send import deliver

        for name in set(os.environ) - set(plain_environment(os.environ)):
            del os.environ[name]  # what follows a run has neither keys nor proxies
        notice = make_test_notice(settings.environment.value)
        # In no more time than an end of a run is given.
        deliveries = deliver(settings.notifications, [notice], ends_at=time.monotonic() + COURIER_S)
    document = make_document(settings.environment.value, deliveries)
    if deliveries or options.as_json:
        out.document(document, options, render_deliveries)
    if not deliveries:
        out.error(
            "no one is notified when a run ends: `notifications` is empty. Next: add a target, see "
            "the notifications section of the README"
        )
    is_done = deliveries and all(delivery.problem is None for delivery in deliveries)
    return ExitCode.DONE if is_done else ExitCode.FAILED
