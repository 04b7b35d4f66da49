"""Sends an alert through every channel that is configured."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from http.client import HTTPException
from typing import IO, TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from driftgauge.config import MonitorConfig
from driftgauge.errors import ConfigError, DriftgaugeError
from driftgauge.report.alert import Alert
from lambdas.runtime import Settings, logger

if TYPE_CHECKING:
    from email.message import Message

_TIMEOUT_SECONDS = 5.0


class DeliveryError(DriftgaugeError):
    """An alert did not get through a channel."""


def deliver(settings: Settings, config: MonitorConfig | None, alert: Alert) -> None:
    """Send an alert to the SNS topic, and to Slack where the monitor says so.

    Every channel is tried, whatever happened in the others.

    Raises
    ------
    DeliveryError
        Naming the channels that failed; Lambda then tries the event again, so a channel that
        worked may say the same thing twice.
    """
    channels: list[tuple[str, Callable[[], None]]] = [
        ("topic", lambda: publish(settings, config, alert)),
    ]
    if settings.CHAT_TOPIC_ARN and (config is None or config.alerts.slack_channel_id):
        channels.append(("chat", lambda: publish_chat(settings, alert)))
    secret = config.alerts.slack_webhook_secret if config is not None else None
    if secret:
        channels.append(("Slack webhook", lambda: post(webhook_url(secret), alert)))
    failed = []
    for name, send in channels:
        try:
            send()
        except Exception as error:
            # Neither the address nor the message belongs into the log.
            reason = str(error) if isinstance(error, DriftgaugeError) else ""
            logger.error(
                "alert not delivered", channel=name, error=type(error).__name__, reason=reason
            )
            failed.append(name)
    if failed:
        raise DeliveryError(f"alert of {alert.monitor} not delivered through: {', '.join(failed)}")


def publish(settings: Settings, config: MonitorConfig | None, alert: Alert) -> None:
    """Publish on the alert topic, as text for e-mail and for every other protocol."""
    import boto3

    if not settings.ALERT_TOPIC_ARN:
        raise ConfigError("environment of the function: ALERT_TOPIC_ARN: Field required")
    email = alert.to_email()
    boto3.client("sns").publish(
        TopicArn=settings.ALERT_TOPIC_ARN,
        Subject=email.subject,
        MessageStructure="json",
        Message=json.dumps({"default": email.body, "email": email.body}),
        # By it, subscribers of other monitors are spared the alert.
        MessageAttributes=(
            {"monitor": {"DataType": "String", "StringValue": config.name}} if config else {}
        ),
    )


def publish_chat(settings: Settings, alert: Alert) -> None:
    """Publish on the topic of Amazon Q Developer in chat applications."""
    import boto3

    boto3.client("sns").publish(
        TopicArn=str(settings.CHAT_TOPIC_ARN), Message=json.dumps(alert.to_chat())
    )


@cache
def webhook_url(secret: str) -> str:
    """Return the webhook's URL from Secrets Manager, kept for the life of the process."""
    import boto3

    return boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"].strip()


class _NoRedirect(HTTPRedirectHandler):
    """A webhook that redirects is not the one that was configured."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Refuse; urllib then raises the redirection as an error."""


def post(url: str, alert: Alert) -> None:
    """Post the Block Kit message to an incoming webhook.

    Raises
    ------
    DeliveryError
        If the address is not https or Slack does not take the message. The text never holds the
        address, which is a secret.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise DeliveryError("the webhook secret does not hold an https address")
    request = Request(  # noqa: S310  (the scheme is https)
        url,
        data=json.dumps(alert.to_slack()).encode(),
        headers={"Content-Type": "application/json; charset=utf-8"},
        method="POST",
    )
    try:
        with build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_SECONDS) as response:
            response.read(1024)
    except HTTPError as error:
        # A webhook that was revoked (403, 404, 410) must be read anew after it was replaced.
        webhook_url.cache_clear()
        raise DeliveryError(f"Slack answered {error.code}") from None
    except (URLError, HTTPException, OSError) as error:
        raise DeliveryError(f"Slack cannot be reached ({type(error).__name__})") from None
