#include "derm/phantom/parameters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/suggest.h"
#include "derm/base/text.h"
#include "derm/phantom/phantom.h"

namespace derm::phantom {

namespace {

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::vector<std::string> names() {
  std::vector<std::string> out = {"condition"};
  for (const ParameterInfo& p : parameter_list()) out.push_back(p.name);
  return out;
}

const ParameterInfo* find(const std::string& name) {
  for (const ParameterInfo& p : parameter_list())
    if (p.name == name) return &p;
  return nullptr;
}

double value_of(const std::string& flag, const std::string& name, const std::string& text) {
  if (name == "condition") {
    const auto& known = condition_names();
    const auto at = std::find(known.begin(), known.end(), text);
    if (at == known.end())
      throw UsageError("{} condition: {} is not one that phantoms show{}", flag, quote_text(text),
                       did_you_mean(text, known));
    return static_cast<double>(at - known.begin());
  }
  const ParameterInfo& info = *find(name);
  const std::optional<double> value = number_of(text);
  if (!value) throw UsageError("{} {}: {} is not a number", flag, name, quote_text(text));
  if (*value < info.low || *value > info.high)
    throw UsageError("{} {}: {} is not from {} to {}", flag, name, *value, info.low, info.high);
  if (info.whole && *value != std::round(*value))
    throw UsageError("{} {}: {} is not a whole number", flag, name, *value);
  return *value;
}

std::pair<std::string, std::string> split(const std::string& flag, const std::string& text) {
  const size_t at = text.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size())
    throw UsageError("{}: {} is not NAME=VALUE", flag, quote_text(text));
  const std::string name = text.substr(0, at);
  if (name != "condition" && !find(name))
    throw UsageError("{}: {} is not a parameter of phantoms{}", flag, quote_text(name), did_you_mean(name, names()));
  return {name, text.substr(at + 1)};
}

}  // namespace

const std::vector<ParameterInfo>& parameter_list() {
  using P = Parameters;
  static const std::vector<ParameterInfo> list = {
      {"ita", &P::ita, -80, 75, false, "ITA of the bare skin in D65, degrees; gives melanosome_fraction"},
      {"melanosome_fraction", &P::melanosome_fraction, 0.001, 1, false, "volume fraction of the epidermis"},
      {"blood_fraction", &P::blood_fraction, 0.0005, 0.2, false, "volume fraction of the dermis"},
      {"oxygenation", &P::oxygenation, 0, 1, false, "share of the haemoglobin with oxygen"},
      {"epidermis_um", &P::epidermis_um, 20, 200, false, "thickness of the epidermis, micrometres"},
      {"dermis_mm", &P::dermis_mm, 0.5, 5, false, "thickness of the dermis, mm"},
      {"line_spacing_mm", &P::line_spacing_mm, 0.2, 4, false, "between the lines of the skin's relief, mm"},
      {"line_depth", &P::line_depth, 0, 3, false, "depth of these lines, 1 is usual"},
      {"pores_per_cm2", &P::pores_per_cm2, 0, 300, false, "follicle openings"},
      {"mottling", &P::mottling, 0, 3, false, "unevenness of pigment, 1 is usual"},
      {"redness", &P::redness, 0, 3, false, "unevenness of blood, 1 is usual"},
      {"vessels", &P::vessels, 0, 1, false, "how much of the skin shows fine vessels"},
      {"freckles_per_cm2", &P::freckles_per_cm2, 0, 30, false, "freckles and lentigines"},
      {"size", &P::size, 0.05, 0.95, false, "long side of the lesion's box over the image's side"},
      {"x", &P::x, 0, 1, false, "centre of the lesion's box from the left"},
      {"y", &P::y, 0, 1, false, "centre of the lesion's box from the top"},
      {"aspect", &P::aspect, 0.4, 1, false, "short over long extent that growth aims at"},
      {"lesion_mm", &P::lesion_mm, 0.5, 80, false, "long side of the lesion's box, mm; gives field_mm"},
      {"growth_steps", &P::growth_steps, 12, 40, true, "steps of the automaton"},
      {"irregularity", &P::irregularity, 0, 2, false, "unevenness of the growth, 1 is usual for the condition"},
      {"border_softness", &P::border_softness, 0.1, 3, false, "width of the border, 1 is usual for the condition"},
      {"pigment", &P::pigment, 0, 1, false, "melanin of the lesion within the condition's range"},
      {"pink", &P::pink, 0, 1, false, "blood of the lesion within the condition's range"},
      {"deep", &P::deep, 0, 1, false, "pigment in the dermis within the condition's range (0: none)"},
      {"horn", &P::horn, 0, 1, false, "scale, crust or wax within the condition's range"},
      {"elevation", &P::elevation, 0, 1, false, "how far the lesion stands out within the condition's range"},
      {"dermoscopic", &P::dermoscopic, 0, 1, true, "0: a clinical photograph; 1: through a dermoscope"},
      {"field_mm", &P::field_mm, 4, 200, false, "side of what the image shows, mm"},
      {"light_angle", &P::light_angle, 0, 360, false, "where the lamp stands, degrees"},
      {"light_gradient", &P::light_gradient, 0, 0.6, false, "fall of light over half the image"},
      {"gloss", &P::gloss, 0, 2, false, "mirrored light, 0.5 is usual"},
      {"defocus", &P::defocus, 0, 3, false, "blur towards the edges, 1 is 1 % of the side in the corners"},
      {"grain", &P::grain, 0, 0.05, false, "the sensor's noise, deviation of sRGB in 0 to 1"},
      {"illuminant_k", &P::illuminant_k, 2000, 25000, false, "colour temperature; 6504 is D65, 2856 is A"},
      {"white_balance", &P::white_balance, 0, 1, false, "1: the light's white comes out neutral; 0: taken for D65"},
      {"camera", &P::camera, 0, 1, false, "0: the CIE 1931 observer; 1: a three-channel sensor"},
      {"exposure_ev", &P::exposure_ev, -2, 0.5, false, "exposure, stops"},
      {"hair", &P::hair, 0, 1, true, "1: there is hair"},
      {"hairs_per_cm2", &P::hairs_per_cm2, 0, 200, false, "density of the hair"},
      {"hair_mm", &P::hair_mm, 0.5, 60, false, "length of the hair, mm"},
      {"hair_curl", &P::hair_curl, 0, 1, false, "0: straight; 1: tightly coiled"},
      {"hair_melanin", &P::hair_melanin, 0, 1, false, "0: white; 0.3: fair; 1: black"},
      {"ruler", &P::ruler, 0, 1, true, "1: a ruler lies there"},
      {"ink", &P::ink, 0, 1, true, "1: a surgical pen has marked the place"},
      {"dark_corners", &P::dark_corners, 0, 1, true, "1: the corners are cut off by a round aperture"},
      {"bubbles", &P::bubbles, 0, 1, true, "1: bubbles in the immersion fluid"},
  };
  return list;
}

