#pragma once
// What is measured of an image that nobody asked anything of: the project's own means, as `prepare` and `evaluate` use
// them.
#include <functional>
#include <string>
#include <vector>

#include "derm/evaluation/control.h"
#include "derm/image/image.h"

namespace derm::explore {

struct Quantity {
  std::string name, unit;
  std::string more, less;  ///< what an image is called that has more of it, or less
};

/// Measures several quantities of images.
struct Gauge {
  std::vector<Quantity> quantities;
  /// [images][quantities]; NaN where nothing could be measured.
  std::function<std::vector<std::vector<double>>(const std::vector<image::Image>&)> measure;
  std::string by;  ///< who measured, for the record
};

/// Skin: ITA (degrees) and a* (redness). Lesion: area (share of the image), L*, a*, b* (medians). Probability of each
/// condition that the classifier knows. The lesion is what the segmenter sees, else what the finder sees.
Gauge skin_gauge(const evaluation::Judges& judges);

}  // namespace derm::explore
