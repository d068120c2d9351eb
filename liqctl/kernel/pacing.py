"""Every number that steers a run, with its unit and its reason.

Measured, documented or a guess: each says which. Nothing here grows with the deadline: a run with
30 seconds must close as soon as one with 5.
"""

from decimal import Decimal
from typing import Final

ROUNDS_MAX: Final = 400
"""Rounds of one run: 30 s of rounds 75 ms apart. A loop that spins must end. (guess)"""

SENDS_PER_LEG_MAX: Final = 1000
"""Orders of one leg, repeats included: 84 parts of a 10,000 BTC position, a dozen times. (guess)"""

PATIENCE_MIN_S: Final = 0.4
"""How long a round waits for what it sent, at least: several round trips of a far host. (guess)"""

CANCEL_PATIENCE_MIN_S: Final = 0.3
"""How long a slow cancel holds its own symbol's close back, at least. (guess)"""

PATIENCE_ROUND_TRIPS: Final = 4
"""The same in round trips: the venue needs two or three for a cancel in a busy hour. (guess)"""

PATIENCE_MAX_S: Final = 1.25
"""What no round waits longer than: a quarter of the default deadline. (guess)"""

CALL_SHARE: Final = 0.25
CALL_MIN_S: Final = 0.3
CALL_MAX_S: Final = 1.25
"""A request is cut after a quarter of the deadline, so that a hung one leaves time for three more;
1.25 s at most, whatever the deadline: waiting on a dead connection closes nothing. (guess)"""

LARGE_ANSWER_MAX_S: Final = 3.0
"""exchangeInfo is megabytes: a slow line needs longer, and nothing waits for it. (guess)"""

LAST_RESORT_S: Final = 0.2
"""How long after the deadline a process is ended without another word: it promises 0.25 s."""

RESERVE_SHARE: Final = 0.15
RESERVE_MAX_S: Final = 1.0
"""Time kept at the end for the last reading: two tries of a slow venue. (guess)"""

LAST_TRIPS: Final = 1.3
LAST_TRIP_MIN_S: Final = 0.05
CALL_MARGIN_S: Final = 0.02
"""What must be left for one more reading to begin: a round trip and its spread, and the time before
the deadline at which every call is cut. (guess)"""

DISK_END_MIN_S: Final = 0.2
DISK_END_MAX_S: Final = 1.0
"""How long the end of a run waits for records that are not on disk yet: a process starved of its
processor needs some tenths of a second, a disk that hangs never answers. (guess)"""

ENDING_MAX_S: Final = 0.03
"""How long a loop that is writing its end record past the deadline is left to it. (guess)"""

DEAD_LOOK_UPS_MAX: Final = 20
DEAD_READING_SHARE: Final = 0.5
"""Orders of a run that died which the next run looks up once its own work is done, and the share of
the time left that a slow disk may take to find them. (guess)"""

OVERRUN_GRACE_S: Final = 1.0
"""How long after its deadline another run that holds the lock is still believed to be ending: four
times what its process promises."""

LOCK_WAIT_MAX_S: Final = 0.2
"""How long a run waits for the disk that holds its lock: a thousand times what it needs, once, and
less than an operator would notice. Without the lock a second run could work beside this one, which
reduce-only orders make harmless. (measured)"""

RELEASE_WAIT_MAX_S: Final = 0.05
"""How long the end waits for the lock's text to be cleared; the next run copes with one left.
(guess)"""

LOCK_TEXT_WAIT_S: Final = 0.05
"""How long a holder may take from getting the lock to writing its text; it needs 0.1 ms. (measured)
"""

GRACE_S: Final = 2.0
"""How long an interrupted run may still read before it says what it knows. (guess)"""

LAST_LOOK_UPS_MAX: Final = 20
LAST_LOOK_UPS_S: Final = 0.2
"""Orders cut off at the end are looked up beside the last reading, the worst legs' first, and
waited for so long once the reading is there. (guess)"""

WARM_CONNECTIONS: Final = 6
"""Connections opened while the first reading is under way, so that closes wait for no handshake."""

PLANNED_FIRST: Final = WARM_CONNECTIONS
"""Symbols whose orders leave before the rest is planned: as many as find a connection. To plan one
takes 0.2 ms."""

READING_FIRST_S: Final = 0.002
"""How far the spare connections stay behind: signing for them would hold the reading up."""

ORDERS_FIRST_S: Final = 0.02
"""How far what no order waits for stays behind the first orders of an armed process."""

