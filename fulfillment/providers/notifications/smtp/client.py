"""E-mail over SMTP. Until the message is sent nothing has happened; after it only an answer tells."""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.headerregistry import Address as MailAddress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import parseaddr
from typing import Final

from fulfillment.domain.notifications import Block
from fulfillment.domain.provider_errors import (
    AuthConfig,
    OutcomeUnknown,
    ProviderUnavailable,
    Rejected,
    Undeliverable,
)
from fulfillment.providers.notifications.letters import Letter, Mail

_TIMEOUT: Final = 20.0
_TLS_FROM_THE_START: Final = 465
_NO_ADDRESS: Final = "this is no e-mail address"
# "No such mailbox": RFC 5321 4.2.3, and RFC 3463 for what says so beyond the three digits. A policy (5.7) or a full
# mailbox (5.2) is about today.
_NOBODY: Final = re.compile(r"(?:550|551|553)(?![ -]5\.(?:2|7)\.)|5\d\d[ -]5\.1\.[1236]\b")


class SmtpChannel:
    """A mail server. One thread at a time: the connection is kept between messages until `close`.

    TLS is used wherever the server offers it, and always before a password is sent.
    """

    def __init__(self, *, host: str, port: int, mail_from: str, user: str = "", password: str = "") -> None:
        self._host, self._port, self._user, self._password = host, port, user, password
        self._name, self._address = parseaddr(mail_from)
        self._server: smtplib.SMTP | None = None

    # A repeat has the same Message-ID and collapses at the receiver: nobody needs to be asked first.
    collapses_repeats = True

    def send(self, mail: Letter) -> str:
        """Send one message; the mail server gives it no name of its own.

        Raises:
            ProviderUnavailable: not now; nothing was sent.
            OutcomeUnknown: it was sent and the answer is lost.
            Undeliverable: this recipient or this message is refused for good.
            Rejected: the server refuses us.
        """
        if not isinstance(mail, Mail):
            raise TypeError(f"{type(mail).__name__} is no e-mail")
        message = self._composed(mail)
        with self._kept_while_it_works():
            server = self._connected()
            utf8 = _needs_utf8(mail.recipient)
            if utf8 and not server.has_extn("smtputf8"):
                raise Undeliverable(f"{self._host} takes no address beyond ASCII")
            options = ("SMTPUTF8",) if utf8 else ()
            self._sender_accepted(server, options)
            _recipient_accepted(server, mail.recipient)
            _message_accepted(server, message.as_bytes(policy=SMTPUTF8 if utf8 else SMTP))
        return ""

    def find(self, mail: Letter) -> str:
        """Return nothing: a mail server cannot be asked."""
        return ""

    def close(self) -> None:
        """Say goodbye, if there is a connection."""
        if self._server is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._server.quit()
            self._server = None

    def _composed(self, mail: Mail) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = MailAddress(self._name, addr_spec=self._address)
        _address_to(message, mail.recipient)
        message["Subject"] = mail.subject
        message["Date"] = mail.at
        message["Message-ID"] = mail.message_id
        message["Auto-Submitted"] = "auto-generated"
        message["X-Entity-Ref-ID"] = mail.message_id.strip("<>")
        if mail.unsubscribe_url:  # RFC 8058: one click, without a page in between
            message["List-Unsubscribe"] = f"<{mail.unsubscribe_url}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message["Content-Language"] = mail.language
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message

    @contextmanager
    def _kept_while_it_works(self) -> Iterator[None]:
        """Keep the connection for the next message, unless this one failed."""
        try:
            yield
        except BaseException:
            self._dropped()
            raise

    def _dropped(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _connected(self) -> smtplib.SMTP:
        if self._server is None:
            try:
                self._server = self._connect()
            except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as error:
                raise AuthConfig(f"{self._host} does not accept our credentials: {error}") from error
            except (smtplib.SMTPException, OSError) as error:
                raise ProviderUnavailable(f"{self._host}:{self._port} is away: {error}") from error
        return self._server

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._port == _TLS_FROM_THE_START:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=_TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT)
        try:
            self._introduced(server, context)
        except BaseException:
            server.close()
            raise
        return server

    def _introduced(self, server: smtplib.SMTP, context: ssl.SSLContext) -> None:
        server.ehlo_or_helo_if_needed()
        if self._port != _TLS_FROM_THE_START and (server.has_extn("starttls") or self._user):
            server.starttls(context=context)
            server.ehlo_or_helo_if_needed()
        if self._user:
            server.login(self._user, self._password)

    def _sender_accepted(self, server: smtplib.SMTP, options: tuple[str, ...]) -> None:
        with _nothing_sent_yet():
            code, said = server.mail(self._address, options)
        if code >= 500:
            raise Rejected(f"{self._host} refuses {self._address}: {_text(said)}", code=str(code))
        _accepted(code, said)


def _address_to(message: EmailMessage, recipient: str) -> None:
    """Set the recipient, who must be exactly one plain address."""
    try:
        message["To"] = recipient
        (address,) = message["To"].addresses
    except (ValueError, IndexError) as error:  # IndexError: what the parser of Python 3.11 says to "a@"
        raise Undeliverable(_NO_ADDRESS, Block.BOUNCED) from error
    if f"{address.username}@{address.domain}" != recipient or not address.domain or " " in recipient:
        raise Undeliverable(_NO_ADDRESS, Block.BOUNCED)


def _recipient_accepted(server: smtplib.SMTP, recipient: str) -> None:
    with _nothing_sent_yet():
        code, said = server.rcpt(recipient)
    if _NOBODY.match(f"{code} {_text(said)}"):
        raise Undeliverable(f"{code} {_text(said)}", Block.BOUNCED)
    _accepted(code, said)


def _message_accepted(server: smtplib.SMTP, message: bytes) -> None:
    try:
        code, said = server.data(message)
    except smtplib.SMTPDataError as no:  # it did not even want to see it
        code, said = no.smtp_code, no.smtp_error if isinstance(no.smtp_error, bytes) else b""
    except (smtplib.SMTPException, OSError) as error:
        raise OutcomeUnknown(f"the answer to DATA is lost: {error}") from error
    _accepted(code, said)


def _accepted(code: int, said: bytes) -> None:
    """Return if the server said yes; 4xx is a no for now, 5xx for good (RFC 5321 4.2.1)."""
    if code >= 500:
        raise Undeliverable(f"{code} {_text(said)}")
    if code >= 400:
        raise ProviderUnavailable(f"{code} {_text(said)}", code=str(code))


@contextmanager
def _nothing_sent_yet() -> Iterator[None]:
    try:
        yield
    except (smtplib.SMTPException, OSError) as error:
        raise ProviderUnavailable(f"the mail server hung up: {error}") from error


def _needs_utf8(address: str) -> bool:
    return not address.isascii()


def _text(said: bytes) -> str:
    return said.decode("utf-8", "replace")
