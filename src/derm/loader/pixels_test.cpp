#include "derm/loader/pixels.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::loader {
namespace {

namespace fs = std::filesystem;

class Store : public testing::Test {
 protected:
  Store() : root_(fs::temp_directory_path() / ("derm-pixels-" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
    for (int i = 0; i < 5; ++i) {
      sources_.push_back({root_ / ("p" + std::to_string(i)), i % 2 ? root_ / ("m" + std::to_string(i)) : fs::path()});
      write_file(sources_.back().picture, "picture");
      if (i % 2) write_file(sources_.back().mask, "mask");
    }
  }
  ~Store() override { fs::remove_all(root_); }

  Pixels made(size_t i) {
    ++reads_;
    Pixels pixels{.picture = image::Image(8, 8, 3), .mask = {}, .side = 100.0 + static_cast<double>(i)};
    for (size_t k = 0; k < pixels.picture.pixels.size(); ++k) pixels.picture.pixels[k] = static_cast<uint8_t>(k + i);
    if (i % 2) {
      pixels.mask = image::Mask(8, 8, 1);
      pixels.mask.pixels[i] = 255;
      pixels.mask_box = {.x = 0.125, .y = 0.25, .w = 0.5, .h = 0.375};
    }
    return pixels;
  }
  std::shared_ptr<const PixelStore> open() {
    return PixelStore::open_or_make(root_ / ".cache/s.bin", sources_, 8, [this](size_t i) { return made(i); });
  }

  fs::path root_;
  std::vector<PixelSource> sources_;
  std::atomic<int> reads_ = 0;
};

TEST_F(Store, GivesBackWhatWasPutInAndIsMadeOnce) {
  for (int round = 0; round < 2; ++round) {
    const auto store = open();
    ASSERT_TRUE(store);
    EXPECT_EQ(reads_, 5);
    for (size_t i = 0; i < 5; ++i) {
      const Pixels got = store->read(i);
      --reads_;
      const Pixels put = made(i);
      EXPECT_EQ(got.picture.pixels, put.picture.pixels);
      EXPECT_EQ(got.mask.pixels, put.mask.pixels);
      EXPECT_EQ(got.mask_box, put.mask_box);
      EXPECT_EQ(got.side, put.side);
    }
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ / ".cache"), {}), 1) << "nothing unfinished is left";
}

TEST_F(Store, IsMadeAnewWhenAPictureChangesOrTheFileIsCutShort) {
  open();
  write_file(sources_[2].picture, "another picture");
  open();
  EXPECT_EQ(reads_, 10);
  fs::resize_file(root_ / ".cache/s.bin", 300);
  EXPECT_TRUE(open());
  EXPECT_EQ(reads_, 15);
}

TEST_F(Store, LeavesNothingBehindWhenAPictureCannotBeRead) {
  EXPECT_THROW(PixelStore::open_or_make(root_ / ".cache/s.bin", sources_, 8,
                                        [](size_t) -> Pixels { throw DataError("a picture that is none"); }),
               DataError);
  EXPECT_TRUE(fs::is_empty(root_ / ".cache"));
}

TEST_F(Store, IsNoneWhereItCannotBeWritten) {
  write_file(root_ / "file", "no folder");
  EXPECT_EQ(PixelStore::open_or_make(root_ / "file/s.bin", sources_, 8, [this](size_t i) { return made(i); }), nullptr);
}

}  // namespace
}  // namespace derm::loader
