#pragma once
// Generators small enough that what they do is known in closed form.
#include <string>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/testing/sentence.h"
#include "derm/evaluation/testing/sets.h"
#include "derm/explore/model.h"
#include "derm/recipe/stand_in.h"

namespace derm::explore::testing {

using derm::testing::sentence_of;
using evaluation::testing::Folder;
namespace fs = std::filesystem;

constexpr int64_t kStyles = 6, kLayers = 2, kLatents = 5;

/// An even grey plus 0.05 w_0 in red and 0.04 w_1 in green, the mean of both layers: nothing else of w is seen. Layer
/// styles scale by matrices whose A^T A has the eigenvectors e_1, e_0, e_2 with the values 9, 4, 1.
class StyleNet : public recipe::StyleGenerator {
 public:
  StyleNet(int64_t size_px, int64_t classes) : size_px_(size_px), classes_(classes) {
    matrix = register_parameter("matrix", torch::zeros({3, kStyles}));
    const torch::NoGradGuard no_grad;
    matrix[0][1] = 3;
    matrix[1][0] = 2;
    matrix[2][2] = 1;
  }
  int64_t style_layers() const override { return kLayers; }
  int64_t style_length() const override { return kStyles; }
  at::Tensor map(const at::Tensor& latent, const at::Tensor& label) override {
    at::Tensor w = 2 * latent.to(at::kFloat);  // a space whose deviation is 2
    if (label.defined()) w = w + average_style(label);
    return w.unsqueeze(1).expand({-1, kLayers, -1}).contiguous();
  }
  at::Tensor synthesise(const at::Tensor& w, at::ScalarType = at::kFloat) override {
    const at::Tensor mean = w.mean(1);
    const at::Tensor colour =
        at::stack({0.05 * mean.select(1, 0), 0.04 * mean.select(1, 1), at::zeros_like(mean.select(1, 0))}, 1);
    return colour.unsqueeze(2).unsqueeze(3).expand({-1, 3, size_px_, size_px_}).contiguous();
  }
  at::Tensor generate(const tensor::Inputs& in) override {
    return synthesise(truncated(map(in.latent, in.label), in.label)).clamp(-1, 1);
  }
  /// Layer 0 holds the first row of the matrix, layer 1 the others.
  std::vector<at::Tensor> style_weights() const override {
    return {matrix.detach().narrow(0, 0, 1), matrix.detach().narrow(0, 1, 2)};
  }
  at::Tensor average_style(const at::Tensor& label) const override {
    const int64_t n = label.defined() ? label.size(0) : 1;
    at::Tensor w = torch::zeros({n, kStyles});
    if (classes_ > 0 && label.defined()) w.select(1, 5) = label.to(at::kFloat);
    return w;
  }
  at::Tensor matrix;

 private:
  int64_t size_px_, classes_;
};

/// tanh of a linear layer, an even colour: h = A z with A^T A = diag(9, 4, 1, 0, 0) / 64, or the same layer as a
/// transposed convolution, or two layers that share z and so have no closed form.
class LatentNet : public recipe::Generator {
 public:
  LatentNet(int64_t size_px, const std::string& kind) : size_px_(size_px), kind_(kind) {
    at::Tensor a = torch::zeros({3, kLatents});
    a[0][0] = 3;
    a[1][1] = 2;
    a[2][2] = 1;
    a = a / 8;
    if (kind == "transposed") a = a.t().reshape({kLatents, 3, 1, 1}).contiguous();
    first = register_parameter("first", a);
    // Of the same shape, but not fed by z: what a guess by shape would take.
    other = register_parameter("decoy", torch::ones({3, kLatents}));
    if (kind == "two") second = register_parameter("second", torch::ones({3, kLatents}) * 0.05);
  }
  at::Tensor generate(const tensor::Inputs& in) override {
    at::Tensor z = in.latent.to(at::kFloat);
    if (kind_ == "normed") z = z / (z.square().mean(1, true) + 1e-8).sqrt();
    at::Tensor h = kind_ == "transposed" ? at::conv_transpose2d(z.unsqueeze(2).unsqueeze(3), first).flatten(1)
                                         : z.matmul(first.t());
    if (kind_ == "two") h = h + at::sin(z.matmul(second.t()));
    h = h + 0.01 * at::sin(other.sum() * h);
    return at::tanh(h).unsqueeze(2).unsqueeze(3).expand({-1, 3, size_px_, size_px_}).contiguous();
  }
  at::Tensor first, second, other;

 private:
  int64_t size_px_;
  std::string kind_;
};

/// Shows the map that it is told, in the encoding that tells conditions by colour.
class MapNet : public recipe::Generator {
 public:
  MapNet() { weight = register_parameter("weight", torch::ones({1})); }
  at::Tensor generate(const tensor::Inputs& in) override { return in.map.to(at::kFloat) * weight; }
  at::Tensor weight;
};

/// Makes one of the above.
class Tiny : public recipe::Painter {
 public:
  std::string kind = "style";  ///< style, classes, linear, transposed, normed, two, map
  void bind(Options& o) override { o.add("kind", kind, "which"); }
  void validate(const recipe::ImageSpec&) const override {}
  recipe::Needs needs() const override {
    if (kind == "map") return {.map = true, .encoding = data::Encoding::rgb};
    const bool style = kind == "style" || kind == "classes";
    return {.latent = style ? kStyles : kLatents, .label = kind == "classes"};
  }
  recipe::Players make_players(const recipe::ImageSpec& spec, at::Generator&) const override {
    if (kind == "style" || kind == "classes")
      return {{"generator", std::make_shared<StyleNet>(spec.size_px, kind == "classes" ? 2 : 0)}};
    if (kind == "map") return {{"generator", std::make_shared<MapNet>()}};
    return {{"generator", std::make_shared<LatentNet>(spec.size_px, kind)}};
  }
};

inline recipe::Catalogue catalogue() {
  recipe::Catalogue all = recipe::stand_in_catalogue();
  all.add("tiny", "closed forms", [] { return std::make_unique<Tiny>(); });
  return all;
}

/// A model of that kind ("painter" for one with a map), 32 px unless said.
inline Model open(const Folder& folder, const std::string& kind, int64_t size_px = 32) {
  if (kind == "painter") {
    recipe::Painter painter;
    recipe::write_untrained_bundle(folder / kind, painter, "painter", size_px, recipe::stand_in_offer());
  } else {
    Tiny tiny;
    tiny.kind = kind;
    recipe::write_untrained_bundle(folder / kind, tiny, "tiny", size_px, recipe::stand_in_offer());
  }
  generation::EngineOptions options;
  options.bundle = folder / kind;
  options.device = "cpu";
  return {options, catalogue()};
}

}  // namespace derm::explore::testing
