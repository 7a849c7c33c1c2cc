"""Every wait and every decision a shop may change. An order keeps the version it was placed with."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class SplitCapture(StrEnum):
    """How the money of an order with several shipments is reserved."""

    ONE_PER_SHIPMENT = "one_authorization_per_shipment"  # every provider; the customer sees several holds
    SEVERAL = (
        "several"  # one authorization, a capture per shipment; where the charge allows one, the rest anew
    )


class OnExpiry(StrEnum):
    """What is done when an authorization is about to run out before its goods have left."""

    REAUTHORIZE = "reauthorize"
    CAPTURE_EARLY = "capture_early"
    HOLD = "hold"


class Shortage(StrEnum):
    """What becomes of an order of which not everything is there."""

    SPLIT = "split"  # what is there leaves, the rest follows
    ASK = "ask"  # the customer says: wait for all, split, or drop what is missing
    SHIP_COMPLETE = "ship_complete"  # nothing leaves before all of it is there
    CANCEL = "cancel"  # what is missing is taken off the order


class ShortageChoice(StrEnum):
    """What the customer may answer."""

    WAIT = "wait"
    SPLIT = "split"
    DROP = "drop"
    SUBSTITUTE = "substitute"  # takes the listed equals that were offered


class Substitution(StrEnum):
    """Whether a listed equal is sent for what is not there; never at a higher price."""

    OFF = "off"
    CONSENT = "consent"  # it is offered, and sent when the customer takes it
    AUTOMATIC = "automatic"


class ConditionCheck(StrEnum):
    """Which units must be looked at before they leave."""

    ALWAYS = "always"
    RULE = "rule"  # those that are worth much, break easily or have a serial number
    OFF = "off"


class MakeGood(StrEnum):
    """What the customer gets for what was lost or damaged on its way."""

    RESHIP = "reship"  # another one where it can leave at once, else their money
    REFUND = "refund"


class SourcingRule(StrEnum):
    """Which location is asked first."""

    FEWEST_PARCELS = "fewest_parcels"
    NEAREST = "nearest"
    CHEAPEST = "cheapest"
    PRIORITY = "priority"
    ON_TIME = "on_time"


class ForeignCard(StrEnum):
    """Whose order of much money, paid with a card from another country than the goods', waits for a person."""

    UNPROVEN = "unproven"  # whom neither the provider's look at the payment nor an order before speaks for
    EVERYBODY = "everybody"
    NOBODY = "nobody"


class CarrierChoice(StrEnum):
    """Which of the offered services carries a parcel."""

    CHEAPEST_SURE = "cheapest_sure"  # of those that are sure to keep the promise; measured, not believed
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    MOST_RELIABLE = "most_reliable"
    LEAST_COST = "least_cost"  # price, and what lateness, loss and damage cost on average


class LabelFormat(StrEnum):
    """What a label's bytes are."""

    PDF = "pdf"
    PNG = "png"
    ZPL = "zpl"


