#pragma once
// TensorBoard event files. Own code because nothing packaged writes them: TFRecord framing with masked CRC-32C around
// the few protobuf fields that scalars and images take.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "derm/image/image.h"

namespace derm::training {

uint32_t masked_crc32c(std::string_view bytes);  ///< crc32c with TFRecord's rotation and offset

class TensorBoardWriter {
 public:
  /// Appends to `directory`/events.out.tfevents.TIME.dermgan; a resumed run begins a new file, as TensorBoard expects.
  explicit TensorBoardWriter(const std::filesystem::path& directory);
  void scalar(const std::string& tag, double value, int64_t step);
  void image(const std::string& tag, const image::Image& picture, int64_t step);
  void flush() { file_.flush(); }

 private:
  void event(int64_t step, std::string_view payload);
  std::ofstream file_;
};

}  // namespace derm::training