TELLING_GAP_S: Final = 0.005
"""Answers that come closer together are told to the last resort together: to tell of 200 legs and
800 orders copies for 0.1 ms (measured). What it was not told yet it calls unknown."""

LOOKS_MAX: Final = 12
"""Looks at the positions beside the rounds: 60 weight of the 2,400 a minute."""

LOOK_HEAD_START_S: Final = 0.003
"""How long closes sent together are waited for, and how far a look stays behind them. (guess)"""

LOOK_TRIPS_APART: Final = 0.4
"""The least time from one look to the next, in round trips. (guess)"""

LOOK_PATIENCE_TRIPS: Final = 2.0
LOOK_PATIENCE_MIN_S: Final = 0.1
"""How long a look is waited for; then the next whole reading decides. (guess)"""

PRICED_ORDERS_MAX: Final = 20
"""Average prices are asked for one by one: the worst legs' are worth the weight. (guess)"""

STRANGERS_MAX: Final = 50
"""How many foreign client order ids are remembered for the report. (guess)"""

NARROW_SYMBOLS_MAX: Final = 8
"""Up to this many symbols in scope are read one by one: 1 + 1 + 5 weight each, not 85 at once."""

FALLBACK_SYMBOLS_MAX: Final = 40
"""How many symbols are listed one by one where the whole list fails: 40 weight, as for the list."""

INSPECTIONS_MIN: Final = 3
INSPECTIONS_MAX: Final = 12
INSPECTIONS_APART_S: Final = 0.5
"""Readings of one watch by `status`: at least as many as prove flat where one of the two sources is
silent; at most 1,080 weight of the 2,400 a minute, whatever its length."""

MARGIN_ASKED_MAX: Final = 2
"""How often `status` asks whether it is portfolio margin: one lost answer is common enough to ask
once more; a second one is told."""

WATCHED_WEIGHT_KEPT: Final = 400
WATCHED_SHARE: Final = 0.5
"""Weight of a minute that `status --watch` leaves to others, for a liquidation needs about 200 and
may be started by two people; and the most of the limit that it takes. (guess)"""

WATCHED_PAUSE_S: Final = 30.0
WATCHED_KEY_PAUSE_S: Final = 60.0
"""How long `status --watch` asks nothing after a 403 or a 429 that names no time, and after a
refused key: going on gets an address banned. (guess)"""

REREAD_MIN_S: Final = 0.05
REREAD_MAX_S: Final = 0.8
"""How long a round that sent nothing waits before it reads again: doubled each time. (guess)"""

QUICK_READINGS: Final = 6
READING_GAP_S: Final = 0.3
EARLY_READINGS: Final = 16
LATE_READING_GAP_S: Final = 2.2
"""A whole reading costs 85 to 90 weight of 2,400 a minute (documented): 6 as fast as they come, 10
more 0.3 s apart, the rest of 30 s 2.2 s apart make 2,400. What was proven not executed is sent
again without a reading, at its own pace."""

READINGS_OF_ONE: Final = 3
READINGS_OF_ONE_DOUBTED: Final = 5
"""Readings that must show nothing where one of the two sources of positions is silent; the second
where a position vanished by itself: three wrong empty answers in a row were seen in simulation.
(guess)"""

WATCH_READINGS: Final = 4
WATCH_GAP_MIN_S: Final = 0.1
"""Flat is read four times over its window, and once more at its end. (guess)"""

TIMER_SLACK_S: Final = 0.001
"""How early an event loop's timer may fire: its clock's resolution, rounded up."""

TURN_POLL_S: Final = 0.05
"""How often an account looks whether the weight that is kept for others has become free."""

ALIAS_WAIT_S: Final = 0.3
"""How long one of several accounts waits to learn whether another name leads to the same account:
the answer comes beside the first reading. Closing twice does no harm, waiting might. (guess)"""

WHOLE_READINGS_KEPT: Final = 2.5
"""How many times its own proof an account must find in the weight that is left over, before it
reads order lists that do not decide: this reading, the proof, and half of one for what is cancelled
and looked up in between. (guess)"""

WATCH_WEIGHT_KEPT: Final = 300
"""Weight that readings within the window leave to the sweep, the last reading and a second try of
it: 90 weight each, and two for each symbol swept."""

SWEEPS_FAILED_MAX: Final = 2
"""How often a sweep may be refused or go unanswered before the lists alone decide, which the result
then says: the answer can be lost for ever while the cancel itself is carried out, and whole books
were refused for ever while single cancels worked. (guess)"""

