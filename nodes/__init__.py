"""The nodes, one per file, and the two tables that the host reads."""

from . import host
from .compute_style_grams import ComputeStyleGrams
from .example_clip import NSTExampleClip
from .example_image import NSTExampleImage, offer_in_load_image
from .guard import guarded
from .interpolate_styles import NSTInterpolateStyles
from .layer_weights import LayerWeights
from .load_style_grams import LoadStyleGrams
from .load_vgg_features import LoadVGGFeatures
from .match_colours import NSTMatchColours
from .method import NSTMethod
from .neural_style_transfer import NeuralStyleTransfer
from .plot_loss_history import NSTPlotLossHistory
from .reconstruct_layer import NSTReconstructLayer
from .save_style_grams import SaveStyleGrams
from .show_features import NSTShowFeatures
from .show_gram import NSTShowGram
from .stylise_video import NSTStyliseVideo
from .synthesize_texture import NSTSynthesizeTexture
from .video_transfer import NSTVideoTransfer

_NODES = (
    LoadVGGFeatures,
    LayerWeights,
    ComputeStyleGrams,
    NeuralStyleTransfer,
    NSTMethod,
    NSTSynthesizeTexture,
    NSTMatchColours,
    NSTPlotLossHistory,
    NSTExampleImage,
    SaveStyleGrams,
    LoadStyleGrams,
    NSTInterpolateStyles,
    NSTShowFeatures,
    NSTShowGram,
    NSTReconstructLayer,
    NSTVideoTransfer,
    NSTStyliseVideo,
    NSTExampleClip,
)

NODE_CLASS_MAPPINGS = {node.__name__: guarded(node) for node in _NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.__name__: node.TITLE for node in _NODES}

host.warn_of_taken_ids(NODE_CLASS_MAPPINGS)
offer_in_load_image()
