"""The public face: what ``import snncc`` offers, and all that the command line calls."""

from snncc.api.compare import NEAR
from snncc.api.compiling import check, compile_graph
from snncc.api.data import read_data
from snncc.api.evaluation import Report, Score, evaluate
from snncc.api.exchange import read_network, save_nir, save_onnx
from snncc.api.loading import load, load_model, load_oracle, trace
from snncc.api.program import Program, Result, load_program
from snncc.api.proof import Claim, Difference, LayerCheck, Proof, StageCheck
from snncc.api.recordings import read_input, read_labeled
from snncc.api.verification import verify
from snncc.frontends.to_nir import VERSIONS as NIR_VERSIONS
from snncc.frontends.to_nir import step_of

__all__ = [
    "NEAR",
    "NIR_VERSIONS",
    "Claim",
    "Difference",
    "LayerCheck",
    "Program",
    "Proof",
    "Report",
    "Result",
    "Score",
    "StageCheck",
    "check",
    "compile_graph",
    "evaluate",
    "load",
    "load_model",
    "load_oracle",
    "load_program",
    "read_data",
    "read_input",
    "read_labeled",
    "read_network",
    "save_nir",
    "save_onnx",
    "step_of",
    "trace",
    "verify",
]
