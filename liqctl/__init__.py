"""A kill switch for Binance futures: cancels every order, closes every position, proves it.

The public names below are loaded when they are first used, so that `import liqctl` costs nothing.

>>> import liqctl
>>> liqctl.LiquidationConfig(timeout_seconds=3.0).max_retries
3
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from liqctl.domain.errors import ConfigurationError
    from liqctl.domain.events import AuditEventType
    from liqctl.domain.result import LiquidationResult
    from liqctl.domain.states import LiquidationState
    from liqctl.engine.manager import LiquidationManager
    from liqctl.planning.policy import LiquidationConfig
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
    "AuditEventType": "liqctl.domain.events",
    "AuditLogger": "liqctl.trail.writer",
    "ConfigurationError": "liqctl.domain.errors",
    "LiquidationConfig": "liqctl.planning.policy",
    "LiquidationManager": "liqctl.engine.manager",
    "LiquidationResult": "liqctl.domain.result",
    "LiquidationState": "liqctl.domain.states",
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
