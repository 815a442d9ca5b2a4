#pragma once
// Bundle and requests to images. No libtorch in this header.
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/data/plan.h"
#include "derm/data/request.h"
#include "derm/image/image.h"

namespace derm::recipe {
class Catalogue;
}

namespace derm::generation {

struct EngineOptions {
  std::filesystem::path bundle;  ///< a bundle or a run directory
  std::string device = "auto", precision = "auto";
  int threads = 0;  ///< images made side by side on the CPU, each on one thread
  bool check_canary = true;
  /// Styles are moved towards their class's average: 1 leaves them, 0 makes all images of a class the same. Only for
  /// generators with a style space (recipe/style.h).
  double truncation = 1;
};

/// Makes images. The same request gives the same bytes on one build and machine, whatever else is in the batch and
/// however many threads there are: on the CPU every image is computed alone on one thread.
class Engine {
 public:
  /// @throws DataError when the bundle is damaged or its canary's image is not what it should be; UsageError for a
  ///         truncation that is out of range, or of a generator without a style space
  Engine(const EngineOptions& options, const recipe::Catalogue& catalogue);
  ~Engine();
  const data::Offer& offer() const;  ///< with what it heeds and its latent directions
  int size_px() const;
  std::string bundle_sha256() const;
  const std::string& recipe_name() const;
  const std::vector<std::string>& conditions() const;
  const std::string& bundle_path() const;        ///< the bundle's own directory
  const nlohmann::json& training_facts() const;  ///< where the model came from, as its config.json says
  std::string compute_text() const;              ///< "cpu, bf16, channels last, 2 threads"
  /// What of a request reaches the image: a generator from noise alone heeds the seed and nothing else.
  const std::vector<std::string>& heeds() const;
  double truncation() const;
  int64_t parameter_count() const;  ///< of the generator

  image::Image generate(const data::Request& request);
  /// `ready(i, image)` is called in the order of the requests, from the calling thread.
  void generate(const std::vector<data::Request>& requests, const std::function<void(size_t, image::Image)>& ready);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::generation
