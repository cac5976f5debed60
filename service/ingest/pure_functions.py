"""The operations and TensorFlow functions of a model file that are pure (they compute, and nothing else), by name.

What "pure" means is said in `pure_layers`. The tables hold what Keras 3.15 and TensorFlow 2.21 export; a test looks up
every name. A name that is missing here counts as code, in the operator's folder as well.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Operations of Keras 3 on symbolic tensors, by the module that `.keras` names.
# (`.h5` names none, and Keras 3 does not open such a file.)
OPERATIONS: dict[str, frozenset[str]] = {
    "keras.src.activations.activations": _words("""Mish ReLU"""),
    "keras.src.ops.core": _words(
        """Cast ConvertToTensor SaturateCast Scatter ScatterUpdate Slice SliceUpdate StopGradient Unstack"""
    ),
    "keras.src.ops.einops": _words("""Rearrange"""),
    "keras.src.ops.image": _words(
        """AffineTransform CropImages ElasticTransform ExtractPatches GaussianBlur HSVToRGB MapCoordinates PadImages
        PerspectiveTransform RGBToGrayscale RGBToHSV Resize SSIM ScaleAndTranslate SobelEdges"""
    ),
    "keras.src.ops.linalg": _words(
        """Cholesky CholeskyInverse Det Eig Eigh Inv Lstsq LuFactor MatrixRank Norm Pinv Qr SVD Solve SolveTriangular"""
    ),
    "keras.src.ops.math": _words(
        """CDist Erf Erfc Erfinv ExtractSequences FFT FFT2 IFFT2 IRFFT ISTFT InTopK Logdet Logsumexp RFFT Rsqrt STFT
        SegmentMax SegmentMin SegmentProd SegmentSum TopK ViewAsComplex ViewAsReal"""
    ),
    "keras.src.ops.nn": _words(
        """AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm BinaryCrossentropy CTCDecode CTCLoss
        CategoricalCrossentropy Celu Conv ConvTranspose DepthToSpace DepthwiseConv DotProductAttention Elu Fold Gelu
        Glu HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments MultiHot
        Normalize OneHot PSNR Polar RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus
        Softsign SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink
        Threshold Unfold"""
    ),
    "keras.src.ops.numpy": _words(
        """Abs Absolute Add All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2
        Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average Bincount BitwiseAnd BitwiseInvert
        BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo Cbrt Ceil Clip Concatenate Conj
        Conjugate Copy Corrcoef Correlate Cos Cosh CountNonzero Cross Cumprod Cumsum Deg2rad Diag Diagflat Diagonal
        Diff Digitize Divide DivideNoNan Dot Dsplit Dstack Einsum EmptyLike Equal Exp Exp2 ExpandDims Expm1 Fabs Flip
        Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod Full FullLike Gcd Geomspace GetItem Greater GreaterEqual
        Heaviside Histogram Hsplit Hstack Hypot I0 Imag Inner IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf
        Isreal Kron Lcm Ldexp LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd
        LogicalNot LogicalOr LogicalXor Logspace Matmul Max Maximum Mean Median Meshgrid Min Minimum Mod Moveaxis
        Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile
        Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero NotEqual OnesLike Outer Pad Percentile
        Power Prod Ptp Quantile Rad2deg Ravel Real Reciprocal Repeat Reshape RightShift Roll Rot90 Round SearchSorted
        Select Sign Signbit Sin Sinc Sinh Size Slogdet Sort Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes
        Take TakeAlongAxis Tan Tanh Tensordot Tile Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unique
        UnravelIndex Vander Var Vdot View Vsplit Vstack Where ZerosLike"""
    ),
    "keras.src.quantizers.quantizers": _words("""FakeQuantWithMinMaxVars"""),
}
CODE_OPERATIONS: dict[str, str] = {
    "AssociativeScan": "it carries a Python function",
    "Cond": "it carries two Python functions",
    "ForiLoop": "it carries a Python function",
    "Function": "it is a graph inside of an operation",
    "JVP": "it carries a Python function",
    "Map": "it carries a Python function",
    "Operation": "it is a base class that only code completes",
    "Scan": "it carries a Python function",
    "SegmentReduction": "it is a base class that only code completes",
    "Switch": "it calls any function that the file names",
    "VectorizedMap": "it carries a Python function",
    "WhileLoop": "it carries two Python functions",
}

# TensorFlow functions as TFOpLambda and SlicingOpLambda name them. Left out although nothing could happen: random
# numbers, text, sparse and ragged tensors, JPEG's codec, assertions, functions with a function as an argument.
TF_FUNCTIONS: dict[str, frozenset[str]] = {
    "arithmetic and comparisons, cell by cell": _words(
        """__operators__.add __operators__.eq __operators__.ne bitwise.bitwise_and bitwise.bitwise_or
        bitwise.bitwise_xor bitwise.invert bitwise.left_shift bitwise.right_shift clip_by_global_norm clip_by_norm
        clip_by_value compat.v1.clip_by_average_norm compat.v1.div compat.v1.floor_div compat.v1.math.scalar_mul
        compat.v1.where math.abs math.accumulate_n math.acos math.acosh math.add math.add_n math.angle math.asin
        math.asinh math.atan math.atan2 math.atanh math.bessel_i0 math.bessel_i0e math.bessel_i1 math.bessel_i1e
        math.betainc math.ceil math.conj math.cos math.cosh math.cumprod math.cumsum math.cumulative_logsumexp
        math.digamma math.divide math.divide_no_nan math.equal math.erf math.erfc math.erfcinv math.erfinv math.exp
        math.expm1 math.floor math.floordiv math.floormod math.greater math.greater_equal math.igamma math.igammac
        math.imag math.is_finite math.is_inf math.is_nan math.less math.less_equal math.lgamma math.log math.log1p
        math.log_sigmoid math.logical_and math.logical_not math.logical_or math.logical_xor math.maximum math.minimum
        math.multiply math.multiply_no_nan math.ndtri math.negative math.nextafter math.not_equal math.polygamma
        math.polyval math.pow math.real math.reciprocal math.reciprocal_no_nan math.rint math.round math.rsqrt
        math.scalar_mul math.sigmoid math.sign math.sin math.sinh math.softplus math.special.bessel_j0
        math.special.bessel_j1 math.special.bessel_k0 math.special.bessel_k0e math.special.bessel_k1
        math.special.bessel_k1e math.special.bessel_y0 math.special.bessel_y1 math.special.dawsn math.special.expint
        math.special.fresnel_cos math.special.fresnel_sin math.special.spence math.sqrt math.square
        math.squared_difference math.subtract math.tan math.tanh math.truediv math.xdivy math.xlog1py math.xlogy
        math.zeta realdiv truncatediv truncatemod where"""
    ),
    "reductions, sorting and counting": _words(
        """argsort compat.v1.arg_max compat.v1.arg_min compat.v1.math.argmax compat.v1.math.argmin
        compat.v1.math.bincount compat.v1.math.confusion_matrix compat.v1.math.count_nonzero compat.v1.math.in_top_k
        compat.v1.math.reduce_all compat.v1.math.reduce_any compat.v1.math.reduce_logsumexp compat.v1.math.reduce_max
        compat.v1.math.reduce_mean compat.v1.math.reduce_min compat.v1.math.reduce_prod compat.v1.math.reduce_sum
        compat.v1.norm histogram_fixed_width histogram_fixed_width_bins math.approx_max_k math.approx_min_k math.argmax
        math.argmin math.bincount math.confusion_matrix math.count_nonzero math.in_top_k math.invert_permutation
        math.is_non_decreasing math.is_strictly_increasing math.l2_normalize math.lbeta math.reduce_all math.reduce_any
        math.reduce_euclidean_norm math.reduce_logsumexp math.reduce_max math.reduce_mean math.reduce_min
        math.reduce_prod math.reduce_std math.reduce_sum math.reduce_variance math.segment_max math.segment_mean
        math.segment_min math.segment_prod math.segment_sum math.top_k math.unsorted_segment_max
        math.unsorted_segment_mean math.unsorted_segment_min math.unsorted_segment_prod math.unsorted_segment_sqrt_n
        math.unsorted_segment_sum math.zero_fraction norm searchsorted sort unique unique_with_counts"""
    ),
    "activations": _words(
        """compat.v1.nn.crelu compat.v1.nn.log_softmax compat.v1.nn.softmax nn.crelu nn.elu nn.gelu nn.leaky_relu
        nn.log_softmax nn.relu nn.relu6 nn.selu nn.silu nn.softmax nn.softsign"""
    ),
    "convolutions, pooling, normalisation and losses": _words(
        """compat.v1.nn.avg_pool compat.v1.nn.batch_norm_with_global_normalization compat.v1.nn.conv1d
        compat.v1.nn.conv2d compat.v1.nn.conv2d_backprop_filter compat.v1.nn.conv2d_backprop_input
        compat.v1.nn.conv2d_transpose compat.v1.nn.conv3d compat.v1.nn.conv3d_backprop_filter
        compat.v1.nn.conv3d_transpose compat.v1.nn.convolution compat.v1.nn.depth_to_space
        compat.v1.nn.depthwise_conv2d compat.v1.nn.depthwise_conv2d_native compat.v1.nn.dilation2d
        compat.v1.nn.embedding_lookup compat.v1.nn.erosion2d compat.v1.nn.fused_batch_norm compat.v1.nn.max_pool
        compat.v1.nn.max_pool_with_argmax compat.v1.nn.moments compat.v1.nn.pool compat.v1.nn.relu_layer
        compat.v1.nn.separable_conv2d compat.v1.nn.sigmoid_cross_entropy_with_logits
        compat.v1.nn.softmax_cross_entropy_with_logits compat.v1.nn.softmax_cross_entropy_with_logits_v2
        compat.v1.nn.space_to_batch compat.v1.nn.space_to_depth compat.v1.nn.sparse_softmax_cross_entropy_with_logits
        compat.v1.nn.sufficient_statistics compat.v1.nn.weighted_cross_entropy_with_logits
        compat.v1.nn.weighted_moments compat.v1.nn.xw_plus_b nn.atrous_conv2d nn.atrous_conv2d_transpose nn.avg_pool
        nn.avg_pool1d nn.avg_pool2d nn.avg_pool3d nn.batch_norm_with_global_normalization nn.batch_normalization
        nn.bias_add nn.conv1d nn.conv1d_transpose nn.conv2d nn.conv2d_transpose nn.conv3d nn.conv3d_transpose
        nn.conv_transpose nn.convolution nn.depth_to_space nn.depthwise_conv2d nn.depthwise_conv2d_backprop_filter
        nn.depthwise_conv2d_backprop_input nn.dilation2d nn.embedding_lookup nn.erosion2d nn.l2_loss
        nn.local_response_normalization nn.log_poisson_loss nn.max_pool nn.max_pool1d nn.max_pool2d nn.max_pool3d
        nn.max_pool_with_argmax nn.moments nn.normalize_moments nn.pool nn.separable_conv2d
        nn.sigmoid_cross_entropy_with_logits nn.softmax_cross_entropy_with_logits nn.space_to_depth
        nn.sparse_softmax_cross_entropy_with_logits nn.sufficient_statistics nn.weighted_cross_entropy_with_logits
        nn.weighted_moments"""
    ),
    "shapes, slices, gathers, pads and casts": _words(
        """__operators__.getitem batch_to_space bitcast boolean_mask broadcast_dynamic_shape broadcast_static_shape
        broadcast_to cast compat.v1.batch_gather compat.v1.batch_to_space compat.v1.batch_to_space_nd
        compat.v1.boolean_mask compat.v1.constant compat.v1.convert_to_tensor compat.v1.expand_dims compat.v1.gather
        compat.v1.gather_nd compat.v1.ones_like compat.v1.pad compat.v1.reverse_sequence compat.v1.shape compat.v1.size
        compat.v1.squeeze compat.v1.to_bfloat16 compat.v1.to_complex128 compat.v1.to_complex64 compat.v1.to_double
        compat.v1.to_float compat.v1.to_int32 compat.v1.to_int64 compat.v1.transpose compat.v1.zeros_like concat
        constant convert_to_tensor dtypes.complex dtypes.saturate_cast dynamic_partition dynamic_stitch ensure_shape
        expand_dims extract_volume_patches eye fill gather gather_nd identity identity_n keras.backend.batch_flatten
        keras.backend.cast_to_floatx linspace meshgrid one_hot ones ones_like pad range rank repeat
        required_space_to_batch_paddings reshape reverse reverse_sequence roll scatter_nd sequence_mask shape shape_n
        size slice space_to_batch space_to_batch_nd split squeeze stack stop_gradient strided_slice
        tensor_scatter_nd_add tensor_scatter_nd_max tensor_scatter_nd_min tensor_scatter_nd_sub
        tensor_scatter_nd_update tile transpose unravel_index unstack zeros zeros_like"""
    ),
    "linear algebra and Fourier transforms": _words(
        """einsum fftnd ifftnd irfftnd linalg.adjoint linalg.band_part linalg.banded_triangular_solve linalg.cholesky
        linalg.cholesky_solve linalg.cross linalg.det linalg.diag linalg.diag_part linalg.eig linalg.eigh
        linalg.eigh_tridiagonal linalg.eigvals linalg.eigvalsh linalg.expm linalg.global_norm linalg.inv linalg.logdet
        linalg.logm linalg.lstsq linalg.lu linalg.lu_matrix_inverse linalg.lu_reconstruct linalg.lu_solve linalg.matmul
        linalg.matrix_rank linalg.matrix_transpose linalg.matvec linalg.normalize linalg.pinv linalg.qr linalg.set_diag
        linalg.slogdet linalg.solve linalg.sqrtm linalg.svd linalg.tensor_diag linalg.tensor_diag_part linalg.trace
        linalg.triangular_solve linalg.tridiagonal_matmul linalg.tridiagonal_solve rfftnd signal.dct signal.fft
        signal.fft2d signal.fft3d signal.fftnd signal.fftshift signal.frame signal.hamming_window signal.hann_window
        signal.idct signal.ifft signal.ifft2d signal.ifft3d signal.ifftnd signal.ifftshift signal.irfft signal.irfft2d
        signal.irfft3d signal.irfftnd signal.kaiser_bessel_derived_window signal.kaiser_window
        signal.linear_to_mel_weight_matrix signal.mfccs_from_log_mel_spectrograms signal.overlap_and_add signal.rfft
        signal.rfft2d signal.rfft3d signal.rfftnd signal.vorbis_window tensordot"""
    ),
    "images": _words(
        """compat.v1.image.crop_and_resize compat.v1.image.draw_bounding_boxes compat.v1.image.extract_image_patches
        compat.v1.image.resize_area compat.v1.image.resize_bicubic compat.v1.image.resize_bilinear
        compat.v1.image.resize_image_with_pad compat.v1.image.resize_images compat.v1.image.resize_nearest_neighbor
        image.adjust_brightness image.adjust_contrast image.adjust_gamma image.adjust_hue image.adjust_saturation
        image.central_crop image.combined_non_max_suppression image.convert_image_dtype image.crop_and_resize
        image.crop_to_bounding_box image.draw_bounding_boxes image.extract_patches image.flip_left_right
        image.flip_up_down image.grayscale_to_rgb image.hsv_to_rgb image.image_gradients image.non_max_suppression
        image.non_max_suppression_overlaps image.non_max_suppression_padded image.non_max_suppression_with_scores
        image.pad_to_bounding_box image.per_image_standardization image.psnr image.resize image.resize_with_crop_or_pad
        image.resize_with_pad image.rgb_to_grayscale image.rgb_to_hsv image.rgb_to_yiq image.rgb_to_yuv image.rot90
        image.sobel_edges image.ssim image.ssim_multiscale image.total_variation image.transpose image.yiq_to_rgb
        image.yuv_to_rgb"""
    ),
    "rounding as a quantised network does it": _words(
        """quantization.dequantize quantization.fake_quant_with_min_max_args quantization.fake_quant_with_min_max_vars
        quantization.fake_quant_with_min_max_vars_per_channel quantization.quantize
        quantization.quantize_and_dequantize quantization.quantize_and_dequantize_v2"""
    ),
}

# Operations of a NodeDef as TensorFlowOpLayer holds them: stateless, on numbers only, without a function as attribute,
# and of a name that does not say anything else: PyFuncStateless, ImmutableConst, Abort and Debug* are "stateless" too.
NODE_OPS: frozenset[str] = _words(
    """Abs AccumulateNV2 Acos Acosh Add AddN AddV2 AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation All Angle
    Any ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool AvgPool3D BandedTriangularSolve BatchMatMul
    BatchMatMulV2 BatchMatMulV3 BatchNormWithGlobalNormalization BatchToSpace BatchToSpaceND BesselI0 BesselI0e
    BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc BiasAdd
    BiasAddV1 Bincount Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastTo Bucketize Cast Ceil Cholesky ClipByValue
    CombinedNonMaxSuppression Complex ComplexAbs Concat ConcatOffset ConcatV2 Conj ConjugateTranspose Conv Conv2D
    Conv3D Cos Cosh CropAndResize Cross Cumprod Cumsum CumulativeLogsumexp DataFormatDimMap DataFormatVecPermute Dawsn
    DenseBincount DepthToSpace DepthwiseConv2dNative Dequantize Diag DiagPart Digamma Dilation2D Div DivNoNan
    DrawBoundingBoxes DrawBoundingBoxesV2 DynamicPartition DynamicStitch Eig Einsum Elu EnsureShape Equal Erf Erfc
    Erfinv EuclideanNorm Exp ExpandDims Expint Expm1 ExtractImagePatches ExtractVolumePatches FFT FFT2D FFT3D FFTND
    FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod
    FresnelCos FresnelSin FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 Greater
    GreaterEqual HSVToRGB HistogramFixedWidth IFFT IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND Identity
    IdentityN Igamma Igammac Imag ImageProjectiveTransformV2 ImageProjectiveTransformV3 InTopK InTopKV2 Inv Invert
    InvertPermutation IsFinite IsInf IsNan L2Loss LRN LeakyRelu LeftShift Less LessEqual Lgamma LinSpace ListDiff Log
    Log1p LogMatrixDeterminant LogSoftmax LogicalAnd LogicalNot LogicalOr LowerBound Lu MatMul MatrixBandPart
    MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3
    MatrixExponential MatrixInverse MatrixLogarithm MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve
    MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Max MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Maximum Mean
    Min Minimum MirrorPad Mod Mul MulNoNan Ndtri Neg NextAfter NonMaxSuppression NonMaxSuppressionV2
    NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps NotEqual NthElement
    OneHot OnesLike Pack Pad PadV2 Polygamma PopulationCount Pow Prod Qr QuantizeAndDequantize QuantizeAndDequantizeV2
    QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeV2 RFFT RFFT2D RFFT3D RFFTND RGBToHSV Range Rank Real
    RealDiv Reciprocal Relu Relu6 Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor Reverse
    ReverseSequence ReverseV2 RightShift Rint Roll Round Rsqrt ScaleAndTranslate ScatterNd SegmentMax SegmentMaxV2
    SegmentMean SegmentMin SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Select SelectV2
    SelfAdjointEig SelfAdjointEigV2 Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Softmax
    SoftmaxCrossEntropyWithLogits Softplus Softsign SpaceToBatch SpaceToBatchND SpaceToDepth
    SparseSoftmaxCrossEntropyWithLogits Spence Split SplitV Sqrt Square SquaredDifference Squeeze StopGradient
    StridedSlice Sub Sum Svd Tan Tanh TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
    TensorScatterUpdate Tile ToBool TopK TopKV2 Transpose TridiagonalMatMul TridiagonalSolve TruncateDiv TruncateMod
    Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UnsortedSegmentMax UnsortedSegmentMin
    UnsortedSegmentProd UnsortedSegmentSum UpperBound Where Xdivy Xlog1py Xlogy ZerosLike Zeta"""
)
