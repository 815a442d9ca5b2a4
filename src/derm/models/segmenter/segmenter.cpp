#include "derm/models/segmenter/segmenter.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/judges.h"
#include "derm/nn/initialise.h"
#include "derm/nn/mobilenet.h"
#include "derm/recipe/judging.h"

namespace derm::models {
namespace {

struct SegmenterOptions {
  int64_t width = 48;        ///< channels of the decoder at a quarter of the side
  double dice_weight = 1.0;  ///< beside cross-entropy, whose weight is 1
};

/// One level up: the coarser map doubled, and what the backbone saw at this level.
class UpImpl : public torch::nn::Module {
 public:
  UpImpl(int64_t in, int64_t skip, int64_t out)
      : coarse_(register_module("coarse", nn::ResizeConv(in, out, /*with_bias=*/false))),
        fine_(register_module("fine", nn::Conv(nn::ConvOptions{.in = skip, .out = out, .bias = false}))),
        norm_(register_module("norm", nn::Norm("batch", out))) {}
  at::Tensor forward(const at::Tensor& x, const at::Tensor& skip) {
    // The sum is a convolution over both side by side, without putting them there.
    return norm_(coarse_(x) + fine_(skip), nn::Activation::relu());
  }

 private:
  nn::ResizeConv coarse_;
  nn::Conv fine_;
  nn::Norm norm_;
};
TORCH_MODULE(Up);

class SegmenterNet : public recipe::Judge {
 public:
  explicit SegmenterNet(int64_t width)
      : features_(register_module("features", nn::MobileNetV2(/*last=*/false))),
        neck_(
            register_module("neck", nn::Conv(nn::ConvOptions{.in = 320, .out = 3 * width, .kernel = 1, .padding = 0}))),
        up16_(register_module("up16", Up(3 * width, 96, 2 * width))),
        up8_(register_module("up8", Up(2 * width, 32, 4 * width / 3))),
        up4_(register_module("up4", Up(4 * width / 3, 24, width))),
        up2_(register_module("up2", Up(width, 16, 2 * width / 3))),
        head_(register_module("head", nn::Conv(nn::ConvOptions{.in = 2 * width / 3, .out = 1}))) {}

  at::Tensor judge(const at::Tensor& images) override {
    const auto levels = features_->pyramid(nn::imagenet_normalised(images));
    at::Tensor x = at::relu(neck_(levels[4]));  // [N, 3 width, S/32, S/32]
    x = up16_(x, levels[3]);                    // [N, 2 width, S/16, S/16]
    x = up8_(x, levels[2]);
    x = up4_(x, levels[1]);
    x = up2_(x, levels[0]);  // [N, 2/3 width, S/2, S/2]
    const at::Tensor logits = head_(x).to(at::kFloat).contiguous();
    return at::upsample_bilinear2d(logits, {images.size(2), images.size(3)}, /*align_corners=*/false);
  }

 private:
  nn::MobileNetV2 features_;
  nn::Conv neck_;
  Up up16_, up8_, up4_, up2_;
  nn::Conv head_;
};

class Segmenter : public recipe::JudgeRecipe {
 public:
  Segmenter() {
    // Wide changes of scale, light and colour: it learns from dermoscopy and made skin and is used on photographs.
    common_.view = {.least_side = 0.5,
                    .most_side = 1.5,
                    .stretch = 0.2,
                    .light = 0.6,
                    .colour = 0.7,
                    .blur_px = 1.5,
                    .noise = 0.1,
                    .jpeg = 0.2};
  }

  void bind(Options& o) override {
    JudgeRecipe::bind(o);
    o.add("width", options_.width, "channels of the decoder at a quarter of the side");
    o.add("dice_weight", options_.dice_weight, "weight of the Dice loss beside cross-entropy");
  }

  void validate(const recipe::ImageSpec& spec) const override {
    JudgeRecipe::validate(spec);
    if (options_.width < 3 || options_.width > 480) throw UsageError("width = {}, expected 3 to 480", options_.width);
    if (!(options_.dice_weight >= 0)) throw UsageError("dice_weight = {}, expected 0 or more", options_.dice_weight);
  }

  recipe::Kind kind() const override { return recipe::Kind::segmenter; }
  std::string hint() const override { return fmt::format("segmenter(width={})", options_.width); }

  recipe::Players make_players(const recipe::ImageSpec&, at::Generator& random) const override {
    auto net = std::make_shared<SegmenterNet>(options_.width);
    nn::initialise_he(*net, random);
    return {{"judge", net}};
  }

  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    const double dice_weight = options_.dice_weight;
    const nn::ViewOptions view = common_.view;
    return {
        {"main", "judge", 1, [players, dice_weight, view](recipe::StepContext& step) -> std::vector<recipe::LossTerm> {
           const nn::View seen =
               nn::draw_view(step.batch.image, step.batch.region, step.batch.image.size(2), view, step.random);
           const at::Tensor logits = recipe::judge_of(players).judge(step.policy.activations(seen.image));
           return {{"cross_entropy", at::binary_cross_entropy_with_logits(logits, seen.region), 1.0},
                   {"dice", losses::soft_dice(logits, seen.region), dice_weight}};
         }}};
  }

  std::vector<recipe::Figure> figures(recipe::Judge& judge, const std::vector<tensor::Batch>& validation,
                                      const tensor::ComputePolicy& policy) const override {
    std::vector<at::Tensor> all;
    recipe::for_each_answer(judge, validation, policy, [&](const tensor::Batch& batch, const at::Tensor& logits) {
      const at::Tensor found = logits > 0, truth = batch.region >= 0.5;
      const at::Tensor both = at::logical_and(found, truth).sum({1, 2, 3}).to(at::kDouble);
      const at::Tensor either = at::logical_or(found, truth).sum({1, 2, 3}).to(at::kDouble);
      all.push_back(at::where(either > 0, both / either.clamp_min(1), at::ones_like(both)));  // both empty: they agree
    });
    const at::Tensor iou = at::cat(all);
    return {{"error", 1 - iou.mean().item<double>()},
            {"median_iou", iou.median().item<double>()},
            {"mean_dice", (2 * iou / (1 + iou)).mean().item<double>()}};
  }

 private:
  SegmenterOptions options_;
};

}  // namespace

void register_segmenter(recipe::Catalogue& catalogue) {
  catalogue.add("segmenter", "a judge: where the lesion is (MobileNetV2 and a light U-Net decoder)",
                [] { return std::make_unique<Segmenter>(); });
}

}  // namespace derm::models
