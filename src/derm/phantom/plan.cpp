#include "derm/phantom/plan.h"

#include <algorithm>
#include <cmath>

#include "derm/base/error.h"
#include "derm/base/suggest.h"
#include "derm/phantom/optics.h"

namespace derm::phantom {

namespace {

// ITA of the tone groups, lightest first; the ends lie where the model ends at usual amounts of blood.
constexpr std::array<std::pair<double, double>, 6> kItaOfTone = {
    {{56, 66}, {42, 54}, {29, 40}, {11, 27}, {-29, 9}, {-66, -31}}};

SkinLayers layers_of(const Parameters& p) {
  SkinLayers skin;
  skin.melanosome_fraction = p.melanosome_fraction;
  skin.blood_fraction = p.blood_fraction;
  skin.oxygenation = p.oxygenation;
  skin.epidermis_um = p.epidermis_um;
  skin.dermis_mm = p.dermis_mm;
  return skin;
}

double draw_log(Rng& rng, double low, double high) { return std::exp(rng.uniform(std::log(low), std::log(high))); }

// Everything that is not held fast, always in the same order, so that what is set changes nothing else.
Parameters draw(const PhantomOptions& options, Kind kind, size_t tone, int size_class, Rng& rng) {
  const Habit& habit = habit_of(kind);
  Parameters p;
  p.ita = rng.uniform(kItaOfTone[tone].first, kItaOfTone[tone].second);
  p.blood_fraction = draw_log(rng, 0.008, tone == 0 ? 0.018 : 0.04);
  p.hair = rng.chance(options.hair);
  p.ruler = rng.chance(options.ruler);
  p.ink = rng.chance(options.ink);
  p.dark_corners = rng.chance(options.dark_corners);
  const bool bubbles = rng.chance(options.bubbles);
  p.oxygenation = rng.uniform(0.60, 0.85);
  p.epidermis_um = rng.uniform(50, 72);
  p.dermis_mm = rng.uniform(1.4, 2.4);

  p.size = rng.uniform(0.15, 0.35) + 0.2 * size_class;
  // Clear of the image's border; the mean of two draws stays near the middle more often.
  const double middle_x = (rng.uniform() + rng.uniform()) / 2 - 0.5,
               middle_y = (rng.uniform() + rng.uniform()) / 2 - 0.5;
  const double room = std::max(0.0, 1 - 1.12 * p.size);
  p.x = 0.5 + room * middle_x;
  p.y = 0.5 + room * middle_y;
  p.aspect = rng.uniform(habit.aspect_low, 1.0);
  p.lesion_mm = draw_log(rng, habit.low_mm, habit.high_mm);
  p.growth_steps = static_cast<double>(rng.integer(22, 36));
  p.irregularity = rng.uniform(0.7, 1.3);
  p.border_softness = rng.uniform(0.7, 1.4);
  p.pigment = rng.uniform();
  p.pink = rng.uniform();
  p.deep = rng.uniform();
  p.horn = rng.uniform();
  p.elevation = rng.uniform();

  p.line_spacing_mm = draw_log(rng, 0.45, 1.3);
  p.line_depth = rng.uniform(0.4, 1.5);
  p.pores_per_cm2 = rng.chance(0.4) ? rng.uniform(30, 120) : rng.uniform(0, 30);
  p.mottling = rng.uniform(0.5, 1.5);
  p.redness = rng.uniform(0.5, 1.5);
  p.vessels = rng.chance(0.4) ? rng.uniform(0.1, 0.7) : 0.0;
  const bool freckled = rng.chance(p.ita > 0 ? 0.45 : 0.1);
  p.freckles_per_cm2 = freckled ? draw_log(rng, 0.2, 3.0) : 0.0;

  const double look = rng.uniform();
  p.dermoscopic = options.look == "dermoscopic" || (options.look == "mixed" && look < 0.5) ? 1 : 0;
  p.bubbles = bubbles && p.dermoscopic > 0.5;
  p.light_angle = rng.uniform(0, 360);
  p.light_gradient = p.dermoscopic > 0.5 ? rng.uniform(0.0, 0.03) : draw_log(rng, 0.02, 0.12);
  p.gloss = draw_log(rng, 0.15, 1.1);
  p.defocus = rng.chance(0.45) ? rng.uniform(0.3, 1.3) : 0.0;
  if (p.dermoscopic > 0.5) p.defocus *= 0.3;
  p.grain = rng.uniform(0.002, 0.007);
  const double kelvin = rng.chance(0.3) ? 2856 : rng.uniform(4000, 7500), balance = rng.uniform(0.8, 1.0);
  if (options.light == "mixed") {
    p.illuminant_k = kelvin;
    p.white_balance = balance;
    p.camera = 1;
  }

  p.hairs_per_cm2 = draw_log(rng, 8, 70);  // over the whole picture, until its field is known
  p.hair_mm = draw_log(rng, 4, 16);
  p.hair_curl = rng.uniform() * (tone >= 4 ? 0.7 : 0.45);
  p.hair_melanin = tone >= 3         ? rng.uniform(0.75, 1.0)
                   : rng.chance(0.2) ? rng.uniform(0.05, 0.4)
                                     : rng.uniform(0.5, 1.0);
  return p;
}

}  // namespace

Plan::Plan(const PhantomOptions& options) : options_(options) {
  if (options.count < 1 || options.count > 10'000'000)
    throw UsageError("count: {} is not from 1 to 10000000", options.count);
  if (options.size_px < 32 || options.size_px > 2048)
    throw UsageError("size_px: {} is not from 32 to 2048", options.size_px);
  for (const auto& [name, value] : {std::pair{"hair", options.hair},
                                    {"ruler", options.ruler},
                                    {"ink", options.ink},
                                    {"dark_corners", options.dark_corners},
                                    {"bubbles", options.bubbles}})
    if (!(value >= 0 && value <= 1)) throw UsageError("{}: {} is not a probability from 0 to 1", name, value);
  const auto one_of = [](const char* name, const std::string& value, const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), value) == known.end())
      throw UsageError("{}: \"{}\" is none{}", name, value, did_you_mean(value, known));
  };
  one_of("look", options.look, {"clinical", "dermoscopic", "mixed"});
  one_of("light", options.light, {"daylight", "mixed"});
  for (const std::string& condition : options.conditions) {
    const auto& known = condition_names();
    const auto at = std::find(known.begin(), known.end(), condition);
    if (at == known.end())
      throw UsageError("conditions: \"{}\" is not one that phantoms show{}", condition, did_you_mean(condition, known));
    conditions_.push_back(static_cast<int>(at - known.begin()));
  }
  if (conditions_.empty())
    for (size_t i = 0; i < condition_names().size(); ++i) conditions_.push_back(static_cast<int>(i));
  for (const std::string& text : options.set) fixed_.push_back(parse_set(text));
  for (const std::string& text : options.sweep) swept_.push_back(parse_sweep(text));
  std::vector<std::string> names;
  for (const auto* list : {&fixed_, &swept_})
    for (const Setting& s : *list) {
      if (std::find(names.begin(), names.end(), s.name) != names.end())
        throw UsageError("{}: it is set or swept twice; give it once", s.name);
      names.push_back(s.name);
    }
  const auto both = [&](const char* a, const char* b, const char* why) {
    if (setting(a) && setting(b)) throw UsageError("{} and {}: {}; set one of the two", a, b, why);
  };
  both("ita", "melanosome_fraction", "the one follows from the other");
  both("lesion_mm", "field_mm", "the one follows from the other and size");
  if (setting("condition") && !options.conditions.empty())
    throw UsageError(
        "condition: it is set or swept, and --condition is given "
        "as well; leave one out");
  for (const Setting& s : swept_) {
    combinations_ *= static_cast<int64_t>(s.values.size());
    if (combinations_ > 10'000'000) throw UsageError("sweep: more than 10000000 combinations; leave out a sweep");
  }
}

