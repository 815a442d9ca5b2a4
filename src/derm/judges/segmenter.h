#pragma once
// Where the lesion is, as a trained network sees it. No libtorch in this header.
#include <memory>
#include <string>
#include <vector>

#include "derm/image/image.h"
#include "derm/judges/judge.h"

namespace derm::judges {

/// The lesion of one picture.
struct Segmentation {
  image::Mask mask;       ///< of the picture's size, one region without holes; all 0 if nothing was found
  image::Box box;         ///< tight box of the mask, pixels; all 0 if nothing was found
  double confidence = 0;  ///< the Dice overlap that the network itself expects of this mask, 0 to 1: twice the
                          ///< probability inside the mask over (probability in all + the mask's area)
};

class Segmenter {
 public:
  /// @throws UsageError if the bundle is of another kind; DataError if it is damaged or its canary differs
  Segmenter(const JudgeOptions& options, const recipe::Catalogue& catalogue);
  ~Segmenter();

  std::string name() const;    ///< "segmenter-v1"
  std::string sha256() const;  ///< of its weights
  int size_px() const;         ///< what pictures are resized to before they are looked at

  /// Of each picture (RGB, square or not, any size of at least 16 px): the one region that the network holds for the
  /// lesion. Probabilities are resized to the picture, cut at 1/2; the region that carries most probability stays, its
  /// holes are filled. The same picture gives the same answer whatever else is in the list.
  /// @throws UsageError for a picture that is empty, smaller than 16 px or not RGB
  std::vector<Segmentation> segment(const std::vector<image::Image>& images);
  Segmentation segment(const image::Image& image);

  /// Probability of lesion, size_px() x size_px() values in rows, for each picture: for people who want another cut.
  std::vector<std::vector<float>> probabilities(const std::vector<image::Image>& images);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::judges
