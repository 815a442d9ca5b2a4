#include "derm/tensor/pth.h"

#include <unistd.h>

#include <cstdio>
#include <map>
#include <optional>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::tensor {
namespace {

using testing::HasSubstr;

const fs::path kCorpus = fs::path(DERM_SOURCE_DIR) / "tests/fuzz/corpus/pth";

std::string sentence_of(const fs::path& file) {
  try {
    read_pth(file);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

/// As tools/golden/pth.py prints it.
std::string text_of(const NamedTensors& tensors) {
  static const std::map<at::ScalarType, std::string> names = {
      {at::kDouble, "float64"}, {at::kFloat, "float32"}, {at::kHalf, "float16"}, {at::kBFloat16, "bfloat16"},
      {at::kLong, "int64"},     {at::kInt, "int32"},     {at::kShort, "int16"},  {at::kChar, "int8"},
      {at::kByte, "uint8"},     {at::kBool, "bool"}};
  std::ostringstream out;
  for (const auto& [name, tensor] : tensors) {
    out << fmt::format("{} {} [{}] ", name, names.at(tensor.scalar_type()), fmt::join(tensor.sizes(), ","));
    const at::Tensor values = tensor.to(at::kDouble).flatten();
    for (int64_t i = 0; i < values.size(0); ++i) out << fmt::format("{}{:.9g}", i ? " " : "", values[i].item<double>());
    out << "\n";
  }
  return out.str();
}

class TorchSave : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / fmt::format("derm-pth-{}", getpid());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    if (!fs::exists("/usr/bin/python3")) return;
    const std::string command =
        fmt::format("/usr/bin/python3 {}/tools/golden/pth.py write {} 2>/dev/null", DERM_SOURCE_DIR, folder_.string());
    FILE* pipe = popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    char buffer[4096];
    while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) expected_.append(buffer, n);
    if (pclose(pipe) != 0) expected_.clear();
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  void SetUp() override {
    if (expected_.empty()) GTEST_SKIP() << "there is no Python with PyTorch at /usr/bin/python3";
  }
  static inline fs::path folder_;
  static inline std::string expected_;
};

TEST_F(TorchSave, ComesBackInBothFormsAsPythonReadsIt) {
  ASSERT_THAT(expected_, HasSubstr("transposed float32 [4,2,3] 0 0.5 1 1.5"));
  EXPECT_EQ(text_of(read_pth(folder_ / "zip.pth")), expected_);
  EXPECT_EQ(text_of(read_pth(folder_ / "legacy.pth")), expected_);
  EXPECT_EQ(text_of(read_pth(folder_ / "protocol4.pth")), expected_);
}

TEST_F(TorchSave, GivesContiguousTensorsOfTheirOwn) {
  auto tensors = read_pth(folder_ / "zip.pth");
  std::map<std::string, at::Tensor> by_name(tensors.begin(), tensors.end());
  EXPECT_TRUE(by_name.at("transposed").is_contiguous());
  by_name.at("tied").fill_(9);
  EXPECT_EQ(by_name.at("conv.weight").max().item<float>(), 23.0f / 8);
}

TEST_F(TorchSave, OfATrainingKeepsTheTensorsAndLeavesTheRest) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : read_pth(folder_ / "optimiser.pth")) names.push_back(name);
  EXPECT_THAT(names, testing::IsSupersetOf({"state_dict.weight", "state_dict.bias", "optimizer.state.0.exp_avg"}));
}

TEST_F(TorchSave, OfAModuleOrAProgramIsRefused) {
  EXPECT_THAT(sentence_of(folder_ / "module.pth"), HasSubstr("names torch.nn.modules.conv.Conv2d"));
  EXPECT_THAT(sentence_of(folder_ / "script.pth"), HasSubstr("TorchScript"));
}

