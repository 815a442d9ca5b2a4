#include "derm/loader/colour_shift.h"

#include <cmath>

namespace derm::loader {
namespace {

/// Lab of the table's nodes: the same for every shift.
const std::vector<image::Lab>& node_colours() {
  static const std::vector<image::Lab> nodes = [] {
    constexpr int n = ColourShift::kNodes;
    std::array<double, static_cast<size_t>(n)> linear{};
    for (int i = 0; i < n; ++i)
      linear[static_cast<size_t>(i)] = image::srgb_to_linear(static_cast<double>(i) / (n - 1));
    std::vector<image::Lab> out;
    for (const double r : linear)
      for (const double g : linear)
        for (const double b : linear) out.push_back(image::lab_of_linear(r, g, b));
    return out;
  }();
  return nodes;
}

double f_inverse(double f) { return f > 6.0 / 29 ? f * f * f : 3 * 36.0 / 841 * (f - 4.0 / 29); }

/// Not clipped: the table must stay smooth up to the edge of the gamut, and is clipped when read.
double encoded(double v) { return 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * std::pow(v, 1 / 2.4) - 0.055); }

}  // namespace

ColourShift::ColourShift(const image::Lab& shift) {
  const auto& nodes = node_colours();
  table_.resize(nodes.size() * 4);
  // D65 and the inverse of the sRGB matrix, as in image/colour.cpp.
  constexpr double kWhite[3] = {0.4124564 + 0.3575761 + 0.1804375, 0.2126729 + 0.7151522 + 0.0721750,
                                0.0193339 + 0.1191920 + 0.9503041};
  for (size_t i = 0; i < nodes.size(); ++i) {
    const double fy = (nodes[i].L + shift.L + 16) / 116;
    const double x = kWhite[0] * f_inverse(fy + (nodes[i].a + shift.a) / 500);
    const double y = kWhite[1] * f_inverse(fy);
    const double z = kWhite[2] * f_inverse(fy - (nodes[i].b + shift.b) / 200);
    float* out = table_.data() + i * 4;
    out[0] = static_cast<float>(encoded(3.2404542 * x - 1.5371385 * y - 0.4985314 * z));
    out[1] = static_cast<float>(encoded(-0.9692660 * x + 1.8760108 * y + 0.0415560 * z));
    out[2] = static_cast<float>(encoded(0.0556434 * x - 0.2040259 * y + 1.0572252 * z));
    out[3] = 0;
  }
}

}  // namespace derm::loader
