#include "derm/explore/gauge.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/image/colour.h"

namespace derm::explore {
namespace {

/// Even skin with an even disc, radius 30 of 128 px.
image::Image drawn(image::Rgb skin, image::Rgb lesion) {
  image::Image picture(128, 128, 3);
  for (int y = 0; y < 128; ++y) {
    for (int x = 0; x < 128; ++x) {
      const image::Rgb c = std::hypot(x - 63.5, y - 63.5) < 30 ? lesion : skin;
      uint8_t* p = picture.at(x, y);
      p[0] = c.r, p[1] = c.g, p[2] = c.b;
    }
  }
  return picture;
}

evaluation::Judges disc_and_opinion() {
  evaluation::Judges judges;
  judges.segmenter = "disc";
  judges.segment = [](const std::vector<image::Image>& images) {
    std::vector<image::Mask> masks;
    for (const image::Image& i : images) {
      image::Mask mask(i.width, i.height, 1);
      for (int y = 0; y < i.height; ++y)
        for (int x = 0; x < i.width; ++x) *mask.at(x, y) = std::hypot(x - 63.5, y - 63.5) < 30 ? 255 : 0;
      masks.push_back(mask);
    }
    return masks;
  };
  judges.classifier = "opinion";
  judges.conditions = {"basal_cell_carcinoma", "nevus"};
  judges.classify = [](const std::vector<image::Image>& images) {
    return std::vector<std::vector<double>>(images.size(), {0.25, 0.75});
  };
  return judges;
}

TEST(SkinGauge, MeasuresSkinAreaAndLesionOfADrawnPicture) {
  const image::Rgb skin{220, 180, 150}, lesion{110, 70, 50};
  for (const evaluation::Judges& judges : {evaluation::Judges(), disc_and_opinion()}) {
    const Gauge gauge = skin_gauge(judges);
    const std::vector<double> v = gauge.measure({drawn(skin, lesion)}).front();
    ASSERT_EQ(v.size(), gauge.quantities.size());
    EXPECT_NEAR(v[0], image::ita_degrees(image::lab_of(skin)), 0.5);
    EXPECT_NEAR(v[1], image::lab_of(skin).a, 0.5);
    EXPECT_NEAR(v[2], M_PI * 30 * 30 / (128.0 * 128.0), 0.03);  // 0.173; the finder smooths its outline
    EXPECT_NEAR(v[3], image::lab_of(lesion).L, 0.5);
    EXPECT_NEAR(v[4], image::lab_of(lesion).a, 0.5);
    EXPECT_NEAR(v[5], image::lab_of(lesion).b, 0.5);
  }
  const Gauge gauge = skin_gauge(disc_and_opinion());
  EXPECT_EQ(gauge.quantities.back().more, "more like nevus");
  EXPECT_EQ(gauge.measure({drawn(skin, lesion)}).front().back(), 0.75);
  EXPECT_EQ(gauge.quantities[6].name, "probability of basal cell carcinoma");
}

TEST(SkinGauge, SaysNothingOfALesionThatIsNotThere) {
  evaluation::Judges blind = disc_and_opinion();
  blind.segment = [](const std::vector<image::Image>& images) {
    return std::vector<image::Mask>(images.size(), image::Mask(128, 128, 1));
  };
  const std::vector<double> v = skin_gauge(blind).measure({drawn({220, 180, 150}, {220, 180, 150})}).front();
  EXPECT_EQ(v[2], 0);
  EXPECT_TRUE(std::isnan(v[3]));
}

}  // namespace
}  // namespace derm::explore
