#include "derm/loader/loader.h"

#include <cmath>
#include <ctime>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"
#include "derm/image/codec.h"
#include "derm/image/colour.h"
#include "derm/loader/upload.h"
#include "derm/tensor/convert.h"

namespace derm::loader {
namespace {

using testing::HasSubstr;

constexpr image::Rgb kSkin{198, 150, 125};
constexpr image::Rgb kLesion{90, 50, 40};

/// A folder with flat skin and one off-centre lesion in each picture, a mask for each; gone at the end.
class LoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / fmt::format("derm-loader-{}", getpid());
    fs::remove_all(root_);
    fs::create_directories(root_ / "images");
    fs::create_directories(root_ / "masks");
  }
  void TearDown() override { fs::remove_all(root_); }

  /// n rows of size x size. The lesion is an L, so that every flip and turn shows; `start` is its left upper corner.
  data::DataSet make(int n, int size, bool masks = true, double start = 0.25, bool flat = false) {
    std::vector<data::Record> records;
    for (int i = 0; i < n; ++i) {
      image::Image picture(size, size, 3);
      image::Mask mask(size, size, 1);
      for (int y = 0; y < size; ++y)
        for (int x = 0; x < size; ++x) {
          const double u = (x + 0.5) / size - start, v = (y + 0.5) / size - start;
          const bool upright = u > 0 && u < 0.1 && v > 0 && v<0.35, foot = u> 0 && u < 0.2 && v > 0.25 && v < 0.35;
          const bool inside = upright || foot;
          const image::Rgb colour = inside && !flat ? kLesion : kSkin;
          picture.at(x, y)[0] = colour.r, picture.at(x, y)[1] = colour.g, picture.at(x, y)[2] = colour.b;
          mask.at(x, y)[0] = inside ? 255 : 0;
        }
      if (!flat) picture.at(0, 0)[2] = static_cast<uint8_t>(i);  // so that no two are the same
      data::Record record;
      record.file_name = fmt::format("images/{:03}.png", i);
      record.condition = i % 2 ? "nevus" : "melanoma";
      record.skin_rgb = kSkin;
      record.ita_deg = image::ita_degrees(image::lab_of(kSkin));
      record.quality = 1.0;
      record.boxes = {{start * size, start * size, 0.2 * size, 0.35 * size}};
      image::write_png(root_ / record.file_name, picture);
      if (masks) {
        record.mask_file_name = fmt::format("masks/{:03}.png", i);
        image::write_png(root_ / record.mask_file_name, mask);
      }
      records.push_back(record);
    }
    data::write_data_set(root_, records, nlohmann::json::object());
    return data::DataSet::open(root_);
  }

  static std::vector<size_t> all(const data::DataSet& data) {
    std::vector<size_t> rows(data.records().size());
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = i;
    return rows;
  }

  static LoaderOptions options(int size, int64_t batch, int threads = 2) {
    LoaderOptions o;
    o.batch = batch;
    o.seed = 5;
    o.threads = threads;
    o.map.conditions = {"melanoma", "nevus"};
    o.map.size_px = size;
    return o;
  }

  static AugmentOptions none() {
    AugmentOptions a;
    a.flip = a.quarter_turns = false;
    a.crop = a.colour = 0;
    return a;
  }

  fs::path root_;
};

bool same(const tensor::Batch& a, const tensor::Batch& b) {
  return torch::equal(a.image, b.image) && torch::equal(a.region, b.region) &&
         torch::equal(a.inputs.map, b.inputs.map) && torch::equal(a.inputs.label, b.inputs.label) && a.rows == b.rows;
}

/// Where the picture is dark, [N, 1, H, W].
at::Tensor dark(const tensor::Batch& b) { return (b.image.select(1, 0) < 0.1).unsqueeze(1); }

double iou(const at::Tensor& a, const at::Tensor& b) {
  return (a & b).sum().item<double>() / (a | b).sum().item<double>();
}

