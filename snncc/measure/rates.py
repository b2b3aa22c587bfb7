"""Firing rates: spikes per neuron and timestep, at every level of detail.

Definitions 1 to 4 of ASA-SNN; NSFR of E-SpikeFormer. Each is a mean of the one before, so that
NASFR = mean over t of T-SFR = mean over t and neurons of N-SFR. A count of n is n spikes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadInput
from snncc.ir import SpikeGraph
from snncc.measure.access import Ran, axis_of, record_of, spikes_of, spiking_layers

Rates = NDArray[np.float64]


def neuron_rates(graph: SpikeGraph, run: Ran, layer: str) -> Rates:
    """N-SFR: spikes of each neuron of *layer* at each timestep, mean over samples, [T, *shape].

    For a binary neuron the share of samples in which it fires. Raises `BadInput` where *layer* was not
    recorded or sends no spikes, `UnknownName`. ASA-SNN, definition 1.
    """
    spikes_of(graph, run, layer)
    train = record_of(graph, run, layer).train
    return np.asarray(train.sum(axis=2, dtype=np.float64).mean(axis=1))


def channel_rates(graph: SpikeGraph, run: Ran, layer: str, *, axis: int = 0) -> Rates:
    """C-SFR: the mean of N-SFR over each channel of *layer*, [T, C].

    Channels lie along *axis* of the layer's shape: 0 for [C, H, W], where a layer [N] has a channel a
    neuron; -1 for tokens [N, C]. Raises as `neuron_rates`. ASA-SNN, definition 2.
    """
    rates = neuron_rates(graph, run, layer)
    channel, count = axis_of(graph, layer, axis)
    return np.moveaxis(rates, 1 + channel, 1).reshape(len(rates), count, -1).mean(axis=2)


def timestep_rates(graph: SpikeGraph, run: Ran, layer: str | None = None) -> Rates:
    """T-SFR (of a timestep, NSFR): spikes / (neurons x samples) at each timestep, [T].

    Of one *layer*, or of the whole network: all neurons of the `spiking_layers`. Raises `BadInput` where a
    layer sends no spikes, `UnknownName`. ASA-SNN, definition 3.
    """
    return tick_rates(graph, run, layer).sum(axis=1)


def tick_rates(graph: SpikeGraph, run: Ran, layer: str | None = None) -> Rates:
    """NSFR: spikes / (neurons x samples) in each tick of each timestep, [T, ticks].

    Ticks are those of a layer's own phase; in the network, where *layer* is None, they are laid over one
    another, and a layer with fewer ticks sends nothing in the later ones. The sum over ticks is
    `timestep_rates`. A phased staircase such as SFA fires ones first: its rates do not increase from tick to
    tick. Raises as `timestep_rates`. E-SpikeFormer, NSFR.
    """
    layers = spiking_layers(graph) if layer is None else (layer,)
    if not layers:
        raise BadInput(f"{graph.name}: no layer of neurons sends spikes, so there is no firing rate")
    trains = [spikes_of(graph, run, name) for name in layers]
    total = np.zeros((trains[0].shape[1], max(train.shape[2] for train in trains)))
    for train in trains:
        total[:, : train.shape[2]] += train.mean(axis=0)
    return total / sum(graph.edges[name].size for name in layers)


def average_rate(graph: SpikeGraph, run: Ran, layer: str | None = None) -> float:
    """NASFR: spikes / (neurons x timesteps x samples), of one *layer* or of the whole network.

    The network's is the mean of its layers' weighted by their neurons: all neurons of the `spiking_layers`.
    Raises as `timestep_rates`. ASA-SNN, definition 4.
    """
    return float(timestep_rates(graph, run, layer).mean())
