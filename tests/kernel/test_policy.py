"""What is in scope of two names of one account together."""

from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import Product

USDM = LiquidationConfig(products=(Product.USDM,))
COINM = LiquidationConfig(products=(Product.COINM,))
ON_ETHUSDT = LiquidationConfig(symbols=("ETHUSDT",))
ON_COIN = LiquidationConfig(symbols=("BTCUSD_PERP",))


def scope(policy: LiquidationConfig | None) -> dict[Product, tuple[str, ...]]:
    """Return the symbols of each product in scope, none for all of them."""
    assert policy is not None
    return {product: own.symbols for product, own in policy.by_product.items()}


def test_two_names_of_one_account_have_no_more_in_scope_than_each_of_them() -> None:
    """A name narrowed to symbols of USDS-M reaches no COIN-M, whatever its products say."""
    assert scope(USDM.joined(ON_ETHUSDT)) == {Product.USDM: ()}
    assert scope(ON_ETHUSDT.joined(USDM)) == {Product.USDM: ()}
    assert scope(USDM.joined(COINM)) == {Product.USDM: (), Product.COINM: ()}
    assert scope(ON_ETHUSDT.joined(ON_COIN)) == {
        Product.USDM: ("ETHUSDT",),
        Product.COINM: ("BTCUSD_PERP",),
    }


def test_the_whole_of_one_product_and_symbols_of_the_other_fit_into_no_policy() -> None:
    """Else all of COIN-M would be closed, where two names have one contract of it in scope."""
    assert USDM.joined(ON_COIN) is None
    assert ON_COIN.joined(USDM) is None
    assert COINM.joined(ON_ETHUSDT) is None
    assert scope(COINM.joined(ON_COIN)) == {Product.COINM: ()}
    assert scope(LiquidationConfig().joined(ON_COIN)) == {Product.USDM: (), Product.COINM: ()}


def test_what_a_name_includes_goes_by_what_its_products_hold() -> None:
    """The other name would be closed a second time, beside the first."""
    assert USDM.includes(ON_ETHUSDT)
    assert not USDM.includes(ON_COIN)
    assert not ON_ETHUSDT.includes(USDM)
    assert not ON_ETHUSDT.includes(ON_COIN)
    assert LiquidationConfig().includes(ON_COIN)


def test_a_run_that_only_cancels_is_no_answer_to_one_that_closes() -> None:
    """Who hands over while `--orders-only` is under way would be told that all is flat."""
    whole = LiquidationConfig()
    only_orders = LiquidationConfig(close_positions=False)
    only_positions = LiquidationConfig(cancel_orders=False)

    assert whole.suffices_for(only_orders)
    assert whole.suffices_for(only_positions)
    assert not only_orders.suffices_for(whole)
    assert not only_positions.suffices_for(whole)
    assert not USDM.suffices_for(COINM)


def test_a_proof_by_a_shorter_watch_is_no_answer_to_who_asked_for_a_longer_one() -> None:
    """`--settle 0` trusts one reading; the other one was promised two seconds."""
    at_once = LiquidationConfig(settle_seconds=0.0)

    assert not at_once.suffices_for(LiquidationConfig())
    assert LiquidationConfig().suffices_for(at_once)
