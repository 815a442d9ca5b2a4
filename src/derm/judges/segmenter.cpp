#include "derm/judges/segmenter.h"

#include <algorithm>

#include <torch/torch.h>

#include "derm/image/mask.h"
#include "derm/judges/loaded.h"

namespace derm::judges {

struct Segmenter::Impl : Loaded {
  using Loaded::Loaded;
};

namespace {

/// Bilinear in both directions, pixel centres aligned with pixel centres.
std::vector<float> enlarged(const float* plane, int side, int width, int height) {
  const at::Tensor small = at::from_blob(const_cast<float*>(plane), {1, 1, side, side}, at::kFloat);
  const at::Tensor large = at::upsample_bilinear2d(small, {height, width}, /*align_corners=*/false).contiguous();
  const float* p = large.data_ptr<float>();
  return {p, p + large.numel()};
}

/// The region that carries most probability, its holes filled.
Segmentation cut(const std::vector<float>& p, int width, int height) {
  Segmentation s;
  image::Mask over(width, height, 1);
  for (size_t i = 0; i < p.size(); ++i) over.pixels[i] = p[i] > 0.5f ? 255 : 0;
  const image::Components regions = image::connected_components(over);
  s.mask = image::Mask(width, height, 1);
  if (regions.items.empty()) return s;
  std::vector<double> weight(regions.items.size() + 1, 0.0);
  for (size_t i = 0; i < p.size(); ++i) weight[static_cast<size_t>(regions.labels[i])] += p[i];
  weight[0] = 0;
  const auto most = static_cast<int>(std::max_element(weight.begin(), weight.end()) - weight.begin());
  for (size_t i = 0; i < p.size(); ++i) s.mask.pixels[i] = regions.labels[i] == most ? 255 : 0;
  s.mask = image::fill_holes(s.mask);
  s.box = image::mask_box(s.mask);
  double inside = 0, all = 0, area = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    all += p[i];
    if (s.mask.pixels[i]) inside += p[i], area += 1;
  }
  s.confidence = std::clamp(2 * inside / (all + area), 0.0, 1.0);
  return s;
}

}  // namespace

Segmenter::Segmenter(const JudgeOptions& options, const recipe::Catalogue& catalogue)
    : impl_(std::make_unique<Impl>(options, recipe::Kind::segmenter, catalogue)) {}
Segmenter::~Segmenter() = default;

std::string Segmenter::name() const { return impl_->model.config.name; }
std::string Segmenter::sha256() const { return impl_->sha256; }
int Segmenter::size_px() const { return static_cast<int>(impl_->size_px()); }

std::vector<std::vector<float>> Segmenter::probabilities(const std::vector<image::Image>& images) {
  std::vector<std::vector<float>> all;
  if (images.empty()) return all;
  const at::Tensor p = at::sigmoid(impl_->answers(images)).contiguous();  // [N, 1, S, S]
  const int64_t plane = p.size(2) * p.size(3);
  for (int64_t i = 0; i < p.size(0); ++i) {
    const float* from = p.data_ptr<float>() + i * plane;
    all.emplace_back(from, from + plane);
  }
  return all;
}

std::vector<Segmentation> Segmenter::segment(const std::vector<image::Image>& images) {
  const auto small = probabilities(images);
  std::vector<Segmentation> all;
  for (size_t i = 0; i < images.size(); ++i) {
    const int width = images[i].width, height = images[i].height;
    all.push_back(cut(enlarged(small[i].data(), size_px(), width, height), width, height));
  }
  return all;
}

Segmentation Segmenter::segment(const image::Image& image) { return segment(std::vector<image::Image>{image}).front(); }

}  // namespace derm::judges
