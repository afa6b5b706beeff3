from dl_techniques.losses.clustering.clustering_loss import ClusteringLoss as ClusteringLoss
from dl_techniques.losses.clustering.dec_loss import DECLoss as DECLoss
from dl_techniques.losses.clustering.dec_targets import dec_targets as dec_targets
from dl_techniques.losses.clustering.student_t_assignments import student_t_assignments as student_t_assignments

__all__ = [
    "ClusteringLoss",
    "DECLoss",
    "dec_targets",
    "student_t_assignments",
]
