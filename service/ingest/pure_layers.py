"""The layers and objects of a model file that are pure (they compute, and nothing else), and those that hold code.

"Pure" means: no Python function, lambda, byte code or class of somebody else; no file and no network; no other program;
no effect on the process; no control flow that takes a function. A layer that changes pictures at random in training
counts, since it hands them on at inference. The tables hold what Keras 3.15 and Keras 2.21 (`tf_keras`) export and what
older files name; a test fails when a new release exports a name that nobody has judged. An upload may hold nothing else
than what is named here and in `pure_functions`, and neither may a model in the operator's folder that is not trusted.
"""

from __future__ import annotations

from service.ingest.pure_functions import CODE_OPERATIONS, OPERATIONS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Whole models, by the module that a file names. Before Keras 2.13 `.h5` names none, and such files go by `None`.
# The package was `keras` up to 2.12, `keras.src` from 2.13 on, and `tf_keras.src` since it is a package of its own.
_KERAS_2 = ("keras", "keras.src", "tf_keras.src")
CONTAINERS: dict[str, frozenset[str | None]] = {
    "Functional": frozenset({"keras", "keras.models", "keras.src.models.functional", None})
    | {f"{package}.engine.functional" for package in _KERAS_2},
    "Model": frozenset({"keras", "keras.models", "keras.src.models.functional", None}),
    "Sequential": frozenset({"keras", "keras.models", "keras.src.models.sequential", None}),
}

# What `keras.layers` and `tf_keras.layers` export. `Layer` and `Wrapper` hand on their input in Keras 2. Those with a
# vocabulary are pure as long as FILE_KEYS and FUNCTION_KEYS are looked at, those of WRAPPERS if the layer inside is.
LAYERS: frozenset[str] = _words(
    """Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix
    AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
    BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate
    ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose
    ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose
    Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D
    Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
    GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization GroupQueryAttention HashedCrossing Hashing Identity InputLayer IntegerLookup
    LSTM LSTMCell Layer LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxNumBoundingBoxes
    MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp
    MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness
    RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
    RandomFourierFeatures RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective
    RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth
    RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D
    SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax Solarization
    SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract
    SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D"""
)
# Of older files: names with a version (TF 1.13 to 2.3), cuDNN's, what add_loss and add_metric leave in a graph, and the
# classes' own names where the export is called otherwise.
LAYERS |= _words(
    """AddLoss AddMetric BatchNormalizationV1 BatchNormalizationV2 CuDNNGRU CuDNNLSTM GRUCellV1 GRUCellV2 GRUV1 GRUV2
    GroupedQueryAttention LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2"""
)

CODE_LAYERS: dict[str, str] = {
    "AbstractRNNCell": "it is a base class that only code completes",
    "BaseRandomLayer": "it is a base class that only code completes",
    "BatchNormalizationBase": "it is a base class that only code completes",
    "ClassMethod": "it calls a method of any TensorFlow class",
    "DenseFeatures": "its feature columns can carry functions and open files",
    "DeviceWrapper": "it moves a cell to a device that the file names",
    "DropoutWrapper": "it can carry a Python function",
    "DynamicEmbedding": "it changes its vocabulary while it computes",
    "DynamicLookup": "it changes its vocabulary while it computes",
    "FlaxLayer": "it runs a Flax module",
    "InputSpec": "it is no layer",
    "InstanceMethod": "it calls any method of a tensor",
    "InstanceProperty": "it reads any attribute of a tensor",
    "JaxLayer": "it carries a Python function",
    "Lambda": "it carries Python code",
    "LinearModel": "it is a ready-made model that can carry a function",
    "PreprocessingLayer": "it is a base class that only code completes",
    "ResidualWrapper": "it can carry a Python function",
    "SequenceFeatures": "its feature columns can carry functions and open files",
    "TFSMLayer": "it opens another SavedModel",
    "TorchModuleWrapper": "it unpickles a PyTorch module",
    "WideDeepModel": "it is a ready-made model that can carry a function",
    "_RNNCellWrapper": "it is a base class that only code completes",
}

