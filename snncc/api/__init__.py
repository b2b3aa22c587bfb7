"""The public face: what ``import snncc`` offers, and all that the command line calls."""

from snncc.api.compare import NEAR
from snncc.api.data import read_data
from snncc.api.evaluation import Report, Score, evaluate
from snncc.api.loading import load, load_model, save_onnx, trace
from snncc.api.program import Program, Result, check, compile_graph, load_program
from snncc.api.proof import Claim, Difference, LayerCheck, Proof, StageCheck
from snncc.api.verification import verify

__all__ = [
    "NEAR",
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
    "load_program",
    "read_data",
    "save_onnx",
    "trace",
    "verify",
]
