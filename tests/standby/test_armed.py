"""What an armed process does between its start and its trip, in virtual time."""

import asyncio
import os
import threading
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from liqctl.kernel import pacing
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import Product, TripCause
from liqctl.run import SystemClock
from liqctl.sim.events import make_event
from liqctl.sim.memory import run_virtual
from liqctl.sim.scenario import Scenario
from liqctl.sim.venue import Venue
from liqctl.standby.armed import Armed, Heartbeat, Trigger
from liqctl.standby.mirror import Health
from tests.armed import Watch, make_armed, stand

USDM = LiquidationConfig(products=(Product.USDM,))
ORDER = {"symbol": "BTCUSDT", "side": "SELL", "price": "61000", "quantity": "0.1"}


def make_venue(**account: Any) -> Venue:
    """Return a venue of a small account."""
    return Scenario(
        name="armed", account={"positions": {"BTCUSDT": "0.5"}, "orders": [ORDER], **account}
    ).make_venue()


def event(venue: Venue, act: str, at_s: float, **settings: Any) -> None:
    """Let the world do something at a moment."""
    venue.events.append(make_event({"act": act, "at_ms": round(at_s * 1000), **settings}))


def sent(venue: Venue, path: str) -> list[float]:
    """Return when requests to a path arrived, in seconds."""
    began = venue.started_ms or 0
    return [
        (row[0] - began) / 1000
        for row in venue.account.journal.requests
        if f"{row[1]} {row[2]}".endswith(path)
    ]


def health(watch: Watch) -> list[str]:
    """Return each change of health that was told."""
    return [told.value for _, told, _ in watch.told]


# Streams.


def test_a_stream_that_is_cut_is_told_of_and_connected_anew() -> None:
    """And nothing is told twice."""
    venue = make_venue()
    event(venue, "cut_streams", 20)

    armed, watch = stand(venue, until_s=60, policy=USDM)

    assert health(watch) == ["armed", "degraded", "degraded", "armed"]
    assert watch.told[1][2] == ("stream: the connection ended",)
    assert armed.streams[Product.USDM].connections == 2


def test_a_key_that_died_is_asked_anew_and_not_renewed_for_ever() -> None:
    """-1125 leads to one POST; nobody's key is deleted."""
    venue = make_venue()
    venue.add_fault("stream_silent", event="listenKeyExpired", times=0)
    event(venue, "expire_listen_keys", 600)

    armed, watch = stand(venue, until_s=3500, policy=USDM)

    assert len(sent(venue, "PUT /fapi/v1/listenKey")) == 2
    assert len(sent(venue, "POST /fapi/v1/listenKey")) == 2
    assert not sent(venue, "DELETE /fapi/v1/listenKey")
    assert armed.streams[Product.USDM].connections == 2
    assert ("stream: its listen key has expired",) in [reasons for _, _, reasons in watch.told]


def test_a_key_that_expires_with_a_word_is_asked_anew_at_once() -> None:
    """The venue says so once; the connection stays open, and silent, from then on."""
    venue = make_venue()
    event(venue, "expire_listen_keys", 20)

    armed, watch = stand(venue, until_s=60, policy=USDM)

    assert health(watch) == ["armed", "degraded", "degraded", "armed"]
    assert watch.told[1][0] < 20.1
    assert watch.told[1][2] == ("stream: its listen key has expired",)
    assert watch.told[-1][0] < 23
    assert armed.streams[Product.USDM].connections == 2


def test_a_stream_at_a_wrong_address_is_found_by_the_first_change() -> None:
    """The handshake succeeds there, and nothing is ever told."""
    venue = make_venue()
    venue.add_fault("stream_wrong_path", times=1)
    event(venue, "flip", 40, symbol="BTCUSDT")

    armed, watch = stand(venue, until_s=90, policy=USDM)

    silent_s = [at for at, _, reasons in watch.told if "silent" in str(reasons)]
    assert 40 < silent_s[0] < 40 + pacing.STREAM_LAG_MAX_S + 5
    assert health(watch)[-1] == "armed"
    assert armed.streams[Product.USDM].connections == 2


