"""Facts handed on to their orders right after they were committed; what fails is left to the relay."""

import structlog
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from starter.doors import Doors

_log = structlog.get_logger(__name__)


async def deliver(doors: Doors, *order_ids: str) -> None:
    """Tell these orders what they have not heard yet."""
    for order_id in order_ids:
        try:
            facts = await run_in_threadpool(doors.facts.for_order, order_id)
            if facts:
                await doors.processes.deliver(facts)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("left to the relay", order_id=order_id, why=str(error))
