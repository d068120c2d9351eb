"""A kill switch for Binance futures: cancels every order, closes every position, proves it.

The public names below are loaded when they are first used, so that `import liqctl` costs nothing.

>>> import liqctl
>>> liqctl.LiquidationConfig(timeout_seconds=3.0).max_retries
3
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from liqctl.kernel.errors import ConfigurationError
    from liqctl.kernel.events import AuditEventType
    from liqctl.kernel.policy import LiquidationConfig
    from liqctl.kernel.result import LiquidationResult
    from liqctl.kernel.states import LiquidationState
    from liqctl.run.manager import LiquidationManager
    from liqctl.trail.writer import AuditLogger

__version__: Final = "0.3.0"

__all__ = [
    "AuditEventType",
    "AuditLogger",
    "ConfigurationError",
    "LiquidationConfig",
    "LiquidationManager",
    "LiquidationResult",
    "LiquidationState",
    "__version__",
]

_HOMES: Final = {
    "AuditEventType": "liqctl.kernel.events",
    "AuditLogger": "liqctl.trail.writer",
    "ConfigurationError": "liqctl.kernel.errors",
    "LiquidationConfig": "liqctl.kernel.policy",
    "LiquidationManager": "liqctl.run.manager",
    "LiquidationResult": "liqctl.kernel.result",
    "LiquidationState": "liqctl.kernel.states",
}


def __getattr__(name: str) -> object:
    """Return a public name, importing its module on first use (PEP 562)."""
    if name not in _HOMES:
        message = f"module 'liqctl' has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, whether loaded yet or not."""
    return sorted(__all__)
