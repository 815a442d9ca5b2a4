#include "derm/loader/loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/image/codec.h"
#include "derm/image/mask.h"
#include "derm/image/resize.h"
#include "derm/loader/augment.h"
#include "derm/loader/pixels.h"

namespace derm::loader {

namespace fs = std::filesystem;

namespace {

constexpr double kLeastShare = 0.6;  // of a region's area that a crop must keep

/// A row ready for use: the picture at the map's size, and its request with any mask at that size.
struct Row {
  image::Image picture;
  data::Request request;
  int64_t label = 0;

  int64_t bytes() const {
    int64_t n = static_cast<int64_t>(sizeof(Row) + picture.pixels.size());
    for (const auto& region : request.regions) n += static_cast<int64_t>(sizeof(region) + region.mask.pixels.size());
    return n;
  }
};

int64_t label_of(const std::string& condition, const std::vector<std::string>& conditions, const std::string& where) {
  const auto found = std::find(conditions.begin(), conditions.end(), condition);
  if (found == conditions.end())
    throw DataError("{}: its condition \"{}\" is not one the map knows{}", where, condition,
                    did_you_mean(condition, conditions));
  return found - conditions.begin();
}

Pixels read_pixels(const data::DataSet& data, size_t index, int size) {
  const data::Record& record = data.records().at(index);
  const image::Image read = image::to_rgb(image::read_image(data.path_of(record.file_name)));
  if (read.width != read.height)
    throw DataError("{}: {} x {} pixels, but training needs square images; `dermgan prepare` makes them",
                    record.file_name, read.width, read.height);
  Pixels pixels{.picture = read.width == size ? read : image::resize(read, size, size, image::Filter::lanczos),
                .mask = {},
                .side = static_cast<double>(read.width)};
  if (record.mask_file_name.empty()) return pixels;
  const image::Mask mask = image::read_mask(data.path_of(record.mask_file_name));
  if (mask.width != read.width || mask.height != read.height)
    throw DataError("{}: its mask {} is {} x {} pixels, the image {} x {}; both must have the same size",
                    record.file_name, record.mask_file_name, mask.width, mask.height, read.width, read.height);
  if (image::mask_area(mask) > 0) {
    const image::Box box = image::mask_box(mask);
    pixels.mask_box = {
        .x = box.x / pixels.side, .y = box.y / pixels.side, .w = box.w / pixels.side, .h = box.h / pixels.side};
  }
  pixels.mask = mask.width == size
                    ? mask
                    : image::resize(mask, size, size, mask.width > size ? image::Filter::box : image::Filter::bilinear);
  return pixels;
}

Row row_of(const data::Record& record, Pixels pixels, const data::MapSpec& map, data::Shape shape) {
  Row row;
  const image::Box& box = pixels.mask_box;
  const image::Mask none;
  row.request = data::request_of(record, box.w > 0 ? pixels.mask : none, static_cast<int>(pixels.side), shape);
  // The region where the mask had it before it was reduced.
  if (box.w > 0 && row.request.regions.size() == 1 && (shape == data::Shape::mask || record.boxes.empty())) {
    data::Region& region = row.request.regions.front();
    region.x = box.x + box.w / 2, region.y = box.y + box.h / 2;
    region.w = box.w, region.h = box.h;
  }
  row.label = label_of(row.request.condition(), map.conditions, record.file_name);
  row.picture = std::move(pixels.picture);
  return row;
}

Row read_row(const data::DataSet& data, size_t index, const data::MapSpec& map, data::Shape shape) {
  return row_of(data.records().at(index), read_pixels(data, index, map.size_px), map, shape);
}

/// Coverage of the union of the regions, as encode_map draws it.
void write_region(const data::Request& request, const data::MapSpec& map, const std::vector<float>& encoded,
                  float* to) {
  const size_t plane = static_cast<size_t>(map.size_px) * static_cast<size_t>(map.size_px);
  if (map.encoding == data::Encoding::planes) {
    std::memcpy(to, encoded.data() + map.conditions.size() * plane, plane * sizeof(float));
    return;
  }
  data::MapSpec planes = map;
  planes.encoding = data::Encoding::planes;
  planes.conditions.clear();  // only those that occur: each costs a plane
  for (const auto& region : request.regions)
    if (std::find(planes.conditions.begin(), planes.conditions.end(), region.condition) == planes.conditions.end())
      planes.conditions.push_back(region.condition);
  const std::vector<float> drawn = data::encode_map(request, planes);
  std::memcpy(to, drawn.data() + planes.conditions.size() * plane, plane * sizeof(float));
}

/// Coverage of the union of the regions without soft edges, where no map is drawn that would hold it.
void write_hard_region(const data::Request& request, int size, float* to) {
  std::fill(to, to + static_cast<size_t>(size) * static_cast<size_t>(size), 0.0f);
  for (const data::Region& region : request.regions) {
    if (region.shape == data::Shape::mask) {
      for (size_t i = 0; i < region.mask.pixels.size(); ++i)
        to[i] = std::max(to[i], static_cast<float>(region.mask.pixels[i]) / 255.0f);
    } else {
      const std::vector<float> drawn = data::rasterise(region, size, /*edge=*/0, request.seed);
      for (size_t i = 0; i < drawn.size(); ++i) to[i] = std::max(to[i], drawn[i]);
    }
  }
}

/// An empty batch of n, to be filled sample by sample.
tensor::Batch new_batch(int64_t n, const data::MapSpec& map, bool with_map, bool pinned = false) {
  tensor::Batch batch;
  const at::TensorOptions numbers = at::TensorOptions(at::kFloat).pinned_memory(pinned);
  const int64_t size = map.size_px;
  batch.image = at::empty({n, 3, size, size}, numbers);
  batch.region = at::empty({n, 1, size, size}, numbers);
  if (with_map) batch.inputs.map = at::empty({n, map.channels(), size, size}, numbers);
  batch.inputs.label = at::empty({n}, numbers.dtype(at::kLong));
  batch.rows.resize(static_cast<size_t>(n));
  return batch;
}

void write_sample(tensor::Batch& batch, int64_t at, const Row& row, size_t index, const Augmentation& a,
                  const data::MapSpec& map) {
  const int64_t plane = int64_t{map.size_px} * map.size_px;
  write_picture(row.picture, a, batch.image.data_ptr<float>() + at * 3 * plane);
  const data::Request request = transformed(row.request, a);
  float* region = batch.region.data_ptr<float>() + at * plane;
  if (batch.inputs.map.defined()) {
    const std::vector<float> encoded = data::encode_map(request, map);
    std::memcpy(batch.inputs.map.data_ptr<float>() + at * map.channels() * plane, encoded.data(),
                encoded.size() * sizeof(float));
    write_region(request, map, encoded, region);
  } else {
    write_hard_region(request, map.size_px, region);
  }
  batch.inputs.label.data_ptr<int64_t>()[at] = row.label;
  batch.rows[static_cast<size_t>(at)] = static_cast<int64_t>(index);
}

void check(const data::MapSpec& map) {
  if (map.size_px < 1) throw UsageError("loader: the map's size is {} px, which must be at least 1", map.size_px);
  if (map.conditions.empty()) throw UsageError("loader: the map has no conditions; at least one is needed");
}

}  // namespace

void AugmentOptions::bind(Options& o) {
  o.add("flip", flip, "mirror every other image");
  o.add("quarter_turns", quarter_turns, "turn by 0, 90, 180 or 270 degrees");
  o.add("crop", crop, "the side of the random square crop is drawn from [1 - crop, 1]; 0: none");
  o.add("colour", colour, "strength of the mild shift in CIE Lab; the skin colour in the map moves with it; 0: none");
}

void AugmentOptions::validate() const {
  if (!(crop >= 0 && crop <= 0.5)) throw UsageError("crop: {} is out of range; it is from 0 to 0.5", crop);
  if (!(colour >= 0 && colour <= 3)) throw UsageError("colour: {} is out of range; it is from 0 to 3", colour);
}

struct Loader::Impl {
  Impl(const data::DataSet& data_set, std::vector<size_t> chosen, const LoaderOptions& given)
      : data(data_set), rows(std::move(chosen)), options(given), cache(rows.size()), batch(given.batch) {
    if (!options.pixel_file.empty()) {
      std::vector<PixelSource> sources;
      for (const size_t row : rows) {
        const data::Record& record = data.records()[row];
        const bool masked = !record.mask_file_name.empty();
        sources.push_back({data.path_of(record.file_name), masked ? data.path_of(record.mask_file_name) : fs::path()});
      }
      store = PixelStore::open_or_make(options.pixel_file, sources, options.map.size_px,
                                       [&](size_t i) { return read_pixels(data, rows[i], options.map.size_px); });
    }
    const int count = options.threads;
    threads.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work_to_do.notify_all();
    for (auto& thread : threads) thread.join();
  }