SWEEP_TRIPS: Final = 2.0
SWEEP_MIN_S: Final = 0.05
"""How long before the end of the window the books are swept: the answers must be there when the
last reading begins. (guess)"""

SWEPT_AT_ONCE_MAX: Final = 30
"""Of more symbols the two books are swept one after the other. At once they would need a second
connection for each symbol: in turn, 120 cancels take three quarters of the processor time on plain
HTTP (measured). Where that begins to matter is a guess."""

LAG_GRACE_S: Final = 2.2
"""Position and order lists were reported to lag by up to 2 s; a tenth more for our own clock."""

RELIST_S: Final = 0.25
RELIST_MAX_S: Final = 1.0
"""A cancel is answered before it is finished; how long until a listed order is cancelled again."""

SINGLE_CANCELS_MAX: Final = 30
"""Up to how many conditional orders of the account, and regular ones of a symbol, are cancelled by
their ids: then nothing is taken that no reading showed. More would cost more requests than time
allows, about a millisecond of processor time each. (guess)"""

LOOKUP_PATIENCE_S: Final = 1.0
LOOKUP_FIRST_S: Final = 0.05
LOOKUP_DELAY_MAX_S: Final = 0.4
"""An order that arrived can be unknown to a query for 1 to 2 s (documented for nodes that lag);
after a second the position decides beside it."""

NO_ROOM_PAUSE_S: Final = 1.0
"""How long a leg rests whose order the limits did not let pass. (guess)"""

ANSWER_TRIPS: Final = 1.0
"""Round trips before the end of the work in which nothing is waited for any more."""

SAFE_BACKOFF_MAX_S: Final = 1.0
"""What was proven not executed is sent again at least this often, unless `retry_delay_seconds` is
longer: the documents advise 200, 400 and 800 ms."""

CLOCK_SYNCS_MAX: Final = 3
"""How often one run sets its clock: what is refused for its timestamp then has another cause."""

FIREWALL_PAUSE_S: Final = 1.0
BAN_PAUSE_S: Final = 60.0
"""How long nothing is sent after a 403 or a 418 that names no time: the shortest ban that is
documented is two minutes, and no run is longer than half a minute. (guess)"""

READ_BACKOFF_S: Final = 0.15
READ_BACKOFF_FACTOR: Final = 3
"""How long reading rests after a 429 that names no time, 0.45 s first, tripled with each refusal:
asking on is what gets an address banned. (guess)"""

BACKOFF_FACTOR_MAX: Final = 8
"""Where the doubling of a backoff stops. (guess)"""

QUESTION_GAP_S: Final = 0.3
"""How long a question beside the run rests that was not answered: what kind of account this is,
whether the venue knows a symbol. (guess)"""

PEER_LOOK_GAP_S: Final = 0.5
"""How far apart the positions of a product are looked at that is proven flat and waits for another:
a look costs a tenth of a reading's weight. (guess)"""

PROOFS_APART_S: Final = 0.5
"""How much older the last reading of one product may be than that of another, when both end."""

EXECUTIONS_GAP_S: Final = 1.0
"""How far apart the execution algorithms are listed while nothing is wrong with them: their slices
are about a minute apart. (guess)"""

LEFT_OVER_MAX_S: Final = 1.5
"""How long a run in portfolio margin waits for what remains beside its futures. (guess)"""

WITNESS_HEAD_START_S: Final = 0.1
"""How long the first reading and the closes have the processor to themselves, before the master is
asked whose key is whose: its questions take some milliseconds of it (measured)."""

WITNESS_WAIT_S: Final = 1.0
"""How long an account that is proven flat waits for the master's word: a round trip usually, and a
master that says nothing changes nothing. (guess)"""

WITNESS_PAUSE_S: Final = 0.5
"""How long after a contradiction the master is asked once more, at least: until its list no longer
lags behind what was sent. (guess)"""

WITNESS_TRIES_MAX: Final = 3
"""How often one question to the master is asked where it was not answered. (guess)"""

WITNESS_PAGES_MAX: Final = 5
"""Pages of 200 sub-accounts that are read: Binance allows fewer in all. (guess)"""

WITNESS_KEYS_MAX: Final = 50
WITNESS_AT_ONCE: Final = 4
"""How many sub-accounts are asked for their keys, and how many at once: each costs the owner 3,000
of 180,000 weight a minute (documented), and none may take processor time from the closes."""

