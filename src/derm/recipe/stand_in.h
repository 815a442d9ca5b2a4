#pragma once
// A stand-in model: paints what the map says, without training. It stands where a bundle is needed and its quality is
// to be known beforehand, as in the tests of generation and evaluation.
#include <filesystem>

#include "derm/recipe/bundle.h"

namespace derm::recipe {

/// The "planes" map as a picture: the wanted skin colour, and inside the region a darker brown whose shade depends on
/// the condition. A small convolution with random weights adds texture, so that it has weights that can be lost or
/// damaged.
class Painter : public Recipe {
 public:
  bool heed_skin = true;    ///< false: always the same skin colour, whatever is asked
  bool heed_region = true;  ///< false: always the same disc in the middle
  double texture = 0.5;     ///< size of the texture, of 255

  void bind(Options& o) override;
  void validate(const ImageSpec& spec) const override;
  Needs needs() const override;
  Players make_players(const ImageSpec& spec, at::Generator& random) const override;
  std::vector<Phase> phases(const Players& players) const override;
  AdamSpec optimiser(const std::string& player) const override;
  std::string hint() const override;
};

/// Conditions "light" and "dark", skin from ITA -10 to 60 along the phantom's locus, sizes 0.15 to 0.6: what a made-up
/// training set could have been.
data::Offer stand_in_offer();

/// Writes a bundle of `recipe` as its constructor made it, without any training.
void write_untrained_bundle(const std::filesystem::path& directory, Recipe& recipe, const std::string& name,
                            int64_t size_px, const data::Offer& offer);

/// A catalogue that holds the painter as "painter".
Catalogue stand_in_catalogue();

}  // namespace derm::recipe