TEST_F(LoaderTest, ABatchHasTheShapesItPromises) {
  const auto data = make(3, 32);
  Loader loader(data, all(data), options(32, 4));
  const auto b = loader.next();
  EXPECT_EQ(b.image.sizes(), (std::vector<int64_t>{4, 3, 32, 32}));
  EXPECT_EQ(b.region.sizes(), (std::vector<int64_t>{4, 1, 32, 32}));
  EXPECT_EQ(b.inputs.map.sizes(), (std::vector<int64_t>{4, 6, 32, 32}));
  EXPECT_EQ(b.inputs.label.scalar_type(), at::kLong);
  EXPECT_FALSE(b.inputs.latent.defined());
  EXPECT_LE(b.image.abs().max().item<float>(), 1.0f);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(b.inputs.label[static_cast<int64_t>(i)].item<int64_t>(), b.rows[i] % 2);
}

TEST_F(LoaderTest, OneTwoAndFourThreadsGiveTheSameBatches) {
  const auto data = make(7, 32);
  std::vector<tensor::Batch> expected;
  for (const int threads : {1, 2, 4}) {
    Loader loader(data, all(data), options(32, 3, threads));
    for (size_t i = 0; i < 8; ++i) {
      auto b = loader.next();
      if (threads == 1) {
        expected.push_back(b);
      } else {
        EXPECT_TRUE(same(b, expected[i])) << "batch " << i << " of " << threads << " threads";
      }
    }
  }
}

TEST_F(LoaderTest, ABatchSizeDoesNotChangeTheStream) {
  const auto data = make(5, 32);
  Loader by_two(data, all(data), options(32, 2)), by_four(data, all(data), options(32, 4));
  const auto a = by_two.next(), b = by_two.next(), c = by_four.next();
  EXPECT_TRUE(torch::equal(torch::cat({a.image, b.image}), c.image));
  EXPECT_TRUE(torch::equal(torch::cat({a.inputs.map, b.inputs.map}), c.inputs.map));
}

TEST_F(LoaderTest, SeekingIsTheSameAsSkipping) {
  const auto data = make(5, 32);
  Loader skipping(data, all(data), options(32, 2)), seeking(data, all(data), options(32, 2));
  for (int i = 0; i < 7; ++i) skipping.next();
  seeking.next();
  seeking.seek(14);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(same(skipping.next(), seeking.next())) << i;
  seeking.seek(0);
  Loader fresh(data, all(data), options(32, 2));
  EXPECT_TRUE(same(fresh.next(), seeking.next()));
}

TEST_F(LoaderTest, AnotherBatchGoesOnInTheSameStream) {
  const auto data = make(5, 32);
  Loader two(data, all(data), options(32, 2)), six(data, all(data), options(32, 2));
  six.next();
  six.seek(2, 6);
  const auto together = six.next();
  ASSERT_EQ(together.image.size(0), 6);
  two.next();
  for (int64_t i = 0; i < 3; ++i) EXPECT_TRUE(torch::equal(two.next().image, together.image.narrow(0, 2 * i, 2))) << i;
  EXPECT_TRUE(torch::equal(two.next().image, six.next().image.narrow(0, 0, 2)));
  EXPECT_THROW(six.seek(0, -1), UsageError);
}

TEST_F(LoaderTest, EveryRowComesOnceAnEpochInAnotherOrderEachTime) {
  const auto data = make(12, 16);
  Loader loader(data, all(data), options(16, 4));
  std::set<std::vector<int64_t>> orders;
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> rows;
    for (int i = 0; i < 3; ++i) {
      const auto b = loader.next();
      rows.insert(rows.end(), b.rows.begin(), b.rows.end());
    }
    EXPECT_EQ(std::set<int64_t>(rows.begin(), rows.end()).size(), 12u);
    orders.insert(rows);
  }
  EXPECT_EQ(orders.size(), 3u);
}

