"""Money and stock stay right whatever happens, in whatever order, however often, and whatever is lost on the way.

A run is a seed: step n does what chance `seed:n` says, whichever steps came before it. So a run that fails is
repeated by its seed, and made shorter by leaving steps out.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import Engine

from fulfillment.domain.errors import FulfillmentError
from tests.property.shop import MEANWHILE, RULES, Rule, Shop
from tests.storage.emptying import empty
from tests.storage.proof import check_books, check_parcels

FIRST_SEED, RUNS, STEPS = int(os.environ.get("WAYBILL_SEED", "1")), 10, 220
_LOOKS_EVERY = 20
_MOST_TRIES = 40


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_money_and_stock_stay_right_whatever_happens_in_whatever_order(engine: Engine, seed: int) -> None:
    print(f"seed {seed}: WAYBILL_SEED={seed} repeats it as the first run")
    steps = range(STEPS)
    if why := wrong(engine, seed, steps):
        least = shortened(engine, seed, steps)
        pytest.fail(f"seed {seed}: {why}\n\nin short:\n{told(engine, seed, least)}", pytrace=False)


def wrong(engine: Engine, seed: int, steps: Sequence[int]) -> str:
    """Run these steps of a seed in a fresh shop, and return what is wrong after them; nothing if all is right."""
    try:
        shop = run(engine, seed, steps, log=[])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        return f"{type(error).__name__}: {error}"
    broken = {check.name: check.violations for check in shop.audited() if check.violations}
    return "\n".join(f"{name}: {'; '.join(why)}" for name, why in broken.items())


def run(engine: Engine, seed: int, steps: Sequence[int], *, log: list[str]) -> Shop:
    """Do these steps of a seed, and let everything come to rest."""
    _empty(engine)
    shop = Shop(engine, Random(f"{seed}"))
    for done, n in enumerate(steps, start=1):
        log.append(f"{n:4} {step(shop, Random(f'{seed}:{n}'))}")
        if done % _LOOKS_EVERY == 0:
            check_books(shop.house)
            check_parcels(shop.house)
    shop.come_to_rest(Random(f"{seed}:rest"))
    return shop


def step(shop: Shop, chance: Random) -> str:
    """Let something happen, and now and then something else while the bank takes its time; say what."""
    rule, beside = chance.choices(list(RULES), RULES.values())[0], chance.choice(MEANWHILE)
    shop.house.wait(timedelta(seconds=chance.randint(1, 60)))
    done = rule.__name__
    if chance.random() < 0.3:
        done += f" ({beside.__name__} meanwhile)"
        shop.bank.meanwhile = lambda: _done(shop, beside, chance)
    if not _done(shop, rule, chance):
        done += " (refused)"
    shop.bank.meanwhile = None
    return done


def shortened(engine: Engine, seed: int, steps: Sequence[int]) -> Sequence[int]:
    """Leave out as many steps as can be left out, in ever smaller pieces, while something stays wrong."""
    piece, tries = len(steps) // 2, 0
    while piece and tries < _MOST_TRIES:
        for at in reversed(range(0, len(steps), piece)):
            fewer = [*steps[:at], *steps[at + piece :]]
            tries += 1
            if tries < _MOST_TRIES and wrong(engine, seed, fewer):
                steps = fewer
        piece //= 2
    return steps


def told(engine: Engine, seed: int, steps: Sequence[int]) -> str:
    """Return what happened in these steps, a line each, and what was wrong then."""
    log: list[str] = []
    try:
        run(engine, seed, steps, log=log)
    except Exception as error:  # noqa: BLE001
        log.append(f"{type(error).__name__}: {error}")
    return "\n".join(log)


def _done(shop: Shop, rule: Rule, chance: Random) -> bool:
    """Let it happen; False when the shop refused it."""
    try:
        rule(shop, chance)
    except FulfillmentError:
        return False
    return True


def _empty(engine: Engine) -> None:
    """Empty the database again, as it is at the start of every test."""
    with engine.begin() as conn:
        empty(conn)
