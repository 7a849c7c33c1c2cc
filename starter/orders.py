"""The typed Temporal client: the only place that starts, updates and signals orders."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import groupby
from typing import Any, Final, Protocol

import structlog
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from fulfillment.domain.address import Address
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.change import LineQuantity, NewLine
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.findings import Unheard
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.money import format_minor
from fulfillment.domain.order import Order
from fulfillment.domain.playbooks import Answer
from fulfillment.domain.policy import Policy, ShortageChoice
from workflows import contract
from workflows.contract import OrderStart, PlaceAnswer, RefundStart, VerbAnswer
from workflows.order import OrderWorkflow
from workflows.refund import RefundWorkflow
from workflows.scan_form import ScanFormWorkflow

log = structlog.stdlib.get_logger(__name__)

ANSWER_WITHIN = timedelta(seconds=10)
_OF_PARCELS: Final = frozenset({contract.PACKED, contract.HANDED_OVER, contract.MILESTONE})
_TIME = "goes_on"  # in the memo of a run: which time it is that its order goes on


class VerbRefused(FulfillmentError):
    """The order said no; the message says why and what to do instead. `code` is for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class NotRunning(VerbRefused):
    """Nothing works on the order: it has ended, has not started yet, or never was."""


class TemporalAway(Exception):
    """Temporal did not answer. Repeat with the same request id: nothing is done twice."""


class OrderBook(Protocol):
    """What we need to read of an order to start its workflow."""

    def get(self, order_id: str) -> Order: ...

    def started(self, order_id: str) -> None: ...


class AddressBook(Protocol):
    """Where an address is left for its order to take."""

    def propose_address(self, order_id: str, ship_to: Address, *, by: str, request_id: str) -> None:
        """Leave an address in the books, for the order to take under this request's id.

        Raises:
            UnknownOrder: there is no such order.
        """
        ...

    def propose_suggested(self, order_id: str, *, by: str, request_id: str) -> None:
        """Leave the address that the carriers suggest, for the order to take under this request's id.

        Raises:
            UnknownOrder: there is no such order.
            ChangeRefused: nobody suggests another one.
        """
        ...


class SignalBook(Protocol):
    """What we need to note facts as handed on."""

    def delivered(self, signal_ids: Sequence[int]) -> None: ...