TEST_F(TorchSave, CutShortAnywhereIsRefused) {
  for (const char* name : {"zip.pth", "legacy.pth"}) {
    const std::string bytes = read_file(folder_ / name);
    for (size_t length = 0; length < bytes.size(); length += 7)
      EXPECT_THROW(parse_pth(std::string_view(bytes).substr(0, length), name), DataError) << name << " " << length;
  }
}

TEST(ReadPth, TakesTheSoundFilesOfTheCorpus) {
  for (const char* name : {"sound.pth", "sound-legacy.pth"}) {
    EXPECT_EQ(text_of(read_pth(kCorpus / name)), "a float32 [2,2] 0 1 2 3\nb float32 [3,2] 0 3 1 4 2 5\n") << name;
  }
  EXPECT_EQ(read_pth(kCorpus / "wrapped-legacy.pth").front().first, "state_dict.a");
}

TEST(ReadPth, SaysWhatIsWrongWithTheOthers) {
  const std::map<std::string, std::string> expected = {
      {"shell.pth", "names posix.system"},
      {"shell-legacy.pth", "names posix.system"},
      {"deflated.pth", "is compressed (zip method 8)"},
      {"expanded.pth", "[1000, 1000] with more elements than its storage has (1)"},
      {"expanded-legacy.pth", "[1000, 1000] with more elements than its storage has (1)"},
      {"outside.pth", "[127, 2] that does not lie in its storage of 4 elements"},
      {"damaged.pth", "does not match its checksum"},
      {"truncated.pth", "cut short"},
      {"loop.pth", "without end"},
      {"bomb.pth", "without end"}};
  for (const auto& [name, part] : expected) EXPECT_THAT(sentence_of(kCorpus / name), HasSubstr(part)) << name;
  EXPECT_FALSE(fs::exists("derm-was-here"));
}

TEST(ReadPth, RefusesOpcodesAndGlobalsOutsideItsList) {
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.", 15 + 6);
  const std::string system("\x80\x02}X\x0d\0\0\0little_endian\x88s.", 2 + 1 + 5 + 13 + 3);
  const auto refusal = [&](const std::string& pickle) -> std::string {
    try {
      parse_pth(magic + system + pickle, "x.pth");
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  };
  // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, PERSID: each could run or fetch something in Python's own reader.
  for (const char code : {'i', 'o', '\x81', '\x92', '\x82', 'P'})
    EXPECT_THAT(refusal(std::string("\x80\x02") + code), HasSubstr("opcode")) << code;
  EXPECT_THAT(refusal("\x80\x02"
                      "cbuiltins\neval\n."),
              HasSubstr("names builtins.eval, which is no plain tensor data; nothing of it was run"));
  EXPECT_THAT(refusal("\x80\x02"
                      "ctorch\nUntypedStorage\n."),
              HasSubstr("names torch.UntypedStorage"));
  EXPECT_THAT(refusal("\x80\x02"
                      "ccollections\nOrderedDict\n)R."),
              HasSubstr("holds no tensor"));
}

TEST(ReadPth, SaysWhatABeginningIsMissing) {
  EXPECT_THROW(parse_pth("", "x"), DataError);
  EXPECT_THROW(parse_pth("PK\3\4", "x"), DataError);
  EXPECT_THROW(parse_pth("hello", "x"), DataError);
  EXPECT_THROW(read_pth("/nowhere/x.pth"), DataError);
}

TEST(ReadWeights, KnowsAFileByItsContent) {
  const auto pth = read_weights(kCorpus / "sound.pth");
  EXPECT_EQ(pth.state.tensors.size(), 2u);
  EXPECT_EQ(pth.sha256, sha256_file(kCorpus / "sound.pth"));
  const auto safe = read_weights(fs::path(DERM_SOURCE_DIR) / "tests/fuzz/corpus/safetensors/sound.safetensors");
  EXPECT_FALSE(safe.state.tensors.empty());
  EXPECT_THROW(read_weights(fs::path(DERM_SOURCE_DIR) / "README.md"), DataError);
}

}  // namespace
}  // namespace derm::tensor
