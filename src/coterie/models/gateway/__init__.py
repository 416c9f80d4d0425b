"""The one door to a language model, for all agents of a process."""

from coterie.models.gateway.futures import ModelReplyFuture
from coterie.models.gateway.gateway import ModelGateway

__all__ = ["ModelGateway", "ModelReplyFuture"]
