#include "derm/judges/classifier.h"

#include <algorithm>

#include <torch/torch.h>

#include "derm/judges/loaded.h"

namespace derm::judges {

struct Classifier::Impl : Loaded {
  using Loaded::Loaded;
};

Classifier::Classifier(const JudgeOptions& options, const recipe::Catalogue& catalogue)
    : impl_(std::make_unique<Impl>(options, recipe::Kind::classifier, catalogue)) {}
Classifier::~Classifier() = default;

std::string Classifier::name() const { return impl_->model.config.name; }
std::string Classifier::sha256() const { return impl_->sha256; }
int Classifier::size_px() const { return static_cast<int>(impl_->size_px()); }
const std::vector<std::string>& Classifier::conditions() const { return impl_->model.config.conditions; }

int Classifier::index_of(const std::string& condition) const {
  const auto& known = conditions();
  const auto found = std::find(known.begin(), known.end(), condition);
  return found == known.end() ? -1 : static_cast<int>(found - known.begin());
}

std::vector<std::vector<double>> Classifier::probabilities(const std::vector<image::Image>& images) {
  std::vector<std::vector<double>> all;
  const auto batch = static_cast<size_t>(impl_->batch);
  for (size_t i = 0; i < images.size(); i += batch) {
    std::vector<at::Tensor> some;
    for (size_t k = i; k < std::min(i + batch, images.size()); ++k)
      some.push_back(seen(images[k], impl_->size_px(), k));
    const at::Tensor upright = at::stack(some);
    const at::Tensor p =
        (at::softmax(impl_->answers(upright), 1) + at::softmax(impl_->answers(upright.flip({3})), 1)) / 2;
    const at::Tensor values = p.to(at::kDouble).contiguous();
    const int64_t k = values.size(1);
    for (int64_t n = 0; n < values.size(0); ++n) {
      const double* from = values.data_ptr<double>() + n * k;
      all.emplace_back(from, from + k);
    }
  }
  return all;
}

std::vector<double> Classifier::probabilities(const image::Image& image) {
  return probabilities(std::vector<image::Image>{image}).front();
}

}  // namespace derm::judges
