#pragma once
// Losses of the judges. Tensors in, numbers out.
#include <ATen/core/Tensor.h>

namespace derm::losses {

/// Soft Dice loss (Milletari et al. 2016, arXiv:1606.04797), per image, then the mean:
/// 1 - (2 sum p t + 1) / (sum p + sum t + 1) with p = sigmoid(logits). The 1 lets empty truth be met by an empty
/// answer.
/// @param logits, truth  [N, 1, H, W]; truth in [0, 1]
/// @return               scalar in [0, 1]
at::Tensor soft_dice(const at::Tensor& logits, const at::Tensor& truth);

/// Cross-entropy of logits moved by log prior (Menon et al. 2021, arXiv:2007.07314): what is learned is as if every
/// class were equally frequent. With label smoothing (Szegedy et al. 2016): `smoothing` of the target is spread evenly.
/// @param logits  [N, K]
/// @param label   [N] int64
/// @param prior   [K] shares of the classes, positive, sum 1
/// @return        scalar, mean over N
at::Tensor balanced_cross_entropy(const at::Tensor& logits, const at::Tensor& label, const at::Tensor& prior,
                                  double smoothing = 0);

/// The three terms of VICReg (Bardes et al. 2022, arXiv:2105.04906) on embeddings of two views of the same images.
struct VicReg {
  at::Tensor invariance;  ///< mean squared difference of the views
  at::Tensor variance;    ///< mean over dimensions and views of max(0, 1 - sqrt(var + 1e-4))
  at::Tensor covariance;  ///< squared off-diagonal covariances, summed, over D, and over both views
};
/// Of a single image, which has no variance, the two last terms are 0.
/// @param a, b  [N, D] fp32
/// @throws      UsageError for other shapes
VicReg vicreg(const at::Tensor& a, const at::Tensor& b);

}  // namespace derm::losses
