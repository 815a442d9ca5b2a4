// Ten minutes of training on made skin, where the truth is known, and the model does what it is asked.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "program.h"

namespace derm::e2e {
namespace {

TEST(Control, DermganFollowsSkinColourAndLesionSizeAfterTenMinutesOnPhantoms) {
  Workspace workspace("control");
  const Answer made =
      workspace.dermgan({"phantom", "--count", "1500", "--size", "64", "--seed", "11", "--out", "made"});
  ASSERT_EQ(made.code, 0) << made.err;
  const std::string recipe = std::string(DERM_SOURCE_DIR) + "/recipes/dermgan-64-quick.toml";
  const Answer train = workspace.dermgan(
      {"train", "--config", recipe, "--data", "made", "--out", "runs", "--minutes", "10", "--seed", "1"});
  ASSERT_EQ(train.code, 0) << train.err;
  const Answer answer = workspace.dermgan({"evaluate", "--control", "--bundle", "runs/00000-dermgan-made-64", "--count",
                                           "240", "--seed", "1", "--out", "report", "--json"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const auto control = nlohmann::json::parse(answer.out);
  const auto figure = [&](const char* name) { return control.at(name).get<double>(); };
  std::printf("rank correlation: ITA %.3f, lesion area %.3f; skin CIEDE2000 %.2f, region IoU %.3f\n",
              figure("ita_rank_correlation"), figure("area_rank_correlation"), figure("skin_error_median"),
              figure("region_iou_median"));
  EXPECT_GE(figure("ita_rank_correlation"), 0.95);
  EXPECT_GE(figure("area_rank_correlation"), 0.95);
  EXPECT_LE(figure("skin_error_median"), 3.0);
  EXPECT_GE(figure("region_iou_median"), 0.70);
  // A figure this good would mean that the measurement looks at the request and not at the picture.
  EXPECT_LT(figure("region_iou_median"), 0.99);
}

}  // namespace
}  // namespace derm::e2e
