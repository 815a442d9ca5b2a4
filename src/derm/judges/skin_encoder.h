#pragma once
// Features of skin photographs, learned without labels: the default extractor where no Inception is at hand.
#include <memory>
#include <string>
#include <vector>

#include "derm/image/image.h"
#include "derm/judges/judge.h"
#include "derm/metrics/extractor.h"

namespace derm::judges {

/// A MobileNetV2 trained by VICReg (Bardes, Ponce and LeCun 2022, arXiv:2105.04906) on real skin photographs. Its
/// features change little when a picture is mirrored, turned, cropped or slightly recoloured, so that an altered copy
/// of a photograph lies next to it; they do see blur and noise. Distances carry its name and are comparable with no
/// other extractor's.
class SkinEncoder : public metrics::Extractor {
 public:
  /// @throws UsageError if the bundle is of another kind; DataError if it is damaged or its canary differs
  SkinEncoder(const JudgeOptions& options, const recipe::Catalogue& catalogue);
  ~SkinEncoder() override;

  std::string name() const override;  ///< "skin-encoder-v1"
  int64_t dimension() const override;
  std::string sha256() const override;         ///< of its weights
  std::string resize_kernel() const override;  ///< how images reach the size that it looks at
  /// @param images  [N, 3, H, W] in [-1, 1], any size of at least 16 px; resized with antialiasing
  /// @return        [N, dimension()] float on the CPU
  at::Tensor features(const at::Tensor& images) override;

  /// The same from pictures (RGB, any sizes).
  at::Tensor features(const std::vector<image::Image>& images);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::judges