def test_frames_that_cannot_be_read_are_counted_and_end_nothing() -> None:
    """One of them ended the consumer of another program, unseen."""
    venue = make_venue()
    venue.add_fault("stream_malformed", event="ORDER_TRADE_UPDATE", times=3)
    for at_s in (20, 30, 40, 50):
        event(venue, "add", at_s, symbol="BTCUSDT", quantity="0.1")

    armed, watch = stand(venue, until_s=80, policy=USDM)

    assert armed.streams[Product.USDM].malformed == 3
    assert armed.streams[Product.USDM].connections == 1
    assert health(watch) == ["armed"]
    assert armed.orders_seen, "what comes after them is heard"


def test_a_stream_found_silent_is_connected_anew() -> None:
    """A bot that deletes the common key leaves the connection open and silent."""
    venue = make_venue()
    event(venue, "expire_listen_keys", 20)
    venue.add_fault("stream_silent", event="listenKeyExpired", times=0)
    event(venue, "flip", 40, symbol="BTCUSDT")

    armed, watch = stand(venue, until_s=70, policy=USDM)

    assert armed.streams[Product.USDM].connections == 2
    assert health(watch)[-1] == "armed"
    assert any("silent" in str(reasons) for _, _, reasons in watch.told)


def test_a_renewal_that_failed_is_tried_again_soon() -> None:
    """A key lives an hour: waiting for the next turn would let it die."""
    venue = make_venue()
    venue.add_fault("internal_error", method="PUT", times=2)

    stand(venue, until_s=1700, policy=USDM)

    renewed = sent(venue, "PUT /fapi/v1/listenKey")
    assert len(renewed) == 3
    assert renewed[2] < pacing.KEY_RENEWED_S + 125


def test_a_late_event_is_told() -> None:
    """An event is no clock."""
    venue = make_venue()
    venue.add_fault("stream_late", late_ms=5020, times=0)
    event(venue, "add", 20, symbol="BTCUSDT", quantity="0.1")

    _, watch = stand(venue, until_s=120, policy=USDM)

    assert any("stream late" in str(reasons) for _, _, reasons in watch.told)
    assert health(watch)[-1] == "armed"


def test_orders_of_coin_m_in_portfolio_margin_make_its_lists_stale() -> None:
    """Both products come over one stream there."""
    venue = make_venue(margin="PORTFOLIO", positions={"BTCUSD_PERP": "5", "BTCUSDT": "0.5"})
    event(venue, "place", 20, symbol="BTCUSD_PERP", side="BUY", price="50000", quantity="1")

    def look(armed: Armed) -> None:
        def check() -> None:
            known = armed.known.mirrored
            seen.append((known[Product.USDM].is_brief, known[Product.COINM].is_brief))

        asyncio.get_running_loop().call_later(22, check)

    seen: list[tuple[bool, bool]] = []
    armed, watch = stand(venue, until_s=30, during=look)

    assert seen == [(False, True)]
    assert list(armed.streams) == [Product.USDM]
    assert health(watch) == ["armed"]


# Readings.


def test_a_venue_that_is_down_is_told_of_once() -> None:
    """Not each second."""
    venue = make_venue()
    venue.add_fault("internal_error", method="GET", times=0, from_ms=30_000, until_ms=300_000)

    _, watch = stand(venue, until_s=400, policy=USDM)

    assert health(watch) == ["armed", "degraded", "armed"]
    assert "no reading succeeded for more than 30 s" in watch.told[1][2][0]


def test_a_ban_is_left_alone_until_it_ends() -> None:
    """Asking during one makes it longer."""
    venue = make_venue()
    event(venue, "ban", 30, for_ms=120_000)

    _, watch = stand(venue, until_s=200, policy=USDM)

    during = [row for row in venue.account.journal.requests if 30.2 < _since(venue, row[0]) < 150]
    assert len(during) <= 1 + pacing.WARM_CONNECTIONS
    assert health(watch)[-1] == "armed"


