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

/// Focal loss (Lin et al. 2017, arXiv:1708.02002) of the same logits: each image's cross-entropy times (1 - p)^gamma,
/// p the probability of its class, so that what is right already counts less. With gamma 0 it is
/// balanced_cross_entropy() without smoothing.
/// @param gamma  at least 0
/// @return       scalar, mean over N
at::Tensor balanced_focal(const at::Tensor& logits, const at::Tensor& label, const at::Tensor& prior, double gamma);

/// Negative log-likelihood with every class of the same weight; classes without an image are left out.
/// @param logits  [N, K] fp32
/// @param label   [N] int64
double balanced_nll(const at::Tensor& logits, const at::Tensor& label);

/// The temperature T from 1/8 to 8 that makes balanced_nll(logits / T) least (Guo et al. 2017, arXiv:1706.04599, with
/// every class of the same weight), on a grid of 301 values. 1 where no other is better.
double fit_temperature(const at::Tensor& logits, const at::Tensor& label);

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
