"""Recording what models answer, and answering from it."""

from coterie.models.recording.file import begun
from coterie.models.recording.models import Recorded, Replayed
from coterie.models.recording.spending import recorded_spending

__all__ = ["Recorded", "Replayed", "begun", "recorded_spending"]