TEST_F(LoaderTest, OnlyTheRowsGivenAreShown) {
  const auto data = make(6, 16);
  Loader loader(data, {4, 1}, options(16, 8));
  for (const int64_t row : loader.next().rows) EXPECT_TRUE(row == 4 || row == 1);
}

TEST_F(LoaderTest, WithoutAugmentationThePictureIsTheFile) {
  const auto data = make(4, 32);
  auto o = options(32, 4);
  o.augment = none();
  Loader loader(data, all(data), o);
  const auto b = loader.next();
  for (int64_t i = 0; i < 4; ++i) {
    const auto& record = data.records()[static_cast<size_t>(b.rows[static_cast<size_t>(i)])];
    EXPECT_TRUE(torch::equal(b.image[i], tensor::tensor_of(image::read_image(data.path_of(record.file_name)))));
  }
  const auto rows = read_rows(data, std::vector<size_t>(b.rows.begin(), b.rows.end()), o.map, data::Shape::mask);
  EXPECT_TRUE(same(b, rows));
}

TEST_F(LoaderTest, FlipsAndTurnsMoveImageMaskAndMapAlike) {
  const auto data = make(2, 32);
  auto o = options(32, 64);
  o.augment.crop = o.augment.colour = 0;
  o.map.edge = 0;
  Loader loader(data, all(data), o);
  const auto b = loader.next();
  EXPECT_TRUE(torch::equal(dark(b), b.region > 0.5));
  EXPECT_TRUE(torch::equal(b.region, b.inputs.map.narrow(1, 2, 1)));
  // All eight flips and turns of the L turn up among 64 draws.
  std::set<std::string> seen;
  for (int64_t i = 0; i < 64; ++i) {
    const auto bytes = b.region[i].to(at::kByte).contiguous();
    seen.insert(std::string(static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(bytes.numel())));
  }
  EXPECT_EQ(seen.size(), 8u);
}

TEST_F(LoaderTest, TheCropMovesImageMaskAndMapAlike) {
  const auto data = make(2, 128);
  auto o = options(128, 32);
  o.augment.colour = 0;
  o.augment.crop = 0.3;
  o.map.edge = 0;
  Loader loader(data, all(data), o);
  const auto b = loader.next();
  EXPECT_GT(iou(dark(b), b.region > 0.5), 0.97);
  // A crop enlarges: its lesion is larger than the 0.045 of the file (0.1 x 0.35 + 0.1 x 0.1) in the mean.
  EXPECT_GT(b.region.mean().item<double>(), 0.05);
}

TEST_F(LoaderTest, BoxesMoveWithTheImageToo) {
  // The L's tight box is drawn as a rectangle; the dark pixels must lie inside it and touch its sides.
  const auto data = make(2, 128, /*masks=*/false);
  auto o = options(128, 32);
  o.augment.colour = 0;
  o.augment.crop = 0.2;
  o.shape = data::Shape::box;
  o.map.edge = 0;
  Loader loader(data, all(data), o);
  const auto b = loader.next();
  for (int64_t i = 0; i < 32; ++i) {
    const auto lesion = dark(b)[i][0], box = b.region[i][0] > 0.5;
    for (const int64_t axis : {0, 1}) {
      const auto a = lesion.any(axis).nonzero(), c = box.any(axis).nonzero();
      EXPECT_NEAR(a.min().item<double>(), c.min().item<double>(), 1.0) << "sample " << i << " axis " << axis;
      EXPECT_NEAR(a.max().item<double>(), c.max().item<double>(), 1.0) << "sample " << i << " axis " << axis;
    }
  }
}

TEST_F(LoaderTest, ACropNeverTakesMoreThanFourTenthsOfTheRegion) {
  // At the upper left corner most crops would cut into the L.
  const auto data = make(2, 64, true, 0.0);
  auto o = options(64, 128);
  o.augment.crop = 0.5;
  o.augment.colour = 0;
  o.map.edge = 0;
  Loader loader(data, all(data), o);
  const auto b = loader.next();
  EXPECT_GE(b.region.flatten(1).mean(1).min().item<double>(), 0.6 * 0.045);
  EXPECT_GT(iou(dark(b), b.region > 0.5), 0.95);
}

