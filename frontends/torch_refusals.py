"""Operations that have no image in the IR: what they are, and the way out."""

from __future__ import annotations

from snncc.errors import CannotTrace
from snncc.frontends.torch_record import Call

ACTIVATION = (
    "train with snncc.nn.SFA or snncc.nn.QCFS in its place, or quantize what it sends (torch.ao.quantization)"
)
NEURON = (
    "if this is a neuron of your own, put it into a module of its own and tell its parameters with "
    "snncc.register_neuron"
)
NORMALIZATION = "use batch normalization, which becomes a constant factor and offset after training"
ATTENTION = "write it as products (q @ k.transpose(-1, -2)) @ v of spikes or counts, without softmax"
CONVERTED = "trace the model that was prepared (prepare_qat), with disable_observer, not the converted one"
BRANCH = "what is compiled cannot branch on data; compute both sides, or decide before the model"

REFUSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"),
        ("is no spiking neuron", ACTIVATION),
    ),
    **dict.fromkeys(
        (
            "leaky_relu",
            "gelu",
            "elu",
            "silu",
            "hardswish",
            "softplus",
            "prelu",
            "_prelu_kernel",
            "mish",
            "celu",
        ),
        ("is an activation without spikes", ACTIVATION),
    ),
    **dict.fromkeys(
        ("sigmoid", "tanh", "exp", "log", "sqrt", "rsqrt", "pow", "abs", "erf", "reciprocal"),
        ("is a nonlinear function of a signal", "only neurons are nonlinear on a chip: " + ACTIVATION),
    ),
    **dict.fromkeys(
        ("_softmax", "_safe_softmax", "_log_softmax", "softmax"),
        (
            "is a softmax over a signal",
            "at the output leave it away, it does not change the class; in attention train without it",
        ),
    ),
    **dict.fromkeys(
        ("native_layer_norm", "native_group_norm", "var_mean", "var", "std", "linalg_vector_norm"),
        ("computes statistics of the signal itself", NORMALIZATION),
    ),
    **dict.fromkeys(
        ("gt", "ge", "lt", "le", "eq", "ne", "sign", "heaviside", "where", "round", "floor", "ceil", "trunc"),
        ("compares or rounds a signal", NEURON),
    ),
    **dict.fromkeys(
        ("_local_scalar_dense", "nonzero", "is_nonzero", "item", "masked_select", "equal"),
        ("looks at the value of a signal (data-dependent control flow)", BRANCH),
    ),
    **dict.fromkeys(
        ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math", "baddbmm"),
        ("multiplies two signals as matrices, as attention does", ATTENTION),
    ),
    **dict.fromkeys(
        ("quantize_per_tensor", "quantize_per_channel", "quantize_per_tensor_dynamic"),
        ("makes integers of a signal", CONVERTED),
    ),
    **dict.fromkeys(
        ("topk", "sort", "argmax", "argsort", "argmin"),
        ("orders values of a signal", "take it after the model, on its output"),
    ),
    **dict.fromkeys(
        ("index_put", "index_put_", "masked_fill", "scatter", "scatter_"),
        ("writes into parts of a signal by index", "use torch.cat, torch.stack, or a product with a mask"),
    ),
}


def refuse(call: Call) -> None:
    """Raise `CannotTrace` for an operation without a handler."""
    raise refusal(call)


def refusal(call: Call) -> CannotTrace:
    """What is said of an operation that has no image in the IR."""
    name = str(call.func._overloadpacket.__name__)
    what, hint = (
        REFUSED.get(name)
        or REFUSED.get(name.removesuffix("_"))
        or (
            "has no image in the IR",
            "",
        )
    )
    return CannotTrace(f"{call.place}: {name.strip('_')} {what}", hint=hint)
