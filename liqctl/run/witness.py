"""Asks the master's key beside the runs, on a connection of its own: see `liqctl.kernel.witness`.

The runs know nothing of it but an answer that is there in a bounded time.
"""

from collections.abc import Mapping

from liqctl.kernel.errors import Secret
from liqctl.kernel.limits import Deadline
from liqctl.kernel.machine import Machine, Task
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange
from liqctl.kernel.states import Margin
from liqctl.kernel.witness import Master, Statement, silent
from liqctl.run.driver import Driver


class Witness:
    """The master's key for every account of a command; it asks from the moment it is opened.

    `problem` is why it says nothing as long as it is not open.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.problem = "its key could not be read in time"
        self.driver: Driver | None = None
        self._deadline = deadline
        self._exchange: Exchange | None = None

    def open(
        self, exchange: Exchange, accounts: Mapping[Secret, str | None], *, own: Secret
    ) -> None:
        """Begin to ask; needs a running event loop. `accounts` are their names by their keys."""
        self._exchange = exchange
        # A machine of its own has limits of its own: the spot host's are not the futures'.
        self.driver = Driver(Machine(self._deadline), exchange)
        self.master = Master(self.driver.machine, accounts, own=own)
        self.driver.advance()

    def of(self, key: Secret) -> "AccountWitness":
        """Return the witness of the account with this key."""
        return AccountWitness(self, key)

    async def close(self) -> None:
        """Ask nothing more, and close the connection; never raises."""
        if self.driver is not None:
            self.driver.close()
        if self._exchange is not None:
            await self._exchange.close()


class AccountWitness:
    """What a master's key says of one account, asked for once and waited for later."""

    def __init__(self, witness: Witness, key: Secret) -> None:
        """Ask nothing yet."""
        self._witness = witness
        self._key = key
        self._asking: Task[Statement] | None = None

    def ask(self, policy: LiquidationConfig, margin: Margin, *, answered_at: float) -> None:
        """Begin to ask about the account, which its own lists show flat."""
        driver = self._witness.driver
        if driver is not None:
            self._asking = driver.machine.spawn(
                self._witness.master.testify(self._key, policy, margin, answered_at=answered_at)
            )
            driver.advance()

    async def answer(self) -> Statement:
        """Return its word; a fault of ours in it is no fault of the run."""
        driver = self._witness.driver
        if driver is None or self._asking is None:
            return silent(self._witness.problem)
        await driver.perform(driver.machine.wait([self._asking]))
        return self._asking.result or silent("a fault of liqctl itself")

    def interrupt(self) -> None:
        """Let nobody wait for it any more."""
        if self._witness.driver is not None:
            self._witness.driver.interrupt()
