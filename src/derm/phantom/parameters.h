#pragma once
// Every number that an image is made from, by name: what metadata.csv writes down and --set and --sweep reach.
#include <string>
#include <vector>

namespace derm::phantom {

struct Parameters {
  // What the skin is made of
  double ita = 30;  ///< of the bare skin in D65, degrees
  double melanosome_fraction = 0.1, blood_fraction = 0.01, oxygenation = 0.75, epidermis_um = 60, dermis_mm = 2;
  // Its surface
  double line_spacing_mm = 0.8, line_depth = 1, pores_per_cm2 = 30, mottling = 1, redness = 1, vessels = 0,
         freckles_per_cm2 = 0;
  // The lesion
  double size = 0.4, x = 0.5, y = 0.5, aspect = 0.85;
  double lesion_mm = 8, growth_steps = 28, irregularity = 1, border_softness = 1;
  double pigment = 0.5, pink = 0.5, deep = 0.5, horn = 0.5, elevation = 0.5;
  // The photograph
  double dermoscopic = 0, field_mm = 20, light_angle = 0, light_gradient = 0.05, gloss = 0.5, defocus = 0,
         grain = 0.006;
  double illuminant_k = 6504, white_balance = 1, camera = 0, exposure_ev = 0;
  // What lies on the skin
  double hair = 0, hairs_per_cm2 = 8, hair_mm = 10, hair_curl = 0.2, hair_melanin = 0.8;
  double ruler = 0, ink = 0, dark_corners = 0, bubbles = 0;
  bool operator==(const Parameters&) const = default;
};

struct ParameterInfo {
  std::string name;
  double Parameters::*value;
  double low, high;  ///< what is accepted
  bool whole;        ///< an integer
  std::string help;  ///< with its unit
};

/// All of Parameters, in its order.
const std::vector<ParameterInfo>& parameter_list();

/// A parameter held at one value, or one that goes through several.
struct Setting {
  std::string name;  ///< of parameter_list(), or "condition" (values are indices into condition_names())
  std::vector<double> values;
};

/// `name=value`; `condition=nevus`. @throws UsageError: unknown name (the nearest offered), no number, out of range.
Setting parse_set(const std::string& text);

/// `name=a..b:n` (n values, 6 without the count), `name=a,b,c`, `condition=*`. At most 1000 values.
Setting parse_sweep(const std::string& text);

}  // namespace derm::phantom
