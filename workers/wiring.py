"""Settings in, activities out: the only place where a port meets its adapter."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Engine

from activities.dock import DockActivities, FormMaker
from activities.inventory import InventoryActivities
from activities.payments import PaymentActivities, PaymentGateway
from activities.reconciliation import ReconciliationActivities
from activities.records import RecordActivities
from activities.replenishment import ReplenishmentActivities
from activities.shipping import Carrier, ShippingActivities
from fulfillment.domain.clock import ShopClock
from fulfillment.domain.notifications import Channel
from fulfillment.providers.carriers.easypost.client import EasyPostCarrier
from fulfillment.providers.carriers.karrio.client import KarrioCarrier
from fulfillment.providers.notifications.messages import Renderer
from fulfillment.providers.notifications.smtp.client import SmtpChannel
from fulfillment.providers.notifications.twilio.client import TwilioChannel
from fulfillment.providers.notifications.webhooks.client import WebhookChannel
from fulfillment.providers.payments.stripe.client import StripeGateway
from fulfillment.settings import Settings, real_now, shop_now
from fulfillment.storage.drift import DriftStore
from fulfillment.storage.engine import connect
from fulfillment.storage.outbox import OutboxStore
from fulfillment.storage.payments import PaymentStore
from fulfillment.storage.reconciliation import ReconciliationStore
from fulfillment.storage.records import RecordStore
from fulfillment.storage.replenishment import ReplenishmentStore
from fulfillment.storage.scan_forms import ScanFormStore
from fulfillment.storage.shipping import ShippingBooks
from fulfillment.storage.stock import StockStore
from fulfillment.storage.views import OrderViews
from fulfillment.storage.webhooks import WebhookStore
from workers.courier import Courier
from workers.relay import Relay, Sender
from workers.worker import DATABASE_THREADS, PROVIDER_THREADS, Deeds

# The settings without which the providers in use cannot be spoken to, by the carrier.
NEEDED: Final = {
    "easypost": ("stripe_key", "easypost_key"),
    "karrio": ("stripe_key", "karrio_url", "karrio_key"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The outside world as our ports see it; `public_url` is where it finds us."""

    gateway: PaymentGateway
    carrier: Carrier
    forms: FormMaker | None
    public_url: str


def world(settings: Settings) -> World:
    """Return the adapters of the providers in use."""
    settings.needed(*NEEDED[settings.carrier])
    carrier = _carrier(settings)
    return World(
        gateway=StripeGateway(
            key=settings.stripe_key,
            now=_now(settings.clock),
            base_url=settings.stripe_url,
            return_url=settings.public_url,
        ),
        carrier=carrier,
        forms=carrier if isinstance(carrier, EasyPostCarrier) else None,
        public_url=settings.public_url,
    )


def _carrier(settings: Settings) -> KarrioCarrier | EasyPostCarrier:
    if settings.carrier == "karrio":
        return KarrioCarrier(key=settings.karrio_key, base_url=settings.karrio_url)
    return EasyPostCarrier(key=settings.easypost_key, base_url=settings.easypost_url)


def engine(settings: Settings) -> Engine:
    """Return the database with as many connections as there are threads that may want one."""
    settings.needed("database_url")
    return connect(settings.database_url, pool_size=2 * DATABASE_THREADS + 2 * PROVIDER_THREADS + 1)


def deeds(books: Engine, outside: World, clock: ShopClock) -> Deeds:
    """Return the activities by queue, each handed what it needs."""
    now = _now(clock)
    shipping_books = ShippingBooks(books, now, real_now)
    inventory = InventoryActivities(StockStore(books, now))
    records = RecordActivities(RecordStore(books, now))
    payments = PaymentActivities(
        outside.gateway, PaymentStore(books, now, real_now), public_url=outside.public_url
    )
    shipping = ShippingActivities(outside.carrier, shipping_books)
    dock = DockActivities(outside.forms, ScanFormStore(books, now))
    replenishment = ReplenishmentActivities(ReplenishmentStore(books, now), DriftStore(books, now))
    reconciliation = ReconciliationActivities(ReconciliationStore(books, now, clock))
    return Deeds(
        orders=[
            inventory.reserve_stock,
            records.confirm_order,
            records.place_hold,
            records.wait_for_all,
            records.release_hold,
            records.stop_shipments,
            records.read_state,
            records.cancel_units,
            records.add_lines,
            records.substitute,
            records.undo_change,
            records.change_address,
            records.change_service,
            records.open_case,
            records.resolve_case,
            records.answer_case,
            records.settle_shipment,
            records.found_again,
            records.revise_promise,
            records.declare_lost,
            records.change_payment_method,
            records.close_order,
            replenishment.order_what_is_low,
            replenishment.repair_drift,
            reconciliation.find_what_was_missed,
            reconciliation.note_heard,
            reconciliation.note_silence,
            reconciliation.note_doubt,
        ],
        payments=[
            payments.authorize_payments,
            payments.check_payment,
            payments.capture_payment,
            payments.void_authorization,
            payments.void_payment,
            payments.refund_payment,
            payments.pay_refund,
            payments.ask_for_method,
            payments.ask_about_operation,
        ],
        carriers=[shipping.buy_label, shipping.void_label, shipping.ask_carrier, dock.make_scan_form],
    )


def outbox_relay(books: Engine, settings: Settings) -> Relay:
    """Return what sends the messages."""
    settings.needed("smtp_host")
    now = _now(settings.clock)
    senders = _senders(settings)
    renderer = Renderer(mail_from=settings.mail_from, public_url=settings.public_url)
    outbox = OutboxStore(books, now, settings.clock, channels=tuple(senders))
    return Relay(outbox, senders, renderer, OrderViews(books, now).view)


def courier(books: Engine, settings: Settings) -> Courier:
    """Return what brings the webhooks to the storefront."""
    channel = WebhookChannel(
        source=settings.public_url, real_now=real_now, to_private=settings.webhooks_to_private
    )
    return Courier(WebhookStore(books, _now(settings.clock), settings.clock), channel)


def _senders(settings: Settings) -> dict[Channel, Sender]:
    """Return the channels this shop has: e-mail, and text messages where it has an account for them."""
    mail = SmtpChannel(
        host=settings.smtp_host,
        port=settings.smtp_port,
        mail_from=settings.mail_from,
        user=settings.smtp_user,
        password=settings.smtp_password,
    )
    if not settings.twilio_account:
        return {Channel.EMAIL: mail}
    settings.needed("twilio_token", "twilio_from")
    texts = TwilioChannel(
        account=settings.twilio_account,
        token=settings.twilio_token.split()[0],  # while one replaces another, the first is the one to use
        sender=settings.twilio_from,
        callback_url=f"{settings.public_url.rstrip('/')}/webhooks/twilio/status",
        base_url=settings.twilio_url,
    )
    return {Channel.EMAIL: mail, Channel.SMS: texts}


def _now(clock: ShopClock) -> Callable[[], datetime]:
    return lambda: shop_now(clock)
