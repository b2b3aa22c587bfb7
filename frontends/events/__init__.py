"""Recordings of event cameras: read from files, and binned into frames for a network."""

from snncc.frontends.events.binning import MAXIMUM_CELLS, Bins
from snncc.frontends.events.events import Events
from snncc.frontends.events.formats import FORMATS, is_recording, load_events

__all__ = ["FORMATS", "MAXIMUM_CELLS", "Bins", "Events", "is_recording", "load_events"]
