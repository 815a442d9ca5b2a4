// What goes wrong at a user's desk: each has its exit code and one sentence that says where, what and what to do.
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "derm/base/csv.h"
#include "derm/base/files.h"
#include "derm/data/dataset.h"
#include "derm/image/codec.h"
#include "program.h"

namespace derm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class BadInput : public testing::Test {
 protected:
  const Shop& shop_ = Shop::get();
  const Workspace& place_ = shop_.workspace();

  /// Runs, and expects this code and one sentence on stderr (progress and warnings may stand before it).
  void expect(const std::vector<std::string>& words, int code,
              const testing::Matcher<const std::string&>& sentence) const {
    const Answer answer = place_.dermgan(words);
    EXPECT_EQ(answer.code, code) << answer.err;
    EXPECT_EQ(answer.out, "");
    const size_t at = answer.err.rfind("error: ");
    ASSERT_NE(at, std::string::npos) << answer.err;
    const std::string last = answer.err.substr(at);
    EXPECT_EQ(std::count(last.begin(), last.end(), '\n'), 1) << last;
    EXPECT_THAT(last, sentence);
  }

  std::vector<std::string> generate(const std::vector<std::string>& more) const {
    return std::vector<std::string>{"generate", "--bundle", shop_.run(), "--out", "never.png"} + more;
  }

  /// A folder `name` with sound photographs in a folder a condition, and no table.
  fs::path photographs(const std::string& name) const {
    const auto set = data::DataSet::open(place_ / "made");
    const fs::path root = place_ / name;
    for (const data::Record& record : set.records()) {
      fs::create_directories(root / record.condition);
      fs::copy_file(set.path_of(record.file_name), root / record.condition / fs::path(record.file_name).filename());
    }
    return root;
  }
};

void append_u32(std::string& bytes, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
}

/// The first bytes of a PNG that says it is `side` x `side` pixels.
std::string png_that_claims(uint32_t side) {
  std::string chunk = "IHDR";
  append_u32(chunk, side);
  append_u32(chunk, side);
  chunk += std::string("\x08\x02\x00\x00\x00", 5);
  uint32_t crc = 0xffffffff;
  for (const unsigned char c : chunk) {
    crc ^= c;
    for (int i = 0; i < 8; ++i) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  std::string bytes = "\x89PNG\r\n\x1a\n";
  append_u32(bytes, 13);
  bytes += chunk;
  append_u32(bytes, ~crc);
  append_u32(bytes, 1000);
  return bytes + "IDAT" + std::string(100, '\0');
}

TEST_F(BadInput, UnknownVerbAndFlag) {
  expect({"trian"}, 2, HasSubstr("did you mean \"train\"?"));
  expect({"train", "--recpie", "dermgan"}, 2, HasSubstr("did you mean \"--recipe\"?"));
}

TEST_F(BadInput, EmptyFolder) {
  fs::create_directories(place_ / "empty");
  expect({"prepare", "empty", "--out", "E"}, 3, HasSubstr("empty: the folder holds no image"));
  EXPECT_FALSE(fs::exists(place_ / "E"));
}

TEST_F(BadInput, FolderThatIsNotThere) { expect({"prepare", "nowhere", "--out", "E"}, 3, HasSubstr("nowhere")); }

TEST_F(BadInput, MissingColumnIsNamedWithThoseThatAreThere) {
  const fs::path root = photographs("table");
  CsvTable table({"picture", "kind"});
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) table.add_row({fs::relative(entry.path(), root).string(), "nevus"});
  }
  write_file(root / "table.csv", table.to_string());
  expect({"prepare", "table/table.csv", "--layout", "csv", "--column", "file_name=picture", "--out", "E"}, 3,
         AllOf(HasSubstr("no column says the condition"), HasSubstr("picture, kind"), HasSubstr("condition=COLUMN")));
  const Answer named = place_.dermgan({"prepare", "table/table.csv", "--layout", "csv", "--column", "file_name=picture",
                                       "--column", "condition=kind", "--size", "64", "--out", "named"});
  EXPECT_EQ(named.code, 0) << named.err;
}