def _since(venue: Venue, at_ms: int) -> float:
    return (at_ms - (venue.started_ms or 0)) / 1000


@pytest.mark.parametrize(
    ("kind", "told_s"), [("not_authorised", 6.0), ("internal_error", 40.0)], ids=str
)
def test_a_product_that_cannot_be_read_is_named_and_delays_nothing(
    kind: str, told_s: float
) -> None:
    """Maintenance of one product, or a key that is not fit for it: the other one stays watched."""
    positions = {"BTCUSDT": "0.5", "BTCUSD_PERP": "10"}
    venue = make_venue(positions=positions)
    venue.add_fault(kind, host="dapi", times=0, until_ms=200_000)

    armed, watch = stand(venue, until_s=300)

    assert health(watch)[-1] == "armed"
    assert watch.told[-1][0] < 200 + pacing.ARMED_REFUSED_S + 6
    reasons = [" ".join(told[2]) for told in watch.told[:-1] if told[0] < told_s]
    assert any("COIN-M cannot be read: " in each for each in reasons)
    assert not any("no reading" in str(told[2]) for told in watch.told if told[0] > told_s)
    assert armed.mirrors[Product.COINM].positions
    # USDS-M is read all the time, and what cannot be is asked now and then.
    risk = [at for at in sent(venue, "/fapi/v3/positionRisk") if told_s < at < 200]
    assert max(later - at for at, later in pairwise(risk)) < 8
    assert len([at for at in sent(venue, "/dapi/v1/positionRisk") if told_s < at < 200]) < 25


def test_an_account_of_which_nothing_is_read_is_not_parted() -> None:
    """While both products fail neither is left aside: it is all or nothing."""
    venue = make_venue(positions={"BTCUSDT": "0.5", "BTCUSD_PERP": "10"})
    venue.add_fault("internal_error", method="GET", times=0, from_ms=30_000, until_ms=120_000)

    armed, watch = stand(venue, until_s=180)

    assert health(watch) == ["armed", "degraded", "armed"]
    assert watch.told[2][0] < 135
    assert not armed.unread


def test_several_symbols_are_read_as_a_whole_and_nothing_else_is_seen() -> None:
    """One by one they would cost as much each."""
    positions = {"BTCUSDT": "0.5", "ETHUSDT": "1", "SOLUSDT": "2"}
    venue = make_venue(positions=positions)
    policy = LiquidationConfig(symbols=("BTCUSDT", "ETHUSDT"))

    armed, _ = stand(venue, until_s=60, policy=policy)

    symbols = {position.symbol for position in armed.mirrors[Product.USDM].positions}
    assert symbols == {"BTCUSDT", "ETHUSDT"}
    assert list(armed.mirrors) == [Product.USDM]
    assert 10 < len(sent(venue, "/positionRisk")) < 60


def test_what_is_heard_while_a_reading_is_under_way_is_read() -> None:
    """Else the first connection waited for the next turn."""
    _, watch = stand(make_venue(), until_s=3, latency_s=0.4)

    assert watch.told[0][1] is Health.ARMED
    assert watch.told[0][0] < 3


def test_market_rules_are_read_anew_each_hour() -> None:
    """A process may be armed for months."""
    venue = make_venue()

    stand(venue, until_s=2 * 3600 + 60, policy=USDM)

    assert len(sent(venue, "/exchangeInfo")) == 3


# Countdowns.


def test_countdowns_are_renewed_and_ended_on_a_stop() -> None:
    """On symbols with orders that may open something; none ever runs out."""
    stop = {"symbol": "ETHUSDT", "side": "BUY", "trigger": "3300", "close_position": True}
    venue = make_venue(positions={"BTCUSDT": "0.5", "ETHUSDT": "-2"}, algo=[stop])

    _, watch = stand(venue, until_s=300, policy=USDM, countdown_s=30.0)

    assert not watch.left
    assert 38 <= len(sent(venue, "/countdownCancelAll")) <= 43
    assert len(venue.account.open_orders()) == 1
    venue.tick(venue.now_ms + 60_000)
    assert len(venue.account.open_orders()) == 1


