"""What is known of operators in other domains than ONNX's own: which multiply matrices, where samples lie."""

from __future__ import annotations

from typing import Final

_MICROSOFT_WITHOUT: Final = """
    BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu BifurcationDetector BitmaskBiasDropout BitmaskDropout
    ComplexMul ComplexMulConj CropAndResize DequantizeBFP DequantizeLinear DequantizeWithOrder DynamicTimeWarping
    EmbedLayerNormalization ExpandDims FastGelu GatedAdd GatherBlockQuantized GatherND GatherPacked Gelu
    GemmaRotaryEmbedding GridSample GroupNorm IsAllFinite MRotaryEmbedding MaxpoolWithMask MulInteger MurmurHash3
    NGramHashMapping NGramRepeatBlock NhwcMaxPool Pad QEmbedLayerNormalization QLinearAdd QLinearAveragePool
    QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax
    QLinearWhere QOrderedGelu QOrderedLayerNormalization QuantizeBFP QuantizeLinear QuantizeWithOrder QuickGelu Range
    ReduceSumInteger RemovePadding RestorePadding RotaryEmbedding ScaledSiLU SkipGroupNorm SkipLayerNormalization
    SkipSimplifiedLayerNormalization SwiGLU Tokenizer Trilu UnfoldTensor Unique VarlenNGramHashMapping
"""
_LEARNING_WITHOUT: Final = """
    ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder
    Normalizer OneHotEncoder Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor ZipMap
"""
_MICROSOFT_MOVING: Final = """
    CDist DecoderMaskedMultiHeadAttention GroupQueryAttention LinearAttention MultiHeadAttention
    PackedMultiHeadAttention PagedAttention SparseAttention
"""

#: Kinds of operators that multiply no matrices.
WITHOUT_PRODUCTS: Final = frozenset(
    [f"com.microsoft.{name}" for name in _MICROSOFT_WITHOUT.split()]
    + [f"ai.onnx.ml.{name}" for name in _LEARNING_WITHOUT.split()]
)
#: Kinds of operators that multiply matrices which are never constant by themselves.
MOVING_PRODUCTS: Final = frozenset(["Attention", *(f"com.microsoft.{name}" for name in _MICROSOFT_MOVING.split())])
#: Kinds that take their operands element by element, as broadcasting has it.
ELEMENTWISE: Final = frozenset(
    f"com.microsoft.{name}"
    for name in """BiasGelu DequantizeLinear FastGelu Gelu QLinearAdd QLinearLeakyRelu QLinearMul QLinearSigmoid
    QuantizeLinear QuickGelu""".split()
)
#: Kinds that keep samples along the first axis: which of their operands hold some, along that axis too.
ALONG_FIRST_AXIS: Final[dict[str, tuple[int, ...]]] = {
    "com.microsoft.EmbedLayerNormalization": (0, 1, 7, 8),
    "com.microsoft.MultiHeadAttention": (0, 1, 2, 4, 5, 6, 7),
    "com.microsoft.QLinearAveragePool": (0,),
    "com.microsoft.QLinearGlobalAveragePool": (0,),
    "com.microsoft.SkipLayerNormalization": (0, 1),
    "com.microsoft.SkipSimplifiedLayerNormalization": (0, 1),
}
