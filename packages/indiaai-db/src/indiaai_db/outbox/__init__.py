"""Tasks that are enqueued with a transaction: delivered if it commits, and never if it does not."""

from indiaai_db.outbox.message import OutboxMessage
from indiaai_db.outbox.outbox import Outbox

__all__ = ["Outbox", "OutboxMessage"]
