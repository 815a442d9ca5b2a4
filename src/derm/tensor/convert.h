#pragma once
// Between pictures and tensors.
#include <vector>

#include <ATen/core/Tensor.h>

#include "derm/image/image.h"

namespace derm::tensor {

/// [3, H, W] float in [-1, 1]: v / 127.5 - 1.
at::Tensor tensor_of(const image::Image& rgb);

/// [N, 3, H, W] in [-1, 1] (any float type, device and memory format) to pictures: round((v + 1) 127.5), clipped.
std::vector<image::Image> images_of(const at::Tensor& batch);
image::Image image_of(const at::Tensor& chw);

}  // namespace derm::tensor
