#include "derm/explore/directions.h"

#include <cmath>

#include <gmock/gmock.h>

#include "derm/base/csv.h"
#include "derm/base/files.h"
#include "derm/explore/testing/models.h"
#include "derm/tensor/safetensors.h"

namespace derm::explore {
namespace {

using ::testing::AllOf;
using testing::Folder;
using ::testing::HasSubstr;
using testing::sentence_of;

/// Means of red and green, 0 to 255.
Gauge colours() {
  Gauge gauge;
  gauge.by = "means";
  gauge.quantities = {{"red", "0 to 255", "redder", "less red"}, {"green", "0 to 255", "greener", "less green"}};
  gauge.measure = [](const std::vector<image::Image>& images) {
    std::vector<std::vector<double>> values;
    for (const image::Image& i : images)
      values.push_back({static_cast<double>(i.pixels[0]), static_cast<double>(i.pixels[1])});
    return values;
  };
  return gauge;
}

DirectionsOptions three() {
  DirectionsOptions options;
  options.count = 3;
  return options;
}

TEST(Factorise, FindsThePlantedEigenvectorsOfTheStackedMatrices) {
  // A^T A = R diag(9, 4, 1, 0) R^T for a rotation R in the plane of e_0 and e_2.
  const double c = 0.8, s = 0.6;
  const at::Tensor r =
      torch::tensor({{c, 0.0, -s, 0.0}, {0.0, 1.0, 0.0, 0.0}, {s, 0.0, c, 0.0}, {0.0, 0.0, 0.0, 1.0}}, at::kDouble);
  const at::Tensor a = torch::diag(torch::tensor({3.0, 2.0, 1.0, 0.0}, at::kDouble)).matmul(r.t());
  const Factors f = factorise({a.narrow(0, 0, 1), a.narrow(0, 1, 3)}, 3);
  EXPECT_NEAR(f.eigenvalues[0], 9, 1e-12);
  EXPECT_NEAR(f.eigenvalues[1], 4, 1e-12);
  EXPECT_NEAR(f.eigenvalues[2], 1, 1e-12);
  EXPECT_TRUE(at::allclose(f.vectors[0], torch::tensor({c, 0.0, s, 0.0}, at::kDouble), 0, 1e-12));
  EXPECT_TRUE(at::allclose(f.vectors[1], torch::tensor({0.0, 1.0, 0.0, 0.0}, at::kDouble), 0, 1e-12));
  // |A n|^2 is the eigenvalue.
  EXPECT_NEAR(a.matmul(f.vectors[2]).square().sum().item<double>(), 1, 1e-12);
  EXPECT_THAT(sentence_of([&] { factorise({a}, 5); }), HasSubstr("a space of 4 has 1 to 4"));
  EXPECT_THAT(sentence_of([&] { factorise({a, a.narrow(1, 0, 2)}, 1); }), HasSubstr("must take the same"));
  EXPECT_THAT(sentence_of([&] { factorise({}, 1); }), HasSubstr("no matrices"));
}

TEST(FirstLayer, IsProvenByItsGradientsAndNotGuessedByItsShape) {
  const Folder folder("first-layer");
  at::Tensor expected = torch::zeros({3, testing::kLatents});
  for (int64_t i = 0; i < 3; ++i) expected[i][i] = (3 - i) / 8.0;
  for (const std::string kind : {"linear", "transposed", "normed"}) {
    const auto found = first_layer(testing::open(folder, kind), "");
    ASSERT_TRUE(found.has_value()) << kind;
    EXPECT_TRUE(at::equal(*found, expected)) << kind;
  }
  const Model two = testing::open(folder, "two");
  EXPECT_FALSE(first_layer(two, "").has_value());
  EXPECT_THAT(sentence_of([&] { find_directions(two, colours(), three()); }), HasSubstr("into no single linear layer"));
}

TEST(Directions, OfALinearGeneratorAreThePlantedOnesWithTheirNamesAndSlopes) {
  const Folder folder("directions");
  const Model model = testing::open(folder, "style");
  const Directions found = find_directions(model, colours(), three());
  ASSERT_EQ(found.directions.size(), 3u);
  const Direction &green = found.directions[0], &red = found.directions[1], &unseen = found.directions[2];
  EXPECT_EQ(green.name, "greener");
  EXPECT_EQ(red.name, "redder");
  EXPECT_EQ(unseen.name, "no measured effect");
  EXPECT_NEAR(green.eigenvalue, 9, 1e-4);
  EXPECT_NEAR(green.vector[1].item<double>(), 1, 1e-6);
  // The styles are twice a standard normal; 512 of them know their deviation to 0.06.
  EXPECT_NEAR(green.deviation, 2, 0.2);
  // Green is 0.04 w_1 of 127.5 grey levels; pixels are rounded.
  const Response& slope = green.responses[1];
  EXPECT_NEAR(slope.slope, 127.5 * 0.04 * green.deviation, 0.15);
  EXPECT_NEAR(red.responses[0].slope, 127.5 * 0.05 * red.deviation, 0.15);
  EXPECT_LE(slope.interval.low, slope.slope);
  EXPECT_GE(slope.interval.high, slope.slope);
  EXPECT_EQ(slope.seeds, 16u);
  EXPECT_NEAR(slope.sign_p, std::pow(2.0, -15), 1e-12);  // sixteen seeds of one sign, two-sided
  // Over four deviations of the space; images vary by one.
  EXPECT_NEAR(slope.effect, 4, 1);
  EXPECT_EQ(green.responses[0].slope, 0);
  EXPECT_EQ(unseen.responses[0].slope, 0);
}

TEST(Directions, OfOneLayerMoveThatLayerAlone) {
  const Folder folder("directions");
  const Model model = testing::open(folder, "style");
  DirectionsOptions options = three();
  options.count = 1;
  options.layers = {1, 1};
  const Directions found = find_directions(model, colours(), options);
  // Layer 1 holds e_0 with 4 and e_2 with 1; the image is the mean of both layers.
  EXPECT_NEAR(found.directions[0].eigenvalue, 4, 1e-4);
  EXPECT_EQ(found.directions[0].name, "redder");
  EXPECT_NEAR(found.directions[0].responses[0].slope, 127.5 * 0.05 * found.directions[0].deviation / 2, 0.15);
  options.layers = {1, 2};
  EXPECT_THAT(sentence_of([&] { find_directions(model, colours(), options); }), HasSubstr("the model has 0 to 1"));
}

TEST(Directions, OfALatentComeFromItsFirstLayer) {
  const Folder folder("directions");
  const Directions found = find_directions(testing::open(folder, "transposed"), colours(), three());
  EXPECT_EQ(found.space, "z");
  EXPECT_NEAR(found.directions[0].eigenvalue, 9.0 / 64, 1e-6);
  EXPECT_EQ(found.directions[0].name, "redder");
  EXPECT_EQ(found.directions[0].deviation, 1);
}

TEST(Directions, AreRefusedWithASentence) {
  const Folder folder("directions");
  const Model painter = testing::open(folder, "painter", 64), style = testing::open(folder, "style");
  EXPECT_THAT(sentence_of([&] { find_directions(painter, colours(), three()); }), HasSubstr("no latent space"));
  DirectionsOptions options = three();
  options.strengths = 4;
  EXPECT_THAT(sentence_of([&] { find_directions(style, colours(), options); }), HasSubstr("an odd number"));
  options = three();
  options.seeds = 2;
  EXPECT_THAT(sentence_of([&] { find_directions(style, colours(), options); }), HasSubstr("at least 3"));
}

TEST(Directions, AreWrittenAndReadAgainForTheirOwnWeightsAlone) {
  const Folder folder("directions");
  const Model model = testing::open(folder, "style");
  const Directions found = write_directions_report(model, colours(), three(), "a command", folder / "out");
  const Directions read = read_directions(folder / "out/directions.safetensors", model.sha256());
  EXPECT_EQ(read.to_json(), found.to_json());
  EXPECT_TRUE(at::equal(read.directions[1].vector, found.directions[1].vector));
  EXPECT_THAT(sentence_of([&] { read_directions(folder / "out/directions.safetensors", std::string(64, 'a')); }),
              HasSubstr("find them anew"));
  tensor::write_safetensors(folder / "other.safetensors", {{"weight", torch::ones({2})}});
  EXPECT_THAT(sentence_of([&] { read_directions(folder / "other.safetensors", model.sha256()); }),
              HasSubstr("no file of directions"));
  EXPECT_EQ(CsvTable::read(folder / "out/directions.csv").size(), 6u);
  EXPECT_THAT(read_file(folder / "out/report.html"), AllOf(HasSubstr("greener"), HasSubstr("a command")));
  EXPECT_TRUE(std::filesystem::exists(folder / "out/direction-03.png"));
}

}  // namespace
}  // namespace derm::explore
