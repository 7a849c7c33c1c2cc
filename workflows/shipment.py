"""One shipment, from the shelf to the door: a coroutine inside its order's workflow."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from typing import NoReturn, Protocol

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from activities.errors import is_refusal, why_refused
from fulfillment.domain.address import AddressRefused
from fulfillment.domain.carrier_choice import RateExpired
from fulfillment.domain.cases import Case, CaseKind
from fulfillment.domain.change import OrderState, ShipmentState
from fulfillment.domain.operation import Authorization
from fulfillment.domain.order import Outcome
from fulfillment.domain.payment import AuthorizationExpired, Held, PaymentStatus
from fulfillment.domain.playbooks import Deed
from fulfillment.domain.policy import OnExpiry, Policy
from fulfillment.domain.provider_errors import LabelRefused
from fulfillment.domain.record import DeclareLost, RevisePromise
from fulfillment.domain.reservation import PlannedShipment
from fulfillment.domain.settlement import GIVEN_UP, Cause, Found, Settle, Settled, Settlement
from fulfillment.domain.shipment import InvalidTransition, Stop, WaitsFor, WorkStatus
from fulfillment.domain.tracking import ENDED, MOVING, PHYSICAL, CarrierStatus, Flag
from fulfillment.domain.troubles import troubles
from workflows import options, steps
from workflows.casebook import Casebook
from workflows.compensation import Compensations
from workflows.facts import Decided, HandedOver, Milestone, Overdue
from workflows.money import StoppedOnTheWay, Till
from workflows.playbooks import (
    ABOUT_THE_GOODS,
    BY_THE_BOOKS,
    CAUSE,
    ENDED_BY_A_SCAN,
    NO_SCAN_EXPECTED,
    STAND_WITH_THE_NEWS,
    UNDECIDED,
)

Fact = Milestone | Overdue | Decided

# "Cancelled" is what a carrier says of a label; a parcel under way it does not end.
_ENDS = ENDED - {CarrierStatus.CANCELLED}
_ENDED_AS = {
    Outcome.DELIVERED: CarrierStatus.DELIVERED,
    Outcome.LOST: CarrierStatus.LOST,
    Outcome.RETURNED: CarrierStatus.RETURNED,
}
_NOBODY_TAKES_IT = "no carrier takes the parcel as it is"
_LABEL_TROUBLE = {
    LabelRefused: CaseKind.LABEL_REFUSED,
    RateExpired: CaseKind.RATE_EXPIRED,
    AddressRefused: CaseKind.ADDRESS_PROBLEM,
}
_NOT_PACKED = (WorkStatus.SCHEDULED, WorkStatus.RELEASED, WorkStatus.PICKING, WorkStatus.PICKED)


class OrderDesk(Protocol):
    """What a shipment needs of the order it belongs to."""

    order_id: str
    currency: str
    policy: Policy
    cases: Casebook
    promise_date: date | None
    till: Till

    def now(self) -> datetime:
        """The shop's time."""
        ...

    async def sleep(self, span: timedelta, summary: str) -> None:
        """Wait for a span of shop time."""
        ...

    async def place_payment_hold(self, shipment_id: str, why: str) -> None:
        """Hold the order until the customer pays."""
        ...

    async def waits_no_more_for_money(self, shipment_id: str) -> None:
        """End the payment hold when this was the last shipment that waited for another way to pay."""
        ...

    async def stock_came(self) -> None:
        """Let go what waited for the last missing piece."""
        ...

    @property
    def waits_for_address(self) -> bool:
        """Whether it is held until somebody says where it goes."""
        ...

    async def nothing_blocks_capture(self, unless: Callable[[], bool]) -> None:
        """Wait until no hold stands that keeps money from being taken, or it need not be taken any more."""
        ...

    async def read_the_books(self) -> None:
        """Take over the order as the books have it now."""
        ...

    def replan(self, state: OrderState) -> None:
        """Take over the order as an answer of the books has it."""
        ...

    def uncover(self, shipments: tuple[str, ...]) -> None:
        """Note that these shipments lost the money that was reserved for them."""
        ...

    def show(self) -> None:
        """Bring what the Temporal UI shows up to date."""
        ...


