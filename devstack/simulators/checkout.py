"""The provider's own page on which a customer gives a card: Checkout Sessions that set one up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from devstack.simulators import cards
from devstack.simulators.clock import Clock
from devstack.simulators.store import Json, Store, dump, load
from devstack.simulators.stripe_words import invalid, missing, new_id, words_of
from devstack.simulators.wire import Answer, Call, as_json

if TYPE_CHECKING:
    from devstack.simulators.stripe import Stripe

SESSION_LIFE: Final = 86_400


class Checkout:
    """Sessions, the cards they brought, and whose those are."""

    def __init__(self, store: Store, clock: Clock, stripe: Stripe) -> None:
        self._store, self._clock, self._stripe = store, clock, stripe

    def routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        """Return what the shop may ask and do."""
        return [
            ("POST", "/v1/checkout/sessions", self._create),
            ("GET", "/v1/checkout/sessions/*", self._get),
            ("GET", "/v1/setup_intents/*", self._get_setup),
        ]

    def _create(self, call: Call) -> Answer:
        _check(call)
        session = self._new(call)
        self._save(session)
        return as_json(session)

    def _new(self, call: Call) -> Json:
        identity, params, now = new_id("cs_test_"), call.params, int(self._clock.now())
        return {
            "id": identity, "object": "checkout.session", "cancel_url": params.get("cancel_url"),
            "client_reference_id": params.get("client_reference_id"), "created": now,
            "currency": params.get("currency"), "customer": params.get("customer"),
            "customer_creation": params.get("customer_creation"), "expires_at": now + SESSION_LIFE,
            "livemode": False, "metadata": words_of(params.get("metadata")), "mode": "setup",
            "payment_intent": None, "payment_method_types": ["card"], "payment_status": "no_payment_required",
            "setup_intent": self._new_setup(call), "status": "open", "success_url": params["success_url"],
            "url": f"{call.base_url}/stripe/checkout/{identity}",
        }  # fmt: skip

    def _new_setup(self, call: Call) -> str:
        data = call.params.get("setup_intent_data") or {}
        setup = {
            "id": new_id("seti_"), "object": "setup_intent", "created": int(self._clock.now()),
            "customer": call.params.get("customer"), "description": data.get("description"),
            "last_setup_error": None, "livemode": False, "metadata": words_of(data.get("metadata")),
            "next_action": None, "payment_method": None, "payment_method_types": ["card"],
            "status": "requires_payment_method", "usage": "off_session",
        }  # fmt: skip
        self._save_setup(setup)
        return str(setup["id"])

    def choose(self, identity: str, choice: str) -> Json:
        """Let the customer give one of the test cards, and return the session.

        Raises:
            Refusal: there is no such session or card, or it was used or has run out.
        """
        session = self.session(identity)
        if choice not in cards.CHOICES:
            invalid(f"There is no test card {choice}.")
        if session["status"] != "open":
            invalid("This page has been used or has run out.")
        setup = self._setup(session["setup_intent"])
        owner = session["customer"] or (new_id("cus_") if session["customer_creation"] == "always" else None)
        method = f"pm_card_{choice}__{new_id('')[:8]}"
        setup |= {"status": "succeeded", "payment_method": method, "customer": owner}
        session |= {"status": "complete", "customer": owner}
        self._save_setup(setup)
        self._save(session)
        self._tell("setup_intent.succeeded", setup)
        self._tell("checkout.session.completed", session)
        return session

    def session(self, identity: str) -> Json:
        """Return a session as it is now.

        Raises:
            Refusal: there is none.
        """
        row = self._store.row("SELECT doc FROM sessions WHERE id = ?", identity)
        session = load(row["doc"]) if row else missing("checkout.session", identity)
        if session["status"] == "open" and session["expires_at"] <= self._clock.now():
            session |= {"status": "expired", "url": None}
        return session

    def check_owner(self, params: Json) -> None:
        """Refuse to charge a saved card without its owner: it is theirs alone.

        Raises:
            Refusal: another customer was named, or none.
        """
        method = params.get("payment_method")
        sql = "SELECT doc FROM setup_intents WHERE json_extract(doc, '$.payment_method') = ?"
        row = self._store.row(sql, method) if "__" in str(method) else None
        owner = load(row["doc"])["customer"] if row else None
        if owner and owner != params.get("customer"):
            invalid(f"The payment method {method} belongs to a customer. You must also provide the customer.")

    def _get(self, call: Call, identity: str) -> Answer:
        return as_json(self.session(identity))

    def _get_setup(self, call: Call, identity: str) -> Answer:
        return as_json(self._setup(identity))

    def _setup(self, identity: str) -> Json:
        row = self._store.row("SELECT doc FROM setup_intents WHERE id = ?", identity)
        return load(row["doc"]) if row else missing("setup_intent", identity)

    def _save(self, session: Json) -> None:
        order = session["metadata"].get("order_id", "")
        self._store.run(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", session["id"], order, dump(session)
        )

    def _save_setup(self, setup: Json) -> None:
        self._store.run("INSERT OR REPLACE INTO setup_intents VALUES (?, ?)", setup["id"], dump(setup))

    def _tell(self, name: str, subject: Json) -> None:
        self._stripe.tell(name, subject, None, subject=subject)


def _check(call: Call) -> None:
    params = call.params
    if params.get("mode") != "setup":
        invalid("Only sessions that set up a payment method are known here.", param="mode")
    if not params.get("success_url"):
        invalid("Missing required param: success_url.", param="success_url", code="parameter_missing")
    if "payment_method_types" in params:
        invalid("payment_method_types is no longer supported.", param="payment_method_types")
    if not params.get("currency") and not params.get("allowed_payment_method_types"):
        invalid("Missing required param: currency.", param="currency", code="parameter_missing")