def test_a_reconnect_lets_no_countdown_run_out() -> None:
    """Lists are not believed then; not knowing is no reason to let a healthy book go."""
    venue = make_venue()
    for at_s in (20, 21, 22, 60, 90, 91):
        event(venue, "cut_streams", at_s)
    venue.add_fault(
        "internal_error",
        method="GET",
        path="/openOrders",
        times=0,
        from_ms=15_000,
        until_ms=200_000,
    )

    stand(venue, until_s=260, policy=USDM, countdown_s=30.0)

    assert len(venue.account.open_orders()) == 1


def test_a_new_order_is_covered_before_a_list_shows_it() -> None:
    """The stream tells of it."""
    venue = make_venue(orders=[])
    event(venue, "place", 40, **ORDER)

    stand(venue, until_s=80, policy=USDM, countdown_s=40.0)

    first = sent(venue, "/countdownCancelAll")[0]
    assert 40 < first < 51


def test_a_new_order_out_of_scope_gets_no_countdown() -> None:
    """One that runs out cancels the symbol's whole book, which nobody asked for."""
    venue = make_venue()
    event(venue, "place", 5, symbol="ETHUSDT", side="SELL", price="3100", quantity="1")
    policy = LiquidationConfig(products=(Product.USDM,), symbols=("BTCUSDT",))

    armed, _ = stand(venue, until_s=60, policy=policy, countdown_s=20.0)

    assert armed._covered == {"BTCUSDT"}
    assert not venue.account.timers


def test_a_countdown_ends_with_the_orders_of_its_symbol() -> None:
    """Else it would take what a bot places later."""
    venue = make_venue()
    event(venue, "fill", 30, symbol="BTCUSDT")

    armed, _ = stand(venue, until_s=300, policy=USDM, countdown_s=60.0)

    last = sent(venue, "/countdownCancelAll")[-1]
    assert 180 < last < 200, "with the next list, and none after it"
    assert not armed._timers


def test_an_end_that_is_not_confirmed_is_said_within_seconds() -> None:
    """Whatever the venue does: a service manager does not wait for ever."""
    venue = make_venue()
    venue.add_fault("hang", path="/countdownCancelAll", times=0, from_ms=19_000)
    began = []

    async def main() -> Any:
        armed = make_armed(venue, Watch(), policy=USDM, countdown_s=60.0)
        asyncio.get_running_loop().call_later(20, armed.stop)
        await armed.stand()
        began.append(asyncio.get_running_loop().time())
        left = await armed.disarm_countdowns()
        return left, asyncio.get_running_loop().time() - began[0]

    left, took_s = run_virtual(main)
    assert list(left) == ["BTCUSDT"]
    assert took_s <= pacing.DISARM_MAX_S + 0.1


def test_an_end_is_sent_again_until_it_is_answered() -> None:
    """A line that is down refuses at once: three tries were over in a moment."""
    venue = make_venue()
    refused = {"path": "/countdownCancelAll", "times": 0}
    venue.add_fault("refused_connection", **refused, from_ms=60_000, until_ms=62_000)

    _, watch = stand(venue, until_s=60.5, policy=USDM, countdown_s=120.0)

    assert not watch.left
    assert len([at for at in sent(venue, "/countdownCancelAll") if at > 60]) < 8


def test_until_when_a_countdown_may_run_out_is_known() -> None:
    """Its end was lost: whoever reads the message looks at the book at that moment."""
    venue = make_venue()
    venue.add_fault("hang", path="/countdownCancelAll", times=0, from_ms=25_000)

    _, watch = stand(venue, until_s=30, policy=USDM, countdown_s=60.0)

    began = datetime.fromtimestamp((venue.started_ms or 0) / 1000, tz=UTC)
    last_s = max(at for at in sent(venue, "/countdownCancelAll") if at < 25)
    assert list(watch.left) == ["BTCUSDT"]
    until_s = (watch.left["BTCUSDT"] - began).total_seconds()
    assert last_s + 60 <= until_s <= last_s + 60 + 6


