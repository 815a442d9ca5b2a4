#pragma once
// The lesion: its outline from growth, and what each condition puts into the skin. docs/phantom.md describes the
// conditions.
#include <array>
#include <cstdint>
#include <string>

#include "derm/phantom/parameters.h"
#include "derm/phantom/texture.h"

namespace derm::phantom {

enum class Kind {  // in the order of condition_names()
  actinic_keratosis,
  basal_cell_carcinoma,
  melanoma,
  nevus,
  seborrheic_keratosis,
  squamous_cell_carcinoma
};

// Independent streams for the parts of a picture, so that leaving out the hair, say, changes nothing else.
enum Stream : uint64_t {
  kPlan,
  kSkin,
  kForm,
  kLesion,
  kLight,
  kHair,
  kRuler,
  kInk,
  kCorners,
  kGloss,
  kNoise,
  kDermoscope
};

/// What is wanted of one picture.
struct Scene {
  Kind kind;
  int size_px;
  uint64_t seed;
  Parameters p;
  bool dermoscopic() const { return p.dermoscopic > 0.5; }
  double px_per_mm() const { return size_px / p.field_mm; }
  Rng stream(Stream part) const { return Rng(mix_seed(seed, part)); }
};

/// What the skin is made of, pixel by pixel.
struct Maps {
  Plane melanin, blood;  ///< volume fractions
  Plane deep;            ///< melanosome fraction in the reticular dermis
  Plane horn;            ///< thickness of scale, crust or wax; 1 hides most of what lies under it
  Plane crust;           ///< how much of the horn is dried blood and serum, 0 to 1
  Plane height;          ///< pixels
  Plane wet;             ///< how strongly the surface mirrors, 1 is bare skin
  explicit Maps(int size)
      : melanin(size), blood(size), deep(size), horn(size), crust(size), height(size), wet(size, 1) {}
};

/// The lesion seen from above.
struct Form {
  double x, y, size;    ///< centre of the box and its long side, over the image's side
  Plane inside;         ///< signed distance to the outline, pixels, positive inside
  Plane q;              ///< 0 where growth began, 1 on the outline, more outside
  Plane depth, raised;  ///< cells grown inward and out of the skin
  Plane cover;          ///< 0 to 1 across the border; 0.5 on the outline
  int x0, y0, x1, y1;   ///< pixels where cover is above 0, ends included
  int steps = 0;        ///< of growth, as taken
  explicit Form(int size_px)
      : inside(size_px),
        q(size_px),
        depth(size_px),
        raised(size_px),
        cover(size_px),
        x0(size_px),
        y0(size_px),
        x1(-1),
        y1(-1) {}
};

Form grow_form(const Scene& scene);

/// A lesion at work: what the conditions have in common.
struct Lesion {
  const Scene& scene;
  const Form& form;
  Maps& maps;
  Rng rng;
  int size;    ///< of the image
  double ppm;  ///< pixels per mm
  double mm;   ///< long side of the lesion
  float own;   ///< the skin's melanosome fraction

  double length_px() const { return form.size * size; }
  /// Noise of deviation 1 whose grain is a share of the lesion's long side, or a length in mm.
  Plane field(double share);
  Plane field_mm(double grain_mm);
  /// Cells over the lesion's part of the picture.
  Cells cells(double spacing_px, double stretch, double angle, double jitter) {
    return make_cells(size, {form.x0, form.y0, form.x1, form.y1}, spacing_px, stretch, angle, jitter, rng);
  }
  /// How well structure of this length is seen: 1 from four pixels on, 0 below one and a half.
  float visible(double length_mm) const;
  /// A point of the lesion, up to `far` (1: the outline) from where growth began; false if none was found.
  bool place(double near, double far, Point& at);
  /// Soft dots on the lesion, radii in mm.
  void dots(Plane& plane, int count, double low_mm, double high_mm, double height, double near = 0, double far = 0.95);
  template <class Body>
  void each(Body&& body) {
    for (int y = form.y0; y <= form.y1; ++y)
      for (int x = form.x0; x <= form.x1; ++x) {
        const size_t i = static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x);
        if (form.cover[i] > 0.002f) body(i, form.cover[i], form.q[i]);
      }
  }
  /// 0 at the outline, rising to 1 over this share of the lesion's long side.
  float within(size_t i, double share) const;
};

/// How the condition grows and how soft its border is (half width over the long side).
struct Habit {
  double spread, inward, outward, aspect_low, patchiness, patch_cells, smoothing, roughness, border;
  double low_mm, high_mm;  ///< usual long sides
};
const Habit& habit_of(Kind kind);

/// Puts the lesion into the skin.
void make_lesion(Maps& maps, const Form& form, const Scene& scene);

// One a file.
void make_actinic_keratosis(Lesion& lesion);
void make_basal_cell_carcinoma(Lesion& lesion);
void make_melanoma(Lesion& lesion);
void make_nevus(Lesion& lesion);
void make_seborrheic_keratosis(Lesion& lesion);
void make_squamous_cell_carcinoma(Lesion& lesion);

}  // namespace derm::phantom
