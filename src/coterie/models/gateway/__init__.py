"""The gateway to a language model, shared by all agents of a process."""

from coterie.models.gateway.futures import ModelReplyFuture
from coterie.models.gateway.gateway import ModelGateway

__all__ = ["ModelGateway", "ModelReplyFuture"]
