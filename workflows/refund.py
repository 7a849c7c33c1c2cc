"""Money that goes back, from approved to paid. Needs no open order: refunds come months later, too."""

from datetime import timedelta
from typing import Final

from temporalio import workflow

from fulfillment.domain.refund import RefundState
from workflows import contract, steps
from workflows.contract import RefundStart

_TRIES: Final = 3
_AGAIN_AFTER: Final = timedelta(days=1)


@workflow.defn(name=contract.REFUND)
class RefundWorkflow:
    """One refund. What fails again and again is left to the people of its case."""

    @workflow.run
    async def run(self, start: RefundStart) -> str:
        """Pay the refund and return how it ended."""
        failures = 0
        while (state := await steps.pay_refund(start.refund_id)) is not RefundState.SUCCEEDED:
            failures += state is RefundState.FAILED
            if failures == _TRIES or state is RefundState.MANUAL:
                return f"{start.refund_id}: {state}; a person must pay it by hand"
            caption = "the provider will report" if state is RefundState.RUNNING else "try it once more"
            await workflow.sleep(start.clock.real_span(_AGAIN_AFTER), summary=caption)
        return f"{start.refund_id}: paid"
