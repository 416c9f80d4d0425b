"""The one door to a language model, for all agents of a process."""

from coterie.models.gateway.gateway import ModelGateway
from coterie.models.gateway.pending import ModelReplyFuture

__all__ = ["ModelGateway", "ModelReplyFuture"]
