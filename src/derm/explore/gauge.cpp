#include "derm/explore/gauge.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "derm/base/system.h"
#include "derm/evaluation/statistics.h"
#include "derm/image/colour.h"
#include "derm/image/mask.h"
#include "derm/skin/lesion.h"
#include "derm/skin/planes.h"
#include "derm/skin/skin_colour.h"

namespace derm::explore {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// The first six quantities of one image.
std::vector<double> plain_quantities(const image::Image& picture, const image::Mask& lesion) {
  const double pixels = static_cast<double>(picture.width) * picture.height;
  const skin::SkinColour skin = skin::measure_skin(picture, lesion);
  const bool seen = skin.share >= 0.05;  // under that the colour rests on little
  std::vector<double> values = {seen ? skin.ita_deg : kNone,
                                seen ? skin.lab.a : kNone,
                                static_cast<double>(image::mask_area(lesion)) / pixels,
                                kNone,
                                kNone,
                                kNone};
  if (image::mask_area(lesion) == 0) return values;
  const skin::Planes planes = skin::lab_planes(picture);
  std::vector<double> L, a, b;
  for (size_t i = 0; i < planes.size(); ++i) {
    if (lesion.pixels[i] == 0) continue;
    L.push_back(planes.L[i]);
    a.push_back(planes.a[i]);
    b.push_back(planes.b[i]);
  }
  values[3] = evaluation::median(L);
  values[4] = evaluation::median(a);
  values[5] = evaluation::median(b);
  return values;
}

}  // namespace

Gauge skin_gauge(const evaluation::Judges& judges) {
  Gauge gauge;
  gauge.quantities = {{"skin ITA", "degrees", "lighter skin", "darker skin"},
                      {"skin a*", "CIE Lab", "redder skin", "less red skin"},
                      {"lesion area", "share of the image", "larger lesion", "smaller lesion"},
                      {"lesion L*", "CIE Lab", "lighter lesion", "darker lesion"},
                      {"lesion a*", "CIE Lab", "redder lesion", "less red lesion"},
                      {"lesion b*", "CIE Lab", "yellower lesion", "bluer lesion"}};
  if (judges.classify) {
    for (const std::string& condition : judges.conditions) {
      std::string plain = condition;
      std::replace(plain.begin(), plain.end(), '_', ' ');
      gauge.quantities.push_back({"probability of " + plain, "0 to 1", "more like " + plain, "less like " + plain});
    }
  }
  gauge.by =
      fmt::format("lesion by {}; conditions by {}; skin by the means of prepare",
                  judges.segment ? judges.segmenter : "the finder", judges.classify ? judges.classifier : "nobody");
  gauge.measure = [judges, width = gauge.quantities.size()](const std::vector<image::Image>& images) {
    std::vector<std::vector<double>> values(images.size());
    std::vector<image::Mask> masks;
    if (judges.segment) masks = judges.segment(images);
    parallel_for(images.size(), [&](size_t i) {
      values[i] = plain_quantities(images[i], judges.segment ? masks[i] : skin::find_lesion(images[i]).mask);
    });
    if (judges.classify) {
      const std::vector<std::vector<double>> conditions = judges.classify(images);
      for (size_t i = 0; i < images.size(); ++i)
        values[i].insert(values[i].end(), conditions[i].begin(), conditions[i].end());
    }
    for (std::vector<double>& row : values) row.resize(width, kNone);
    return values;
  };
  return gauge;
}

}  // namespace derm::explore
