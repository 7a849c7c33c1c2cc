"""What was missed is found and handed on. Runs on a Schedule."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ParentClosePolicy

from fulfillment.domain.findings import Findings, Unheard, Unstarted
from workflows import contract, options, steps
from workflows.contract import OrderStart, ReconciliationStart, RefundStart
from workflows.order import OrderWorkflow
from workflows.refund import RefundWorkflow
from workflows.scan_form import ScanFormWorkflow


@workflow.defn(name=contract.RECONCILIATION)
class ReconciliationWorkflow:
    """One sweep: facts not handed on, orders not started, parcels gone silent, requests left in doubt."""

    @workflow.run
    async def run(self, start: ReconciliationStart) -> str:
        """Find what was missed and hand it on."""
        found = await steps.find_what_was_missed()
        await self._hand_on(found.unheard)
        for order in found.unstarted:
            await self._start(order, start)
        await asyncio.gather(*(self._ask_about_parcel(parcel_id) for parcel_id in found.silent_parcels))
        await asyncio.gather(*(self._ask_about_operation(key) for key in found.doubtful_operations))
        await asyncio.gather(*(self._let_go(payment_id) for payment_id in found.surplus_payments))
        for refund_id in found.due_refunds:
            await self._pay(refund_id, start)
        for form_id in found.due_forms:
            await self._get(form_id)
        return _summary(found)

    async def _hand_on(self, unheard: tuple[Unheard, ...]) -> None:
        for fact in unheard:
            await self._tell(fact)
        if unheard:
            await steps.note_heard(tuple(fact.signal_id for fact in unheard))

    async def _tell(self, fact: Unheard) -> None:
        order = workflow.get_external_workflow_handle(contract.order_workflow_id(fact.order_id))
        try:
            await order.signal(fact.name, fact.body)
        except ApplicationError as error:  # the order has ended: what is late is in the books, that is all
            workflow.logger.info("not heard: %s", error)

    async def _start(self, order: Unstarted, start: ReconciliationStart) -> None:
        """Start an order that was accepted while Temporal was away; harmless if it runs already."""
        try:
            await workflow.start_child_workflow(
                OrderWorkflow.run,
                OrderStart(
                    order_id=order.order_id,
                    currency=order.currency,
                    total=order.total,
                    policy=start.policy,
                    clock=start.clock,
                ),
                id=contract.order_workflow_id(order.order_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
                id_reuse_policy=contract.ONCE,
                task_timeout=contract.TASK_TIMEOUT,
            )
        except (WorkflowAlreadyStartedError, ChildWorkflowError):
            workflow.logger.info("%s runs already", order.order_id)

    async def _ask_about_parcel(self, parcel_id: str) -> None:
        """Ask the carrier first: only what it does not know either is silence. No answer is none."""
        try:
            await steps.ask_carrier_once(parcel_id)
        except FailureError as failure:
            workflow.logger.info("the carrier does not answer about %s: %s", parcel_id, failure)
            return
        await steps.note_silence(parcel_id)

    async def _ask_about_operation(self, key: str) -> None:
        """One that cannot be asked about now must not keep the sweep from the others; in doubt too long, it is a case."""
        try:
            settled = await steps.ask_about_operation(key)
        except FailureError as failure:
            workflow.logger.info("the provider does not answer about %s: %s", key, failure)
            settled = False
        if not settled:
            await steps.note_doubt(key)

    async def _let_go(self, payment_id: str) -> None:
        """Give back money that nobody needs: it was paid after we gave up, or twice."""
        try:
            await steps.void_payment(payment_id, patience=options.PAYMENT_ONCE)
        except FailureError as failure:
            workflow.logger.info("%s is not let go yet: %s", payment_id, failure)

    async def _pay(self, refund_id: str, start: ReconciliationStart) -> None:
        """Start a refund that was allowed while Temporal was away; harmless if it runs already."""
        try:
            await workflow.start_child_workflow(
                RefundWorkflow.run,
                RefundStart(refund_id=refund_id, clock=start.clock),
                id=contract.refund_workflow_id(refund_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
            )
        except (WorkflowAlreadyStartedError, ChildWorkflowError):
            workflow.logger.info("%s runs already", refund_id)

    async def _get(self, form_id: str) -> None:
        """Start what gets a form that was asked for while Temporal was away; harmless if it runs already."""
        try:
            await workflow.start_child_workflow(
                ScanFormWorkflow.run,
                form_id,
                id=contract.scan_form_workflow_id(form_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
            )
        except (WorkflowAlreadyStartedError, ChildWorkflowError):
            workflow.logger.info("%s runs already", form_id)


def _summary(found: Findings) -> str:
    return (
        f"{len(found.unheard)} facts handed on, {len(found.unstarted)} orders started, "
        f"{len(found.silent_parcels)} parcels asked about, {len(found.doubtful_operations)} requests in doubt, "
        f"{len(found.surplus_payments)} payments let go, {len(found.due_refunds)} refunds started, "
        f"{len(found.due_forms)} scan forms asked for"
    )
