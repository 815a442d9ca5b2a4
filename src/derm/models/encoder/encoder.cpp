#include "derm/models/encoder/encoder.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/judges.h"
#include "derm/nn/initialise.h"
#include "derm/nn/mobilenet.h"
#include "derm/recipe/judging.h"

namespace derm::models {
namespace {

struct EncoderOptions {
  int64_t input_px = 128;                                 ///< what images are resized to before they are looked at
  int64_t dimension = 256;                                ///< of the features
  int64_t expanded = 512;                                 ///< of the embedding that the loss is taken of
  double invariance = 25, variance = 25, covariance = 1;  ///< weights of the paper
};

/// Linear and batch norm, on [N, C].
class LinearNormImpl : public torch::nn::Module {
 public:
  LinearNormImpl(int64_t in, int64_t out)
      : linear_(register_module("0", torch::nn::Linear(in, out))),
        norm_(register_module("1", nn::Norm("batch", out))) {}
  at::Tensor forward(const at::Tensor& x) { return norm_(linear_(x)); }

 private:
  torch::nn::Linear linear_;
  nn::Norm norm_;
};
TORCH_MODULE(LinearNorm);

class EncoderNet : public recipe::Judge {
 public:
  explicit EncoderNet(const EncoderOptions& options)
      : input_px_(options.input_px),
        features_(register_module("features", nn::MobileNetV2())),
        project_(register_module("project", LinearNorm(nn::MobileNetV2Impl::kChannels, options.dimension))),
        expand1_(register_module("expand1", LinearNorm(options.dimension, options.expanded))),
        expand2_(register_module("expand2", torch::nn::Linear(options.expanded, options.expanded))) {}

  at::Tensor judge(const at::Tensor& images) override {
    const at::Tensor map = features_(recipe::looked_at(images, input_px_));  // [N, 1280, s/32, s/32]
    return project_(map.to(at::kFloat).mean({2, 3}));                        // [N, dimension]
  }

  /// [N, expanded], only for the loss; kept in the bundle so that training can go on from it.
  at::Tensor embedding(const at::Tensor& features) { return expand2_(at::relu(expand1_(features))); }

 private:
  int64_t input_px_;
  nn::MobileNetV2 features_;
  LinearNorm project_, expand1_;
  torch::nn::Linear expand2_;
};

class Encoder : public recipe::JudgeRecipe {
 public:
  Encoder() {
    common_.lr = 5e-4;
    // What an altered copy may have gone through, and no blur or noise: features have to see what makes an image
    // unreal.
    common_.view = {.least_side = 0.6, .most_side = 1.0, .stretch = 0.1, .light = 0.25, .colour = 0.25};
  }

  void bind(Options& o) override {
    JudgeRecipe::bind(o);
    o.add("input_px", options_.input_px, "what images are resized to before they are looked at; a multiple of 32");
    o.add("dimension", options_.dimension, "of the features");
    o.add("expanded", options_.expanded, "of the embedding that the loss is taken of");
    o.add("invariance", options_.invariance, "weight of the distance between two views");
    o.add("variance", options_.variance, "weight of keeping every dimension alive");
    o.add("covariance", options_.covariance, "weight of keeping dimensions apart");
  }

  void validate(const recipe::ImageSpec& spec) const override {
    JudgeRecipe::validate(spec);
    if (options_.input_px < 32 || options_.input_px > 512 || options_.input_px % 32 != 0)
      throw UsageError("input_px = {}, expected a multiple of 32 from 32 to 512", options_.input_px);
    for (const auto& [field, value] : {std::pair("dimension", options_.dimension), {"expanded", options_.expanded}})
      if (value < 2 || value > 8192) throw UsageError("{} = {}, expected 2 to 8192", field, value);
    for (const auto& [field, value] : {std::pair("invariance", options_.invariance),
                                       {"variance", options_.variance},
                                       {"covariance", options_.covariance}})
      if (!(value >= 0)) throw UsageError("{} = {}, expected 0 or more", field, value);
  }

  recipe::Kind kind() const override { return recipe::Kind::encoder; }
  std::string hint() const override {
    return fmt::format("encoder(dimension={}, expanded={})", options_.dimension, options_.expanded);
  }

  recipe::Players make_players(const recipe::ImageSpec&, at::Generator& random) const override {
    auto net = std::make_shared<EncoderNet>(options_);
    nn::initialise_he(*net, random);
    return {{"judge", net}};
  }

  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    const EncoderOptions options = options_;
    const nn::ViewOptions view = common_.view;
    return {{"main", "judge", 1, [players, options, view](recipe::StepContext& step) -> std::vector<recipe::LossTerm> {
               auto& net = dynamic_cast<EncoderNet&>(recipe::judge_of(players));
               const int64_t n = step.batch.image.size(0);
               const auto seen = [&] {
                 return nn::draw_view(step.batch.image, {}, options.input_px, view, step.random).image;
               };
               const at::Tensor first = seen(), second = seen();
               const at::Tensor both = step.policy.activations(at::cat({first, second}));
               const at::Tensor z = net.embedding(net.judge(both));
               const auto terms = losses::vicreg(z.narrow(0, 0, n), z.narrow(0, n, n));
               return {{"invariance", terms.invariance, options.invariance},
                       {"variance", terms.variance, options.variance},
                       {"covariance", terms.covariance, options.covariance}};
             }}};
  }

  /// How near an altered copy lies to its original, against other images: "copy_distance" is the mean distance to the
  /// copy over the mean distance to others; "missed" the share of copies whose nearest image is not their original.
  std::vector<recipe::Figure> figures(recipe::Judge& judge, const std::vector<tensor::Batch>& validation,
                                      const tensor::ComputePolicy& policy) const override {
    at::Generator random = at::detail::createCPUGenerator(20211105);  // the same views every time
    std::vector<at::Tensor> originals, copies;
    for (const tensor::Batch& batch : validation) {
      const at::Tensor view = nn::draw_view(batch.image, {}, options_.input_px, common_.view, random).image;
      originals.push_back(judge.judge(policy.activations(batch.image)).to(at::kCPU));
      copies.push_back(judge.judge(policy.activations(view)).to(at::kCPU));
    }
    const at::Tensor x = at::cat(originals), y = at::cat(copies);
    const at::Tensor to_original = at::cdist(y, x);  // [N, N]
    const int64_t n = x.size(0);
    const double own = to_original.diagonal().mean().item<double>();
    const double others =
        n > 1 ? (to_original.sum().item<double>() - own * static_cast<double>(n)) / static_cast<double>(n * (n - 1))
              : own;
    const at::Tensor nearest = to_original.argmin(1);
    const double missed = (nearest != at::arange(n)).to(at::kDouble).mean().item<double>();
    return {{"copy_distance", own / std::max(others, 1e-12)}, {"missed", missed}};
  }

 private:
  EncoderOptions options_;
};

}  // namespace

void register_encoder(recipe::Catalogue& catalogue) {
  catalogue.add("encoder", "a judge: features of skin, learned without labels (MobileNetV2 by VICReg)",
                [] { return std::make_unique<Encoder>(); });
}

}  // namespace derm::models