  struct Result {
    tensor::Batch batch;
    std::exception_ptr error;
  };

  void work() {
    for (;;) {
      int64_t number = 0, first = 0, count = 0;
      uint64_t mine = 0;
      {
        std::unique_lock lock(mutex);
        work_to_do.wait(lock, [&] { return stopping || claimed < delivered + options.prefetch; });
        if (stopping) return;
        number = claimed++;
        count = batch / options.parts;
        first = start + number * batch + options.part * count;
        mine = generation;
      }
      Result result;
      try {
        result.batch = make(first, count, mine);
      } catch (...) {
        result.error = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex);
        if (mine != generation) continue;  // a seek has made it worthless
        ready.emplace(number, std::move(result));
      }
      batch_ready.notify_all();
    }
  }

  tensor::Batch make(int64_t first, int64_t count, uint64_t mine) {
    tensor::Batch made = new_batch(count, options.map, options.with_map, options.pinned);
    for (int64_t i = 0; i < count; ++i) {
      if (stopping || mine != generation) return made;  // nobody waits for it any more
      const auto k = static_cast<uint64_t>(first + i);
      const size_t slot = slot_of(k);
      const std::shared_ptr<const Row> row = get(slot);
      Rng rng(mix_seed(mix_seed(options.seed, hash_text("augment")), k));
      Augmentation a = Augmentation::draw(options.augment, rng);
      if (kept_share(row->request, a) < kLeastShare) a.x = a.y = 0, a.side = 1;
      write_sample(made, i, *row, rows[slot], a, options.map);
    }
    return made;
  }