TEST_F(LoaderTest, TheSkinColourOfTheMapMovesWithTheImage) {
  const auto data = make(1, 16, true, 0.25, /*flat=*/true);
  auto o = options(16, 64);
  Loader loader(data, all(data), o);
  const auto b = loader.next();
  double least = 1000, most = -1000, worst = 0;
  for (int64_t i = 0; i < 64; ++i) {
    const auto skin = b.inputs.map[i].narrow(0, 3, 3).select(1, 0).select(1, 0) * 50;
    const image::Lab asked{skin[0].item<double>() + 50, skin[1].item<double>(), skin[2].item<double>()};
    const auto mean = (b.image[i].flatten(1).mean(1) + 1) * 0.5;
    const auto shown = image::lab_of_linear(image::srgb_to_linear(mean[0].item<double>()),
                                            image::srgb_to_linear(mean[1].item<double>()),
                                            image::srgb_to_linear(mean[2].item<double>()));
    worst = std::max(worst, image::ciede2000(asked, shown));
    least = std::min(least, asked.L), most = std::max(most, asked.L);
  }
  EXPECT_LT(worst, 0.2);
  EXPECT_GT(most - least, 10.0);  // of the 16 that +-8 allows
  EXPECT_LT(most - least, 16.0);
}

TEST_F(LoaderTest, AnotherSizeIsResized) {
  const auto data = make(2, 64);
  auto o = options(32, 2);
  o.augment = none();
  o.map.edge = 0;
  Loader loader(data, all(data), o);
  const auto b = loader.next();
  EXPECT_EQ(b.image.size(3), 32);
  EXPECT_GT(iou(dark(b), b.region > 0.5), 0.9);
}

TEST_F(LoaderTest, TheRgbEncodingHasARegionToo) {
  const auto data = make(2, 32);
  auto o = options(32, 4);
  auto p = o;
  o.map.encoding = data::Encoding::rgb;
  Loader rgb(data, all(data), o), planes(data, all(data), p);
  const auto a = rgb.next(), b = planes.next();
  EXPECT_EQ(a.inputs.map.size(1), 3);
  EXPECT_TRUE(torch::equal(a.region, b.region));
}

TEST_F(LoaderTest, ASmallCacheGivesTheSameBatches) {
  const auto data = make(5, 32);
  auto o = options(32, 5);
  Loader cached(data, all(data), o);
  o.max_cache_bytes = 5000;
  Loader uncached(data, all(data), o);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(same(cached.next(), uncached.next()));
}

TEST_F(LoaderTest, AnUnreadableImageIsNamedByNextAndStaysAnError) {
  const auto data = make(3, 32);
  write_file(root_ / "images/001.png", "no picture");
  Loader loader(data, {1}, options(32, 2));
  for (int i = 0; i < 2; ++i) {
    try {
      loader.next();
      FAIL() << "accepted";
    } catch (const DataError& e) {
      EXPECT_THAT(e.what(), HasSubstr("001.png"));
    }
  }
}

TEST_F(LoaderTest, AMaskOfAnotherSizeIsRefused) {
  const auto data = make(1, 32);
  image::write_png(root_ / "masks/000.png", image::Mask(16, 16, 1, 255));
  Loader loader(data, {0}, options(32, 2));
  try {
    loader.next();
    FAIL() << "accepted";
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("16 x 16"));
  }
}

TEST_F(LoaderTest, EndsAtOnceWithWorkUnderWay) {
  const auto data = make(3, 64);
  for (int i = 0; i < 5; ++i) Loader(data, all(data), options(64, 64, 4));
}