PROBES_MAX: Final = 5
"""Orders beyond our number that leave together: what a wrong guess of the limit costs. (guess)"""

PROBE_GAP_S: Final = 0.1
"""Between such orders once an answer came: a round trip, in which a refusal would have come."""

PROBE_WAIT_S: Final = 0.25
"""The same without any answer: a venue that is silent refuses nothing. (guess)"""

CANCELS_MAKE_WAY_S: Final = 1.25
"""How long after the last close cancels beyond our number of weight wait: over the limit of weight
the venue refuses closes too, though they cost none, so they go first. Longer than
`SAFE_BACKOFF_MAX_S`, or a close that is being repeated would find the door shut."""

PROBE_POLL_S: Final = 0.02
"""How often what waits for an answer of others looks whether one came."""

LIMIT_RAISED: Final = 2
"""A count above the number that we took for the limit doubles it: tiers are 4 to 40 times apart."""

REFUSED_WAIT_S: Final = 0.3
REFUSED_FACTOR_MAX: Final = 16
"""After a "too many" that names no wait: 0.3 s, 0.6 s and so on to 4.8 s, which makes five tries in
a run of 5 s where nothing is let through; the venue bans for going on. (guess)"""

MIRROR_AGE_MAX_S: Final = 24.0
"""How old the last reading of the positions may be for the first orders to be made from it and from
what the stream said since: two of an armed process' readings. They can only reduce, and the reading
that follows them corrects what was wrong. (guess)"""

ARMED_WEIGHT_SHARE: Final = 0.1
"""The share of a minute's weight that an armed process takes on average over an hour, whatever its
guards: everything that it asks is counted against it, but for countdowns."""

ARMED_PLANNED_SHARE: Final = 0.95
ARMED_SAVED_S: Final = 90.0
"""Of that share, what is planned with, and how many seconds' worth of it are saved at most. The
savings are there from the beginning: in an hour they are 2.4 per cent of it, so 95 and 2.4 stay
below the whole. They pay for order lists, and for readings of a guard that is over its limit; a
minute costs no more than they and its own share, a quarter of the venue's. More of them would let
more than five readings of both products follow one another every 3 s."""

ARMED_LISTS_S: Final = 180.0
ARMED_LISTS_GUARDED_S: Final = 300.0
ARMED_LISTS_MIN_S: Final = 90.0
"""How far apart an armed process reads the order lists, which cost eight times the positions: less
often where it also reads the equity; and how far at least, where they could not be read or a stream
was connected anew."""

LISTS_MISSED: Final = 2.5
"""After how many of these times without order lists it is said that they cannot be read: by then
three tries have failed. (guess)"""

ARMED_READ_MIN_S: Final = 1.5
ARMED_WOKEN_MIN_S: Final = 0.5
ARMED_READ_MAX_S: Final = 12.0
"""How far apart readings are: at least, where the weight would allow more; at least after a word of
the stream; and at most, as long as any weight is left: half of the mirror's age. Both products with
every guard make it 10.2 s."""

ARMED_OVER_S: Final = 3.0
"""How far apart readings are while a guard is over its limit: a spike of the mark price that trips
one has to last for two of these. (guess)"""

ARMED_RULES_S: Final = 3600.0
"""How far apart the market rules are read anew: a process may be armed for months."""

ARMED_GRACE_S: Final = 5.0
"""How long an armed process may take to connect and to read before it says what is missing."""

ARMED_REFUSED_S: Final = 30.0
"""How far apart readings are for as long as the key is refused. (guess)"""

ARMED_PINGS_S: Final = 40.0
"""How far apart spare connections are used: less than the 60 s that idle ones are kept for."""

ARMED_CHECK_S: Final = 3600.0
"""How far apart the questions of `validate --online` are asked anew; they cost 220 weight."""

COUNTDOWN_RENEWALS: Final = 4
"""How often a countdown at the venue is renewed while it runs: as its own example does."""

COUNTDOWN_WEIGHT_SHARE: Final = 0.1
"""The share of a minute's weight that renewals may take on top of everything else: 10 each, so with
countdowns of 120 s they cover twelve symbols. What is beyond is said."""

COUNTDOWN_LATE: Final = 2.0
"""After how many renewals that were not answered it is said when a countdown runs out."""

DISARM_AGAIN_S: Final = 0.3
"""How long until the end of a countdown that was not confirmed is sent again. (guess)"""

