"""Recording what models answer, and answering from it."""

from coterie.models.recording.file import begun
from coterie.models.recording.models import Recorded, Replayed

__all__ = ["Recorded", "Replayed", "begun"]
