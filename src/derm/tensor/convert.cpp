#include "derm/tensor/convert.h"

#include <array>

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::tensor {
namespace {

uint8_t byte_of(float v) {
  const float x = (v + 1.0f) * 127.5f;
  if (x >= 255.0f) return 255;
  return x > 0.0f ? static_cast<uint8_t>(x + 0.5f) : uint8_t{0};  // not a number becomes 0 too
}

image::Image picture_of(const float* planes, int width, int height, int channels) {
  image::Image picture(width, height, channels);
  const size_t plane = static_cast<size_t>(width) * static_cast<size_t>(height);
  for (int c = 0; c < channels; ++c) {
    const float* from = planes + static_cast<size_t>(c) * plane;
    for (size_t i = 0; i < plane; ++i)
      picture.pixels[i * static_cast<size_t>(channels) + static_cast<size_t>(c)] = byte_of(from[i]);
  }
  return picture;
}

}  // namespace

at::Tensor tensor_of(const image::Image& rgb) {
  static const std::array<float, 256> value = [] {
    std::array<float, 256> table{};
    for (size_t i = 0; i < 256; ++i) table[i] = static_cast<float>(i) / 127.5f - 1.0f;
    return table;
  }();
  if (rgb.empty()) throw UsageError("tensor_of: the picture is empty");
  const auto channels = static_cast<size_t>(rgb.channels);
  const at::Tensor out = at::empty({3, rgb.height, rgb.width}, at::kFloat);
  float* to = out.data_ptr<float>();
  const size_t plane = static_cast<size_t>(rgb.width) * static_cast<size_t>(rgb.height);
  for (size_t c = 0; c < 3; ++c) {
    const uint8_t* from = rgb.pixels.data() + (channels == 1 ? 0 : c);
    for (size_t i = 0; i < plane; ++i) to[c * plane + i] = value[from[i * channels]];
  }
  return out;
}

std::vector<image::Image> images_of(const at::Tensor& batch) {
  if (batch.dim() != 4 || (batch.size(1) != 3 && batch.size(1) != 1))
    throw UsageError("images_of: a tensor [N, 3, H, W] is needed, this one has {} dimensions{}", batch.dim(),
                     batch.dim() == 4 ? fmt::format(" and {} channels", batch.size(1)) : "");
  const at::Tensor flat = batch.detach().to(at::kCPU, at::kFloat).contiguous();
  const int channels = static_cast<int>(flat.size(1)), height = static_cast<int>(flat.size(2)),
            width = static_cast<int>(flat.size(3));
  std::vector<image::Image> out;
  out.reserve(static_cast<size_t>(flat.size(0)));
  for (int64_t i = 0; i < flat.size(0); ++i)
    out.push_back(picture_of(flat.data_ptr<float>() + i * channels * height * width, width, height, channels));
  return out;
}

image::Image image_of(const at::Tensor& chw) {
  if (chw.dim() != 3) throw UsageError("image_of: a tensor [3, H, W] is needed, this one has {} dimensions", chw.dim());
  return images_of(chw.unsqueeze(0)).front();
}

}  // namespace derm::tensor