# Keys that name a file where their value is text; a list of words or numbers there is the vocabulary itself.
FILE_KEYS: dict[str, frozenset[str]] = {
    "IntegerLookup": frozenset({"vocabulary"}),
    "StringLookup": frozenset({"vocabulary"}),
    "TextVectorization": frozenset({"vocabulary"}),
}
# Keys that name a function or a foreign class where their value is an object; a word there is one of Keras's own.
FUNCTION_KEYS: dict[str, frozenset[str]] = {
    "InputLayer": frozenset({"type_spec"}),
    "TextVectorization": frozenset({"split", "standardize"}),
}

# Layers that hold layers (or whole models), and where: one, or a list of them.
WRAPPERS: dict[str, frozenset[str]] = {
    "Bidirectional": frozenset({"backward_layer", "layer"}),
    "Pipeline": frozenset({"layers"}),
    "RNN": frozenset({"cell"}),
    "SpectralNormalization": frozenset({"layer"}),
    "StackedRNNCells": frozenset({"cells"}),
    "TimeDistributed": frozenset({"layer"}),
    "Wrapper": frozenset({"layer"}),
}

# Public modules under which a file names the layers above; the last is Keras 3's for three layers of Keras 2.
LAYER_MODULES: frozenset[str] = _words(
    """keras.layers keras.layers.experimental keras.layers.experimental.preprocessing keras._legacy.layers"""
)

# Layers that are in no public module: of `keras.applications`, and what Keras 2 makes of add_loss and add_metric.
APPLICATION_LAYERS: dict[str, frozenset[str]] = {
    **{f"{package}.applications.convnext": _words("LayerScale StochasticDepth") for package in _KERAS_2},
    **{f"{package}.applications.inception_resnet_v2": _words("CustomScaleLayer") for package in _KERAS_2},
    **{f"{package}.engine.base_layer": _words("AddLoss AddMetric") for package in _KERAS_2},
}
# The same where no module is named (`.h5`), and what `registered_name` says of them in any file.
APPLICATION_NAMES: frozenset[str] = _words("Custom>CustomScaleLayer CustomScaleLayer LayerScale StochasticDepth")

# Layers of Keras 2 that stand for a TensorFlow function (TF_FUNCTIONS) or operation (NODE_OPS), by module.
OP_LAYERS: dict[str, frozenset[str]] = {
    **{f"{package}.layers.core.tf_op_layer": _words("SlicingOpLambda TFOpLambda") for package in _KERAS_2},
    **{f"{package}.engine.base_layer": _words("TensorFlowOpLayer") for package in _KERAS_2},
}
OP_LAYER_NAMES: frozenset[str] = frozenset().union(*OP_LAYERS.values())

# Every module that Keras 2.12 to 2.15 and `tf_keras` write: models, layers, and the objects that layers hold.
MODULES_2: frozenset[str] = (
    LAYER_MODULES - {"keras._legacy.layers"}
    | APPLICATION_LAYERS.keys()
    | OP_LAYERS.keys()
    | {f"{package}.engine.functional" for package in _KERAS_2}
    | _words("keras keras.constraints keras.initializers keras.mixed_precision keras.regularizers")
)

# Names of activations in either Keras; `..._v2` is the inner name of TensorFlow's function.
ACTIVATIONS: frozenset[str] = _words(
    """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax log_softmax_v2 mish relu relu6 selu sigmoid silu soft_shrink softmax softmax_v2 softplus
    softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold"""
)
# Layers that may be the value of a key `…activation`.
ACTIVATION_LAYERS: frozenset[str] = _words("ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU")

