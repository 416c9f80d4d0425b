"""Language models for tests: one that answers from a script, and a server that speaks to HTTP clients as a provider would."""

from coterie.testing.models.responses import Served
from coterie.testing.models.scripted import ScriptedModel
from coterie.testing.models.server import ModelServer

__all__ = ["ModelServer", "ScriptedModel", "Served"]
