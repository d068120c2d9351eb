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
    """The master's key for every account of a command; it begins to ask at once.

    Needs a running event loop. `accounts` are the accounts' names by their keys.
    """

    def __init__(
        self,
        exchange: Exchange,
        deadline: Deadline,
        accounts: Mapping[Secret, str | None],
        *,
        own: Secret,
    ) -> None:
        self._exchange = exchange
        # A machine of its own has limits of its own: the spot host's are not the futures'.
        self.driver = Driver(Machine(deadline), exchange)
        self.master = Master(self.driver.machine, accounts, own=own)
        self.driver.advance()

    def of(self, key: Secret) -> "AccountWitness":
        """Return the witness of the account with this key."""
        return AccountWitness(self, key)

    async def close(self) -> None:
        """Ask nothing more, and close the connection; never raises."""
        self.driver.close()
        await self._exchange.close()


class AccountWitness:
    """What a master's key says of one account, asked for once and waited for later."""

    def __init__(self, witness: Witness | None, key: Secret, *, problem: str = "") -> None:
        """Ask nothing yet; without a witness it is silent, for the `problem`."""
        self._witness = witness
        self._key = key
        self._problem = problem
        self._asking: Task[Statement] = Task(None)

    def ask(self, policy: LiquidationConfig, margin: Margin, *, answered_at: float) -> None:
        """Begin to ask about the account, which its own lists show flat."""
        if self._witness is not None:
            driver, master = self._witness.driver, self._witness.master
            self._asking = driver.machine.spawn(
                master.testify(self._key, policy, margin, answered_at=answered_at)
            )
            driver.advance()

    async def answer(self) -> Statement:
        """Return its word; a fault of ours in it is no fault of the run."""
        if self._witness is None:
            return silent(self._problem)
        driver = self._witness.driver
        await driver.perform(driver.machine.wait([self._asking]))
        return self._asking.result or silent("a fault of liqctl itself")

    def interrupt(self) -> None:
        """Let nobody wait for it any more."""
        if self._witness is not None:
            self._witness.driver.interrupt()
