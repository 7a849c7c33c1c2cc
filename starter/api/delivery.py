"""Facts handed on to their orders right after they were committed; what fails is left to the relay."""

from collections.abc import Sequence

import structlog
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from fulfillment.domain.findings import Unheard
from starter.doors import Doors

_log = structlog.get_logger(__name__)


async def tell_orders(doors: Doors, order_ids: Sequence[str]) -> None:
    """Tell these orders what they have not heard yet."""
    for order_id in order_ids:
        try:
            facts = await run_in_threadpool(doors.facts.for_order, order_id)
        except SQLAlchemyError as error:
            _log.warning("left to the relay", order_id=order_id, why=type(error).__name__)
        else:
            await hand_on(doors, facts)


async def hand_on(doors: Doors, facts: Sequence[Unheard]) -> None:
    """Hand these facts on."""
    if not facts:
        return
    try:
        await doors.processes.deliver(facts)
    except SQLAlchemyError as error:  # heard, but not noted as heard: the relay repeats it, which is harmless
        _log.warning("left to the relay", order_id=facts[0].order_id, why=type(error).__name__)