  /// Position in `rows` of sample k.
  size_t slot_of(uint64_t k) {
    const uint64_t n = rows.size(), epoch = k / n;
    const std::lock_guard lock(order_mutex);
    auto found = orders.find(epoch);
    if (found == orders.end()) {
      std::vector<uint32_t> order(rows.size());
      std::iota(order.begin(), order.end(), 0u);
      Rng rng(mix_seed(options.seed, epoch));
      rng.shuffle(order);
      // Threads work on neighbouring epochs at most, unless the data set is smaller than what is prefetched.
      if (orders.size() >= 64) orders.clear();
      found = orders.emplace(epoch, std::move(order)).first;
    }
    return found->second[k % n];
  }

  std::shared_ptr<const Row> get(size_t slot) {
    if (store)
      return std::make_shared<const Row>(
          row_of(data.records()[rows[slot]], store->read(slot), options.map, options.shape));
    {
      const std::lock_guard lock(cache_mutex);
      if (cache[slot]) return cache[slot];
    }
    auto row = std::make_shared<const Row>(read_row(data, rows[slot], options.map, options.shape));
    const std::lock_guard lock(cache_mutex);
    if (!cache[slot] && cached_bytes + row->bytes() <= options.max_cache_bytes) {
      cached_bytes += row->bytes();
      cache[slot] = row;
    }
    return row;
  }

  const data::DataSet data;
  const std::vector<size_t> rows;
  const LoaderOptions options;
  std::shared_ptr<const PixelStore> store;  ///< or none

  std::mutex cache_mutex;
  std::vector<std::shared_ptr<const Row>> cache;
  int64_t cached_bytes = 0;

  std::mutex order_mutex;
  std::map<uint64_t, std::vector<uint32_t>> orders;

  std::mutex mutex;
  std::condition_variable work_to_do, batch_ready;
  std::map<int64_t, Result> ready;
  int64_t batch = 0;                              ///< images in each
  int64_t start = 0, claimed = 0, delivered = 0;  ///< first sample of the stream; batches since then
  std::atomic<uint64_t> generation{0};
  std::atomic<bool> stopping{false};
  double waited = 0;
  std::vector<std::thread> threads;
};