const Setting* Plan::setting(const char* name) const {
  for (const auto* list : {&fixed_, &swept_})
    for (const Setting& s : *list)
      if (s.name == name) return &s;
  return nullptr;
}

Plan::Place Plan::at(int64_t index) const {
  if (index < 0) throw UsageError("phantom: the index {} is below 0", index);
  const int64_t subject = index / combinations_;
  std::vector<std::pair<const std::string*, double>> values;
  for (const Setting& s : fixed_) values.emplace_back(&s.name, s.values[0]);
  int64_t rest = index % combinations_;
  for (const Setting& s : swept_) {
    const int64_t n = static_cast<int64_t>(s.values.size());
    values.emplace_back(&s.name, s.values[static_cast<size_t>(rest % n)]);
    rest /= n;
  }

  const int64_t n = static_cast<int64_t>(conditions_.size());
  int64_t c = subject % n, k = subject / n;
  int condition = conditions_[static_cast<size_t>(c)];
  if (setting("condition")) {
    // Tones and sizes go round among the subjects of the one condition.
    c = 0;
    k = subject;
    for (const auto& [name, value] : values)
      if (*name == "condition") condition = static_cast<int>(value);
  }
  const size_t tone = static_cast<size_t>((k + c) % 6);
  const int size_class = static_cast<int>((k / 6 + k + c) % 3);

  const uint64_t seed = mix_seed(options_.seed, static_cast<uint64_t>(subject));
  Rng rng(mix_seed(seed, kPlan));
  Place place{{static_cast<Kind>(condition), static_cast<int>(options_.size_px), seed, {}}, subject, "train"};
  Parameters& p = place.scene.p;
  p = draw(options_, place.scene.kind, tone, size_class, rng);
  const Parameters drawn = p;
  for (const auto& [name, value] : values)
    for (const ParameterInfo& info : parameter_list())
      if (info.name == *name) p.*info.value = value;
  // A lesion of another size stays as far from the border as the one that was drawn.
  const auto keep_clear = [&](double& at, double was) {
    const double room = std::max(0.0, 1 - 1.12 * drawn.size), now = std::max(0.0, 1 - 1.12 * p.size);
    at = 0.5 + (room > 0 ? (was - 0.5) * now / room : 0.0);
  };
  if (!setting("x")) keep_clear(p.x, drawn.x);
  if (!setting("y")) keep_clear(p.y, drawn.y);

  // What follows from the rest.
  const SkinLayers skin = layers_of(p);
  if (setting("melanosome_fraction"))
    p.ita = image::ita_degrees(skin_colour(skin));
  else
    p.melanosome_fraction = melanosome_fraction_for_ita(p.ita, skin);
  if (!setting("field_mm")) {
    const double low = p.dermoscopic > 0.5 ? 8 : 12, high = p.dermoscopic > 0.5 ? 24 : 70;
    p.field_mm = setting("lesion_mm") ? p.lesion_mm / p.size : std::clamp(p.lesion_mm / p.size, low, high);
  }
  p.lesion_mm = p.size * p.field_mm;
  if (!setting("hairs_per_cm2")) p.hairs_per_cm2 = std::min(200.0, p.hairs_per_cm2 * 100 / (p.field_mm * p.field_mm));

  switch (k % 20) {
    case 3:
    case 9:
    case 16: place.split = "validation"; break;
    case 6:
    case 13:
    case 19: place.split = "test"; break;
    default: break;
  }
  return place;
}

}  // namespace derm::phantom
