// What the fast mode of the Inception does to a distance between real sets.
//
// The photographs and weights stand beside the source tree on a developer's machine and are no part of it; without them
// the test skips. DERM_IMAGES: how many of each set (default 300).
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/image/codec.h"
#include "derm/metrics/extractor.h"
#include "derm/metrics/frechet.h"
#include "derm/tensor/convert.h"

namespace derm::metrics {
namespace {

namespace fs = std::filesystem;

const fs::path kShared = fs::path(DERM_SOURCE_DIR) / "../shared";

/// `count` files, evenly from the sorted names.
at::Tensor photographs(const fs::path& folder, size_t count) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  count = std::min(count, files.size());
  std::vector<at::Tensor> images;
  for (size_t i = 0; i < count; ++i)
    images.push_back(tensor::tensor_of(image::read_image(files[i * files.size() / count])));
  return at::stack(images);
}

TEST(FastMode, ChangesFd768BetweenRealSetsByLittle) {
  const fs::path weights = kShared / "weights/inception_2015_12_05_bnfolded_PARTIAL.pt";
  const fs::path one = kShared / "data/isic2017-256/images", two = kShared / "data/padufes20-256/images";
  if (!fs::exists(weights) || !fs::exists(one) || !fs::exists(two)) GTEST_SKIP() << "there are no photographs here";
  const char* wanted = std::getenv("DERM_IMAGES");
  const size_t count = wanted ? std::stoul(wanted) : 300;
  const at::Tensor dermoscopic = photographs(one, count), clinical = photographs(two, count);
  double between[2], halves[2], seconds[2];
  for (const bool fast : {false, true}) {
    const auto net = inception_extractor({.path = weights, .tap = 768, .fast = fast});
    net->features(clinical.narrow(0, 0, 8));  // packs the weights
    const auto begin = std::chrono::steady_clock::now();
    const at::Tensor a = net->features(dermoscopic), b = net->features(clinical);
    seconds[fast] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    between[fast] = frechet_distance(a, b);
    halves[fast] = frechet_distance(a.slice(0, 0, c10::nullopt, 2), a.slice(0, 1, c10::nullopt, 2));
  }
  std::cout << "N " << dermoscopic.size(0) << " and " << clinical.size(0) << "; FD-768 between the sets " << between[0]
            << " exact, " << between[1] << " fast; between halves " << halves[0] << ", " << halves[1] << "; seconds "
            << seconds[0] << ", " << seconds[1] << "\n";
  EXPECT_LT(std::abs(between[1] / between[0] - 1), 0.005);
  EXPECT_LT(std::abs(halves[1] - halves[0]), 0.002);
  EXPECT_NE(between[1], between[0]);
}

}  // namespace
}  // namespace derm::metrics