def test_a_countdown_that_is_not_renewed_is_told_before_it_runs_out() -> None:
    """A ban: nothing may be sent, and the venue cancels the orders of a healthy book."""
    venue = make_venue()
    event(venue, "ban", 60, for_ms=120_000)

    _, watch = stand(venue, until_s=300, policy=USDM, countdown_s=60.0)

    told = [(at, reasons) for at, _, reasons in watch.told if "not renewed" in str(reasons)]
    at_s, reasons = told[0]
    assert 75 < at_s < 105
    (reason,) = [each for each in reasons if "not renewed" in each]
    assert reason.startswith("countdown: not renewed on BTCUSDT, so the venue cancels open orders")
    runs_out = reason.rpartition("from ")[2].removesuffix(" UTC on")
    began = datetime.fromtimestamp((venue.started_ms or 0) / 1000, tz=UTC)
    moment = datetime.strptime(runs_out, "%H:%M:%S").replace(tzinfo=UTC)
    after_s = (moment - began).total_seconds() % 86_400
    assert 100 < after_s < 120
    assert not venue.account.open_orders(), "so it was"
    assert health(watch)[-1] == "armed"


def test_countdowns_beyond_their_weight_are_said() -> None:
    """Those that run go first, for one that is dropped would run out."""
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT"]
    prices = ["61000", "3100", "160", "0.6", "510"]
    orders = [
        {"symbol": s, "side": "SELL", "price": p, "quantity": "20"}
        for s, p in zip(symbols, prices, strict=True)
    ]
    venue = make_venue(positions={}, orders=orders)

    _, watch = stand(venue, until_s=60, policy=USDM, countdown_s=20.0)

    assert any("too little weight for 3 more symbols" in str(told[2]) for told in watch.told)
    assert len(venue.account.open_orders()) == 5


@pytest.mark.parametrize("path", ["/openOrders", "/openAlgoOrders"])
def test_order_lists_that_cannot_be_read_are_told(path: str) -> None:
    """From the start: no stop is known, and what is open may not be covered. And once they can."""
    venue = make_venue()
    venue.add_fault("internal_error", method="GET", path=path, times=0, until_ms=500_000)

    _, watch = stand(venue, until_s=800, policy=USDM)

    degraded = [(at, reasons) for at, told, reasons in watch.told if told is Health.DEGRADED]
    assert degraded[0][0] <= 10
    assert degraded[0][1][-1].startswith("order lists of USDS-M cannot be read: ")
    assert health(watch)[-1] == "armed"
    assert 500 < watch.told[-1][0] < 500 + pacing.ARMED_LISTS_MIN_S + 10


def test_order_lists_that_fail_later_are_told_once_they_are_old() -> None:
    """One that fails once is no news: the last one stands for another period."""
    venue = make_venue()
    for from_s, until_s in ((150, 220), (1000, 3000)):
        fault = {"path": "/openOrders", "from_ms": from_s * 1000, "until_ms": until_s * 1000}
        venue.add_fault("internal_error", method="GET", times=0, **fault)

    _, watch = stand(venue, until_s=1600, policy=USDM)

    assert health(watch) == ["armed", "degraded"]
    read_at = max(at for at in sent(venue, "GET /fapi/v1/openOrders") if at < 1000)
    told_after_s = watch.told[-1][0] - read_at
    assert told_after_s == pytest.approx(pacing.LISTS_MISSED * pacing.ARMED_LISTS_S, abs=2)


def test_regular_orders_alone_are_enough_for_countdowns() -> None:
    """The venue's countdown takes no conditional orders, so their list is not waited for."""
    venue = make_venue()
    venue.add_fault("internal_error", path="/openAlgoOrders", times=0)

    _, watch = stand(venue, until_s=200, policy=USDM, countdown_s=20.0)

    renewed = sent(venue, "/countdownCancelAll")
    assert renewed[0] < 10
    assert max(later - at for at, later in pairwise(renewed)) < 10
    assert len(venue.account.open_orders()) == 1
    assert not watch.left


