"""What Twilio's error codes mean for us (https://www.twilio.com/docs/api/errors): data, for Twilio adds to them.

The same codes come as an answer to a send and, for most, later as the `ErrorCode` of a status callback.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fulfillment.domain.notifications import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What follows from a code. `again` is for what one later try may cure."""

    words: str
    block: Block | None = None
    again: bool = False


MEANINGS: Final[Mapping[int, Meaning]] = MappingProxyType(
    {
        21211: Meaning(words="no such number", block=Block.BOUNCED),
        21610: Meaning(words="its owner said STOP", block=Block.STOPPED),
        21614: Meaning(words="no mobile number", block=Block.BOUNCED),
        30001: Meaning(words="Twilio's queue was full", again=True),
        30003: Meaning(words="the handset could not be reached", again=True),
        30004: Meaning(words="the recipient blocks messages"),
        30005: Meaning(words="unknown handset", block=Block.BOUNCED),
        30006: Meaning(words="a landline, or a network that takes no messages", block=Block.BOUNCED),
        30007: Meaning(words="filtered by the network"),
        30008: Meaning(words="the network gave no reason", again=True),
        30034: Meaning(words="our number is not registered for this network"),
    }
)
# The account, not the message, is what is wrong: it is sent once that is put right.
OUR_ACCOUNT: Final = frozenset({20003, 30002})


def meaning_of(code: int) -> Meaning:
    """Return what a code means; of one we do not know, that the message cannot be delivered."""
    return MEANINGS.get(code) or Meaning(words=f"error {code}")