TEST_F(LoaderTest, WrongOptionsAreRefused) {
  const auto data = make(2, 16);
  const auto refused = [&](std::vector<size_t> rows, auto change) {
    auto o = options(16, 2);
    change(o);
    EXPECT_THROW(Loader(data, rows, o), Error);
  };
  refused({}, [](auto&) {});
  refused({2}, [](auto&) {});
  refused({0}, [](auto& o) { o.batch = 0; });
  refused({0}, [](auto& o) { o.prefetch = 0; });
  refused({0}, [](auto& o) { o.augment.crop = 0.9; });
  refused({0}, [](auto& o) { o.augment.colour = -1; });
  refused({0}, [](auto& o) { o.map.conditions = {"nevus"}; });
}

TEST_F(LoaderTest, ReadRowsKeepsTheirOrder) {
  const auto data = make(4, 16);
  const auto b = read_rows(data, {3, 0, 2}, options(16, 1).map, data::Shape::mask);
  EXPECT_EQ(b.rows, (std::vector<int64_t>{3, 0, 2}));
  EXPECT_TRUE(torch::equal(b.inputs.label, torch::tensor({1, 0, 0})));
  EXPECT_EQ(std::lround((b.image[0][2][0][0].item<float>() + 1) * 127.5f), 3);
}

TEST_F(LoaderTest, RequestsBecomeMapsAndLabels) {
  data::Request request;
  request.regions.resize(1);
  request.regions[0].condition = "nevus";
  request.skin = {60, 10, 20};
  const auto inputs = inputs_of({request, request}, options(16, 1).map);
  EXPECT_EQ(inputs.map.sizes(), (std::vector<int64_t>{2, 6, 16, 16}));
  EXPECT_TRUE(torch::equal(inputs.label, torch::tensor({1, 1})));
  EXPECT_FLOAT_EQ(inputs.map[1][3][0][0].item<float>(), 0.2f);  // (60 - 50) / 50
  request.regions[0].condition = "naevus";
  EXPECT_THROW(inputs_of({request}, options(16, 1).map), UsageError);
}

TEST_F(LoaderTest, ASampleOf256PixelsTakesLittleProcessorTime) {
  // About 3 ms on one core. The bound is generous, and counts processor time, so that a busy machine does not fail it.
  const auto data = make(8, 256);
  Loader loader(data, all(data), options(256, 8));
  loader.next();
  const std::clock_t begin = std::clock();
  for (int i = 0; i < 16; ++i) loader.next();
  const double each_ms = 1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC / 128;
  RecordProperty("ms_a_sample", std::to_string(each_ms));
  EXPECT_LT(each_ms, 15.0);
}

TEST_F(LoaderTest, UploadGivesTheSameBatchesAheadOrNot) {
  const data::DataSet data = make(7, 16);
  std::vector<at::Device> devices = {at::kCPU};
  if (torch::cuda::is_available()) devices.emplace_back(at::kCUDA, 0);
  for (const at::Device& device : devices) {
    for (const bool ahead : {false, true}) {
      Loader plain(data, all(data), options(16, 4)), sent(data, all(data), options(16, 4));
      Upload upload(sent, device, ahead);
      const auto expect_same = [&] {
        const tensor::Batch a = plain.next(), b = upload.next();
        EXPECT_EQ(b.image.device().type(), device.type());
        EXPECT_TRUE(torch::equal(a.image, b.image.cpu()));
        EXPECT_TRUE(torch::equal(a.inputs.map, b.inputs.map.cpu()));
        EXPECT_TRUE(torch::equal(a.inputs.label, b.inputs.label.cpu()));
        EXPECT_EQ(a.rows, b.rows);
      };
      for (int i = 0; i < 3; ++i) expect_same();
      plain.seek(5, 2);
      upload.seek(5, 2);  // what was on its way is forgotten
      for (int i = 0; i < 2; ++i) expect_same();
    }
  }
}

}  // namespace
}  // namespace derm::loader
