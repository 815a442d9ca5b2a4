#include "derm/tensor/safetensors.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"

namespace derm::tensor {
namespace {

using testing::HasSubstr;

class SafeTensorsFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("derm-safetensors-{}", getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

/// A file from its header and so many bytes of data.
std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t size = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &size, 8);
  return out + header + std::string(data_bytes, '\0');
}

std::string refusal_of(const std::string& bytes) {
  try {
    parse_safetensors(bytes, "m.safetensors");
  } catch (const DataError& e) {
    return e.what();
  }
  return "accepted";
}

/// What a shell command prints; nullopt if it fails.
std::optional<std::string> output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return std::nullopt;
  std::string text;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  return pclose(pipe) == 0 ? std::optional(text) : std::nullopt;
}

const std::string kPython = "/usr/bin/python3";
const std::string kReader = std::string(DERM_SOURCE_DIR) + "/tools/golden/safetensors.py";

NamedTensors one_of_each_type() {
  NamedTensors out;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort, at::kChar,
                          at::kByte, at::kBool})
    out.emplace_back(std::string("t.") + c10::toString(type), torch::tensor({1.0, 0.0, 1.0}).to(type));
  out.emplace_back("scalar", torch::tensor(2.5));
  out.emplace_back("empty", torch::empty({0, 3}));
  return out;
}

