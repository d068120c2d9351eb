"""`liqctl notify`: tries every notification target before the emergency."""

import os
import time

from liqctl.cli.options import Options, takes
from liqctl.cli.output import out
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import ExitCode
from liqctl.notify.send import make_document, render_deliveries


@takes("environment", "config_file", "as_json", "no_color")
def notify(options: Options) -> ExitCode:
    """Send a test message to every notification target; touches no account.

    Exit codes: 0 all delivered, 1 one was not, or none is configured, 2 usage, 4 configuration.

    Example: liqctl notify --env production
    """
    try:
        settings = options.settings()
    except (UsageError, ConfigurationError) as error:
        document = make_document(options.environment, [], error=str(error))
        return out.refusal(error, document, options)
    deliveries = []
    if settings.notifications:
        from liqctl.notify.courier import COURIER_S, plain_environment
        from liqctl.notify.notice import make_test_notice
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
