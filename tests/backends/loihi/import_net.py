"""Runs a .net file with NetX, lava-dl's own importer, in Lava's Python.

    python import_net.py JOB.json RESULT.npz

NetX needs nothing of torch but two modules beside it: *netx* names a folder with copies of lava-dl's hdf5.py,
utils.py and blocks/, without them (Lava executes all that lies beside a process).
"""

from __future__ import annotations

import json
import sys
import types
from typing import Any

import numpy as np


def importer(netx: str) -> Any:
    """The module lava.lib.dl.netx.hdf5, with packages around it that are empty."""
    for name in ("lava.lib", "lava.lib.dl", "lava.lib.dl.netx", "lava.lib.dl.slayer"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [netx] if name.endswith("netx") else []
    sys.modules["lava.lib.dl.slayer.neuron"] = types.ModuleType("lava.lib.dl.slayer.neuron")
    resonate = types.ModuleType("lava.lib.dl.slayer.neuron.rf")
    resonate.neuron_params = None  # type: ignore[attr-defined]
    sys.modules["lava.lib.dl.slayer.neuron.rf"] = resonate
    import lava.lib.dl.netx.hdf5 as hdf5

    return hdf5


def run(job: Any) -> dict[str, Any]:
    """Spikes and potentials of all layers, [steps, *shape] in Lava's order."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer
    from lava.proc.monitor.process import Monitor

    net = importer(job["netx"]).Network(net_config=job["net"], **job["settings"])
    x = np.load(job["x"])
    source = RingBuffer(data=np.moveaxis(x, 0, -1).astype(int))
    source.s_out.connect(net.inp)
    monitors = {}
    for index, layer in enumerate(net.layers):
        for kind, variable in (("s", layer.neuron.s_out), ("v", layer.neuron.v)):
            monitors[f"{kind}{index}"] = Monitor()
            monitors[f"{kind}{index}"].probe(variable, len(x))
    net.run(RunSteps(num_steps=len(x)), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    found = {}
    for name, monitor in monitors.items():
        (variables,) = monitor.get_data().values()
        (found[name],) = variables.values()
    net.stop()
    return found


def kept(job: Any) -> dict[str, Any]:
    """What NetX and Lava's Dense keep of matrices, and where NetX fails."""
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    importer(job["netx"])
    import lava.lib.dl.netx.utils as utils

    found, fails = [], []
    for matrix in np.array(job["matrices"]):
        try:
            weights, bits, exponent, _ = utils.optimize_weight_bits(matrix)
            mode = determine_sign_mode(weights)
            weights = truncate_weights(clip_weights(weights, mode, num_bits=8), mode, bits)
            found.append(weights << exponent if exponent > 0 else weights >> -exponent)
            fails.append(exponent > 0)  # then the shift of the weights was by a negative number
        except (OverflowError, ValueError):
            found.append(np.zeros_like(matrix))
            fails.append(True)
    return {"kept": np.stack(found), "fails": np.array(fails)}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        one = json.load(file)
    np.savez(sys.argv[2], **(kept(one) if "matrices" in one else run(one)))
