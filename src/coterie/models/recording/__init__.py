"""Recording what models answer, and answering from it."""

from coterie.models.recording.file import begun
from coterie.models.recording.models import RecordingModel, ReplayModel
from coterie.models.recording.spending import recorded_spending

__all__ = ["RecordingModel", "ReplayModel", "begun", "recorded_spending"]