TEST_F(BadInput, UnreadableAndHugeImagesAreListedAndLeftOut) {
  const fs::path root = photographs("mixed");
  const fs::path folder = fs::directory_iterator(root)->path();
  write_file(folder / "notes.jpg", "not a photograph at all");
  write_file(folder / "huge.png", png_that_claims(60000));
  const std::string sound = read_file(
      data::DataSet::open(place_ / "made").path_of(data::DataSet::open(place_ / "made").records()[0].file_name));
  write_file(folder / "cut.png", sound.substr(0, sound.size() / 2));
  const Answer answer = place_.dermgan({"prepare", "mixed", "--size", "64", "--out", "kept", "--json"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const auto refused = nlohmann::json::parse(answer.out)["refused"];
  EXPECT_EQ(refused.size(), 3u) << refused.dump(2);
  const CsvTable list = CsvTable::read(place_ / "kept/refused.csv");
  EXPECT_EQ(list.size(), 3u);
  EXPECT_THAT(list.to_string(),
              AllOf(HasSubstr("notes.jpg"), HasSubstr("huge.png"), HasSubstr("60000"), HasSubstr("cut.png")));
}

TEST_F(BadInput, MaskOfAnotherSize) {
  fs::copy(place_ / "made", place_ / "wrong-masks", fs::copy_options::recursive);
  const auto set = data::DataSet::open(place_ / "made");
  const data::Record& first = set.records().front();
  image::write_png(place_ / ("wrong-masks/" + first.mask_file_name), image::Mask(17, 40, 1, 255));
  const Answer answer = place_.dermgan({"prepare", "wrong-masks", "--size", "64", "--out", "W", "--json"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const auto refused = nlohmann::json::parse(answer.out)["refused"];
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_THAT(refused[0]["reason"].get<std::string>(), AllOf(HasSubstr("17"), HasSubstr("64")));
}

TEST_F(BadInput, TrainingSetWithABrokenImageOrARowThatLeavesTheImage) {
  fs::copy(place_ / "D", place_ / "broken", fs::copy_options::recursive);
  const auto set = data::DataSet::open(place_ / "broken");
  for (const size_t row : set.usable("train"))
    write_file(place_ / ("broken/" + set.records()[row].file_name), "no picture");
  expect(small_training("broken", "never", 0.008), 3, HasSubstr("broken/images/"));
  fs::remove_all(place_ / "broken");

  fs::create_directories(place_ / "outside/images");
  image::write_png(place_ / "outside/images/a.png", image::Image(64, 64, 3, 128));
  write_file(place_ / "outside/metadata.csv",
             "file_name,condition,box_x,box_y,box_w,box_h\nimages/a.png,nevus,40,40,30,30\n");
  expect(small_training("outside", "never", 0.008), 3, HasSubstr("metadata.csv"));
}

TEST_F(BadInput, UnknownCondition) {
  const std::string known = data::DataSet::open(place_ / "D").conditions().front();
  expect(generate({"--condition", known + "x"}), 2, HasSubstr("did you mean \"" + known + "\"?"));
}

TEST_F(BadInput, BoxOutsideTheImage) { expect(generate({"--x", "0.95", "--size", "0.5"}), 2, HasSubstr("0.95")); }

TEST_F(BadInput, SkinAndSweepsThatCannotBe) {
  expect(generate({"--skin", "brownish"}), 2, HasSubstr("monk:"));
  expect({"generate", "--bundle", shop_.run(), "--out", "never", "--sweep", "sise=0.1..0.5"}, 2,
         HasSubstr("did you mean \"size\"?"));
  expect({"generate", "--bundle", shop_.run(), "--out", "never", "--sweep", "size=0.5..0.1"}, 2, HasSubstr("size"));
}

TEST_F(BadInput, ConfigTypo) {
  write_file(place_ / "typo.toml", "batch_szie = 4\n[model]\nwidth = 8\n");
  expect({"train", "--config", "typo.toml", "--data", "D"}, 2, AllOf(HasSubstr("typo.toml"), HasSubstr("batch_szie")));
  expect({"train", "--data", "D", "--set", "model.widht=8"}, 2, HasSubstr("did you mean \"model.width\"?"));
  expect({"train", "--data", "D", "--set", "batch=many"}, 2, HasSubstr("batch"));
  expect({"train", "--data", "D", "--recipe", "dermgn"}, 2, HasSubstr("did you mean \"dermgan\"?"));
}

TEST_F(BadInput, BundleCutShort) {
  fs::copy(place_ / (shop_.run() + "/best/bundle"), place_ / "cut-bundle", fs::copy_options::recursive);
  const fs::path weights = place_ / "cut-bundle/model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) - 100);
  expect({"generate", "--bundle", "cut-bundle", "--out", "never.png"}, 3, HasSubstr("model.safetensors"));
  fs::remove(place_ / "cut-bundle/config.json");
  const Answer answer = place_.dermgan({"generate", "--bundle", "cut-bundle", "--out", "never.png"});
  EXPECT_THAT(answer.code, testing::AnyOf(2, 3)) << answer.err;
}

TEST_F(BadInput, SafetensorsWithOverlappingOffsets) {
  std::string header =
      R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  write_file(place_ / "overlap.safetensors", bytes + header + std::string(24, '\0'));
  expect(small_training("D", "never", 0.008) + std::vector<std::string>{"--init-from", "overlap.safetensors"}, 3,
         AllOf(HasSubstr("overlap.safetensors"), HasSubstr("overlap")));
}

TEST_F(BadInput, OutputThatIsThereAlreadyIsNotTouched) {
  expect({"phantom", "--count", "2", "--size", "64", "--out", "made"}, 2, HasSubstr("made"));
  EXPECT_EQ(data::DataSet::open(place_ / "made").records().size(), 48u);
}

TEST_F(BadInput, FullDisk) {
  const fs::path disk = place_ / "disk";
  fs::create_directories(disk);
  if (::geteuid() != 0 || ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "a small tmpfs cannot be mounted here; run as root";
  }
  struct Unmount {
    std::string at;
    ~Unmount() { ::umount2(at.c_str(), MNT_DETACH); }
  } unmount{disk.string()};
  expect({"phantom", "--count", "200", "--size", "128", "--out", "disk/set"}, 3, HasSubstr("disk/"));
  EXPECT_TRUE(fs::is_empty(disk)) << "something was left behind";
  expect({"prepare", "made", "--size", "256", "--out", "disk/set"}, 3, HasSubstr("disk/"));
  expect({"generate", "--bundle", shop_.run(), "--count", "60", "--out", "disk/set"}, 3, HasSubstr("disk/"));
  EXPECT_TRUE(fs::is_empty(disk)) << "something was left behind";
  expect(small_training("D", "disk/runs", 0.008), 3, HasSubstr("disk"));
}

TEST_F(BadInput, NoSuchDevice) {
  expect(generate({"--device", "cuda:7"}), 2, HasSubstr("cuda:7"));
  expect(generate({"--precision", "fp8"}), 2, HasSubstr("fp8"));
}

}  // namespace
}  // namespace derm::e2e
