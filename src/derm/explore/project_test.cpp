#include "derm/explore/project.h"

#include <gmock/gmock.h>

#include "derm/base/files.h"
#include "derm/explore/testing/models.h"
#include "derm/image/codec.h"
#include "derm/judges/judge.h"
#include "derm/metrics/testing/python.h"
#include "derm/models/catalogue.h"
#include "derm/tensor/convert.h"

namespace derm::explore {
namespace {

using testing::Folder;
using ::testing::HasSubstr;
using testing::sentence_of;

/// Mean squared difference.
Distance squares(const at::Tensor& target) {
  return {"squares", [target](const at::Tensor& images) { return (images - target).square().mean({1, 2, 3}); }};
}

at::Tensor target_of(const Model& model, uint64_t seed) {
  return tensor::tensor_of(model.images(model.points({seed}, ""), "").front()).unsqueeze(0);
}

TEST(Project, FindsAnImageThatTheModelCanMake) {
  const Folder folder("project");
  for (const std::string kind : {"style", "linear"}) {
    const Model model = testing::open(folder, kind);
    const at::Tensor target = target_of(model, 99);
    ProjectOptions options;
    options.starts = 2;
    const Projection p = project(model, squares(target), options);
    EXPECT_EQ(p.distances.size(), 300u);
    EXPECT_LT(p.end, 0.01 * p.start) << kind;
    EXPECT_GT(p.start, 0.0001) << kind;  // there was something to find
    for (int c = 0; c < 3; ++c) EXPECT_NEAR(p.image.pixels[c], tensor::images_of(target).front().pixels[c], 2) << kind;
    EXPECT_TRUE(at::equal(project(model, squares(target), options).point, p.point));
  }
}

TEST(Project, KeepsOneStyleForAllLayersUnlessToldOtherwise) {
  const Folder folder("project");
  const Model model = testing::open(folder, "style");
  ProjectOptions options;
  options.steps = 20;
  options.starts = 1;
  const Projection one = project(model, squares(target_of(model, 5)), options);
  EXPECT_TRUE(at::equal(one.point.select(1, 0), one.point.select(1, 1)));
  options.each_layer = true;
  EXPECT_EQ(project(model, squares(target_of(model, 5)), options).point.size(1), testing::kLayers);
  EXPECT_THAT(sentence_of([&] {
                project(testing::open(folder, "linear"), squares(at::zeros({1, 3, 32, 32})), options);
              }),
              HasSubstr("no style space"));
  EXPECT_THAT(sentence_of([&] {
                project(testing::open(folder, "painter", 64), squares(at::zeros({1, 3, 64, 64})), {});
              }),
              HasSubstr("semantic map"));
  options.rate = 0;
  EXPECT_THAT(sentence_of([&] {
                project(model, squares(at::zeros({1, 3, 32, 32})), options);
              }),
              HasSubstr("a rate of 0"));
}

TEST(Project, ByLpipsAndByTheShippedEncoderComesNearer) {
  const Folder folder("project");
  const Model model = testing::open(folder, "style", 64);
  const at::Tensor target = target_of(model, 99);
  ProjectOptions options;
  options.steps = 60;
  options.starts = 2;
  const auto weights = metrics::testing::kWeights / "lpips_squeeze_v0.1.pt";
  if (std::filesystem::exists(weights)) {
    const Distance distance = lpips_distance(weights, target);
    EXPECT_NEAR(distance.of(target).item<double>(), 0, 1e-6);
    const Projection p = project(model, distance, options);
    EXPECT_LT(p.end, 0.7 * p.start);
  }
  const auto encoder = judges::find_judge_or_none(judges::kSkinEncoder);
  if (encoder.empty()) GTEST_SKIP() << "no encoder";
  const Distance distance = encoder_distance(encoder, models::catalogue(), target);
  EXPECT_NEAR(distance.of(target).item<double>(), 0, 1e-6);
  const Projection p = project(model, distance, options);
  EXPECT_LT(p.end, 0.7 * p.start);
}

TEST(Project, WritesThePhotographBesideItsProjection) {
  const Folder folder("project");
  const Model model = testing::open(folder, "style");
  image::write_png(folder / "photo.png", image::Image(80, 50, 3, 140));
  EXPECT_EQ(photograph_tensor(folder / "photo.png", 32).sizes(), (std::vector<int64_t>{1, 3, 32, 32}));
  ProjectOptions options;
  options.steps = 10;
  const Projection p = write_projection(model, folder / "photo.png", squares(at::full({1, 3, 32, 32}, 0.1)), options,
                                        "a command", folder / "out");
  const auto json = nlohmann::json::parse(read_file(folder / "out/projection.json"));
  EXPECT_EQ(json["distances"].size(), 10u);
  EXPECT_EQ(json["distance_end"].get<double>(), p.end);
  EXPECT_EQ(image::read_image(folder / "out/projected.png"), p.image);
  EXPECT_EQ(image::read_png_text(folder / "out/projected.png").at("image_manipulation"), "synthetic");
  // The sheet holds a photograph, so it is not marked as all synthetic.
  EXPECT_FALSE(image::read_png_text(folder / "out/side-by-side.png").contains("image_manipulation"));
  image::write_png(folder / "dot.png", image::Image(8, 8, 3, 140));
  EXPECT_THAT(sentence_of([&] { photograph_tensor(folder / "dot.png", 32); }), HasSubstr("at least 16"));
}

}  // namespace
}  // namespace derm::explore
