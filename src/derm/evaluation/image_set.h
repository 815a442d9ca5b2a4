#pragma once
// The images that an evaluation compares: read from a data set as they are needed, so that any number of them takes the
// same memory.
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "derm/data/dataset.h"
#include "derm/data/request.h"
#include "derm/image/image.h"

namespace derm::evaluation {

/// What is known of an image without reading it.
struct Item {
  size_t row = 0;         ///< of the data set
  std::string file_name;  ///< relative to it
  std::string patient;    ///< what is never split: subject_id, else lesion_id, else the file itself
  std::string condition;  ///< shown, or asked for; "" of a generator that heeds none
  std::string tone;       ///< ITA group of the skin, measured or asked for; "" if unknown
};

class ImageSet {
 public:
  /// The rows of one or more splits of photographs, one side length, square.
  /// @param sure_regions  only those whose region is sure enough (`quality` not below the set's min_quality)
  /// @throws UsageError for an unknown split; DataError if there are no such rows
  static ImageSet real(std::shared_ptr<const data::DataSet> data, const std::vector<std::string>& splits,
                       bool sure_regions = true);
  /// Every row of a generated set. Of what its generator did not heed nothing is known: items then have no condition,
  /// no tone.
  static ImageSet synthetic(std::shared_ptr<const data::DataSet> data);

  const data::DataSet& data() const { return *data_; }
  const std::vector<Item>& items() const { return items_; }
  size_t size() const { return items_.size(); }
  int size_px() const { return size_px_; }                 ///< as the images are handed out
  const std::string& name() const { return name_; }        ///< for messages: the folder, and the split
  const std::string& selection() const { return split_; }  ///< the splits ("validation+test"), or "all"
  std::vector<std::string> patients() const;
  ImageSet subset(const std::vector<size_t>& rows) const;  ///< rows of items()
  /// Patients of a generated set's rows, for sets that were made from photographs' maps: which map each came from.
  void set_patients(const std::vector<std::string>& patients);

  /// Images are reduced to this side as training reduces them (Lanczos, as PIL).
  /// @throws UsageError if they are smaller: what is missing cannot be compared
  void reduce_to(int size_px);

  /// One image, RGB, size_px() x size_px(). @throws DataError naming the file: unreadable, of another size than the set
  image::Image image(size_t i) const;
  /// All images in order, `chunk` at a time, decoded side by side. @throws DataError as image(); Interrupted
  void stream(const std::function<void(size_t first, const std::vector<image::Image>& images)>& ready,
              size_t chunk = 32) const;

  /// What was asked of a generated image: condition, region (its mask) and skin colour of its row.
  /// @throws DataError if the row does not hold a request
  data::Request request(size_t i) const;
  /// True if the rows carry what was asked (requested_condition and requested_skin, as `dermgan generate` writes them).
  bool has_requests() const;
  /// True if every item has a condition.
  bool has_conditions() const;

 private:
  void take(size_t row);
  void check_size();
  std::shared_ptr<const data::DataSet> data_;
  std::vector<Item> items_;
  std::string name_, split_;
  int size_px_ = 0, stored_px_ = 0;
};

/// Patients of the first set that stand in the second too: what must not happen between reference and training.
std::vector<std::string> shared_patients(const ImageSet& a, const ImageSet& b);

}  // namespace derm::evaluation
