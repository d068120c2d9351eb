"""`liqctl arm`: stays up, connected and warmed, and closes the account in milliseconds.

Here is what comes before the watch: which account, its latch, the question. Everything that a watch
and a trip need is imported by `arm_watch`, while SIGUSR1, whose default would end the process and
tell nobody, waits already.
"""

import asyncio
import os
import signal

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.cli.output import out
from liqctl.kernel.errors import UsageError
from liqctl.kernel.states import ExitCode


@takes(
    *("environment", "config_file", "symbols", "products", "accounts"),
    *("observe", "rearm", "yes"),
    *("as_json", "no_color", "verbose"),
    as_json="Print each line as one JSON object.",
    accounts="Which of the settings' accounts; one process for each.",
    yes="Do not ask for confirmation in production.",
)
def arm(options: Options) -> ExitCode:
    """Stay connected and watch the account; close it at once on a trigger, and hold it flat.

    Triggers: `liqctl liquidate` from any shell, SIGUSR1, a heartbeat file that is too old, a guard.
    Exit codes: that of the liquidation after a trip; 2 usage, 4 configuration, 5 armed already,
    6 not confirmed, 7 key refused, 9 tripped before and not re-armed, 130 or 143 stopped.

    Example: liqctl arm --env production --yes
    """
    settings = options.settings()
    chosen = options.chosen(settings)
    if len(chosen) != 1:
        raise UsageError("one armed process watches one account; give --account once")
    settings = chosen[0]
    from liqctl.cli.liquidate import can_ask, is_typed, needs_confirmation
    from liqctl.cli.wiring import open_account
    from liqctl.standby.process import latch_of, open_latch, stand_alone

    with open_account(settings) as account:
        log_dir, identity = settings.audit.log_dir, account.identity
        if options.rearm:
            try:
                open_latch(identity, log_dir)
            except OSError as error:
                why = f"the latch cannot be removed: {error.filename}: {error.strerror}"
                out.error(f"liqctl: {why}. Nothing is watched. Next: remove the file by hand")
                return ExitCode.LATCHED
        elif (latch := latch_of(identity, log_dir)) is not None:
            out.error(
                f"liqctl: this account was tripped at {latch.get('tripped_at', 'a time unknown')} "
                f"({latch.get('why', 'why is not known')}) and was not re-armed. Nothing is "
                "watched. Next: see `liqctl audit tail`, then arm it again with --rearm"
            )
            return ExitCode.LATCHED
        if needs_confirmation(account.environment, account.base_url) and not options.yes:
            word = account.environment.value
            if not can_ask():
                out.error(
                    f"not confirmed: {word} asks before it arms, and there is no terminal to ask "
                    "on. Give --yes to arm without asking"
                )
                return ExitCode.NOT_CONFIRMED
            out.error(
                f"{word}  {account.base_url}  key {account.key_fingerprint}\n"
                "An armed process closes every position in scope by itself when something trips."
            )
            if not is_typed(word):
                out.error("not confirmed: nothing is armed")
                return ExitCode.NOT_CONFIRMED
        if (alone := stand_alone(identity, log_dir)) is None:
            out.error("liqctl: another process is armed for this account already")
            return ExitCode.IN_PROGRESS
        loop = asyncio.new_event_loop()
        is_stopped = asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(is_stopped.set)

        try:
            # It is kept for the loop, which asks the handler that the watch puts here.
            loop.add_signal_handler(signal.SIGUSR1, is_stopped.is_set)
            process.signals.ignore_hangups()
            process.signals.shield(stop, said="stopping: the account is not watched any more")
            from liqctl.cli.arm_watch import ArmWatch

            watch = ArmWatch(options, settings, account, is_stopped)
            return loop.run_until_complete(watch.stand())
        finally:
            if alone >= 0:
                os.close(alone)
