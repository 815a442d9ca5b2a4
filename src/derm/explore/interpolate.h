#pragma once
// From one image to another: through a model's own space, or from one request to the next.
#include <cstdint>
#include <string>
#include <vector>

#include "derm/data/request.h"
#include "derm/explore/model.h"
#include "derm/image/codec.h"

namespace derm::explore {

struct PathOptions {
  std::vector<uint64_t> seeds;          ///< the stops, at least two
  std::vector<std::string> conditions;  ///< none, one for all stops, or one a stop (styles alone mix them)
  int frames = 24;                      ///< from a stop to the next, the first of the two included
  bool loop = false;                    ///< back to the first stop, so that the animation closes
  double psi = 1;                       ///< truncation of styles
};

/// Images on the way from stop to stop: lines in w, arcs in z. Without `loop` the last stop ends it:
/// (stops - 1) frames + 1 images; with it stops x frames.
/// @throws UsageError: fewer than two stops, conditions that z cannot mix, psi without styles, a model without a space
std::vector<image::Image> walk(const Model& model, const PathOptions& options);

/// The request that lies between two: skin colour in Lab, place and sides of each region in even steps, the outline of
/// the first. The conditions are the first's; see images_between for how they mix.
/// @throws UsageError: another number of regions, other shapes, or masks, which have no in-between
data::Request request_between(const data::Request& a, const data::Request& b, double t);

/// Images on the way from one request to another, `frames` of both ends and what lies between (then back again, without
/// the ends, with `loop`). Where conditions differ their planes of the map are mixed, and noise goes along the arc from
/// one seed's to the other's.
/// @throws UsageError as request_between; for conditions that differ in a map that tells them by colour, where a
/// mixture
///         would name a third; for a model that takes no map; fewer than two frames
std::vector<image::Image> images_between(const Model& model, const data::Request& a, const data::Request& b, int frames,
                                         bool loop);

/// A wish as text: `condition=nevus,skin=ita:20,size=0.3,x=0.4,y=0.5,aspect=1,shape=ellipse,seed=3`, each part at most
/// once, what is missing as `generate` takes it.
/// @throws UsageError naming the part, with the nearest known one
data::Request request_of_text(const std::string& text, const data::Offer& offer);

/// frames/000000.png ... and animation.png below `root`, all marked as synthetic with `facts`.
void write_frames(const std::filesystem::path& root, const std::vector<image::Image>& frames, int delay_ms,
                  const image::TextChunks& facts);

/// What every picture of an exploration carries: that it is synthetic, of which weights.
image::TextChunks marks_of(const Model& model);

}  // namespace derm::explore
