#include "derm/study/study.h"

#include <unistd.h>

#include <fstream>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/phantom/phantom.h"
#include "derm/study/blinding.h"
#include "derm/study/store.h"
#include "derm/study/testing/shop.h"

namespace derm::study {
namespace {

using testing::HasSubstr;

class StudyTest : public testing::Test {
 protected:
  StudyTest() : folder_("study-make") {}
  testing_shop::Folder folder_;
};

template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST_F(StudyTest, ImagesDifferInNothingButTheirPixels) {
  const NewStudy wish = testing_shop::small_study(folder_.path() / "s");
  const MadeStudy made = make_study(wish);
  std::set<std::string> names;
  std::set<fs::file_time_type> times;
  std::string head;
  for (const fs::directory_entry& entry : fs::directory_iterator(wish.out / "images")) {
    const std::string bytes = read_file(entry.path());
    EXPECT_EQ(bytes.size(), made.description.image_bytes);
    const std::string start = bytes.substr(0, bytes.find("\xff\xda") + 14);
    if (head.empty()) head = start;
    EXPECT_EQ(start, head) << entry.path();
    EXPECT_EQ(entry.path().filename().string().size(), 36u);
    times.insert(fs::last_write_time(entry.path()));
    names.insert(entry.path().filename().string());
  }
  EXPECT_EQ(times.size(), 1u);
  EXPECT_EQ(names.size(), static_cast<size_t>(made.description.images + made.description.practice));
}

TEST_F(StudyTest, NothingButTheKeyTellsTheSource) {
  const NewStudy wish = testing_shop::small_study(folder_.path() / "s");
  make_study(wish);
  const std::string open = read_file(wish.out / "study.json") + read_file(wish.out / "study.db");
  for (const char* word : {"model-a", "model-b", "images/phantom", "synthetic\""})
    EXPECT_EQ(open.find(word), std::string::npos) << word;
  EXPECT_THAT(read_file(wish.out / "key.json"), HasSubstr("model-a"));
  for (const char* name : {"key.json", "codes.csv", "study.db"}) {
    EXPECT_EQ(fs::status(wish.out / name).permissions() & fs::perms::all,
              fs::perms::owner_read | fs::perms::owner_write)
        << name;
  }
  // Codes stand in the database as hashes alone.
  const CsvTable codes = CsvTable::read(wish.out / "codes.csv");
  ASSERT_EQ(codes.size(), 3u);
  for (size_t i = 0; i < codes.size(); ++i) {
    EXPECT_EQ(open.find(codes.get(i, "code")), std::string::npos);
    EXPECT_EQ(open.find(normalised_code(codes.get(i, "code"))), std::string::npos);
    EXPECT_TRUE(Store(wish.out / "study.db").reader_by_code(sha256_hex(normalised_code(codes.get(i, "code")))));
  }
}

TEST_F(StudyTest, TheSealedKeyOpensAndNoOtherOne) {
  const NewStudy wish = testing_shop::small_study(folder_.path() / "s");
  const MadeStudy made = make_study(wish);
  const Key key = open_key(wish.out, wish.out / "key.json");
  EXPECT_EQ(sha256_hex(key.text()), made.description.key_sha256);
  EXPECT_EQ(key.salt.size(), 64u);
  // One answer turned round in the key.
  std::string text = read_file(wish.out / "key.json");
  const size_t at = text.find("\"synthetic\"");
  text.replace(at, 11, "\"real\"");
  write_file(folder_.path() / "forged.json", text);
  EXPECT_THAT(message_of([&] { open_key(wish.out, folder_.path() / "forged.json"); }),
              HasSubstr("not the key that was sealed"));
  // The published hash changed with it: the database remembers.
  std::string study = read_file(wish.out / "study.json");
  const std::string kept = study;
  study.replace(study.find(made.description.key_sha256), 64, sha256_hex(text));
  write_file(wish.out / "study.json", study);
  EXPECT_THAT(message_of([&] { open_key(wish.out, folder_.path() / "forged.json"); }),
              HasSubstr("study.json was changed"));
  write_file(wish.out / "study.json", kept);
  // An image replaced.
  const fs::path image = fs::directory_iterator(wish.out / "images")->path();
  write_file(image, read_file(image) + "x");
  EXPECT_THAT(message_of([&] { open_key(wish.out, wish.out / "key.json"); }), HasSubstr("the image was changed"));
}

TEST_F(StudyTest, TheSameSeedDrawsTheSameImagesUnderOtherNames) {
  NewStudy wish = testing_shop::small_study(folder_.path() / "s1");
  make_study(wish);
  wish.out = folder_.path() / "s2";
  make_study(wish);
  const auto drawn = [&](const char* study) {
    const Key key = open_key(folder_.path() / study, folder_.path() / study / "key.json");
    std::set<std::string> files, names;
    for (const KeyImage& i : key.images) {
      files.insert(i.pool + ":" + i.file_name);
      names.insert(i.image);
    }
    return std::pair(files, names);
  };
  EXPECT_EQ(drawn("s1").first, drawn("s2").first);
  EXPECT_NE(drawn("s1").second, drawn("s2").second);
}

TEST_F(StudyTest, WritesAllOrNothingAndRefusesWhatItCannotDo) {
  NewStudy wish = testing_shop::small_study(folder_.path() / "s");
  wish.synthetic[1].name = "model-a";
  EXPECT_THAT(message_of([&] { make_study(wish); }), HasSubstr("this name is taken"));
  wish.synthetic[1].name = "real";
  EXPECT_THROW(make_study(wish), UsageError);
  wish = testing_shop::small_study(folder_.path() / "s");
  wish.split = "tests";
  EXPECT_THAT(message_of([&] { make_study(wish); }), HasSubstr("did you mean \"test\""));
  wish.split = "all";
  wish.settings.viewing_ms = 5;
  EXPECT_THROW(make_study(wish), UsageError);
  wish.settings.viewing_ms = 0;
  wish.design.images_per_reader = 4000;
  EXPECT_THROW(make_study(wish), UsageError);
  EXPECT_FALSE(fs::exists(folder_.path() / "s"));
  EXPECT_THROW(Description::read(folder_.path()), UsageError);
}

TEST_F(StudyTest, SaysWhenSizesDifferAndWhenRealImagesMayBeKnown) {
  NewStudy wish = testing_shop::small_study(folder_.path() / "s");
  wish.size_px = 48;
  const MadeStudy made = make_study(wish);
  EXPECT_EQ(made.description.size_px, 48);
  EXPECT_THAT(made.notes, testing::Contains(HasSubstr("resizing changes sharpness")));
  EXPECT_THAT(made.notes, testing::Contains(HasSubstr("not of the test split alone")));
}

}  // namespace
}  // namespace derm::study
