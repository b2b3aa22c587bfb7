"""The slow definition: what every spike graph means, and what each execution costs."""

from snncc.reference.count import Operations, carries_spikes, inputs_spike, is_counted
from snncc.reference.execute import Record, Run, run
from snncc.reference.inputs import enter

__all__ = ["Operations", "Record", "Run", "carries_spikes", "enter", "inputs_spike", "is_counted", "run"]
