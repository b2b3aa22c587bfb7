"""Measures of what a network did: firing rates, membrane potentials, quantization error, energy shift; plots.

Every measure takes the graph that ran and what the run yielded, a `snncc.Result` or the ``Run`` of an
executor::

    result = program.run(x, record=["conv1.lif"])
    snncc.measure.average_rate(program.graph, result)                     # NASFR
    snncc.measure.channel_rates(program.graph, result, "conv1.lif")       # C-SFR
    snncc.measure.peak_to_threshold(program.graph, result, "conv1.lif", channel=3)
    snncc.measure.plots.rates(program.graph, result).savefig("rates.png")
    snncc.measure.raster(program.graph, result, ["conv1.lif"], "spikes.svg")
    snncc.measure.floor_plan(program.run(x, timing="cycle").chip, "chip.svg", heat="energy")

=====================  ======================  =================  ===================
measure                function                yields             needs a record
=====================  ======================  =================  ===================
N-SFR                  `neuron_rates`          [T, *shape]        yes
C-SFR                  `channel_rates`         [T, C]             yes
T-SFR, NSFR            `timestep_rates`        [T]                no
NSFR of each tick      `tick_rates`            [T, ticks]         no
NASFR                  `average_rate`          one number         no
membrane potentials    `potentials`            [T, B, *shape]     yes
MPD                    `distribution`          `Distribution`     yes
PTD                    `peak_to_threshold`     one number         yes
QE                     `quantization_error`    one number         yes
energy shift           `energy_shift`          `EnergyShift`      no (two costs)
=====================  ======================  =================  ===================

*Fires* means: sends spikes, and a count of n is n spikes. A rate is thus spikes per neuron and timestep, the
mean of the counts: 0..1 for a binary neuron, where it is the share of samples in which the neuron fires, and
0..D for a neuron that sends counts up to D, whatever their encoding. (The share of neurons that sent
anything at all is ``counts.activation_sparsity``.) Potentials are in real units, also those of integer
graphs.

The rates, MPD, PTD, QE and the energy shift are those of ASA-SNN (definitions 1 to 6, equation 11), NSFR by
tick that of spike firing approximation (E-SpikeFormer).
"""

from snncc.measure import plots
from snncc.measure.access import Ran, spiking_layers
from snncc.measure.energy import EnergyShift, energy_shift
from snncc.measure.floor_drawing import floor_plan
from snncc.measure.membrane import (
    Distribution,
    distribution,
    peak_to_threshold,
    potentials,
    quantization_error,
)
from snncc.measure.rates import average_rate, channel_rates, neuron_rates, tick_rates, timestep_rates
from snncc.measure.spike_raster import raster

__all__ = [
    "Distribution",
    "EnergyShift",
    "Ran",
    "average_rate",
    "channel_rates",
    "distribution",
    "energy_shift",
    "floor_plan",
    "neuron_rates",
    "peak_to_threshold",
    "plots",
    "potentials",
    "quantization_error",
    "raster",
    "spiking_layers",
    "tick_rates",
    "timestep_rates",
]
