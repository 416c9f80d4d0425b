"""The providers of language models, all through Pydantic AI."""

from coterie.models.providers.provider import ProviderModel

__all__ = ["ProviderModel"]