# Triggers.


def test_the_first_trigger_counts_and_a_stop_after_it_does_not() -> None:
    """And a stop is no trip: nobody may hand work over to who is being stopped."""

    def both(armed: Armed) -> None:
        loop = asyncio.get_running_loop()
        assert not armed.is_tripped
        loop.call_later(1, armed.trip, Trigger(by=TripCause.SIGNAL, why="first"))
        loop.call_later(1.001, armed.stop)

    armed, watch = stand(make_venue(), until_s=5, during=both, policy=USDM)
    assert watch.trigger is not None
    assert armed.is_tripped
    assert not armed.is_stopped

    armed, watch = stand(make_venue(), until_s=1, policy=USDM)
    assert watch.trigger is None
    assert armed.is_stopped
    assert not armed.is_tripped


def test_what_would_trip_is_observed_once_an_episode() -> None:
    """Its words hold figures that change each time."""
    watch = Watch()

    def press(armed: Armed) -> None:
        def again(number: int) -> None:
            armed.trip(Trigger(by=TripCause.HEARTBEAT, why=f"{number} s old"))

        for number in (*range(10), 200):
            asyncio.get_running_loop().call_later(number, again, number)

    stand(make_venue(), until_s=300, during=press, policy=USDM, observe=watch.observe)

    assert [trigger.why for _, trigger in watch.observed] == ["0 s old", "200 s old"]


# The heartbeat's file; the clock of files is a real one.


@pytest.fixture
def beat(tmp_path: Path) -> Path:
    """Return a file that was touched now."""
    path = tmp_path / "beat"
    path.touch()
    return path


def test_how_old_a_heartbeat_is(beat: Path) -> None:
    """Missing is older than anything; in the future and unreadable are no age."""
    heartbeat = Heartbeat(file=beat, seconds=5)
    os.utime(beat, (1000, 1000))
    assert heartbeat.look(1003) == (3, None)
    assert heartbeat.look(998) == (0, None)
    age, note = heartbeat.look(990)
    assert age is None
    assert "future" in str(note)
    beat.unlink()
    assert heartbeat.look(1000) == (float("inf"), None)
    inside = Heartbeat(file=beat.parent / "file" / "beat", seconds=5)
    (beat.parent / "file").touch()
    assert inside.look(1000)[0] is None


def test_a_paused_heartbeat_has_no_age(beat: Path) -> None:
    """A deployment stops the bot on purpose."""
    beat.with_name("beat.paused").touch()

    assert Heartbeat(file=beat, seconds=5).look(0) == (None, "heartbeat paused")


class Hung:
    """A heartbeat whose disk hangs until it is let go."""

    seconds = 1.0
    file = Path("/nowhere")

    def __init__(self) -> None:
        self.looks = 0
        self.free = threading.Event()

    def look(self, _: float) -> tuple[float | None, str | None]:
        """Hang."""
        self.looks += 1
        self.free.wait(20)
        return 0.0, None


def test_a_disk_that_hangs_takes_one_thread_and_stops_nothing() -> None:
    """Each look used to take another thread, until the latch could not be written any more."""
    hung, watch = Hung(), Watch()
    venue = make_venue()
    venue.clock_skew_ms = 0

    async def main() -> int:
        armed = make_armed(
            venue, watch, policy=USDM, latency_s=0.0, heartbeat=hung, wall_clock=SystemClock()
        )
        standing = asyncio.create_task(armed.stand())
        await asyncio.sleep(3.5)
        threads = threading.active_count()
        assert await asyncio.wait_for(asyncio.to_thread(time.monotonic), 1)
        armed.stop()
        hung.free.set()
        await standing
        return threads

    before = threading.active_count()
    assert asyncio.run(main()) <= before + 2
    assert hung.looks == 1
    assert any("its disk does not answer" in str(reasons) for _, _, reasons in watch.told)
