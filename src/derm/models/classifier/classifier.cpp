#include "derm/models/classifier/classifier.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/judges.h"
#include "derm/nn/initialise.h"
#include "derm/nn/mobilenet.h"
#include "derm/recipe/judging.h"

namespace derm::models {
namespace {

struct ClassifierOptions {
  int64_t input_px = 160;  ///< what images are resized to before they are looked at
  double dropout = 0.3;    ///< of the pooled features
  double smoothing = 0.1;  ///< of labels
  double balance = 1.0;  ///< exponent of the class shares that the loss takes out: 1 learns as if all were as frequent
};

class ClassifierNet : public recipe::Judge {
 public:
  ClassifierNet(const ClassifierOptions& options, int64_t conditions, const at::Tensor& shares)
      : options_(options),
        features_(register_module("features", nn::MobileNetV2())),
        classifier_(register_module("classifier", torch::nn::Linear(nn::MobileNetV2Impl::kChannels, conditions))) {
    prior = register_buffer("prior", shares);
    temperature = register_buffer("temperature", torch::ones({1}));
  }

  at::Tensor logits(const at::Tensor& images) {
    const at::Tensor map = features_(recipe::looked_at(images, options_.input_px));  // [N, 1280, s/32, s/32]
    const at::Tensor pooled = map.to(at::kFloat).mean({2, 3});
    return classifier_(at::dropout(pooled, options_.dropout, is_training()));
  }

  at::Tensor judge(const at::Tensor& images) override { return logits(images) / temperature; }

  at::Tensor prior;        ///< [conditions] shares in the training set
  at::Tensor temperature;  ///< [1], fitted on validation; 1 while it trains

 private:
  ClassifierOptions options_;
  nn::MobileNetV2 features_;
  torch::nn::Linear classifier_;
};

struct Answers {
  at::Tensor logits, label;  ///< [N, K] and [N]
};

Answers answers_of(recipe::Judge& judge, const std::vector<tensor::Batch>& batches,
                   const tensor::ComputePolicy& policy) {
  std::vector<at::Tensor> logits, labels;
  recipe::for_each_answer(judge, batches, policy, [&](const tensor::Batch& batch, const at::Tensor& answer) {
    logits.push_back(answer);
    labels.push_back(batch.inputs.label);
  });
  return {at::cat(logits), at::cat(labels)};
}

/// Mean over classes of the mean over their images; classes without an image are left out.
double class_mean(const at::Tensor& values, const at::Tensor& label, int64_t classes) {
  double sum = 0;
  int64_t present = 0;
  for (int64_t k = 0; k < classes; ++k) {
    const at::Tensor of_class = values.masked_select(label == k);
    if (of_class.numel() == 0) continue;
    sum += of_class.to(at::kDouble).mean().item<double>();
    ++present;
  }
  return sum / static_cast<double>(std::max<int64_t>(present, 1));
}

class Classifier : public recipe::JudgeRecipe {
 public:
  Classifier() {
    common_.lr = 5e-4;
    common_.view = {.least_side = 0.6,
                    .most_side = 1.1,
                    .stretch = 0.15,
                    .light = 0.3,
                    .colour = 0.25,
                    .blur_px = 0.8,
                    .noise = 0.04,
                    .jpeg = 0.1};
  }

  void bind(Options& o) override {
    JudgeRecipe::bind(o);
    o.add("input_px", options_.input_px, "what images are resized to before they are looked at; a multiple of 32");
    o.add("dropout", options_.dropout, "of the pooled features");
    o.add("smoothing", options_.smoothing, "part of a label that is spread over all conditions");
    o.add("balance", options_.balance, "1: learns as if all conditions were equally frequent; 0: as they are");
  }

  void validate(const recipe::ImageSpec& spec) const override {
    JudgeRecipe::validate(spec);
    if (spec.conditions.size() < 2)
      throw UsageError("the data set has one condition (\"{}\"), a classifier expects at least two",
                       spec.conditions.front());
    if (options_.input_px < 32 || options_.input_px > 512 || options_.input_px % 32 != 0)
      throw UsageError("input_px = {}, expected a multiple of 32 from 32 to 512", options_.input_px);
    const auto share = [](const char* field, double value, double high) {
      if (!(value >= 0 && value <= high))
        throw UsageError("{} = {}, expected a number from 0 to {}", field, value, high);
    };
    share("dropout", options_.dropout, 0.9);
    share("smoothing", options_.smoothing, 0.5);
    share("balance", options_.balance, 2);
  }

  recipe::Kind kind() const override { return recipe::Kind::classifier; }
  std::string hint() const override { return fmt::format("classifier(input_px={})", options_.input_px); }

  recipe::Players make_players(const recipe::ImageSpec& spec, at::Generator& random) const override {
    const auto conditions = static_cast<int64_t>(spec.conditions.size());
    at::Tensor shares = torch::ones({conditions});
    for (size_t k = 0; k < spec.counts.size(); ++k)
      shares[static_cast<int64_t>(k)] = static_cast<double>(std::max<int64_t>(spec.counts[k], 1));
    auto net = std::make_shared<ClassifierNet>(options_, conditions, shares / shares.sum());
    nn::initialise_he(*net, random);
    return {{"judge", net}};
  }

  std::vector<recipe::Phase> phases(const recipe::Players& players) const override {
    const ClassifierOptions options = options_;
    const nn::ViewOptions view = common_.view;
    return {{"main", "judge", 1, [players, options, view](recipe::StepContext& step) -> std::vector<recipe::LossTerm> {
               auto& net = dynamic_cast<ClassifierNet&>(recipe::judge_of(players));
               const nn::View seen = nn::draw_view(step.batch.image, {}, options.input_px, view, step.random);
               const at::Tensor logits = net.logits(step.policy.activations(seen.image));
               const at::Tensor weight = net.prior.pow(options.balance);
               return {{"cross_entropy",
                        losses::balanced_cross_entropy(logits, step.batch.inputs.label, weight / weight.sum(),
                                                       options.smoothing),
                        1.0}};
             }}};
  }

  /// One temperature for all, by Guo et al. 2017 (arXiv:1706.04599), with every condition of the same weight.
  void calibrate(recipe::Judge& judge, const std::vector<tensor::Batch>& validation,
                 const tensor::ComputePolicy& policy) const override {
    auto& net = dynamic_cast<ClassifierNet&>(judge);
    net.temperature.fill_(1.0);
    const Answers answers = answers_of(judge, validation, policy);
    net.temperature.fill_(losses::fit_temperature(answers.logits, answers.label));
  }

  std::vector<recipe::Figure> figures(recipe::Judge& judge, const std::vector<tensor::Batch>& validation,
                                      const tensor::ComputePolicy& policy) const override {
    const Answers answers = answers_of(judge, validation, policy);
    const at::Tensor right = (answers.logits.argmax(1) == answers.label).to(at::kDouble);
    return {{"nll", losses::balanced_nll(answers.logits, answers.label)},
            {"balanced_accuracy", class_mean(right, answers.label, answers.logits.size(1))},
            {"accuracy", right.mean().item<double>()},
            {"temperature", dynamic_cast<ClassifierNet&>(judge).temperature.item<double>()}};
  }

 private:
  ClassifierOptions options_;
};

}  // namespace

void register_classifier(recipe::Catalogue& catalogue) {
  catalogue.add("classifier", "a judge: which condition it is (MobileNetV2, calibrated)",
                [] { return std::make_unique<Classifier>(); });
}

}  // namespace derm::models
