"""The whole of what a runtime promises, one mixin a part."""

from coterie.testing.conformance.asking import Asking
from coterie.testing.conformance.delivery import Delivery
from coterie.testing.conformance.families import Families
from coterie.testing.conformance.lives import Lives
from coterie.testing.conformance.observing import Observing
from coterie.testing.conformance.stopping import Stopping
from coterie.testing.conformance.supervising import Supervising
from coterie.testing.conformance.telling_others import TellingOthers
from coterie.testing.conformance.turns import Turns
from coterie.testing.conformance.waiting import Waiting


class RuntimeConformance(Asking, Delivery, Families, Lives, Observing, Stopping, Supervising, TellingOthers, Turns, Waiting):
    """What every runtime promises, whatever its dispatcher and its transport. Override `runtime`."""
