"""Counters are made true, then below the reorder point an order goes to the vendor. Runs on a Schedule."""

from temporalio import workflow

from workflows import contract, steps


@workflow.defn(name=contract.REPLENISHMENT)
class ReplenishmentWorkflow:
    """One look at what runs low."""

    @workflow.run
    async def run(self) -> str:
        """Order what runs low; its receipt fills the backorders and wakes their orders."""
        drifted = await steps.repair_drift()
        ordered = await steps.order_what_is_low()
        return f"{drifted} places repaired, {ordered} orders to vendors"
