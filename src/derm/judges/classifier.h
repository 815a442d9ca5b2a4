#pragma once
// Which condition a picture shows, as a trained network sees it. No libtorch in this header.
#include <memory>
#include <string>
#include <vector>

#include "derm/image/image.h"
#include "derm/judges/judge.h"

namespace derm::judges {

/// A judge of images, not of patients: it measures whether generated images show the condition they were asked for, and
/// is always reported beside its own accuracy on real photographs.
class Classifier {
 public:
  /// @throws UsageError if the bundle is of another kind; DataError if it is damaged or its canary differs
  Classifier(const JudgeOptions& options, const recipe::Catalogue& catalogue);
  ~Classifier();

  std::string name() const;                            ///< "classifier-clinical-v1"
  std::string sha256() const;                          ///< of its weights
  int size_px() const;                                 ///< what pictures are resized to before they are looked at
  const std::vector<std::string>& conditions() const;  ///< in the order of the probabilities

  /// Position of a condition in conditions(); -1 if it does not know it.
  int index_of(const std::string& condition) const;

  /// [images][conditions()]: calibrated probabilities (temperature fitted on validation, Guo et al. 2017,
  /// arXiv:1706.04599), each row sums to 1. The mean over the picture and its mirror image is taken. The same picture
  /// gives the same answer whatever else is in the list.
  /// @throws UsageError for a picture that is empty, smaller than 16 px or not RGB
  std::vector<std::vector<double>> probabilities(const std::vector<image::Image>& images);
  std::vector<double> probabilities(const image::Image& image);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::judges
