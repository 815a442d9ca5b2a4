// The corpora of the fuzz targets, and mutations of them under a fixed seed, without libFuzzer.
#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"
#include "targets.h"

namespace derm::fuzz {
namespace {

constexpr int kMutations = 200;

std::string mutated(std::string bytes, Rng& random) {
  for (int64_t edits = random.integer(1, 4); edits > 0 && !bytes.empty(); --edits) {
    const auto at = static_cast<size_t>(random.integer(0, static_cast<int64_t>(bytes.size()) - 1));
    switch (random.integer(0, 4)) {
      case 0: bytes[at] = static_cast<char>(random.integer(0, 255)); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.integer(0, 7))); break;
      case 2: bytes.resize(at); break;
      case 3: bytes.insert(at, bytes.substr(at / 2, static_cast<size_t>(random.integer(1, 16)))); break;
      default: bytes.erase(at, static_cast<size_t>(random.integer(1, 8)));
    }
  }
  return bytes;
}

class Corpus : public testing::TestWithParam<std::string> {};

TEST_P(Corpus, IsReadOrRefusedAndNothingElse) {
  const Target& target = targets().at(GetParam());
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(DERM_SOURCE_DIR) / "tests/fuzz/corpus" / GetParam()))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty());
  int accepted = 0;
  for (const fs::path& file : files) {
    const std::string original = read_file(file);
    Rng random(hash_text(file.filename().string()));
    for (int i = 0; i <= kMutations; ++i) {
      const std::string bytes = i == 0 ? original : mutated(original, random);
      try {
        target(bytes);
        accepted += i == 0;
      } catch (const Error& error) {
        EXPECT_FALSE(std::string(error.what()).empty());
      } catch (const std::exception& error) {
        FAIL() << file << ", mutation " << i << ": " << error.what();
      }
    }
  }
  EXPECT_GE(accepted, 1) << "no file of the corpus is sound";
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Corpus, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const auto& [name, target] : targets()) names.push_back(name);
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace derm::fuzz
