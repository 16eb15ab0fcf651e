"""Loss functions: tensors in, a scalar out; one a file."""

from perisphere.losses.adaptive_margin import adaptive_margin, tag_margins
from perisphere.losses.batch_hard import BatchHard, batch_hard
from perisphere.losses.center import center
from perisphere.losses.centroid_triplet import CentroidTriplet, centroid_triplet
from perisphere.losses.class_centers import class_centers
from perisphere.losses.class_scores import ClassLoss, class_loss, rarities
from perisphere.losses.contrastive import contrastive
from perisphere.losses.correlation import inv_corr, unnorm_corr
from perisphere.losses.correspondence import Correspondence, Negatives, correspondence, draw_negatives
from perisphere.losses.devise import devise
from perisphere.losses.label_embedding import label_embedding
from perisphere.losses.mask_loss import mask_loss
from perisphere.losses.metric_learning import MetricLearningLoss, metric_learning
from perisphere.losses.pseudo_masks import labelled_masks, pseudo_masks
from perisphere.losses.quantization import quantization
from perisphere.losses.sampled_features import sample_features
from perisphere.losses.squared_distance import squared_distance
from perisphere.losses.tag_alignment import tag_alignment
from perisphere.losses.tag_pairs import TagPairs
from perisphere.losses.triplet import triplet
from perisphere.losses.tuples import NEGATIVE, POSITIVE, QUERY

__all__ = [
    "NEGATIVE",
    "POSITIVE",
    "QUERY",
    "BatchHard",
    "CentroidTriplet",
    "ClassLoss",
    "Correspondence",
    "MetricLearningLoss",
    "Negatives",
    "TagPairs",
    "adaptive_margin",
    "batch_hard",
    "center",
    "centroid_triplet",
    "class_centers",
    "class_loss",
    "contrastive",
    "correspondence",
    "devise",
    "draw_negatives",
    "inv_corr",
    "label_embedding",
    "labelled_masks",
    "mask_loss",
    "metric_learning",
    "pseudo_masks",
    "quantization",
    "rarities",
    "sample_features",
    "squared_distance",
    "tag_alignment",
    "tag_margins",
    "triplet",
    "unnorm_corr",
]