class AddressCheck(StrEnum):
    """What is done with an address before a label is bought for it."""

    CORRECT = "correct"  # what the carriers correct goes to the corrected form, and the customer is told
    ASK = "ask"  # what they would correct waits for the customer's answer
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The shop's rules. Spans are shop time; amounts are minor units of the order's currency."""

    version: str = "2026-11.4"

    reservation_ttl: timedelta = timedelta(minutes=15)
    reservation_grace: timedelta = timedelta(minutes=5)
    shortage: Shortage = Shortage.SPLIT
    shortage_default: ShortageChoice = ShortageChoice.SPLIT
    substitution: Substitution = Substitution.OFF
    ask_customer_wait: timedelta = timedelta(hours=48)
    sourcing: tuple[SourcingRule, ...] = (
        SourcingRule.FEWEST_PARCELS,
        SourcingRule.ON_TIME,
        SourcingRule.CHEAPEST,
        SourcingRule.PRIORITY,
    )
    max_parcels: int = 3  # locations; how many cartons each fills does not count
    split_min_value: int = 0
    count_review_over_units: int = 5
    count_review_over_value: int = 5000

    condition_check: ConditionCheck = ConditionCheck.RULE
    condition_check_value: int = 10000
    pick_lease: timedelta = timedelta(minutes=30)
    most_totes: int = 12
    count_within: timedelta = timedelta(hours=4)
    inspection_within: timedelta = timedelta(hours=24)

    split_capture: SplitCapture = SplitCapture.ONE_PER_SHIPMENT
    payment_retry_wait: timedelta = timedelta(hours=24)
    payment_auto_retry: timedelta = timedelta(minutes=10)
    payment_action_wait: timedelta = timedelta(hours=1)
    authorization_lead: timedelta = timedelta(hours=24)
    on_expiry: OnExpiry = OnExpiry.REAUTHORIZE
    unknown_sla: timedelta = timedelta(minutes=15)
    refund_approval_over: int = 20000
    refund_approval_count: int = 3
    refund_approval_within: timedelta = timedelta(days=90)
    dispute_lead: timedelta = timedelta(hours=48)

    risk_hold_score: int = 75
    risk_reject_score: int = 95
    risk_value: int = 50000
    risk_foreign_card: ForeignCard = ForeignCard.UNPROVEN
    hold_escalate_after: timedelta = timedelta(hours=24)
    hold_default_after: timedelta = timedelta(hours=72)

    handling: timedelta = timedelta(hours=24)
    ship_within: timedelta = timedelta(hours=48)

    weight_tolerance: float = 0.05  # at the bench, of what a parcel should weigh
    weight_slack_g: int = 50  # paper and tape, and how fine scales are
    carrier_choice: CarrierChoice = CarrierChoice.CHEAPEST_SURE
    carrier_sure: float = 0.9  # the chance to keep the promise that own parcels must bear out
    late_costs_percent: int = 10  # of the goods; a late parcel costs this
    late_costs_least: int = 800
    explore_percent: int = 3  # of the parcels try a service of which little is known
    explore_over: int = 200  # such a trial may cost more than the best offer by this
    label_format: LabelFormat = LabelFormat.PNG
    rate_life: timedelta = timedelta(hours=24)  # older offers are asked for anew
    rate_tolerance_percent: int = 10
    rate_tolerance_least: int = 200
    carrier_down_after: timedelta = timedelta(minutes=10)
    address_check: AddressCheck = AddressCheck.CORRECT
    address_give_up: timedelta = timedelta(days=7)

    transit_days: int = 5
    transit_days_abroad: int = 10
    promise_share: float = 0.85  # of a lane's parcels arrive within the days that are promised
    lane_window: timedelta = timedelta(days=90)  # older deliveries say nothing any more
    lane_parcels_at_least: int = 20  # with fewer, a lane has no spans of its own
    late_when: float = 0.5  # told late once this share of like parcels came after the promised day
    backorder_days: int = 10
    # What a lane's own history refines: the spans of a parcel are kept with it when it leaves.
    first_scan_within: timedelta = timedelta(hours=24)
    scan_silence: timedelta = timedelta(hours=48)
    scan_silence_abroad: timedelta = timedelta(hours=120)
    lost_after: timedelta = timedelta(days=10)  # seven business days and the weekends between them
    lost_after_abroad: timedelta = timedelta(days=21)
    future_scan_tolerance: timedelta = timedelta(minutes=15)

    lost_or_damaged: MakeGood = MakeGood.RESHIP
    keep_item_under: int = 2500
    carrier_switch_after: timedelta = timedelta(minutes=60)
    rate_decided_within: timedelta = timedelta(hours=2)
    trace_after: timedelta = timedelta(hours=24)
    max_attempts: int = 3  # then it waits at a counter, or comes back
    pickup_remind_after: timedelta = timedelta(days=2)
    pickup_hold: timedelta = timedelta(days=7)
    customs_wait: timedelta = timedelta(hours=48)
    damage_decided_within: timedelta = timedelta(hours=24)
    return_answer_within: timedelta = timedelta(hours=72)
    rts_wait: timedelta = timedelta(days=21)  # 15 business days
    late_offer_after: timedelta = timedelta(days=3)
    # From the hand-over on. UPS, FedEx and USPS take claims for 60 days, DHL for 30; the shortest holds for all
    # (https://www.zenventory.com/lost-package-claims-waiting-periods-deadlines-carrier-claim-faqs,
    # https://instantparcels.com/how-to-handle-your-lost-packages; unchecked with the carriers).
    carrier_claim_within: timedelta = timedelta(days=30)
    carrier_claim_lead: timedelta = timedelta(days=7)
    claim_window: timedelta = timedelta(days=30)
    not_received_wait: timedelta = timedelta(hours=48)
    trace_wait: timedelta = timedelta(days=7)  # 5 business days
    retention: timedelta = timedelta(days=730)

    service_level_z: float = 1.65  # 95 %
    demand_days: int = 56
    demand_days_at_least: int = 14
    demand_sales_at_least: int = 5
    review_days: int = 1
    orders_by_itself: bool = True  # else a person approves what is suggested

    quiet_from: timedelta = timedelta(hours=21)  # after midnight, where the customer is
    quiet_until: timedelta = timedelta(hours=8)
    delay_told_every: timedelta = timedelta(hours=24)
    message_retry_after: timedelta = timedelta(hours=1)
    webhook_alarm_after: timedelta = timedelta(hours=1)

    support_answer_within: timedelta = timedelta(hours=24)
    ops_answer_within: timedelta = timedelta(hours=1)
    bad_signal_within: timedelta = timedelta(hours=4)
    unmatched_after: timedelta = timedelta(hours=1)
    tracking_link_life: timedelta = timedelta(days=90)

    def __post_init__(self) -> None:
        if self.shortage_default is ShortageChoice.SUBSTITUTE:
            raise ValueError("a customer who does not answer has agreed to no substitute")

    @property
    def unanswered(self) -> ShortageChoice:
        """What is done for a customer who was asked about a shortage and did not answer: the shop's rule stands."""
        if self.substitution is not Substitution.CONSENT or self.shortage is Shortage.ASK:
            return self.shortage_default
        return _BY_RULE[self.shortage]


_BY_RULE: Final = MappingProxyType(
    {
        Shortage.SPLIT: ShortageChoice.SPLIT,
        Shortage.SHIP_COMPLETE: ShortageChoice.WAIT,
        Shortage.CANCEL: ShortageChoice.DROP,
    }
)
DEFAULT = Policy()
