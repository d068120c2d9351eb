"""How the end of `liqctl liquidate` is told: once, as text or as JSON."""

import math
import os
from typing import TYPE_CHECKING, Final

from liqctl.cli import process
from liqctl.cli.options import Options
from liqctl.kernel.ids import make_correlation_id
from liqctl.kernel.states import ExitCode, FailureCause, LiquidationState
from liqctl.run.who import SystemClock

if TYPE_CHECKING:
    from liqctl.kernel.result import LiquidationResult
    from liqctl.run.inspection import Inspection
    from liqctl.settings.values import Settings


_PROMPT_LINES: Final = 2
"""What the shell writes below the end screen; its first line must not be pushed out for it."""


class ResultPrinter:
    """Prints how the command ended, exactly once, and says which exit code that is."""

    def __init__(self, options: Options) -> None:
        """Name the run from its first moment, so that even a refusal to start can be found."""
        self._options = options
        self.reason = options.reason
        self._started_at = SystemClock().now()
        self.settings: Settings | None = None
        self.correlation_id = options.correlation_id or make_correlation_id(
            self._started_at, os.urandom(3).hex()
        )

    def end(self, result: "LiquidationResult", inspection: "Inspection | None" = None) -> ExitCode:
        """Print the result and return its exit code; a signal's code outranks it."""
        self._say_loudly(result)
        if self._options.as_json:
            from liqctl.kernel.as_json import dump

            process.print_answer(dump(result.as_json()))
        else:
            self._print_for_people(result, inspection)
        return process.signals.received or result.exit_code()

    def _say_loudly(self, result: "LiquidationResult") -> None:
        """Say on stderr what a glance at the exit code would miss."""
        if result.state is LiquidationState.SKIPPED and not result.dry_run:
            process.print_error(
                "WARNING: the switch is disarmed: emergency_liquidation is false. Nothing was "
                "read, cancelled or closed; positions and orders may be open"
            )
        if self.settings is None or not (result.verified_flat or result.dry_run):
            return
        found = {position.symbol for position in result.positions}
        found |= {order.symbol for order in result.orders}
        for symbol in self.settings.liquidation.symbols:
            if symbol not in found and result.cause is FailureCause.NONE:
                process.print_error(f"nothing is open on {symbol}")

    def _print_for_people(
        self, result: "LiquidationResult", inspection: "Inspection | None"
    ) -> None:
        from liqctl.desk.result import Asked, render_result

        colour = self._options.colour and process.is_terminal(1)
        width = process.width_of(1)
        lines = process.height_of(1)
        height = None if lines is None else lines - _PROMPT_LINES
        symbols = self.settings.liquidation.symbols if self.settings else ()
        settle_s = self.settings.liquidation.settle_seconds if self.settings else None
        asked = Asked(
            symbols=symbols,
            options=self._options.repeated(),
            settle_s=settle_s,
            config_file=self.settings.origin if self.settings else None,
        )
        if inspection is not None and self.settings is not None:
            from liqctl.desk.plan import render_plan

            process.print_answer(
                render_plan(
                    inspection,
                    result,
                    policy=self.settings.liquidation,
                    width=width,
                    height=height,
                    colour=colour,
                    asked=asked,
                )
            )
            return
        process.print_answer(
            render_result(result, width=width, height=height, colour=colour, asked=asked)
        )

    def end_without_run(self, cause: FailureCause, message: str) -> ExitCode:
        """Print the result of a run that never started, if JSON was asked for."""
        result = self.refusal(cause, message)
        if self._options.as_json:
            code = self.end(result)
        else:
            code = process.signals.received or result.exit_code()
        is_answered_in_person = process.is_terminal(0) and process.is_terminal(2)
        if cause is FailureCause.CREDENTIALS or (
            cause is FailureCause.NOT_CONFIRMED and not is_answered_in_person
        ):
            self.follow_up(result, code)
        return code

    def say_next(self, cause: FailureCause, message: str) -> None:
        """Say on stderr what to do after a refusal to start; in JSON the message must do."""
        from liqctl.desk.result import next_steps

        if not self._options.as_json:
            steps = next_steps(self.refusal(cause, message))
            process.print_error("\n".join(["Next", *(f"  - {step}" for step in steps)]))

    def interrupted(self) -> None:
        """Print the one document if a signal ends the command before there was a run."""
        if self._options.as_json and not process.Answer.given:
            self.end(self.refusal(FailureCause.NONE, "interrupted: nothing was sent"))

    def follow_up(
        self, result: "LiquidationResult", code: ExitCode, *, patience_s: float = math.inf
    ) -> None:
        """Let figures be written and people be told of the end, where the settings ask for it.

        To be called when all that this process has to say and to record is out.
        """
        settings = self.settings
        if settings is None or self._options.dry_run:
            return
        if settings.notifications or settings.metrics.textfile:
            from liqctl.cli.afterwards import follow_up

            follow_up(settings, result, code, reason=self.reason, patience_s=patience_s)

    def refusal(self, cause: FailureCause, message: str) -> "LiquidationResult":
        """Return the result of a run that never started."""
        from liqctl.kernel.result import LiquidationResult

        now = SystemClock().now()
        return LiquidationResult(
            correlation_id=self.correlation_id,
            environment=self._environment(),
            state=LiquidationState.FAILED,
            error_message=message,
            started_at=self._started_at,
            finished_at=now,
            duration_seconds=(now - self._started_at).total_seconds(),
            timeout_seconds=self.settings.liquidation.timeout_seconds if self.settings else 0.0,
            cause=cause,
        )

    def _environment(self) -> str:
        if self.settings is not None:
            return self.settings.environment.value
        return self._options.environment or ""
