"""Record the replies of models, and answer from a recording."""

from coterie.models.recording.file import begun, recorded_spending
from coterie.models.recording.models import RecordingModel, ReplayModel

__all__ = ["RecordingModel", "ReplayModel", "begun", "recorded_spending"]