Setting parse_set(const std::string& text) {
  const auto [name, value] = split("--set", text);
  return {name, {value_of("--set", name, value)}};
}

Setting parse_sweep(const std::string& text) {
  constexpr size_t kMost = 1000;
  const auto [name, values] = split("--sweep", text);
  Setting out{name, {}};
  if (name == "condition" && values == "*") {
    for (size_t i = 0; i < condition_names().size(); ++i) out.values.push_back(static_cast<double>(i));
    return out;
  }
  if (const size_t dots = values.find(".."); dots != std::string::npos && name != "condition") {
    const size_t colon = values.find(':', dots);
    const double low = value_of("--sweep", name, values.substr(0, dots));
    const double high =
        value_of("--sweep", name, values.substr(dots + 2, colon == std::string::npos ? colon : colon - dots - 2));
    const ParameterInfo& info = *find(name);
    double steps = info.whole ? high - low + 1 : 6;
    if (colon != std::string::npos) {
      const std::optional<double> given = number_of(std::string_view(values).substr(colon + 1));
      if (!given || *given < 2 || *given > kMost || *given != std::round(*given))
        throw UsageError("--sweep {}: {} is not a number of steps from 2 to {}", name,
                         quote_text(values.substr(colon + 1)), kMost);
      steps = *given;
    }
    if (!(high > low))
      throw UsageError("--sweep {}: {} to {} goes nowhere; give a lower and a higher end", name, low, high);
    for (int i = 0; i < static_cast<int>(steps); ++i) {
      double value = low + (high - low) * i / (steps - 1);
      if (info.whole) value = std::round(value);
      if (out.values.empty() || value != out.values.back()) out.values.push_back(value);
    }
    return out;
  }
  for (size_t from = 0; from <= values.size();) {
    const size_t comma = std::min(values.find(',', from), values.size());
    out.values.push_back(value_of("--sweep", name, values.substr(from, comma - from)));
    from = comma + 1;
  }
  if (out.values.size() > kMost)
    throw UsageError("--sweep {}: {} values are more than {}", name, out.values.size(), kMost);
  return out;
}

}  // namespace derm::phantom