# The class names, and under ..._NAMES all that may stand for one of them as a mere word.
INITIALIZERS: frozenset[str] = _words(
    """Constant ConstantV2 GlorotNormal GlorotNormalV2 GlorotUniform GlorotUniformV2 HeNormal HeNormalV2 HeUniform
    HeUniformV2 Identity IdentityInitializer IdentityV2 LecunNormal LecunNormalV2 LecunUniform LecunUniformV2 Ones
    OnesV2 Orthogonal OrthogonalInitializer OrthogonalV2 RandomNormal RandomNormalV2 RandomUniform RandomUniformV2 STFT
    STFTInitializer TruncatedNormal TruncatedNormalV2 VarianceScaling VarianceScalingV2 Zeros ZerosV2"""
)
INITIALIZER_NAMES: frozenset[str] = INITIALIZERS | _words(
    """constant gaussian glorot_normal glorot_normalV2 glorot_uniform glorot_uniformV2 he_normal he_normalV2 he_uniform
    he_uniformV2 identity laplacian lecun_normal lecun_normalV2 lecun_uniform lecun_uniformV2 normal one ones
    orthogonal random_normal random_uniform stft truncated_normal uniform variance_scaling zero zeros"""
)
REGULARIZERS: frozenset[str] = _words("L1 L1L2 L2 OrthogonalRegularizer")
REGULARIZER_NAMES: frozenset[str] = REGULARIZERS | _words("l1 l1_l2 l1l2 l2 orthogonal_regularizer")
CONSTRAINTS: frozenset[str] = _words("MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm")
CONSTRAINT_NAMES: frozenset[str] = CONSTRAINTS | _words(
    "max_norm maxnorm min_max_norm non_neg nonneg radial_constraint unit_norm unitnorm"
)
DTYPES: frozenset[str] = _words(
    """bfloat16 bool complex128 complex64 float16 float32 float64 int16 int32 int64 int8 mixed_bfloat16 mixed_float16
    string uint16 uint32 uint64 uint8"""
)

# Objects inside of a layer's config that are no layers: dtype policies, the state of a random generator (as the `seed`
# of an initializer; the layers write a number) and how a layer is quantised. GPTQConfig and AWQConfig hold data sets.
OTHER_OBJECTS: dict[str | None, frozenset[str]] = {
    None: _words("Policy PolicyV1"),
    "keras": _words("DTypePolicy FloatDTypePolicy"),
    "keras.dtype_policies": _words(
        """DTypePolicy DTypePolicyMap FloatDTypePolicy Int4DTypePolicy QuantizedDTypePolicy
        QuantizedFloat8DTypePolicy"""
    ),
    "keras.mixed_precision": _words("Policy PolicyV1"),
    "keras.quantizers": _words(
        "AbsMaxQuantizer Float8QuantizationConfig Int4QuantizationConfig Int8QuantizationConfig"
    ),
    "keras.random": _words("SeedGenerator"),
}
# Values that JSON cannot say. `.keras` writes the first block as {"class_name": …, "config": …}, tensors only among the
# arguments of a call; `.h5` writes the second with the content beside the name.
VALUES: frozenset[str] = _words("__bytes__ __ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__")
VALUES_2: frozenset[str] = _words("TensorShape __ellipsis__ __tuple__")


# What a file may name without a module: HDF5 and JSON of Keras 2, and operations in HDF5 of Keras 3.
WITHOUT_MODULE: frozenset[str] = LAYERS | APPLICATION_NAMES | OP_LAYER_NAMES | frozenset().union(*OPERATIONS.values())


def is_pure(module: str | None, name: str, registered: str | None) -> bool:
    """Whether a layer or operation of that class, as a config names it, is one of the tables."""
    if module is None:
        return registered in (None, name) and name in WITHOUT_MODULE
    if module in LAYER_MODULES:
        return registered in (None, name) and name in LAYERS
    if name in APPLICATION_LAYERS.get(module, ()):
        return registered in (None, name, f"Custom>{name}")
    if name in OP_LAYERS.get(module, ()) or name in OPERATIONS.get(module, ()):
        return registered in (None, name)
    return False


def is_activation_function(item: dict[str, object]) -> bool:
    """Whether an object names one of the known activations, as Keras 2 wrote functions of TensorFlow."""
    name = item.get("config")
    return (
        item.get("class_name") == "function"
        and item.get("module") == "builtins"
        and isinstance(name, str)
        and name in ACTIVATIONS
        and item.get("registered_name") in (None, "function", name)
    )


def why_not(name: object) -> str | None:
    """Why a class of that name is not pure, as half a sentence; None where nothing is known of it."""
    if not isinstance(name, str):
        return None
    if name in ("__lambda__", "function"):
        return "it is Python code"
    return CODE_LAYERS.get(name) or CODE_OPERATIONS.get(name)
