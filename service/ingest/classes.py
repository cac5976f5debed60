"""What a model may be made of: exact names, and nothing else. None of them runs code of a file, or opens one."""

from __future__ import annotations

from collections.abc import Collection


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# As Keras 3 writes them; Keras 2 writes no module.
CONTAINERS = {
    "Sequential": ("keras", "keras.models", "keras.src.models.sequential", None),
    "Functional": ("keras", "keras.models", "keras.src.models.functional", None),
    "Model": ("keras.models", "keras.src.models.functional", None),
}
LAYERS = _words(
    """Activation ActivityRegularization Add AlphaDropout Average AveragePooling1D AveragePooling2D AveragePooling3D
    BatchNormalization CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Cropping1D Cropping2D
    Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D GroupNormalization
    Identity InputLayer LayerNormalization LeakyReLU MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum
    MultiHeadAttention Multiply Normalization PReLU Permute ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D
    SeparableConv2D Softmax SpatialDropout1D SpatialDropout2D Subtract ThresholdedReLU UnitNormalization UpSampling1D
    UpSampling2D ZeroPadding1D ZeroPadding2D"""
)
OTHER_LAYERS = {
    "keras.src.applications.convnext": frozenset({"LayerScale"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
    "keras.src.ops.numpy": frozenset({"Add", "Multiply", "Subtract", "TrueDivide", "Reshape", "Transpose"}),
}
ACTIVATION_LAYERS = frozenset({"ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"})
ACTIVATIONS = _words(
    """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold"""
)
INITIALIZERS = _words(
    """Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros"""
)
INITIALIZER_NAMES = INITIALIZERS | _words(
    """constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform normal one ones
    orthogonal random_normal random_uniform truncated_normal uniform variance_scaling zero zeros"""
)
REGULARIZERS = frozenset({"L1", "L2", "L1L2", "OrthogonalRegularizer"})
REGULARIZER_NAMES = REGULARIZERS | frozenset({"l1", "l2", "l1_l2", "l1l2", "orthogonal_regularizer"})
CONSTRAINTS = frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"})
CONSTRAINT_NAMES = CONSTRAINTS | frozenset({"max_norm", "min_max_norm", "non_neg", "unit_norm"})
DTYPES = _words(
    """bool uint8 uint32 int8 int16 int32 int64 float16 bfloat16 float32 float64 mixed_float16 mixed_bfloat16"""
)
POLICY_MODULES = ("keras", "keras.mixed_precision", "keras.dtype_policies", None)


def is_layer(module: str | None, name: str, extra: Collection[str]) -> bool:
    """Whether a layer of that class may be part of a model; `extra` are `module:Class` that the operator allows."""
    if f"{module}:{name}" in extra:
        return True
    if module in (None, "keras.layers"):
        return name in LAYERS
    return name in OTHER_LAYERS.get(module, frozenset())
