"""Sends by apprise, which knows a hundred services more: `pip install liqctl[apprise]`."""

from typing import Final

from liqctl.domain.notices import Notice, Severity

_TYPES: Final = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "failure",
}
_TITLE: Final = "liqctl"


def is_installed() -> bool:
    """Return whether apprise is there; looks, and imports nothing."""
    from importlib.util import find_spec

    return find_spec("apprise") is not None


def send(url: str, notice: Notice) -> str | None:
    """Send the notice; return why it could not be, None when it was."""
    if not is_installed():
        return "apprise is not installed: pip install liqctl[apprise]"
    import apprise

    asset = apprise.AppriseAsset(app_id=_TITLE, secure_logging=True, async_mode=False)
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        return "apprise does not know this address"
    is_sent = service.notify(
        title=_TITLE,
        body=notice.text,
        notify_type=_TYPES[notice.severity],
        body_format="text",
    )
    return None if is_sent else "apprise could not deliver it"