Loader::Loader(const data::DataSet& data, std::vector<size_t> rows, const LoaderOptions& options) {
  options.augment.validate();
  check(options.map);
  if (rows.empty()) throw UsageError("loader: no rows were given; at least one is needed");
  for (const size_t row : rows) {
    if (row >= data.records().size())
      throw UsageError("loader: row {} was asked for, but the data set has {} rows", row, data.records().size());
    label_of(data.records()[row].condition, options.map.conditions, data.records()[row].file_name);
  }
  if (options.batch < 1) throw UsageError("loader: batch is {}, which must be at least 1", options.batch);
  if (options.parts < 1 || options.part < 0 || options.part >= options.parts || options.batch % options.parts != 0)
    throw UsageError("loader: part {} of {} equal parts of a batch of {} was asked for", options.part, options.parts,
                     options.batch);
  if (options.prefetch < 1) throw UsageError("loader: prefetch is {}, which must be at least 1", options.prefetch);
  LoaderOptions resolved = options;
  if (resolved.threads < 0)
    throw UsageError("loader: threads is {}, which must be at least 0 (all there are)", options.threads);
  if (resolved.threads == 0) resolved.threads = usable_cpus();
  impl_ = std::make_unique<Impl>(data, std::move(rows), resolved);
}

Loader::~Loader() = default;

tensor::Batch Loader::next() {
  std::unique_lock lock(impl_->mutex);
  const auto begin = std::chrono::steady_clock::now();
  impl_->batch_ready.wait(lock, [&] { return impl_->ready.contains(impl_->delivered); });
  impl_->waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto found = impl_->ready.find(impl_->delivered);
  // A batch that failed stays in its place: asking again gives the same error, and no sample is skipped in silence.
  if (found->second.error) std::rethrow_exception(found->second.error);
  tensor::Batch batch = std::move(found->second.batch);
  impl_->ready.erase(found);
  ++impl_->delivered;
  lock.unlock();
  impl_->work_to_do.notify_one();
  return batch;
}

void Loader::seek(int64_t sample, int64_t batch) {
  if (sample < 0) throw UsageError("loader: seek to sample {}, which must be at least 0", sample);
  if (batch < 0) throw UsageError("loader: a batch of {} was asked for, which must be at least 1", batch);
  {
    const std::lock_guard lock(impl_->mutex);
    ++impl_->generation;
    impl_->ready.clear();
    impl_->start = sample;
    if (batch > 0) impl_->batch = batch;
    impl_->claimed = impl_->delivered = 0;
  }
  impl_->work_to_do.notify_all();
}

double Loader::waited_s() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->waited;
}

tensor::Batch read_rows(const data::DataSet& data, const std::vector<size_t>& rows, const data::MapSpec& map,
                        data::Shape shape, bool with_map) {
  check(map);
  for (const size_t row : rows)
    if (row >= data.records().size())
      throw UsageError("read_rows: row {} was asked for, but the data set has {} rows", row, data.records().size());
  tensor::Batch batch = new_batch(static_cast<int64_t>(rows.size()), map, with_map);
  parallel_for(rows.size(), [&](size_t i) {
    write_sample(batch, static_cast<int64_t>(i), read_row(data, rows[i], map, shape), rows[i], Augmentation{}, map);
  });
  return batch;
}

tensor::Inputs inputs_of(const std::vector<data::Request>& requests, const data::MapSpec& map) {
  check(map);
  const int64_t n = static_cast<int64_t>(requests.size()), size = map.size_px;
  tensor::Inputs inputs;
  inputs.map = at::empty({n, map.channels(), size, size}, at::kFloat);
  inputs.label = at::empty({n}, at::kLong);
  float* to = inputs.map.data_ptr<float>();
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].regions.empty()) throw UsageError("request {}: it has no region; at least one is needed", i + 1);
    const std::vector<float> encoded = data::encode_map(requests[i], map);  // refuses unknown conditions
    std::memcpy(to + i * encoded.size(), encoded.data(), encoded.size() * sizeof(float));
    const auto& conditions = map.conditions;
    inputs.label.data_ptr<int64_t>()[i] =
        std::find(conditions.begin(), conditions.end(), requests[i].condition()) - conditions.begin();
  }
  return inputs;
}

}  // namespace derm::loader
