#pragma once
// A judge's bundle, opened and checked: what the three judges share.
#include <functional>

#include "derm/image/image.h"
#include "derm/judges/judge.h"
#include "derm/recipe/bundle.h"

namespace derm::judges {

/// A bundle whose checksums, kind and canary have been looked at, on its device.
struct Loaded {
  /// @throws UsageError if the bundle is of another kind; DataError if it is damaged or its canary differs
  Loaded(const JudgeOptions& options, recipe::Kind kind, const recipe::Catalogue& catalogue);

  recipe::LoadedJudge model;
  recipe::Judge* judge = nullptr;
  tensor::ComputePolicy policy;
  std::string sha256;
  std::filesystem::path bundle;
  int64_t batch = 32;

  int64_t size_px() const { return model.config.size_px; }
  /// Answers to images [N, 3, S, S] in [-1, 1], S = size_px(), in batches: fp32 on the CPU.
  at::Tensor answers(const at::Tensor& images) const;
  /// The same of pictures, each resized to size_px(). At most `batch` of them are held as tensors at a time.
  /// @throws UsageError for a picture that is empty, not RGB, or smaller than 16 px
  at::Tensor answers(const std::vector<image::Image>& pictures) const;
};

/// A picture as a judge of this size sees it, [3, size_px, size_px] in [-1, 1]. Resized by PIL's Lanczos filter.
at::Tensor seen(const image::Image& picture, int64_t size_px, size_t number);

}  // namespace derm::judges
