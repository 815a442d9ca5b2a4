#include "derm/evaluation/features.h"

#include <cstdlib>
#include <numeric>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/tensor/convert.h"
#include "derm/tensor/safetensors.h"

namespace derm::evaluation {
namespace {

at::Tensor batch_of(const std::vector<image::Image>& images) {
  std::vector<at::Tensor> tensors;
  for (const image::Image& image : images) tensors.push_back(tensor::tensor_of(image));
  return at::stack(tensors);
}

std::string digest(const at::Tensor& t) {
  return sha256_hex({static_cast<const char*>(t.data_ptr()), static_cast<size_t>(t.nbytes())});
}

constexpr size_t kChunk = 32;  // images that an extractor gets at a time

}  // namespace

at::Tensor extract(const ImageSet& set, metrics::Extractor& extractor, const std::string& label, ranks::Group* group) {
  const torch::NoGradGuard no_grad;
  const auto [first, last] = group ? ranks::part_of(set.size(), kChunk, group->rank(), group->world())
                                   : std::pair<size_t, size_t>{0, set.size()};
  at::Tensor result = at::zeros({static_cast<int64_t>(set.size()), extractor.dimension()}, at::kFloat);
  Progress progress(group ? label + ", this rank's part" : label, static_cast<double>(last - first), "images");
  std::vector<size_t> rows(last - first);
  std::iota(rows.begin(), rows.end(), first);
  set.subset(rows).stream(
      [&, begin = first](size_t at, const std::vector<image::Image>& images) {
        const at::Tensor features = extractor.features(batch_of(images));
        if (!at::isfinite(features).all().item<bool>()) {
          throw DataError(
              "{}: {} gave features that are not finite for the images from {} on; its weights are at fault",
              set.name(), extractor.name(), set.items()[begin + at].file_name);
        }
        result.narrow(0, static_cast<int64_t>(begin + at), features.size(0)).copy_(features);
        progress.update(static_cast<double>(at + images.size()));
      },
      kChunk);
  progress.finish();
  if (group) group->sum(result);  // each row is zero but on one
  return result;
}

std::filesystem::path FeatureCache::file_of(const ImageSet& set, const metrics::Extractor& extractor) const {
  Sha256 key;
  const auto add = [&](const std::string& text) { key.update(text + '\n'); };
  add("features 1");
  add(set.data().fingerprint());
  add(set.selection());
  add(std::to_string(set.size_px()));
  add(extractor.name());
  add(extractor.sha256());
  add(extractor.resize_kernel());
  for (const Item& item : set.items()) {
    const std::filesystem::path path = set.data().path_of(item.file_name);
    std::error_code ignored;  // a file that is gone is reported when it is read
    add(item.file_name);
    add(std::to_string(std::filesystem::file_size(path, ignored)));
    add(std::to_string(std::filesystem::last_write_time(path, ignored).time_since_epoch().count()));
  }
  return folder_ / ("features-" + key.hex().substr(0, 32) + ".safetensors");
}

std::optional<at::Tensor> FeatureCache::kept(const std::filesystem::path& file, int64_t count,
                                             int64_t dimension) const {
  if (!std::filesystem::exists(file)) return std::nullopt;
  try {
    const tensor::SafeTensors found = tensor::read_safetensors(file);
    const at::Tensor& features = found.tensors.at("features");
    if (features.scalar_type() == at::kFloat && features.dim() == 2 && features.size(0) == count &&
        features.size(1) == dimension && found.metadata.at("sha256") == digest(features)) {
      return features;
    }
    log_info("{}: it does not hold what it should and is made again", file.string());
  } catch (const std::exception& error) {
    log_info("{}: it cannot be used ({}) and is made again", file.string(), error.what());
  }
  return std::nullopt;
}

at::Tensor FeatureCache::features(const ImageSet& set, metrics::Extractor& extractor, const std::string& label,
                                  ranks::Group* group) const {
  const bool leads = !group || group->leads();
  // Its name asks for every image's size and time: only who reads and writes it needs it.
  const std::filesystem::path file = leads && !folder_.empty() ? file_of(set, extractor) : std::filesystem::path();
  std::optional<at::Tensor> there;
  if (!file.empty()) there = kept(file, static_cast<int64_t>(set.size()), extractor.dimension());
  if (group ? !group->of_first(there ? "kept" : "").empty() : there.has_value()) return there.value_or(at::Tensor());
  const at::Tensor features = extract(set, extractor, label, group);
  if (file.empty()) return features;
  try {
    std::filesystem::create_directories(folder_);
    tensor::write_safetensors(file, {{"features", features}},
                              {{"sha256", digest(features)}, {"extractor", extractor.name()}, {"set", set.name()}});
  } catch (const std::exception& error) {  // a cache that cannot be written costs time, not the evaluation
    log_warning("{}: the features could not be kept ({})", file.string(), error.what());
  }
  return features;
}

std::filesystem::path user_cache_folder() {
  for (const auto& [variable, below] : {std::pair{"XDG_CACHE_HOME", "dermgan"}, {"HOME", ".cache/dermgan"}}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value == '/') return std::filesystem::path(value) / below;
  }
  return {};
}

}  // namespace derm::evaluation
