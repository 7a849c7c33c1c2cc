"""The control room, /_sim: faults, the clock, the ledger, and hands in the physical world."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from devstack.simulators import pages
from devstack.simulators.clock import epoch, iso
from devstack.simulators.easypost import LABEL_TYPES, label_file
from devstack.simulators.faults import BadFault
from devstack.simulators.journey import Scan
from devstack.simulators.parcels import UnknownParcel, UnknownProfile
from devstack.simulators.sender import PROVIDERS
from devstack.simulators.shelves import BadShelf
from devstack.simulators.store import Json
from devstack.simulators.wire import Refusal

if TYPE_CHECKING:
    from devstack.simulators.app import World

COUNTS: Final = {
    "payments": "SELECT count(*) FROM intents",
    "refunds": "SELECT count(*) FROM refunds",
    "disputes": "SELECT count(*) FROM disputes",
    "shipments": "SELECT count(*) FROM shipments",
    "labels": "SELECT count(*) FROM shipments WHERE bought IS NOT NULL",
    "handed_over": "SELECT count(*) FROM parcels WHERE handed_over IS NOT NULL",
    "scans": "SELECT count(*) FROM scans WHERE fired = 1",
    "scans_pending": "SELECT count(*) FROM scans WHERE fired = 0",
    "mails": "SELECT count(*) FROM mails",
    "texts": "SELECT count(*) FROM texts",
}
Deed = Callable[[Request], Awaitable[Response]]


class BadRequest(Exception):
    """The request to the control room makes no sense."""


class Control:
    """What a demo, a test or a person may do to the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return every control route."""
        table: list[tuple[str, str, Deed]] = [
            ("GET", "/_sim", self.room),
            ("GET", "/_sim/clock", self.clock),
            ("GET", "/_sim/ledger", self.ledger),
            ("GET", "/_sim/counts", self.counts),
            ("GET", "/_sim/faults", self.faults),
            ("POST", "/_sim/faults", self.arm_fault),
            ("DELETE", "/_sim/faults", self.clear_faults),
            ("DELETE", "/_sim/faults/{number:int}", self.clear_faults),
            ("GET", "/_sim/webhooks", self.webhooks),
            ("POST", "/_sim/webhooks", self.aim_webhooks),
            ("GET", "/_sim/parcels", self.parcels),
            ("POST", "/_sim/parcels", self.arm_profile),
            ("DELETE", "/_sim/parcels", self.disarm_profiles),
            ("GET", "/_sim/parcels/{code}", self.parcel),
            ("POST", "/_sim/parcels/{code}/handed_over", self.hand_over),
            ("POST", "/_sim/parcels/{code}/scans", self.scan),
            ("GET", "/_sim/shelves", self.shelves),
            ("POST", "/_sim/shelves", self.arm_shelf),
            ("POST", "/_sim/payments/{intent}/authenticate", self.authenticate),
            ("POST", "/_sim/payments/{intent}/settle", self.settle),
            ("POST", "/_sim/payments/{intent}/dispute", self.dispute),
            ("POST", "/_sim/payments/{intent}/review", self.review),
            ("POST", "/_sim/orders/{order}/review", self.ask_for_review),
            ("POST", "/_sim/refunds/{refund}/settle", self.settle_refund),
            ("POST", "/_sim/refunds/{refund}/fail", self.fail_refund),
            ("POST", "/_sim/disputes/{dispute}/close", self.close_dispute),
            ("POST", "/_sim/reviews/{review}/close", self.close_review),
            ("POST", "/_sim/sessions/{session}/choose", self.choose_card),
            ("POST", "/_sim/keys/forget", self.forget_keys),
            ("POST", "/_sim/account", self.account),
            ("GET", "/_sim/mails", self.mails),
            ("POST", "/_sim/texts", self.text),
            ("DELETE", "/_sim/mails", self.empty_mailbox),
            ("GET", "/mail", self.inbox),
            ("GET", "/mail/{number:int}", self.letter),
            ("GET", "/stripe/3ds/{intent}", self.bank_question),
            ("POST", "/stripe/3ds/{intent}", self.bank_answer),
            ("GET", "/stripe/checkout/{session}", self.card_choice),
            ("POST", "/stripe/checkout/{session}", self.card_chosen),
            ("GET", "/easypost/labels/{code}.{kind}", self.label),
            ("GET", "/easypost/forms/{form}.pdf", self.form),
        ]
        return [Route(path, self._guarded(deed), methods=[method]) for method, path, deed in table]

    def _guarded(self, deed: Deed) -> Deed:
        async def endpoint(request: Request) -> Response:
            try:
                return await deed(request)
            except Refusal as refusal:
                return Response(refusal.answer.body, refusal.answer.status, media_type="application/json")
            except UnknownParcel as error:
                return JSONResponse({"error": f"no parcel bears the number {error}"}, 404)
            except (BadFault, BadShelf, UnknownProfile, BadRequest) as error:
                return JSONResponse({"error": str(error)}, 422)

        return endpoint

    # The world at a glance

    async def room(self, request: Request) -> Response:
        """The page for people."""
        world = self._world
        targets = {name: world.sender.target(name) for name in PROVIDERS}
        return HTMLResponse(
            pages.control_room(
                self._clock(), self._counts(), world.faults.listed(), world.parcels.profiles(), targets
            )
        )

    async def clock(self, request: Request) -> Response:
        """The factor and the shop's time."""
        return JSONResponse(self._clock())

    def _clock(self) -> Json:
        clock = self._world.clock
        return {"speed": clock.speed, "anchor": iso(clock.anchor), "shop_time": iso(clock.now())}

    async def counts(self, request: Request) -> Response:
        """How much of everything there is."""
        return JSONResponse(self._counts())

    def _counts(self) -> Json:
        counts: Json = {name: self._world.store.number(sql) for name, sql in COUNTS.items()}
        return counts | {"webhooks": self._world.sender.counts()}

    async def ledger(self, request: Request) -> Response:
        """What really happened."""
        world = self._world
        since = _instant(request.query_params.get("since"))
        with world.store.transaction():
            world.stripe.expire_holds()
        return JSONResponse(world.ledger.since(since))

    # Faults and webhooks

    async def faults(self, request: Request) -> Response:
        """The faults that are armed."""
        return JSONResponse({"faults": self._world.faults.listed()})

    async def arm_fault(self, request: Request) -> Response:
        """Arm one fault."""
        return JSONResponse(self._world.faults.arm(await _body(request)), 201)

    async def clear_faults(self, request: Request) -> Response:
        """Disarm one fault, or all."""
        return JSONResponse({"cleared": self._world.faults.clear(request.path_params.get("number"))})

    async def webhooks(self, request: Request) -> Response:
        """Where the events go and how many wait. Secrets are not told."""
        sender = self._world.sender
        targets = {name: {"url": sender.target(name) or None} for name in PROVIDERS}
        return JSONResponse(targets | {"counts": sender.counts()})

    async def aim_webhooks(self, request: Request) -> Response:
        """Set addresses and secrets, and whether webhooks are as unreliable as real ones."""
        sent = await _body(request)
        for name in PROVIDERS:
            part = sent.get(name) or {}
            self._world.sender.aim(name, url=part.get("url"), secret=part.get("secret"))
        if "noise" in sent:
            self._world.faults.noise(bool(sent["noise"]))
        return await self.webhooks(request)

    # The physical world

    async def parcels(self, request: Request) -> Response:
        """The armed profiles, and the parcels of a reference with their future."""
        parcels, reference = self._world.parcels, request.query_params.get("reference", "")
        return JSONResponse({"profiles": parcels.profiles(), "parcels": parcels.listed(reference)})

    async def arm_profile(self, request: Request) -> Response:
        """Let the parcels of a reference travel in a certain way."""
        sent = await _body(request)
        reference = str((sent.get("match") or {}).get("reference") or "")
        profile, p = str(sent.get("profile")), float(sent.get("p", 1.0))
        with self._world.store.transaction():
            changed = self._world.parcels.arm(reference, profile, p)
        armed = {"match": {"reference": reference}, "profile": profile, "p": p}
        return JSONResponse(armed | {"changed_course": changed}, 201)

    async def disarm_profiles(self, request: Request) -> Response:
        """Forget the profiles."""
        self._world.parcels.disarm()
        return JSONResponse({"profiles": []})

    async def parcel(self, request: Request) -> Response:
        """One parcel with its future."""
        return JSONResponse(self._world.parcels.parcel(request.path_params["code"]))

    async def hand_over(self, request: Request) -> Response:
        """The dock gives the parcel to its carrier; a way that comes with it is travelled instead of a drawn one."""
        way = [_scan(said) for said in (await _body(request)).get("way") or ()]
        with self._world.store.transaction():
            return JSONResponse(self._world.parcels.hand_over(request.path_params["code"], way))

    async def scan(self, request: Request) -> Response:
        """A carrier scans the parcel at this moment."""
        sent = await _body(request)
        if not sent.get("status"):
            raise BadRequest("a scan needs a status")
        at, _ = _instant(sent.get("datetime")), _instant(sent.get("est_delivery_date"))
        with self._world.store.transaction():
            code = request.path_params["code"]
            return JSONResponse(self._world.parcels.scan(code, sent, None if at is None else epoch(at)), 201)

    async def shelves(self, request: Request) -> Response:
        """What pickers will find that the books do not know."""
        return JSONResponse({"surprises": self._world.shelves.listed()})

    async def arm_shelf(self, request: Request) -> Response:
        """Let something be wrong with units of an order: missing, damaged, or something else in their place."""
        sent = await _body(request)
        with self._world.store.transaction():
            return JSONResponse(self._world.shelves.arm(sent), 201)

    # The customer and the bank

    async def authenticate(self, request: Request) -> Response:
        """The customer passes or fails 3-D Secure."""
        return JSONResponse(self._authenticate(request, bool((await _body(request)).get("success", True))))

    def _authenticate(self, request: Request, success: bool) -> Json:
        stripe, base = self._world.stripe, str(request.base_url).rstrip("/")
        with self._world.store.transaction():
            return stripe.authenticate(request.path_params["intent"], success=success, base_url=base)

    async def bank_question(self, request: Request) -> Response:
        """The page 3-D Secure sends the customer to."""
        return HTMLResponse(pages.bank_question(self._world.stripe.load(request.path_params["intent"])))

    async def bank_answer(self, request: Request) -> Response:
        """The customer pressed a button of that page; a page left open too long says that it is too late."""
        fields = parse_qs((await request.body()).decode())
        asked = self._world.stripe.load(request.path_params["intent"])
        if asked["status"] != "requires_action":
            return HTMLResponse(pages.bank_question(asked), 409)
        back = asked["next_action"]["redirect_to_url"]["return_url"]
        success = fields.get("success") == ["true"]
        intent = self._authenticate(request, success)
        if not back:
            return HTMLResponse(pages.page("Thank you", "<p>You may close this page.</p>"))
        said = {"payment_intent": intent["id"], "redirect_status": "succeeded" if success else "failed"}
        return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{urlencode(said)}", 303)

    async def card_choice(self, request: Request) -> Response:
        """The page on which the customer gives a card."""
        return HTMLResponse(
            pages.card_choice(self._world.stripe.checkout.session(request.path_params["session"]))
        )

    async def card_chosen(self, request: Request) -> Response:
        """The customer chose a card of that page."""
        fields = parse_qs((await request.body()).decode())
        session = self._choose(request, fields.get("card", [""])[0])
        back = str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])
        return RedirectResponse(back, 303)

    async def choose_card(self, request: Request) -> Response:
        """The same without the page."""
        return JSONResponse(self._choose(request, str((await _body(request)).get("card", "visa"))))

    def _choose(self, request: Request, card: str) -> Json:
        with self._world.store.transaction():
            return self._world.stripe.checkout.choose(request.path_params["session"], card)

    async def settle(self, request: Request) -> Response:
        """A payment that takes its time succeeds or fails."""
        success = bool((await _body(request)).get("success", True))
        with self._world.store.transaction():
            return JSONResponse(self._world.stripe.settle(request.path_params["intent"], success=success))

    async def dispute(self, request: Request) -> Response:
        """The customer disputes a payment at their bank."""
        sent, world = await _body(request), self._world
        reason, amount = str(sent.get("reason", "product_not_received")), sent.get("amount")
        with world.store.transaction():
            disputes = world.stripe.disputes
            return JSONResponse(
                disputes.dispute(request.path_params["intent"], reason=reason, amount=amount), 201
            )

    async def close_dispute(self, request: Request) -> Response:
        """The bank decides a dispute."""
        status, world = str((await _body(request)).get("status", "lost")), self._world
        with world.store.transaction():
            return JSONResponse(world.stripe.disputes.close(request.path_params["dispute"], status))

    async def review(self, request: Request) -> Response:
        """The fraud desk looks at a payment."""
        with self._world.store.transaction():
            return JSONResponse(self._world.stripe.disputes.review(request.path_params["intent"]), 201)

    async def ask_for_review(self, request: Request) -> Response:
        """The fraud desk will look at the next payment of an order, and say so before the payment is told."""
        self._world.stripe.disputes.ask_for_review(request.path_params["order"])
        return JSONResponse({"order": request.path_params["order"]}, 201)

    async def close_review(self, request: Request) -> Response:
        """The fraud desk decides."""
        reason, world = str((await _body(request)).get("reason", "approved")), self._world
        with world.store.transaction():
            return JSONResponse(world.stripe.disputes.close_review(request.path_params["review"], reason))

    # The payment provider's own housekeeping

    async def forget_keys(self, request: Request) -> Response:
        """Forget an order's keys, or all, as the provider does after their life."""
        order, world = str((await _body(request)).get("order", "")), self._world
        with world.store.transaction():
            return JSONResponse({"forgotten": world.stripe.forget_keys(order)})

    async def account(self, request: Request) -> Response:
        """Set what the shop's account may do."""
        allowed = bool((await _body(request)).get("multicapture"))
        self._world.stripe.allow_multicapture(allowed)
        return JSONResponse({"multicapture": allowed})

    async def settle_refund(self, request: Request) -> Response:
        """A refund that waits succeeds or fails."""
        success, world = bool((await _body(request)).get("success", True)), self._world
        with world.store.transaction():
            return JSONResponse(world.stripe.settle_refund(request.path_params["refund"], success=success))

    async def fail_refund(self, request: Request) -> Response:
        """A refund that succeeded fails after all."""
        with self._world.store.transaction():
            return JSONResponse(self._world.stripe.fail_refund(request.path_params["refund"]))

    # Mail and labels

    async def mails(self, request: Request) -> Response:
        """The mails, newest first."""
        asked = request.query_params
        since, limit = int(asked.get("since_id", 0)), int(asked.get("limit", 1000))
        found = self._world.mailbox.listed(
            to=asked.get("to", ""), message_id=asked.get("message_id", ""), since_id=since, limit=limit
        )
        return JSONResponse({"mails": found})

    async def text(self, request: Request) -> Response:
        """Let somebody text the shop."""
        sent = await _body(request)
        with self._world.store.transaction():
            sid = self._world.twilio.text_us(str(sent.get("from", "")), str(sent.get("body", "")))
        return JSONResponse({"sid": sid}, 201)

    async def empty_mailbox(self, request: Request) -> Response:
        """Throw every mail away."""
        return JSONResponse({"deleted": self._world.mailbox.empty()})

    async def inbox(self, request: Request) -> Response:
        """The page of mails."""
        return HTMLResponse(
            pages.inbox(self._world.mailbox.listed(to=request.query_params.get("to", ""), limit=200))
        )

    async def letter(self, request: Request) -> Response:
        """One mail to read."""
        mail = self._world.mailbox.read(request.path_params["number"])
        return HTMLResponse(pages.letter(mail)) if mail else HTMLResponse(pages.page("No such mail", ""), 404)

    async def label(self, request: Request) -> Response:
        """What is printed of a label."""
        code, kind = request.path_params["code"], request.path_params["kind"]
        self._world.parcels.tracker(code)
        return Response(label_file(code, kind), media_type=LABEL_TYPES[kind.upper()])

    async def form(self, request: Request) -> Response:
        """What is printed of a scan form."""
        return Response(label_file(request.path_params["form"], "pdf"), media_type=LABEL_TYPES["PDF"])


async def _body(request: Request) -> Json:
    try:
        sent: Any = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(sent, dict):
        raise BadRequest("the body is not an object")
    return sent


def _scan(said: Json) -> Scan:
    """Return a scan to come as it was sent, in the form in which a parcel shows it."""
    est = _instant(said.get("est"))
    try:
        at = epoch(str(_instant(said["at"])))
        status, detail, place = str(said["status"]), str(said["status_detail"]), tuple(said["place"])
    except (KeyError, TypeError) as error:
        raise BadRequest(f"a scan to come needs at, status, status_detail and place: {error}") from error
    return Scan(at=at, status=status, detail=detail, place=place, est=epoch(est) if est else None)


def _instant(text: str | None) -> str | None:
    """Return an ISO instant as it was given; a space in it was the plus of its offset."""
    if not text:
        return None
    text = text.replace(" ", "+")
    try:
        epoch(text)
    except ValueError as error:
        raise BadRequest(f"not an ISO instant: {text}") from error
    return text
