#pragma once
// What a recipe is: its networks, their optimisers, and the phases of a step. The training loop knows nothing else of a
// method.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

#include "derm/base/options.h"
#include "derm/data/semantic_map.h"
#include "derm/tensor/batch.h"
#include "derm/tensor/policy.h"

namespace derm::recipe {

/// What images a network is built for.
struct ImageSpec {
  int64_t size_px = 256;
  std::vector<std::string> conditions;
  int64_t map_channels = 0;          ///< 0 for recipes without a map
  std::vector<int64_t> counts = {};  ///< training images of each condition; empty where there are none, as when a
                                     ///< bundle is loaded
};

/// What a recipe wants to be fed with.
struct Needs {
  int64_t latent = 0;        ///< length of the latent vector, 0: none
  int64_t noise_planes = 0;  ///< instead of a vector: the latent is [N, noise_planes, S, S], white noise beside the map
  bool label = false;
  bool map = false;
  data::Encoding encoding = data::Encoding::planes;
};

/// What a recipe's bundle keeps, and so what it is for.
enum class Kind {
  generator,   ///< makes images
  segmenter,   ///< a judge: says where the lesion is
  classifier,  ///< a judge: says which condition it is
  encoder      ///< a judge: gives features
};
std::string kind_name(Kind kind);
Kind kind_from_name(const std::string& name);  ///< throws UsageError naming those there are
inline bool is_judge(Kind kind) { return kind != Kind::generator; }
/// The name of the player that a bundle of this kind keeps: "generator" or "judge".
std::string kept_player(Kind kind);

/// A network that makes images. What a generator's bundle keeps.
class Generator : public torch::nn::Module {
 public:
  /// @return [N, 3, S, S] in [-1, 1], fp32
  virtual at::Tensor generate(const tensor::Inputs& inputs) = 0;
};

/// A network that looks at images. What a judge's bundle keeps.
class Judge : public torch::nn::Module {
 public:
  /// @param images  [N, 3, S, S] in [-1, 1]; its type and format are those that the network computes in
  /// @return        fp32; of a segmenter [N, 1, S, S], of a classifier [N, conditions], both logits; of an encoder
  ///                [N, D] features
  virtual at::Tensor judge(const at::Tensor& images) = 0;
};

/// Named networks: "generator" is a Generator, or "judge" is a Judge.
using Players = std::map<std::string, std::shared_ptr<torch::nn::Module>>;
Generator& generator_of(const Players& players);
Judge& judge_of(const Players& players);

/// A number that says how good a judge is on validation images; less is better for the first of a recipe's.
struct Figure {
  std::string name;
  double value = 0;
};

/// A named scalar of the loss; `value` is what is logged, `weight * value` what is summed.
struct LossTerm {
  std::string name;
  at::Tensor value;
  double weight = 1.0;
};

/// Values that the phases of one step share, such as the generator's output: made by the first that asks.
class StepMemo {
 public:
  at::Tensor get(const std::string& name, const std::function<at::Tensor()>& make);
  void clear() { values_.clear(); }

 private:
  std::map<std::string, at::Tensor> values_;
};

struct StepContext {
  const tensor::Batch& batch;  ///< on the device, in the policy's type and format (region and real image are fp32 too)
  int64_t step = 0;
  double kimg = 0;
  at::Generator& random;  ///< seeded from (run seed, step): what a step draws depends on nothing else
  StepMemo& memo;
  tensor::ComputePolicy policy = {};  ///< for what a recipe makes out of the image itself
};

struct Phase {
  std::string name;    ///< "d_main", "d_r1", "g_main": the prefix in the logs
  std::string player;  ///< whose parameters move; gradients reach no other player
  int64_t every = 1;   ///< runs each n-th step; a lazy regulariser scales itself
  std::function<std::vector<LossTerm>(StepContext&)> losses;
};

struct AdamSpec {
  double lr = 2e-4, beta1 = 0.5, beta2 = 0.999, eps = 1e-8;
};

class Recipe {
 public:
  virtual ~Recipe() = default;
  virtual void bind(Options& o) = 0;  ///< its options, under "recipe." in a run file
  virtual void validate(
      const ImageSpec& spec) const = 0;  ///< throws UsageError naming field, value and what is accepted
  virtual Needs needs() const = 0;
  virtual Kind kind() const { return Kind::generator; }  ///< of a judge: which
  /// Of a judge, the name that its figures carry, as "skin-encoder-v1"; "": the recipe's.
  virtual std::string judge_name() const { return ""; }
  virtual Players make_players(const ImageSpec& spec, at::Generator& random) const = 0;
  virtual std::vector<Phase> phases(const Players& players) const = 0;
  virtual AdamSpec optimiser(const std::string& player) const = 0;
  /// Factor on every learning rate, by the part of the run that is done (0 to 1).
  virtual double lr_factor(double progress) const;
  virtual int64_t default_batch() const { return 8; }

  /// How good a judge is on images that it has not learned from; `best` is the run's checkpoint with the least first
  /// figure. A generator's recipe has none: it is measured by KID.
  /// @param judge       the average of the weights, in eval mode; called without gradients
  /// @param validation  on the CPU, fp32, in batches; without a map
  /// @return            at least one figure of a judge, always the same names
  virtual std::vector<Figure> figures(Judge& judge, const std::vector<tensor::Batch>& validation,
                                      const tensor::ComputePolicy& policy) const;
  /// Sets what a judge learns from validation images alone, such as the temperature of its probabilities, before its
  /// figures are taken and its bundle is written. Nothing for most.
  virtual void calibrate(Judge&, const std::vector<tensor::Batch>&, const tensor::ComputePolicy&) const {}

  virtual std::string hint() const = 0;  ///< "dermgan(width=32)", for messages about weights
};

/// The recipes that the build found, by name.
class Catalogue {
 public:
  using Factory = std::function<std::unique_ptr<Recipe>()>;
  void add(const std::string& name, const std::string& summary, Factory factory);
  /// @throws UsageError with the nearest known name
  std::unique_ptr<Recipe> make(const std::string& name) const;
  std::vector<std::string> names() const;
  const std::string& summary(const std::string& name) const;

 private:
  struct Entry {
    std::string name, summary;
    Factory factory;
  };
  std::vector<Entry> entries_;
};

/// The latent that a seed stands for: [1, latent] or [1, noise_planes, S, S], the same on every machine; undefined if
/// the recipe needs none.
at::Tensor latent_of_seed(const Needs& needs, int64_t size_px, uint64_t seed);

/// The spec of images for a recipe fed from `map` planes.
ImageSpec image_spec(const Recipe& recipe, int64_t size_px, const std::vector<std::string>& conditions);

}  // namespace derm::recipe