DISARM_MAX_S: Final = 5.0
"""How long the end of an armed process waits for its countdowns to be ended. (guess)"""

KEY_RENEWED_S: Final = 1500.0
KEY_AGAIN_S: Final = 60.0
KEY_CONFIRMED_S: Final = 3300.0
"""How far apart a listen key is renewed, how soon again where that failed, and after how long
without it is not believed: it lives 60 minutes (documented), and others may have let theirs, which
is the same one, end."""

STREAM_LIFE_S: Final = 85_800.0
"""After how long a connection is made anew: the venue cuts it after 24 hours (documented)."""

STREAM_LAG_MAX_S: Final = 5.0
"""How long a change that a reading showed may take to be told by the stream, and how late an event
may come. (guess)"""

STREAM_LATE_KEPT_S: Final = 60.0
"""How long a late event counts where no other one came after it. (guess)"""

STREAM_RETRY_S: Final = 0.5
STREAM_RETRY_MAX_S: Final = 30.0
"""The first pause before a stream is connected anew, doubled each time, and the longest."""

BLIND_AFTER_S: Final = 30.0
"""After how long without a reading that succeeded an armed process says so: both products with
every guard are read every 10 s, and one reading that fails takes 5 s. (guess)"""

HOLD_LOOK_S: Final = 2.0
HOLD_LISTS_S: Final = 15.0
"""How far apart positions and order lists are read while an account is held flat: 330 and 710 of
the 2,400 weight a minute, which leaves half of it to close with, and to others. (guess)"""

HOLD_HEARD_LOOK_S: Final = 10.0
HOLD_HEARD_LISTS_S: Final = 120.0
HOLD_WOKEN_MIN_S: Final = 0.5
"""The same where a stream tells what appears, in which case a look follows at once: 96 and 88 of
the weight, and how far looks after its words are apart at least. (guess)"""

BAND_INSIDE: Final = Decimal("0.003")
"""How far inside the allowed band a limit order is priced: a mark price moves about a tenth of that
in a second, and it gives away a fraction of a band of 5 per cent. (guess)"""

BAND_ASSUMED: Final = Decimal("0.01")
"""The band of a symbol without PERCENT_PRICE: narrower than any that was seen."""

MARK_AGE_MAX_S: Final = 1.0
"""The venue makes its mark prices anew each second (documented for the mark price stream)."""

GUARD_READINGS: Final = 3
GUARD_READINGS_MAX: Final = 20
"""Readings that must agree before a guard trips, unless its `readings` says otherwise, and the most
that may be asked for: a single wrong mark price tripped others' switches. (guess)"""

GUARD_APART_S: Final = 1.0
"""Readings that are closer together show the same mark prices, which are made anew each second."""

GUARD_AGE_MAX_S: Final = 30.0
"""What was read longer ago is not known any more: three times the slow poll. (guess)"""

GUARD_GAP_MAX_S: Final = 120.0
"""How long nothing may be known between two readings that agree; then they count from 1. (guess)"""

TRANSFERS_AGE_MAX_S: Final = 180.0
"""What was moved is not known any more where it was read longer ago: half as long again as the
lists are apart. (guess)"""

MIDNIGHT_GAP_MAX_S: Final = 180.0
"""How far from 00:00 UTC a reading still stands for the equity of that moment. (guess)"""

GUARD_PRICES_S: Final = 20.0
GUARD_TRANSFERS_S: Final = 120.0
GUARD_TRANSFERS_MIN_S: Final = 10.0
"""How far apart coin prices and transfers are read for the guards; they cost 10, and 30 for USDS-M
and 20 for COIN-M. Both are read with the first and the last of the readings in which a loss or
drawdown is over its limit, and transfers once the stream tells of money that was moved, so far
apart at least, where there is weight to spare. Peak and anchor are made of readings with both only,
so the last one is never far from midnight. (guess)"""

GUARD_UNKNOWN_TRIES: Final = 5
"""With how many readings in a row transfers are read to learn what is unknown without them: three
make the anchor. (guess)"""

GUARD_SAVED_S: Final = 10.0
"""How far apart the state of the guards is written. (guess)"""

GUARD_NEAR: Final = Decimal("0.8")
"""The share of its limit from which a guard is near it. (guess)"""

PRICE_GAP_MAX: Final = Decimal("0.02")
"""Where mark and index price of a coin differ by more, neither is believed: one of them may be a
spike. (guess)"""