class SentBack(Exception):
    """The books took the shipment back a step: other goods, another address, no money or no stock any more."""


class ShipmentProcess:
    """One shipment of an order. Trouble becomes its outcome: it never stops its sisters."""

    def __init__(self, order: OrderDesk, plan: PlannedShipment) -> None:
        self.id = plan.shipment_id
        self.plan = plan
        self.doing = "waits for its stock" if plan.waits_for is WaitsFor.STOCK else "waits for its payment"
        self.parcel_id: str | None = None
        self.carrier = ""
        self.tracking_number = ""
        self.carrier_status: CarrierStatus | None = None
        self.edd: date | None = None
        self.outcome: Outcome | None = None
        self.handed_over = False
        self.followed = False
        self.left_at: datetime | None = None
        self.refunded = False
        self.settlement: Settlement | None = None  # what the customer got for it instead
        self._order = order
        self._undo = Compensations()
        self._expires_at: datetime | None = None
        self._paid = plan.value == 0
        self._stock_is_here = plan.waits_for is not WaitsFor.STOCK
        self._stopped = False
        self._sent_back = False
        self._was_ready = False
        self._label_of = ""
        self._captured_early = False
        self._captured = False
        self._given_up = False
        self._surplus_is_due = False
        self._undo_of_money_noted = False
        self._facts: deque[Fact] = deque()

    # --- what is told to it ---------------------------------------------------------------------------

    @property
    def paid(self) -> bool:
        """Whether the money for it is held, or none is needed."""
        return self._paid

    @property
    def has_stock(self) -> bool:
        """Whether everything in it is there."""
        return self._stock_is_here

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before it left."""
        return self._stopped

    @property
    def value(self) -> int:
        """What its units cost the customer, in minor units."""
        return self.plan.value

    def stop(self) -> None:
        """Note that it was stopped; the books were first."""
        self._stopped = True

    def replanned(self, now: ShipmentState) -> None:
        """Take over what the books made of it. What left stays gone: its own facts say what follows."""
        self.plan = now.plan
        if self.handed_over:
            return
        self._stopped = self._stopped or now.work_status == WorkStatus.CANCELLED
        self._stock_is_here = now.plan.waits_for is not WaitsFor.STOCK
        self._paid, self._expires_at = now.covered, now.expires_at
        if self._paid and self.value:
            self.asks_for_money()  # it was got by a change, beside this process
        self._surplus_is_due = self._captured_early
        if self.parcel_id and now.work_status in _NOT_PACKED:
            self._sent_back, self.parcel_id = True, None

    def resumed(self, now: ShipmentState) -> None:
        """Go on where the books are: the order's workflow ended before, and the order did not."""
        self.handed_over = self._captured = now.work_status in (WorkStatus.HANDED_OVER, WorkStatus.CLOSED)
        self.parcel_id, self.carrier, self.tracking_number = now.parcel_id, now.carrier, now.tracking_number
        self.outcome = Outcome(now.outcome) if now.outcome else None
        self.carrier_status = _ENDED_AS.get(self.outcome) if self.outcome else None
        self.settlement = Settlement(now.settled) if now.settled else None
        if now.work_status == WorkStatus.CANCELLED:
            self.outcome = Outcome.CANCELLED
        self.replanned(now)

    def goes_on(self) -> None:
        """Follow it again: what it ended with is not the end."""
        self.outcome = None

    def rework(self) -> None:
        """Note that its label is true no more and must be bought again."""
        self._sent_back = not self.handed_over

    def lost_its_money(self) -> None:
        """Note that what was reserved for it is gone: another part of the same authorization was taken."""
        self._paid = False

    def asks_for_money(self) -> None:
        """Note how its money is let go, before it is asked for: the answer may be lost."""
        if not self._undo_of_money_noted:
            self._undo_of_money_noted = True
            self._undo.add(partial(steps.void_authorization, self.id))

    def note_money(self, answer: Authorization) -> None:
        """Take over what an attempt came to."""
        self._paid = answer.status is PaymentStatus.AUTHORIZED
        self._expires_at = answer.expires_at

    def stock_filled(self) -> None:
        """Note that everything in it is there."""
        self._stock_is_here = True

    def packed(self, parcel_id: str) -> None:
        """Note that the floor packed it."""
        self.parcel_id = parcel_id

    def left(self, fact: HandedOver) -> None:
        """Note that the carrier has it."""
        self.handed_over, self.left_at = True, self._order.now()
        self.carrier, self.tracking_number = fact.carrier, fact.tracking_number

    def note(self, fact: Fact) -> None:
        """Note news; `run` acts on it. What was given up and is seen again is followed again."""
        self._facts.append(fact)
        if self.outcome is Outcome.LOST and isinstance(fact, Milestone) and fact.status in PHYSICAL:
            self.goes_on()

    def is_late(self) -> None:
        """Note that it has not come on the promised day."""
        self.note(Overdue(shipment_id=self.id, subject=self._parcel(), kind=CaseKind.DELAYED))

    # --- what it does ---------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Return how it ended."""
        while self.outcome is None:
            try:
                await self._go_its_way()
            except StoppedOnTheWay:
                await self._be_stopped()
            except FailureError as failure:
                if is_cancelled_exception(failure):
                    raise
                await self._wait_for_ops(failure)
        self.doing = f"ended: {self.outcome}"
        return self.outcome

    async def _go_its_way(self) -> None:
        while not self.handed_over:
            await self._leave()
        if not self._captured:
            await self._capture()
            self._captured = True
        self.outcome = await self._follow_to_the_door()

    async def _leave(self) -> None:
        """Get it out of the house; when it is sent back a step, the label goes first."""
        self._was_ready = False
        try:
            await self._get_stock()
            await self._get_paid()
            self._was_ready = True
            await self._wait_until_packed()
            await self._buy_label()
            await self._hand_over()
        except SentBack:
            self.doing = "goes back a step"
            await self._void_the_label()

    async def _void_the_label(self) -> None:
        if not self._sent_back:
            return
        self._sent_back = False
        if self._label_of:  # else it was sent back before anybody asked for one
            await steps.void_label(self._label_of)

    async def _be_stopped(self) -> None:
        self.doing = "is being stopped"
        await self._order.waits_no_more_for_money(self.id)
        await self.undo()
        if self.plan.replaces:  # the money of what it was sent for goes back, unless that has turned up
            await self._refund()
        self.outcome = Outcome.CANCELLED

    async def _wait_for_ops(self, failure: FailureError) -> None:
        """A deed was refused that never should be. No order fails for it: a person looks, its sisters go on."""
        self.doing = "is stuck"
        await self._open(CaseKind.STUCK, str(failure.cause or failure))
        had_left = self.handed_over
        await workflow.wait_condition(lambda: self._stopped or (self.handed_over and not had_left))
        if not self.handed_over:
            await self._be_stopped()

    async def _give_back_surplus(self) -> None:
        """Give back what was taken early for units that are no longer owed."""
        self._surplus_is_due = False
        if self._captured_early and not await steps.refund_payment(self.id):
            await self._open(CaseKind.REFUND_FAILED, "what was taken early could not be given back")

    async def undo(self) -> None:
        """Give back its label and its money."""
        await self._undo.run()

    async def _get_stock(self) -> None:
        waited = not self._stock_is_here
        await self._until(lambda: self._stock_is_here)
        if waited:
            await self._order.stock_came()
        if waited and self._paid:  # nothing is asked for it, so no payment sends it to the floor
            await steps.confirm_order(self._order.order_id)

    async def _get_paid(self) -> None:
        """Get the money it lacks; what was there at placing is paid already."""
        while not self._paid and not self.handed_over:
            self.doing = "waits for its payment"
            method = self._order.till.methods
            answer = await self._order.till.ask(self)
            if answer.stock_gone:
                await self._order.read_the_books()
                raise SentBack
            if not self._paid:
                await self._ask_for_another_method(method, "declined when its stock came")
        await self._order.waits_no_more_for_money(self.id)

    async def _ask_for_another_method(self, method: int, why: str) -> None:
        """Hold the order until the customer pays another way.

        Raises:
            StoppedOnTheWay: it was stopped meanwhile.
            SentBack: it left meanwhile; what is done about its money then is another step.
        """
        if not self._stopped:
            await self._order.place_payment_hold(self.id, why)
        await self._order.till.wait_for_method(method, lambda: self._stopped or self.handed_over, within=None)
        if self.handed_over:
            raise SentBack
        if self._stopped:
            raise StoppedOnTheWay

    async def _wait_until_packed(self) -> None:
        self.doing = "waits for its day" if self.plan.waits_for is WaitsFor.DATE else "is picked and packed"
        await self._until(lambda: self.parcel_id is not None)
        await self._renew_authorization()

    async def _buy_label(self) -> None:
        parcel_id = self._parcel()
        self.doing = "waits for its label"
        if not self._label_of:
            self._label_of = parcel_id
            self._undo.add(partial(steps.void_label, parcel_id))  # before: the answer may be lost
        while (trouble := await self._label_trouble(parcel_id)) is not None:
            await self._wait_out(trouble, parcel_id)
        await self._resolve(CaseKind.LABEL_REFUSED, CaseKind.RATE_EXPIRED, resolution="labeled")

    async def _label_trouble(self, parcel_id: str) -> CaseKind | None:
        """Get a label; return why there is none, None when there is."""
        try:
            await self._label(parcel_id)
        except ActivityError as failure:
            if is_refusal(failure, Stop):
                raise StoppedOnTheWay from failure
            if is_refusal(failure, InvalidTransition):
                await self._packed_no_more(failure)
            for refused, kind in _LABEL_TROUBLE.items():
                if is_refusal(failure, refused):
                    return kind
            raise
        return None

    async def _wait_out(self, trouble: CaseKind, parcel_id: str) -> None:
        """Wait until it makes sense to ask for a label once more, and say that a person may help."""
        if trouble is CaseKind.ADDRESS_PROBLEM:  # the books hold the order, and ask the customer
            await self._order.read_the_books()
            await self._until(lambda: not self._order.waits_for_address)
            return
        dear = trouble is CaseKind.RATE_EXPIRED
        span = self._order.policy.rate_decided_within if dear else timedelta(days=1)
        await self._open(trouble, "every offer costs more than was quoted" if dear else _NOBODY_TAKES_IT)
        again = asyncio.create_task(self._order.sleep(span, f"ask again for a label for {parcel_id}"))
        await self._until(again.done)

    async def _packed_no_more(self, failure: ActivityError) -> NoReturn:
        """Go back a step: its goods were changed while its label was asked for.

        Raises:
            SentBack: always.
        """
        await self._order.read_the_books()
        raise SentBack from failure

    async def _label(self, parcel_id: str) -> None:
        """Buy it. When the carrier is down people hear of it, and the deed is tried on without end."""
        try:
            await steps.buy_label(parcel_id, patience=options.CARRIER_FIRST)
        except ActivityError as failure:
            if why_refused(failure) is not None:
                raise
            await self._open(CaseKind.CARRIER_DOWN, "labels fail; tried again without end")
            try:
                await steps.buy_label(parcel_id, patience=options.CARRIER)
            finally:
                await self._resolve(CaseKind.CARRIER_DOWN, resolution="it answers again")

    async def _renew_authorization(self) -> None:
        """Nothing leaves on money that is about to run out: what is done about it is the shop's policy."""
        lead = self._order.policy.authorization_lead
        if not self._paid or self._expires_at is None or self._expires_at - lead > self._order.now():
            return
        match self._order.policy.on_expiry:
            case OnExpiry.CAPTURE_EARLY:
                await self._capture_early()
            case OnExpiry.HOLD:
                method = self._order.till.methods
                await self._ask_for_another_method(method, "its payment is about to run out")
                await self._reserve_anew()
                await self._order.waits_no_more_for_money(self.id)
            case OnExpiry.REAUTHORIZE:
                await self._reserve_anew()

    async def _reserve_anew(self) -> None:
        if await steps.void_authorization(self.id):  # else it has just left, and its money is due
            self._paid = False
            await self._get_paid()

    async def _capture_early(self) -> None:
        """Take the money before it runs out; if the goods never leave, it goes back."""
        self._undo.add(partial(steps.refund_payment, self.id))
        if await self._is_captured(early=True):
            self._captured_early, self._expires_at = True, None
        else:
            await self._reserve_anew()

    async def _hand_over(self) -> None:
        self.doing = "waits for the carrier"
        await self._until(lambda: self.handed_over)
        await self._resolve(CaseKind.WAREHOUSE_LATE, resolution="handed over")

    async def _capture(self) -> None:
        """Take the money: the goods have left, so nothing stops this any more."""
        self.doing = "is on its way"
        if self.plan.value == 0:
            return
        while not await self._is_captured():
            await self._open(CaseKind.CAPTURE_FAILED, "the goods left on money that ran out")
            method = self._order.till.methods
            while (await self._order.till.ask(self)).status is not PaymentStatus.AUTHORIZED:
                await self._order.till.wait_for_method(method, lambda: False, within=None)
                method = self._order.till.methods
        await self._order.waits_no_more_for_money(self.id)
        await self._resolve(CaseKind.CAPTURE_FAILED, resolution="captured")
        await self._give_back_surplus()

    async def _is_captured(self, *, early: bool = False) -> bool:
        """Take the money; False when its reservation ran out. While a hold blocks it, it waits."""
        while True:
            await self._order.nothing_blocks_capture(unless=lambda: early and self._turned_back())
            if early and self._stopped and not self.handed_over:
                raise StoppedOnTheWay
            try:
                captured = await steps.capture_payment(self.id, early=early)
            except ActivityError as failure:
                if is_refusal(failure, AuthorizationExpired):
                    return False
                if not is_refusal(failure, Held):
                    raise
                await self._order.read_the_books()  # a hold that we have not heard of yet
            else:
                self._order.uncover(captured.uncovered)
                return True

    async def _follow_to_the_door(self) -> Outcome:
        """Act on the carrier's news, and on what people decide, until the parcel has an end and nothing is open."""
        self.followed = True
        while True:
            await workflow.wait_condition(lambda: bool(self._facts) or self._end() is not None)
            if self._facts:
                await self._act_on(self._facts.popleft())
            elif outcome := self._end():
                self.followed = False
                return outcome

    def _end(self) -> Outcome | None:
        """How it ended; None while it is under way, or something about it is to be decided."""
        if self.carrier_status not in _ENDS or self._order.cases.stands(self.id, *UNDECIDED):
            return None
        match self.carrier_status:
            case CarrierStatus.DELIVERED:
                return Outcome.DELIVERED
            case CarrierStatus.RETURNED:
                return Outcome.RETURNED
            case _:
                return Outcome.LOST

    async def _act_on(self, fact: Fact) -> None:
        match fact:
            case Milestone():
                await self._milestone(fact)
            case Overdue(deed=Deed() as deed):
                await self._due(fact.kind, deed)
            case Overdue():
                await self._overdue(fact)
            case Decided():
                await self._settled(fact.settled)
        self._order.show()

    async def _milestone(self, news: Milestone) -> None:
        self.carrier_status, self.edd = news.status, news.edd or self.edd
        await self._resolve(*ENDED_BY_A_SCAN, resolution="a scan came")
        if self._turned_up(news):
            await self._found()
        if news.status in _ENDS:
            return await self._arrived(news.status)
        await self._open_what_it_is(news)
        if self.edd and self._order.promise_date and self.edd > self._order.promise_date:
            await self._comes_later(self.edd, news.reason or "the carrier is running late")
        return None

    async def _open_what_it_is(self, news: Milestone) -> None:
        """Open the cases that the news is, and end those that it is no more, or is for another reason."""
        self._take_over_from_the_books(news.case)
        now = troubles(news.status, news.flags, news.reason).difference(BY_THE_BOOKS)
        if CaseKind.RETURN_TO_SENDER in now and self._order.cases.stands(self.id, CaseKind.REFUSED):
            now = now - {CaseKind.RETURN_TO_SENDER} | {CaseKind.REFUSED}  # that is why it comes back
        over = [kind for kind in STAND_WITH_THE_NEWS if kind not in now]
        await self._resolve(*over, resolution=f"then it was {news.status}")
        if CaseKind.CUSTOMS in now and self._order.cases.asks_another(self.id, CaseKind.CUSTOMS, news.reason):
            await self._resolve(CaseKind.CUSTOMS, resolution=f"then it was {news.reason}")
        for kind in sorted(now):
            await self._open(kind, news.reason)

    def _take_over_from_the_books(self, case: Case | None) -> None:
        for kind in BY_THE_BOOKS:
            if case is None or kind is not case.kind:
                self._order.cases.drop(self.id, kind)
        if case and not self.settlement:
            self._order.cases.take_over((case,))

    def _turned_up(self, news: Milestone) -> bool:
        """Whether what was given up comes after all. What is damaged was never given up: it travels on.

        What turns up on its way back, or destroyed, does not reach its customer: what was sent instead still does.
        """
        if self.settlement is None or Flag.DAMAGED in news.flags:
            return False
        return news.status is CarrierStatus.DELIVERED or (self._given_up and news.status in MOVING)

    async def _found(self) -> None:
        """Let what was to replace it stay here, where it has not left."""
        came_to = await steps.found_again(Found(order_id=self._order.order_id, shipment_id=self.id))
        self.settlement, self._given_up = came_to.settlement, False
        self._order.replan(came_to.state)

    async def _arrived(self, status: CarrierStatus) -> None:
        """Settle what it ended with: whatever became of the goods, the customer gets them or their money."""
        if status is CarrierStatus.RETURNED:
            await self._make_good(Cause.RETURNED)
        elif status is not CarrierStatus.DELIVERED:
            await self._open(CaseKind.LOST, f"the parcel is {status}")
            await self._make_good(Cause.LOST)
        over = (kind for kind in CaseKind if kind not in UNDECIDED)
        await self._resolve(*over, resolution=status)

    async def _make_good(self, cause: Cause) -> None:
        """Send another one, or give the money back: as the policy says, unless it was decided before."""
        request = Settle(
            order_id=self._order.order_id,
            shipment_id=self.id,
            cause=cause,
            by="policy",
            request_id=f"{self.id}:{cause}",
        )
        await self._settled(await steps.settle_shipment(request))

    async def _settled(self, settled: Settled) -> None:
        """Take over what was decided about its goods. The cases that asked for it are over."""
        self.settlement, self._given_up = settled.settlement, settled.cause in GIVEN_UP
        self._order.replan(settled.state)
        if settled.settlement is Settlement.REFUND:
            await self._refund()
        await self._resolve(*sorted(ABOUT_THE_GOODS), resolution=settled.resolution)

    async def _due(self, kind: CaseKind, deed: Deed) -> None:
        """Do what the playbook of a case says is done when nobody acts."""
        if not self._order.cases.stands(self.id, kind):
            return
        match deed:
            case Deed.GIVE_UP:
                await self._declare_lost()
            case Deed.DECIDE if self.value > self._order.policy.keep_item_under:
                return  # much is at stake: the carrier's trace is waited for
            case Deed.DECIDE | Deed.MAKE_GOOD if kind is CaseKind.NOT_RECEIVED and self.plan.replaces:
                return  # not received again: that is for a person, whom the sweep calls
            case Deed.DECIDE | Deed.MAKE_GOOD:
                await self._make_good(CAUSE[kind])

    async def _overdue(self, fact: Overdue) -> None:
        if fact.kind is CaseKind.LOST:
            await self._declare_lost()
        elif fact.kind in (CaseKind.AUTHORIZATION_EXPIRING, CaseKind.WAREHOUSE_LATE):
            return  # it has left meanwhile
        elif fact.kind is CaseKind.DELAYED and self.settlement is None:
            await self._comes_later(fact.day or self._a_new_guess(), fact.reason or "it is slower than usual")
        elif not self._order.cases.stands(self.id, *NO_SCAN_EXPECTED):
            await self._open(fact.kind, "no news from the carrier")

    async def _declare_lost(self) -> None:
        """Give the parcel up, unless news came meanwhile: what all its scans say together counts."""
        request = DeclareLost(order_id=self._order.order_id, parcel_id=self._parcel())
        self.carrier_status = await steps.declare_lost(request)
        if self.carrier_status in _ENDS:
            await self._arrived(self.carrier_status)

    def _a_new_guess(self) -> date:
        tomorrow = (self._order.now() + timedelta(days=1)).date()
        return max(tomorrow, self.edd) if self.edd else tomorrow

    async def _comes_later(self, day: date, reason: str) -> None:
        """Move the promise and tell the customer: of another day once a day, what is left to tell on the next."""
        if self._order.promise_date and day <= self._order.promise_date:
            return
        before = self._order.promise_date
        now = await steps.revise_promise(
            RevisePromise(
                order_id=self._order.order_id, shipment_id=self.id, promised_date=day, reason=reason
            )
        )
        self._order.promise_date = now
        if before != now:
            await self._open(CaseKind.DELAYED, reason)

    async def _refund(self) -> None:
        """Give the money back; a refund that fails is a case, and is tried again every day."""
        while not await steps.refund_payment(self.id):
            await self._open(CaseKind.REFUND_FAILED, "the provider refuses the refund")
            await self._order.sleep(timedelta(days=1), f"try the refund of {self.id} again")
        await self._resolve(CaseKind.REFUND_FAILED, resolution="refunded")
        self.refunded = self.plan.value > 0

    # --- small things ---------------------------------------------------------------------------------

    def _parcel(self) -> str:
        return self.parcel_id or self.id

    async def _until(self, there: Callable[[], bool]) -> None:
        """Wait for a fact, acting on what is overdue meanwhile.

        Raises:
            StoppedOnTheWay: somebody stopped the shipment first.
            SentBack: the books took it back a step.
        """
        while True:
            await workflow.wait_condition(
                lambda: there() or self._turned_back() or self._surplus_is_due or bool(self._overdues())
            )
            if self._stopped and not self.handed_over:
                raise StoppedOnTheWay
            if self._turned_back():
                raise SentBack
            if self._surplus_is_due:
                await self._give_back_surplus()
                continue
            if there():
                return
            late = self._overdues()[0]
            self._facts.remove(late)
            await self._note_trouble(late)

    def _turned_back(self) -> bool:
        """Whether what was achieved for it holds no more: it was stopped, or must go back a step."""
        if self.handed_over:
            return False
        return self._stopped or self._sent_back or not self._holds_what_it_needs()

    def _holds_what_it_needs(self) -> bool:
        return not self._was_ready or (self._paid and self._stock_is_here)

    def _overdues(self) -> list[Overdue]:
        """What is late. The carrier's news waits until the parcel is followed: none of it may be lost."""
        return [fact for fact in self._facts if isinstance(fact, Overdue) and fact.deed is None]

    async def _note_trouble(self, late: Overdue) -> None:
        if late.kind is CaseKind.AUTHORIZATION_EXPIRING:
            if self._expires_at is None:
                await self._order.read_the_books()
            await self._renew_authorization()
        else:
            await self._open(late.kind, "it should have left by now")

    async def _open(self, kind: CaseKind, note: str) -> None:
        if self.settlement and kind in ABOUT_THE_GOODS:
            return  # the customer has got another one, or their money
        now, policy = self._order.now(), self._order.policy
        await self._order.cases.open(self._subject(kind), kind, now=now, policy=policy, note=note)
        self._order.show()

    async def _resolve(self, *kinds: CaseKind, resolution: str) -> None:
        for kind in kinds:
            await self._order.cases.resolve(self._subject(kind), kind, resolution=resolution)
        self._order.show()

    def _subject(self, kind: CaseKind) -> str:
        return self._order.order_id if kind is CaseKind.PAYMENT_DECLINED else self.id
