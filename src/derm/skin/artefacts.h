#pragma once
// What lies on skin and is not skin: hair, ink, rulers, dark corners, reflections.
#include "derm/image/image.h"

namespace derm::skin {

struct Artefacts {
  image::Mask hair;         ///< thin dark or light curved lines
  image::Mask ink;          ///< surgical pen, stickers, cloth: saturated blue, violet, green
  image::Mask ruler;        ///< straight scales and their ticks, print on white or clear plastic
  image::Mask border;       ///< dark corners of a dermoscope, black frames
  image::Mask reflection;   ///< specular highlights
  image::Mask any() const;  ///< union
};

/// @param rgb  3 channels, any size from 32 px
Artefacts find_artefacts(const image::Image& rgb);

}  // namespace derm::skin