class Orders:
    """Places orders, carries people's verbs to them, and hands facts on."""

    def __init__(
        self,
        client: Client,
        *,
        orders: OrderBook,
        addresses: AddressBook,
        signals: SignalBook,
        policy: Policy,
        clock: ShopClock,
    ) -> None:
        self._client, self._orders, self._addresses, self._signals = client, orders, addresses, signals
        self._policy, self._clock = policy, clock

    async def place(self, order_id: str, *, within: timedelta = ANSWER_WITHIN) -> PlaceAnswer | None:
        """Start the order and return what placing came to; None when no answer came in time.

        Safe to repeat: the same order finds the same workflow and the same answer, even after its end.
        """
        order = await asyncio.to_thread(self._orders.get, order_id)
        start = self._start(order)
        try:
            answer: PlaceAnswer = await self._client.execute_update_with_start_workflow(
                contract.PLACE,
                start_workflow_operation=start,
                id=contract.PLACE,
                rpc_timeout=within,
                result_type=PlaceAnswer,
            )
        except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowAlreadyStartedError) as error:
            await self._unanswered(order_id, start, error)
            return None
        except RuntimeError as error:
            _check_never_reached(error)
            return None
        await start.workflow_handle()
        await asyncio.to_thread(self._orders.started, order_id)
        return answer

    async def _unanswered(
        self,
        order_id: str,
        start: WithStartWorkflowOperation[OrderWorkflow, Any],
        error: Exception,
    ) -> None:
        """Note the order as started where it is; otherwise the relay tries again later."""
        try:
            await start.workflow_handle()
        except (RPCError, WorkflowAlreadyStartedError) as why:
            if not isinstance(why, WorkflowAlreadyStartedError):
                return
        except asyncio.CancelledError:
            return
        if isinstance(error, RPCError) and error.status is RPCStatusCode.UNAVAILABLE:
            return
        await asyncio.to_thread(self._orders.started, order_id)

    def _start(self, order: Order) -> WithStartWorkflowOperation[OrderWorkflow, Any]:
        return WithStartWorkflowOperation(
            OrderWorkflow.run,
            self._order_start(order),
            id=contract.order_workflow_id(order.order_id),
            task_queue=contract.ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=contract.ONCE,
            task_timeout=contract.TASK_TIMEOUT,
            static_summary=_summary(order),
            search_attributes=_attributes(order),
        )

    def _order_start(self, order: Order, *, goes_on: bool = False) -> OrderStart:
        return OrderStart(
            order_id=order.order_id,
            currency=order.currency,
            total=order.total,
            policy=self._policy,
            clock=self._clock,
            goes_on=goes_on,
        )

    async def go_on(self, order_id: str, time: int) -> None:
        """Start an order once more that goes on after its end; safe to repeat for the same time.

        A run that is just closing keeps the next one waiting: the relay asks again.
        """
        order = await asyncio.to_thread(self._orders.get, order_id)
        try:
            await self._client.start_workflow(
                OrderWorkflow.run,
                self._order_start(order, goes_on=True),
                id=contract.order_workflow_id(order_id),
                task_queue=contract.ORDERS_QUEUE,
                id_reuse_policy=contract.ONCE_MORE,
                task_timeout=contract.TASK_TIMEOUT,
                memo={_TIME: time},
                static_summary=_summary(order),
                search_attributes=_attributes(order),
            )
        except WorkflowAlreadyStartedError:
            running = await self._handle(order_id).describe()
            if await running.memo_value(_TIME, 0, type_hint=int) != time:
                return
        await asyncio.to_thread(self._orders.started, order_id)

    async def cancel(
        self,
        order_id: str,
        *,
        reason: str,
        by: str,
        request_id: str,
        lines: Sequence[LineQuantity] = (),
    ) -> VerbAnswer:
        """Stop everything that has not left, or take these units of these lines off.

        Raises:
            VerbRefused: it is too late, or the order has ended.
            TemporalAway: nobody answered; repeat with the same request id.
        """
        body = {"reason": reason, "lines": [asdict(line) for line in lines]}
        return await self._ask(order_id, contract.CANCEL, body, by, request_id)

    async def change_items(
        self,
        order_id: str,
        *,
        lines: Sequence[LineQuantity],
        added: Sequence[NewLine],
        by: str,
        request_id: str,
    ) -> VerbAnswer:
        """Give lines another quantity, or add lines. Raises as `cancel` does."""
        body = {"lines": [asdict(line) for line in lines], "add": [asdict(line) for line in added]}
        return await self._ask(order_id, contract.CHANGE_ITEMS, body, by, request_id)

    async def change_address(
        self, order_id: str, *, ship_to: Address, by: str, request_id: str
    ) -> VerbAnswer:
        """Send what has not left to another address. It is left in the books: no history shall hold it.

        Raises as `cancel` does.
        """
        await asyncio.to_thread(
            self._addresses.propose_address, order_id, ship_to, by=by, request_id=request_id
        )
        return await self._ask(order_id, contract.CHANGE_ADDRESS, {}, by, request_id)

    async def accept_address(self, order_id: str, *, by: str, request_id: str) -> VerbAnswer:
        """Send what has not left to the address that the carriers suggest. Raises as `cancel` does.

        Raises:
            ChangeRefused: nobody suggests another one.
        """
        await asyncio.to_thread(self._addresses.propose_suggested, order_id, by=by, request_id=request_id)
        return await self._ask(order_id, contract.CHANGE_ADDRESS, {}, by, request_id)

    async def change_service(
        self, order_id: str, *, service: str, fee: int, by: str, request_id: str
    ) -> VerbAnswer:
        """Send what has not left by another service. Raises as `cancel` does."""
        body = {"service": service, "fee": fee}
        return await self._ask(order_id, contract.CHANGE_SERVICE, body, by, request_id)

    async def answer_shortage(
        self, order_id: str, *, choice: ShortageChoice, by: str, request_id: str
    ) -> VerbAnswer:
        """Say what becomes of an order of which not everything is there. Raises as `cancel` does."""
        body = {"choice": choice.value}
        return await self._ask(order_id, contract.ANSWER_SHORTAGE, body, by, request_id)

    async def answer_case(
        self,
        order_id: str,
        *,
        kind: CaseKind,
        answer: Answer,
        subject: str = "",
        note: str = "",
        ship_to: Address | None = None,
        by: str,
        request_id: str,
    ) -> VerbAnswer:
        """Say what becomes of a case; what is sent again goes to `ship_to`. Raises as `cancel` does."""
        if ship_to is not None:
            await asyncio.to_thread(
                self._addresses.propose_address, order_id, ship_to, by=by, request_id=request_id
            )
        body: dict[str, Any] = {"kind": kind.value, "answer": answer.value, "subject": subject, "note": note}
        body["elsewhere"] = ship_to is not None
        return await self._ask(order_id, contract.ANSWER_CASE, body, by, request_id)

    async def start_refund(self, refund_id: str) -> None:
        """Let an approved refund be paid; harmless to repeat. With Temporal away the sweep starts it later."""
        try:
            await self._client.start_workflow(
                RefundWorkflow.run,
                RefundStart(refund_id=refund_id, clock=self._clock),
                id=contract.refund_workflow_id(refund_id),
                task_queue=contract.ORDERS_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"pay {refund_id}",
            )
        except (RPCError, RuntimeError) as error:
            if isinstance(error, RuntimeError):
                _check_never_reached(error)
            log.warning("a refund waits for Temporal", refund_id=refund_id, why=str(error))

    async def get_scan_form(self, form_id: str) -> None:
        """Let a form be asked for; harmless to repeat. With Temporal away the sweep starts it later."""
        try:
            await self._client.start_workflow(
                ScanFormWorkflow.run,
                form_id,
                id=contract.scan_form_workflow_id(form_id),
                task_queue=contract.ORDERS_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"scan form {form_id}",
            )
        except (RPCError, RuntimeError) as error:
            if isinstance(error, RuntimeError):
                _check_never_reached(error)
            log.warning("a scan form waits for Temporal", form_id=form_id, why=str(error))

    async def hold(
        self, order_id: str, *, reason: str, by: str, request_id: str, note: str = ""
    ) -> VerbAnswer:
        """Let nothing leave until the hold is released. Raises as `cancel` does."""
        return await self._ask(order_id, contract.HOLD, {"reason": reason, "note": note}, by, request_id)

    async def release(
        self, order_id: str, *, reason: HoldReason | str | None, by: str, request_id: str
    ) -> VerbAnswer:
        """End one hold, or every one when no reason is given. Raises as `cancel` does."""
        body = {"reason": str(reason)} if reason else {}
        return await self._ask(order_id, contract.RELEASE, body, by, request_id)

    async def retry_payment(self, order_id: str, *, method: str, by: str, request_id: str) -> VerbAnswer:
        """Try to get the money another way. Raises as `cancel` does."""
        return await self._ask(order_id, contract.RETRY_PAYMENT, {"method": method}, by, request_id)

    async def _ask(
        self, order_id: str, verb: str, body: Mapping[str, Any], by: str, request_id: str
    ) -> VerbAnswer:
        try:
            answer: VerbAnswer = await self._handle(order_id).execute_update(
                verb,
                {**body, "by": by, "request_id": request_id},
                id=request_id,
                rpc_timeout=ANSWER_WITHIN,
                result_type=VerbAnswer,
            )
        except WorkflowUpdateFailedError as refused:
            raise _refused(refused) from refused
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise TemporalAway(f"{order_id} did not answer in time") from error
        except RPCError as error:
            raise _unreachable(order_id, error) from error
        except RuntimeError as error:
            _check_never_reached(error)
            raise TemporalAway("Temporal does not answer") from error
        return answer

    async def forget(self, order_ids: Sequence[str]) -> None:
        """Delete the histories of ended orders whose customer was forgotten: people's notes are in them.

        Raises:
            TemporalAway: some are left; asking again deletes the rest.
        """
        for order_id in order_ids:
            try:
                await self._forget(contract.order_workflow_id(order_id))
            except RPCError as error:
                raise TemporalAway(f"Temporal does not answer: {error.message}") from error

    async def _forget(self, workflow_id: str) -> None:
        """Delete the latest run, which a list may not show yet, and those before it."""
        async for run in self._client.list_workflows(f"WorkflowId = '{workflow_id}'"):
            if run.status is not WorkflowExecutionStatus.RUNNING:
                await self._delete(run.id, run.run_id)
        try:
            latest = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return
            raise
        if latest.status is WorkflowExecutionStatus.RUNNING:
            raise TemporalAway(f"{workflow_id} has not come to its end yet: ask again in a moment")
        await self._delete(workflow_id, latest.run_id)

    async def _delete(self, workflow_id: str, run_id: str) -> None:
        this = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
        request = DeleteWorkflowExecutionRequest(namespace=self._client.namespace, workflow_execution=this)
        try:
            await self._client.workflow_service.delete_workflow_execution(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def deliver(self, facts: Sequence[Unheard]) -> int:
        """Hand facts on to their orders; return how many were heard. What fails stays for the relay."""
        heard: list[int] = []
        deaf: set[str] = set()
        for together in told_together(
            facts
        ):  # an order hears its facts in their order, or the rest of them later
            order_id = together[0].order_id
            if order_id in deaf:
                continue
            if await self._tell(together):
                heard += (fact.signal_id for fact in together)
            else:
                deaf.add(order_id)
        if heard:
            await asyncio.to_thread(self._signals.delivered, heard)
        return len(heard)

    async def _tell(self, together: Sequence[Unheard]) -> bool:
        """Tell an order one fact, or several of a kind by one signal: each signal costs an event and an action."""
        first, *others = together
        body = [fact.body for fact in together] if others else first.body
        try:
            await self._handle(first.order_id).signal(first.name, body)
        except RPCError as error:
            # An order that has ended hears nothing more: the fact is in the books, and that is enough.
            # Unless it has not begun: then the relay will tell it when it has.
            return error.status is RPCStatusCode.NOT_FOUND and "completed" in error.message
        except RuntimeError as error:
            _check_never_reached(error)
            return False
        return True

    def _handle(self, order_id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(contract.order_workflow_id(order_id))


def told_together(facts: Sequence[Unheard]) -> list[tuple[Unheard, ...]]:
    """Return the facts in the order of each order, those together that one signal tells: of several parcels alike."""
    by_order = sorted(facts, key=lambda fact: fact.order_id)  # stable
    return [tuple(together) for _, together in groupby(by_order, key=_signal_of)]


def _signal_of(fact: Unheard) -> tuple[str, str, int]:
    return fact.order_id, fact.name, 0 if fact.name in _OF_PARCELS else fact.signal_id


def _check_never_reached(error: RuntimeError) -> None:
    """Let pass what a lazy client says when it has not reached the server even once; all else is a bug."""
    if not str(error).startswith("Failed client connect"):
        raise error


def _refused(refused: WorkflowUpdateFailedError) -> VerbRefused:
    cause = refused.cause
    kind = cause.type if isinstance(cause, ApplicationError) else None
    code = {"NotAllowed": "not_allowed", "BadCommand": "invalid_request"}.get(kind or "", "not_allowed")
    text = cause.message if isinstance(cause, ApplicationError) else str(cause)
    return VerbRefused("too_late" if text.startswith("Too late") else code, text)


def _unreachable(order_id: str, error: RPCError) -> Exception:
    if error.status is RPCStatusCode.NOT_FOUND:
        return NotRunning(
            "not_allowed", f"{order_id} has ended or has not started yet; look at it with `show {order_id}`."
        )
    return TemporalAway(f"Temporal does not answer: {error.message}")


def _summary(order: Order) -> str:
    """Return the static summary: what was ordered and where to, without a name."""
    items = sum(line.quantity for line in order.lines)
    value = format_minor(order.total, order.currency)
    return f"{order.order_id} · {items} items · {value} · {order.service} to {order.ship_to.place}"


def _attributes(order: Order) -> TypedSearchAttributes:
    """Return the search attributes that are free at start. Nothing personal: they are never encrypted."""
    pairs: list[SearchAttributePair[Any]] = [
        SearchAttributePair(contract.STAGE, "received"),
        SearchAttributePair(contract.ORDER_ID, order.order_id),
        SearchAttributePair(contract.CUSTOMER, order.customer.customer_id),
        SearchAttributePair(contract.CHANNEL, order.channel),
        SearchAttributePair(contract.VALUE, float(order.total) / 100),
    ]
    return TypedSearchAttributes(pairs)
