"""Functions and operations of TensorFlow, as Keras 2 names them in its op layers, by what they do to an image.

A function is named as it is exported (`math.add`), an operation by its type (`AddV2`).
"""

from __future__ import annotations

ACTIVATIONS = {
    "nn.relu": "relu", "nn.relu6": "relu6", "nn.softmax": "softmax",
    "nn.log_softmax": "log_softmax", "LogSoftmax": "log_softmax", "compat.v1.nn.softmax": "softmax",
    "nn.sigmoid": "sigmoid", "math.sigmoid": "sigmoid", "nn.silu": "silu", "nn.swish": "silu", "nn.gelu": "gelu",
    "nn.elu": "elu", "nn.selu": "selu", "nn.tanh": "tanh", "math.tanh": "tanh", "nn.leaky_relu": "leaky_relu",
    "nn.softplus": "softplus", "math.softplus": "softplus", "Relu": "relu", "Relu6": "relu6", "Softmax": "softmax",
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Elu": "elu", "Selu": "selu", "Softplus": "softplus",
}  # fmt: skip
ARITHMETIC = {
    "math.add": "add", "__operators__.add": "add", "AddV2": "add", "Add": "add",
    "math.subtract": "subtract", "__operators__.subtract": "subtract", "Sub": "subtract",
    "math.multiply": "multiply", "__operators__.multiply": "multiply", "Mul": "multiply",
    "math.truediv": "divide", "math.divide": "divide", "__operators__.truediv": "divide", "RealDiv": "divide",
    "compat.v1.truediv": "divide", "compat.v1.div": "divide", "math.divide_no_nan": "divide", "BiasAdd": "add",
    "nn.bias_add": "add",
}  # fmt: skip
ELEMENTWISE = {
    *ARITHMETIC, *ACTIVATIONS, "math.maximum", "math.minimum", "math.abs", "math.square", "math.sqrt", "math.exp",
    "math.negative", "math.rsqrt", "math.log", "math.pow", "clip_by_value", "cast", "identity", "Maximum", "Minimum",
    "Abs", "Square", "Sqrt", "Rsqrt", "Exp", "Neg", "Cast",
}  # fmt: skip
ALONG_CHANNELS = {"softmax", "log_softmax"}
MERGING = {
    "math.reduce_mean": "mean", "Mean": "mean", "math.reduce_max": "extreme", "Max": "extreme",
    "math.maximum": "extreme", "Maximum": "extreme", "math.minimum": "extreme", "Minimum": "extreme",
    "concat": "join", "ConcatV2": "join", "stack": "join", "Pack": "join", "math.add": "sum",
    "__operators__.add": "sum", "AddV2": "sum", "math.multiply": "product", "__operators__.multiply": "product",
    "Mul": "product",
}  # fmt: skip
KEEPING = {"reshape", "Reshape", "squeeze", "Squeeze", "expand_dims", "ExpandDims", "cast", "Cast", "identity"}
MOVING = {
    *KEEPING, "__operators__.getitem", "StridedSlice", "reverse", "ReverseV2", "transpose", "compat.v1.transpose",
    "Transpose", "stack", "Pack", "unstack", "Unpack", "concat", "ConcatV2", "split", "Split", "gather", "GatherV2",
    "pad", "compat.v1.pad", "Pad", "PadV2", "MirrorPad", "image.resize", "compat.v1.image.resize", "ResizeBilinear",
    "ResizeNearestNeighbor", "image.flip_left_right", "image.resize_with_pad", "slice", "tile", "Tile",
}  # fmt: skip
