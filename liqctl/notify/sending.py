"""Sends notices to every target at once, each in a thread of its own, and stops at one moment.

A thread that hangs in a name look-up or reads a dripping answer cannot be ended: it is left behind
and its delivery counts as timed out. So the caller's process ends by `os._exit`, or must not mind.

No word of a library, an answer or an address gets out: problems are told in our own words.
"""

import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl import __version__
from liqctl.kernel.errors import CredentialsError
from liqctl.notify.notice import Delivery, Holder, Notice, Reference, Severity, Target, TargetType
from liqctl.notify.payloads import Post, posts_for
from liqctl.settings.credentials import read_secret_file
from liqctl.settings.targets import address_problem, read_targets

if TYPE_CHECKING:
    import ssl

    import httpx

_SHORTEST_S: Final = 0.05
_EARLIER_SHARE: Final = 0.5
"""How much of the time that is left a notice may take that another one waits for."""

_REPLY_MAX_BYTES: Final = 64
_SUCCESS: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)
_APPRISE_TYPES: Final = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "failure",
}


class Problem(Exception):  # noqa: N818 - the end of one delivery, not of the program
    """Why a notice could not be delivered, in words that hold no secret."""


def deliver(
    items: Sequence[Mapping[str, Any]], notices: Sequence[Notice], *, ends_at: float
) -> list[Delivery]:
    """Send the notices to those targets of the settings that want them; return what became of it.

    Args:
        items: the settings' `notifications`.
        notices: in the order in which each target is to get them.
        ends_at: when to stop, on the monotonic clock.
    """
    from liqctl.venue.tls import make_tls_context

    sender = Sender(environ=os.environ, tls=make_tls_context())
    return sender.send(read_targets(items), notices, ends_at=ends_at)


def has_apprise() -> bool:
    """Return whether apprise is there (`pip install liqctl[apprise]`); looks, and imports nothing.

    It knows a hundred services more.
    """
    return find_spec("apprise") is not None


class Sender:
    """Sends notices until a moment on the monotonic clock."""

    def __init__(self, *, environ: Mapping[str, str], tls: "ssl.SSLContext") -> None:
        """Prepare; nothing is opened before `send`."""
        self._environ = environ
        self._tls = tls

    def send(
        self, targets: Sequence[Target], notices: Sequence[Notice], *, ends_at: float
    ) -> list[Delivery]:
        """Return what became of each notice that a target wants, in the order of the targets."""
        wanted = [
            (target, [notice for notice in notices if target.wants(notice)]) for target in targets
        ]
        wanted = [(target, mine) for target, mine in wanted if mine]
        if not wanted:
            return []
        done: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        began_at = time.monotonic()
        client = self._client(ends_at - began_at)
        for target, mine in wanted:
            threading.Thread(
                target=self._tell, args=(client, target, mine, ends_at, done), daemon=True
            ).start()
        pending = [(target, notice) for target, mine in wanted for notice in mine]
        found: list[Delivery] = []
        while len(found) < len(pending):
            try:
                found.append(done.get(timeout=max(ends_at - time.monotonic(), 0.0)))
            except queue.Empty:
                break
        spent_s = time.monotonic() - began_at
        return [_take(found, target, notice, spent_s) for target, notice in pending]

    def _client(self, seconds: float) -> "httpx.Client":
        """Return a client that follows no redirect and no proxy variable."""
        import logging

        import httpx

        for name in ("httpx", "httpcore"):
            logging.getLogger(name).disabled = True  # they tell whole addresses
        return httpx.Client(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            timeout=max(seconds, _SHORTEST_S),
            headers={"User-Agent": f"liqctl/{__version__}"},
        )

    def _tell(
        self,
        client: "httpx.Client",
        target: Target,
        notices: Sequence[Notice],
        ends_at: float,
        done: "queue.SimpleQueue[Delivery]",
    ) -> None:
        for left, notice in zip(range(len(notices), 0, -1), notices, strict=True):
            began_at = time.monotonic()
            # The last one says what is open: no slow answer to the start may use up its time.
            until = ends_at if left == 1 else began_at + (ends_at - began_at) * _EARLIER_SHARE
            problem: str | None = "an unexpected error, a bug in liqctl"
            try:
                self._deliver(client, target, notice, until)
                problem = None
            except Problem as error:
                problem = str(error)
            finally:
                spent_s = time.monotonic() - began_at
                done.put(Delivery(target=target, notice=notice, problem=problem, seconds=spent_s))

    def _deliver(
        self, client: "httpx.Client", target: Target, notice: Notice, ends_at: float
    ) -> None:
        secret = self._look_up(target.secret)
        token = self._look_up(target.token) if target.token else None
        if target.type is TargetType.APPRISE:
            _send_by_apprise(secret, notice)
            return
        for post in posts_for(target, notice, secret=secret, token=token):
            problem = address_problem(post.url)
            if problem:
                raise Problem(f"the address {problem}")
            self._post(client, target, post, max(ends_at - time.monotonic(), _SHORTEST_S))

    def _look_up(self, reference: Reference) -> str:
        match reference.holder:
            case Holder.VARIABLE:
                value = self._environ.get(reference.where, "").strip()
                if not value:
                    raise Problem(f"the variable {reference.where} is not set")
                return value
            case Holder.FILE:
                try:
                    return read_secret_file(Path(reference.where), "notifications")
                except CredentialsError as error:
                    raise Problem(str(error)) from None
            case Holder.TEXT:
                return reference.where

    @staticmethod
    def _post(client: "httpx.Client", target: Target, post: Post, timeout_s: float) -> None:
        import httpx

        try:
            with client.stream(
                "POST",
                post.url,
                json=post.document,
                content=post.text,
                headers=dict(post.headers),
                timeout=timeout_s,
            ) as response:
                status = response.status_code
                is_read = target.type is TargetType.HEALTHCHECKS
                begin = next(response.iter_raw(_REPLY_MAX_BYTES), b"") if is_read else b""
        except httpx.TimeoutException:
            raise Problem("timed out") from None
        except httpx.ConnectError:
            raise Problem("no connection: host, port or certificate") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise Problem("the connection broke, or the address is none") from None
        if status in _REDIRECT:
            raise Problem(f"HTTP {status}: redirects are not followed")
        if status not in _SUCCESS:
            raise Problem(f"HTTP {status}")
        # healthchecks.io answers 200 for checks that do not exist, and says so in its text only.
        if b"not found" in begin:
            raise Problem("there is no such check")


def _send_by_apprise(url: str, notice: Notice) -> None:
    if not has_apprise():
        raise Problem("apprise is not installed: pip install liqctl[apprise]")
    import apprise

    asset = apprise.AppriseAsset(app_id="liqctl", secure_logging=True, async_mode=False)
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        raise Problem("apprise does not know this address")
    kind = _APPRISE_TYPES[notice.severity]
    if not service.notify(title="liqctl", body=notice.text, notify_type=kind, body_format="text"):
        raise Problem("apprise could not deliver it")


def _take(found: list[Delivery], target: Target, notice: Notice, spent_s: float) -> Delivery:
    """Return the delivery out of those that came; one that never came timed out."""
    for delivery in found:
        if delivery.target is target and delivery.notice is notice:
            return delivery
    return Delivery(target=target, notice=notice, problem="timed out", seconds=spent_s)