TEST_F(SafeTensorsFile, EveryTypeComesBackAsItWas) {
  const auto tensors = one_of_each_type();
  write_safetensors(folder_ / "a.safetensors", tensors, {{"recipe", "dermgan"}});
  const SafeTensors read = read_safetensors(folder_ / "a.safetensors");
  EXPECT_EQ(read.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor& back = read.tensors.at(name);
    EXPECT_EQ(back.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(back.sizes() == tensor.sizes() && torch::equal(back, tensor)) << name;
  }
  EXPECT_EQ(read.metadata.at("recipe"), "dermgan");
}

TEST_F(SafeTensorsFile, TheSameTensorsInAnotherOrderGiveTheSameBytes) {
  auto tensors = one_of_each_type();
  write_safetensors(folder_ / "a.safetensors", tensors);
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(folder_ / "b.safetensors", tensors);
  EXPECT_EQ(read_file(folder_ / "a.safetensors"), read_file(folder_ / "b.safetensors"));
}

TEST_F(SafeTensorsFile, DataBeginsAtAMultipleOfEight) {
  write_safetensors(folder_ / "a.safetensors", {{"x", torch::ones({3})}});
  const std::string bytes = read_file(folder_ / "a.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_EQ(bytes.size(), 8 + header + 12);
}

TEST_F(SafeTensorsFile, TransposedTensorsAreWrittenRowByRow) {
  write_safetensors(folder_ / "a.safetensors", {{"x", torch::arange(6).view({2, 3}).t()}});
  EXPECT_TRUE(torch::equal(read_safetensors(folder_ / "a.safetensors").tensors.at("x"),
                           torch::tensor({{0, 3}, {1, 4}, {2, 5}})));
}

TEST_F(SafeTensorsFile, ANameGivenTwiceIsRefused) {
  const NamedTensors twice = {{"x", torch::ones(1)}, {"x", torch::ones(1)}};
  EXPECT_THROW(write_safetensors(folder_ / "a.safetensors", twice), UsageError);
  EXPECT_FALSE(fs::exists(folder_ / "a.safetensors"));
}

TEST_F(SafeTensorsFile, AnIndependentReaderSeesTheSameNumbers) {
  if (!fs::exists(kPython)) GTEST_SKIP() << "there is no " << kPython;
  write_safetensors(folder_ / "a.safetensors",
                    {{"b.weight", torch::tensor({{1.5f, -2.0f}, {0.25f, 3.0f}})},
                     {"a.brain", torch::tensor({1.0, -3.0, 0.5}).to(at::kBFloat16)},
                     {"a.half", torch::tensor({0.5, -65504.0}).to(at::kHalf)},
                     {"n", torch::tensor(int64_t{-7})},
                     {"flags", torch::tensor({true, false, true})}},
                    {{"note", "zw\xC3\xB6lf"}});
  const auto text = output_of("PYTHONIOENCODING=utf-8 " + kPython + " '" + kReader + "' show '" +
                              (folder_ / "a.safetensors").string() + "'");
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(*text,
            "a.brain BF16 [3] 1 -3 0.5\n"
            "a.half F16 [2] 0.5 -65504\n"
            "b.weight F32 [2, 2] 1.5 -2 0.25 3\n"
            "flags BOOL [3] 1 0 1\n"
            "n I64 [] -7\n"
            "# note zw\xC3\xB6lf\n");
}

TEST_F(SafeTensorsFile, AFileOfAnIndependentWriterIsRead) {
  if (!fs::exists(kPython)) GTEST_SKIP() << "there is no " << kPython;
  const auto file = folder_ / "p.safetensors";
  ASSERT_TRUE(output_of(kPython + " '" + kReader + "' example '" + file.string() + "'").has_value());
  const SafeTensors read = read_safetensors(file);
  EXPECT_EQ(read.tensors.size(), 6u);
  EXPECT_TRUE(torch::equal(read.tensors.at("z.weight"), torch::tensor({{1.5f, -2.0f, 0.25f}, {4.0f, 1e-3f, -1e6f}})));
  EXPECT_TRUE(torch::equal(read.tensors.at("flag"), torch::tensor({true, false, true})));
  EXPECT_TRUE(torch::equal(read.tensors.at("half").to(at::kFloat), torch::tensor({0.5f, -65504.0f})));
  EXPECT_TRUE(torch::equal(read.tensors.at("brain").to(at::kFloat), torch::tensor({{1.0f}, {-3.0f}})));
  EXPECT_EQ(read.tensors.at("count").item<int64_t>(), -(int64_t{1} << 40));
  EXPECT_EQ(read.tensors.at("nothing").numel(), 0);
  EXPECT_EQ(read.metadata.at("text"), "zw\xC3\xB6lf");
}

TEST(SafeTensorsParse, TakesATensorOfTwoFloats) {
  const auto read = parse_safetensors(file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )", 8), "m");
  EXPECT_TRUE(torch::equal(read.tensors.at("x"), torch::zeros(2)));
}

TEST(SafeTensorsParse, TakesAFileWithoutTensors) {
  EXPECT_TRUE(parse_safetensors(file_of("{}", 0), "m").tensors.empty());
}

struct Bad {
  const char* name;
  std::string bytes;
  const char* says;
};

class SafeTensorsRefusal : public testing::TestWithParam<Bad> {};

TEST_P(SafeTensorsRefusal, SaysWhatIsWrong) {
  const std::string message = refusal_of(GetParam().bytes);
  EXPECT_THAT(message, HasSubstr(GetParam().says));
  EXPECT_THAT(message, HasSubstr("m.safetensors: "));
}

const std::string kX = R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";

INSTANTIATE_TEST_SUITE_P(
    All, SafeTensorsRefusal,
    testing::Values(
        Bad{"Empty", "", "0 bytes"}, Bad{"SevenBytes", "1234567", "7 bytes"},
        Bad{"HeaderLongerThanFile", file_of("{}", 0).substr(0, 9), "cut short"},
        Bad{"HugeHeader", std::string(16, '\xff'), "at most 100000000"},
        Bad{"NoHeader", file_of("", 0), "not a JSON object"}, Bad{"NotJson", file_of("{\"x\":", 0), "not JSON"},
        Bad{"AList", file_of("[]", 0), "not a JSON object"}, Bad{"Trailing", file_of("{} {}", 0), "not JSON"},
        Bad{"ZeroByte", file_of(std::string("{}\0zzz", 6), 0), "not a JSON object"},
        Bad{"Deep", file_of("{\"x\":{\"shape\":[[", 0), "a list"},
        Bad{"EntryIsNumber", file_of("{\"x\":3}", 0), "holds 3"},
        Bad{"UnknownField", file_of(R"({"x":{"dtype":"F32","sahpe":[2]}})", 0), "sahpe"},
        Bad{"UnknownType", file_of(R"({"x":{"dtype":"F8","shape":[8],"data_offsets":[0,8]}})", 8), "F8"},
        Bad{"MissingOffsets", file_of(R"({"x":{"dtype":"F32","shape":[2]}})", 8), "no data_offsets"},
        Bad{"NegativeShape", file_of(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), "-2"},
        Bad{"FractionalShape", file_of(R"({"x":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8), "2.0"},
        Bad{"WrongShape", file_of(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
            "does not match its 8 bytes"},
        Bad{"Overflow", file_of(R"({"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0),
            "does not match"},
        Bad{"OverflowHiddenByZero",
            file_of(R"({"x":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", 0),
            "does not match"},
        Bad{"ManyDimensions",
            file_of(R"({"x":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4),
            "more than 16"},
        Bad{"Backwards", file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "a begin and an end"},
        Bad{"BeyondTheEnd", file_of("{" + kX + "}", 7), "cut short"},
        Bad{"BytesLeftOver", file_of("{" + kX + "}", 9), "1 bytes after"},
        Bad{"Hole", file_of(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2), "bytes 0 to 1"},
        Bad{"Overlap", file_of("{" + kX + R"(,"y":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "overlap"},
        Bad{"SameBytesTwice", file_of("{" + kX + R"(,"y":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8),
            "overlap"},
        Bad{"NameTwice", file_of("{" + kX + "," + kX + "}", 8), "twice"},
        Bad{"DtypeTwice", file_of(R"({"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8),
            "twice"},
        Bad{"ShapeTwice", file_of(R"({"x":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})", 8), "twice"},
        Bad{"MetadataNotText", file_of(R"({"__metadata__":{"a":1}})", 0), "holds 1"},
        Bad{"BoolOfTwo", file_of(R"({"x":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", 0) + "\2",
            "other than 0 and 1"}),
    [](const auto& bad) { return std::string(bad.param.name); });

TEST(SafeTensorsParse, DamagedBytesThrowNothingButDataError) {
  const std::string whole =
      file_of("{" + kX + R"(,"y":{"dtype":"U8","shape":[1,2],"data_offsets":[8,10]},"__metadata__":{"a":"b"}})", 10);
  Rng rng(7);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = whole;
    const int changes = static_cast<int>(rng.integer(1, 4));
    for (int j = 0; j < changes; ++j) {
      const auto at = static_cast<size_t>(rng.integer(0, static_cast<int64_t>(bytes.size()) - 1));
      bytes[at] =
          rng.chance(0.5) ? static_cast<char>(rng.integer(0, 255)) : "{}[],:\"0123456789-.e"[rng.integer(0, 18)];
    }
    if (rng.chance(0.2)) bytes.resize(static_cast<size_t>(rng.integer(0, static_cast<int64_t>(bytes.size()))));
    try {
      parse_safetensors(bytes, "m");
    } catch (const DataError&) {
    }
  }
}

}  // namespace
}  // namespace derm::tensor
