"""The backend `smtp`: messages are handed to a mail server, by aiosmtplib."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.policy import SMTPUTF8 as SMTPUTF8_POLICY
from email.utils import localtime, make_msgid
from typing import ClassVar, Literal

import aiosmtplib
import anyio
from pydantic import Field, SecretStr

from indiaai_core import BackendSettings, BackendUnavailable, ConfigurationError, IndiaAIError, SettingsConfigDict
from indiaai_core.settings import load_settings
from indiaai_notify.errors import RecipientRefused
from indiaai_notify.message import Message
from indiaai_notify.service import NotifyService

__all__ = ["SmtpNotifyService", "SmtpSettings"]

# Of what is not worth a retry: the first digit of the server's answer says so (RFC 5321, 4.2.1).
_FOR_GOOD = 500


class SmtpSettings(BackendSettings):
    """Which server it is, and who sends."""

    model_config = SettingsConfigDict(env_prefix="SMTP_", str_strip_whitespace=True)

    host: str = Field(min_length=1, description="the mail server's name, such as smtp.example.in")
    port: int = Field(default=587, ge=1, le=65535, description="its port: 587 for starttls, 465 for tls, as a rule")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="when the connection is encrypted: after a greeting, at once, or never"
    )
    ca_file: str = Field(default="", description="a file with the authority to trust; empty for those of the system")
    username: str = Field(default="", description="who signs in; empty for nobody")
    password: SecretStr = Field(default=SecretStr(""), description="the password that goes with it")
    sender: str = Field(pattern=r"^[^\s<>]+@[^\s<>]+$", description="the address that messages come from")
    timeout_seconds: float = Field(default=30, gt=0, description="how long the server may take for an answer")
    max_connections: int = Field(default=4, ge=1, le=64, description="how many messages may be on their way at once")


class SmtpNotifyService(NotifyService):
    """Hands each message to one mail server, over a connection of its own."""

    contract_version: ClassVar[int] = 1
    settings_class: ClassVar[type[SmtpSettings]] = SmtpSettings

    def __init__(self, settings: SmtpSettings | None = None) -> None:
        """Hold the settings, or read them from the environment; nothing is connected yet.

        Raises:
            InvalidSettings: Variables are absent or have a wrong value; all of them in one error.
        """
        self.settings = settings or load_settings(SmtpSettings)
        self._limiter = anyio.CapacityLimiter(self.settings.max_connections)
        self._is_closed = False

    async def check(self) -> None:
        """Connect, sign in and take leave."""
        async with self._connection():
            pass

    async def send(self, message: Message) -> str:
        """Hand the message to the server, which is to deliver it from then on."""
        mail = self._written(message)
        async with self._connection() as connection:
            try:
                await connection.send_message(mail, sender=self.settings.sender, recipients=[message.recipient])
            except (aiosmtplib.SMTPException, OSError) as error:
                raise self._translated(error) from error
        return str(mail["Message-ID"])

    async def aclose(self) -> None:
        """Send no more; messages on their way are handed over."""
        self._is_closed = True

    def _written(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP_POLICY if message.recipient.isascii() else SMTPUTF8_POLICY)
        mail["From"] = self.settings.sender
        mail["To"] = message.recipient
        mail["Subject"] = message.subject
        mail["Date"] = localtime()
        mail["Message-ID"] = make_msgid(domain=self.settings.sender.rpartition("@")[2].encode("idna").decode())
        mail.set_content(message.text)
        return mail

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiosmtplib.SMTP]:
        async with self._limiter:
            if self._is_closed:
                raise BackendUnavailable("The notify service on SMTP is closed: ask the platform for one.")
            connection = self._new_connection()
            try:
                await connection.connect()
            except (aiosmtplib.SMTPException, OSError) as error:
                connection.close()
                raise self._translated(error) from error
            try:
                yield connection
            finally:
                connection.close()  # no QUIT: the message was taken with the answer to its data

    def _new_connection(self) -> aiosmtplib.SMTP:
        settings = self.settings
        security = settings.security
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            timeout=settings.timeout_seconds,
            use_tls=security == "tls",
            start_tls=security == "starttls",
            tls_context=None if security == "none" else ssl.create_default_context(cafile=settings.ca_file or None),
            username=settings.username or None,
            password=settings.password.get_secret_value() or None,
        )

    def _translated(self, error: Exception) -> IndiaAIError:
        where = f"The mail server {self.settings.host}:{self.settings.port}"
        if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
            error = error.recipients[0]  # there is only one
        is_final = getattr(error, "code", 0) >= _FOR_GOOD
        if is_final and isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return ConfigurationError(f"{where} does not know SMTP_USERNAME with SMTP_PASSWORD: {error}")
        if is_final and isinstance(error, aiosmtplib.SMTPSenderRefused):
            return ConfigurationError(f"{where} takes no messages from SMTP_SENDER: {error}")
        if is_final and isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError):
            return RecipientRefused(f"{where} does not take the message: {error}")
        if isinstance(error, aiosmtplib.SMTPNotSupported):
            return RecipientRefused(f"{where} knows no addresses beyond ASCII: {error}")
        return BackendUnavailable(f"{where} does not take messages now: {error}. See SMTP_HOST, SMTP_PORT and SMTP_SECURITY.")
