#include "derm/phantom/phantom.h"

#include <algorithm>
#include <cmath>

#include "derm/image/draw.h"
#include "derm/image/mask.h"
#include "derm/phantom/dermoscope.h"
#include "derm/phantom/hair.h"
#include "derm/phantom/make.h"
#include "derm/phantom/markers.h"
#include "derm/phantom/surface.h"

namespace derm::phantom {

const std::vector<std::string>& condition_names() {
  static const std::vector<std::string> names = {"actinic_keratosis",    "basal_cell_carcinoma",   "melanoma", "nevus",
                                                 "seborrheic_keratosis", "squamous_cell_carcinoma"};
  return names;
}

void PhantomOptions::validate() const { Plan{*this}; }

Phantom make_phantom(const Scene& scene) {
  const Parameters& p = scene.p;
  const int size = scene.size_px;
  Phantom phantom;
  Truth& truth = phantom.truth;
  truth.condition = condition_names()[static_cast<size_t>(scene.kind)];
  truth.parameters = p;
  truth.melanosome_fraction = p.melanosome_fraction;
  truth.blood_fraction = p.blood_fraction;
  truth.hair = p.hair > 0.5;
  truth.ruler = p.ruler > 0.5;
  truth.ink = p.ink > 0.5;
  truth.dark_corners = p.dark_corners > 0.5;
  truth.bubbles = p.bubbles > 0.5;

  SkinLayers layers;
  layers.melanosome_fraction = p.melanosome_fraction;
  layers.blood_fraction = p.blood_fraction;
  layers.oxygenation = p.oxygenation;
  layers.epidermis_um = p.epidermis_um;
  layers.dermis_mm = p.dermis_mm;
  const SensorWeights sensor = sensor_weights({p.illuminant_k, p.white_balance, p.camera});
  Linear skin = skin_linear(layers, sensor);
  const float exposure = static_cast<float>(std::exp2(p.exposure_ev));
  for (float& c : skin) c = std::min(1.0f, c * exposure);
  truth.skin = image::lab_of_linear(skin[0], skin[1], skin[2]);
  truth.skin_d65 = skin_colour(layers);

  const Form form = grow_form(scene);
  truth.parameters.growth_steps = form.steps;
  Maps maps(size);
  Plane spots(size);
  make_skin(maps, spots, scene);
  make_lesion(maps, form, scene);
  bool any_deep = false;
  for (const float v : maps.deep.values) any_deep |= v > 0;
  Canvas canvas = render(maps, form, spots, SkinTable(layers, sensor, any_deep), skin, scene);
  defocus(canvas, form, scene);
  if (truth.ink) add_ink(canvas, form, scene);
  if (truth.hair) add_hair(canvas, scene);
  if (truth.bubbles) add_bubbles(canvas, form, scene);
  std::vector<Label> labels;
  if (truth.ruler) labels = add_ruler(canvas, form, scene);
  if (truth.dark_corners) add_dark_corners(canvas, scene);
  phantom.rgb = expose(canvas, scene);
  for (const Label& label : labels) image::draw_text(phantom.rgb, label.x, label.y, label.text, {25, 25, 25});

  truth.lesion = image::Mask(size, size, 1);
  for (size_t i = 0; i < form.cover.values.size(); ++i)
    if (form.cover[i] >= 0.5f) truth.lesion.pixels[i] = 255;
  return phantom;
}

Phantom make_phantom(const PhantomOptions& options, int64_t index) {
  return make_phantom(Plan(options).at(index).scene);
}

}  // namespace derm::phantom
