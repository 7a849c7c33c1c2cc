"""A carrier's form for what it takes together, from asked to printed."""

from temporalio import workflow

from workflows import contract, steps


@workflow.defn(name=contract.SCAN_FORM)
class ScanFormWorkflow:
    """One form."""

    @workflow.run
    async def run(self, form_id: str) -> str:
        """Get it and return how it ended."""
        return f"{form_id}: {await steps.make_scan_form(form_id) or 'over before'}"
