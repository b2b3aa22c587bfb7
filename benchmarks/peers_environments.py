"""The peers, and where they live: each in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to compare with, and where it lives."""

    name: str
    worker: str
    option: str
    variable: str
    how_to: str

    def interpreter(self, given: str | None = None) -> str | None:
        """The Python of the environment, if it is there and can import the peer."""
        python = given or os.environ.get(self.variable)
        if not python or not Path(python).exists():
            return None
        ask = f"import importlib.util as u, sys; sys.exit(u.find_spec({self.name!r}) is None)"
        done = subprocess.run([python, "-I", "-c", ask], capture_output=True, check=False)
        return None if done.returncode else python


TORCH_ENVIRONMENT = """sinabs and SpikingJelly are not part of snncc; they run in an environment of their own:
  python3.11 -m venv /tmp/peers-env
  /tmp/peers-env/bin/pip install -c constraints.txt torch==2.13.0 numpy scipy matplotlib tqdm h5py \\
      packaging requests pbr loguru
  /tmp/peers-env/bin/pip install --no-deps sinabs==3.1.3 spikingjelly==2.0.0 nir nirtorch
  export SNNCC_PEERS_PYTHON=/tmp/peers-env/bin/python   (or --peers-python)"""
LAVA_ENVIRONMENT = """Lava is not part of snncc; it runs in an environment of its own:
  python3.10 -m venv /tmp/lava-env
  /tmp/lava-env/bin/pip install lava-nc==0.10.0
  export SNNCC_LAVA_PYTHON=/tmp/lava-env/bin/python   (or --lava-python)"""

PEERS = {
    peer.name: peer
    for peer in (
        Peer("sinabs", "peers_worker.py", "peers", "SNNCC_PEERS_PYTHON", TORCH_ENVIRONMENT),
        Peer("spikingjelly", "peers_worker.py", "peers", "SNNCC_PEERS_PYTHON", TORCH_ENVIRONMENT),
        Peer("lava", "peers_lava.py", "lava", "SNNCC_LAVA_PYTHON", LAVA_ENVIRONMENT),
    )
}
