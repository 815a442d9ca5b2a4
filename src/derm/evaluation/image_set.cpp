#include "derm/evaluation/image_set.h"

#include <algorithm>
#include <set>

#include "derm/base/error.h"
#include "derm/base/system.h"
#include "derm/image/codec.h"
#include "derm/image/resize.h"

namespace derm::evaluation {

void ImageSet::take(size_t row) {
  const data::Record& record = data_->records()[row];
  Item item{.row = row, .file_name = record.file_name, .condition = record.condition, .tone = record.tone};
  item.patient = !record.subject_id.empty()  ? "subject " + record.subject_id
                 : !record.lesion_id.empty() ? "lesion " + record.lesion_id
                                             : record.file_name;
  if (item.tone.empty() && record.ita_deg) item.tone = image::tone_of(*record.ita_deg);
  if (item.tone.empty() && record.skin_rgb)
    item.tone = image::tone_of(image::ita_degrees(image::lab_of(*record.skin_rgb)));
  items_.push_back(std::move(item));
}

void ImageSet::check_size() {
  // A table without dataset.json does not say the size: the first image does, and each is checked when it is read.
  stored_px_ = data_->size_px();
  if (stored_px_ <= 0) {
    const image::Image first = image::read_image(data_->path_of(items_.front().file_name));
    if (first.width != first.height) {
      throw DataError(
          "{}: it has {} x {} pixels, and square images of one size are compared; `dermgan prepare` crops and resizes "
          "them",
          data_->path_of(items_.front().file_name).string(), first.width, first.height);
    }
    stored_px_ = first.width;
  }
  size_px_ = stored_px_;
}

ImageSet ImageSet::real(std::shared_ptr<const data::DataSet> data, const std::vector<std::string>& splits,
                        bool sure_regions) {
  ImageSet set;
  set.data_ = std::move(data);
  set.split_ = fmt::format("{}", fmt::join(splits, "+"));
  set.name_ = fmt::format("{} ({})", set.data_->root().string(), set.split_);
  for (const std::string& split : splits) {
    for (const size_t row : set.data_->of_split(split)) {
      const data::Record& record = set.data_->records()[row];
      if (!sure_regions || !record.quality || *record.quality >= set.data_->min_quality()) set.take(row);
    }
  }
  if (set.items_.empty()) {
    std::set<std::string> there;
    for (const data::Record& record : set.data_->records()) there.insert(record.split);
    throw DataError("{}: no image of the split \"{}\" can be used; the set's rows are in: {}",
                    set.data_->root().string(), set.split_, fmt::join(there, ", "));
  }
  set.check_size();
  return set;
}

ImageSet ImageSet::synthetic(std::shared_ptr<const data::DataSet> data) {
  ImageSet set;
  set.data_ = std::move(data);
  set.split_ = "all";
  set.name_ = set.data_->root().string();
  for (size_t row = 0; row < set.data_->records().size(); ++row) set.take(row);
  const nlohmann::json generator = set.data_->facts().value("generator", nlohmann::json::object());
  if (generator.is_object() && generator.contains("heeds")) {
    const auto& heeds = generator.at("heeds");
    if (std::find(heeds.begin(), heeds.end(), "condition") == heeds.end())
      for (Item& item : set.items_) item.condition.clear();
  }
  set.check_size();
  return set;
}

std::vector<std::string> ImageSet::patients() const {
  std::vector<std::string> result;
  for (const Item& item : items_) result.push_back(item.patient);
  return result;
}

ImageSet ImageSet::subset(const std::vector<size_t>& rows) const {
  ImageSet part = *this;
  part.items_.clear();
  for (const size_t row : rows) part.items_.push_back(items_.at(row));
  return part;
}

void ImageSet::set_patients(const std::vector<std::string>& patients) {
  if (patients.size() != items_.size())
    throw UsageError("{}: {} patients were given for {} images", name_, patients.size(), items_.size());
  for (size_t i = 0; i < patients.size(); ++i) items_[i].patient = patients[i];
}

void ImageSet::reduce_to(int size_px) {
  if (size_px > stored_px_) {
    throw UsageError(
        "{}: its images are {} px, the others {} px, and enlarged images have no detail to compare; give a set of {} "
        "px "
        "or more (`dermgan prepare --size {}`)",
        name_, stored_px_, size_px, size_px, size_px);
  }
  size_px_ = size_px;
}

image::Image ImageSet::image(size_t i) const {
  const std::filesystem::path path = data_->path_of(items_.at(i).file_name);
  image::Image image = image::to_rgb(image::read_image(path));
  if (image.width != stored_px_ || image.height != stored_px_) {
    throw DataError(
        "{}: it has {} x {} pixels, the set's others {} x {}; images of one size are compared, `dermgan prepare` "
        "resizes them",
        path.string(), image.width, image.height, stored_px_, stored_px_);
  }
  return size_px_ == stored_px_ ? image : image::resize(image, size_px_, size_px_, image::Filter::lanczos);
}

void ImageSet::stream(const std::function<void(size_t, const std::vector<image::Image>&)>& ready, size_t chunk) const {
  for (size_t first = 0; first < items_.size(); first += chunk) {
    throw_if_interrupted();
    std::vector<image::Image> images(std::min(chunk, items_.size() - first));
    parallel_for(images.size(), [&](size_t i) { images[i] = image(first + i); });
    ready(first, images);
  }
}

bool ImageSet::has_requests() const {
  const data::Record& record = data_->records()[items_.front().row];
  return record.extra.contains("requested_condition") && record.extra.contains("requested_skin");
}

bool ImageSet::has_conditions() const {
  return std::none_of(items_.begin(), items_.end(), [](const Item& item) { return item.condition.empty(); });
}

data::Request ImageSet::request(size_t i) const {
  const data::Record& record = data_->records()[items_.at(i).row];
  const auto field = [&](const char* column) {
    const auto found = record.extra.find(column);
    if (found == record.extra.end() || found->second.empty()) {
      throw DataError(
          "{}: the row of {} has no {}, so what was asked for is not known; sets written by `dermgan generate` have it",
          (data_->root() / "metadata.csv").string(), record.file_name, column);
    }
    return found->second;
  };
  data::Record asked = record;
  asked.condition = field("requested_condition");
  asked.skin_rgb = image::rgb_from_hex(field("requested_skin"));
  if (!asked.skin_rgb) {
    throw DataError("{}: the row of {} asks for the skin colour '{}'; #rrggbb is expected",
                    (data_->root() / "metadata.csv").string(), record.file_name, field("requested_skin"));
  }
  image::Mask mask;
  if (!record.mask_file_name.empty()) mask = image::read_mask(data_->path_of(record.mask_file_name));
  data::Request request = data::request_of(asked, mask, stored_px_, data::Shape::mask);
  const auto extrapolated = record.extra.find("extrapolated");
  request.extrapolated = extrapolated != record.extra.end() && extrapolated->second == "true";
  const auto seed = record.extra.find("seed");
  if (seed != record.extra.end() && !seed->second.empty() &&
      std::all_of(seed->second.begin(), seed->second.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
      seed->second.size() < 20) {
    request.seed = std::stoull(seed->second);
  }
  return request;
}

std::vector<std::string> shared_patients(const ImageSet& a, const ImageSet& b) {
  std::set<std::string> first;
  for (const Item& item : a.items()) first.insert(item.patient);
  std::set<std::string> both;
  for (const Item& item : b.items()) {
    if (first.contains(item.patient)) both.insert(item.patient);
  }
  return {both.begin(), both.end()};
}

}  // namespace derm::evaluation
