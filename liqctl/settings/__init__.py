"""Settings: the model that is their table and reader, its sources, YAML, hosts, credentials."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liqctl.settings.sources import load_settings

__all__ = ["load_settings"]


def __getattr__(name: str) -> object:
    """Return `load_settings`, imported on first use."""
    if name == "load_settings":
        from liqctl.settings.sources import load_settings

        return load_settings
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
