#pragma once
// Directions of a model's space by closed-form factorisation (SeFa: Shen and Zhou 2021, arXiv:2007.06600; for skin
// lesions Mekala et al., arXiv:2410.05114), and what each does to an image, measured.
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "derm/explore/gauge.h"
#include "derm/explore/model.h"

namespace derm::explore {

/// The top eigenvectors of A^T A, A = `weights` stacked: the unit vectors n that change A w most, |A n|^2 = eigenvalue.
struct Factors {
  at::Tensor vectors;               ///< [count, W] double, unit length, orthogonal, the largest entry above 0
  std::vector<double> eigenvalues;  ///< falling
};
/// @param weights  matrices [channels, W] of one W
/// @throws UsageError: no matrices, matrices of two widths, fewer than one or more than W directions
Factors factorise(const std::vector<at::Tensor>& weights, int64_t count);

/// The matrix [outputs, Z] of the one linear layer that takes z, if the generator has one. What is taken for it is
/// proven, not guessed: with h = A z, the gradients of every loss are dA = g z^T and dz = A^T g, so a parameter whose
/// gradient has rank one along z, and which carries it to dz, is that layer (dz is compared orthogonally to z, so that
/// a generator may normalise z first).
std::optional<at::Tensor> first_layer(const Model& model, const std::string& condition);

/// What one direction does to one quantity, per deviation of the space along the direction.
struct Response {
  double slope = 0;               ///< mean over the seeds of each seed's least-squares slope; NaN if never measured
  evaluation::Interval interval;  ///< 95 %, percentile bootstrap over the seeds
  double effect = 0;  ///< the change over the whole range, in deviations of the quantity over images of other seeds
  double sign_p = 1;  ///< exact two-sided sign test of the seeds' slopes
  size_t seeds = 0;   ///< in which it could be measured
};

struct Direction {
  at::Tensor vector;                ///< [W] or [Z], unit length
  double eigenvalue = 0;            ///< NaN where there is none
  double deviation = 1;             ///< of the space along it: the unit of its strength
  std::vector<Response> responses;  ///< in the order of the gauge's quantities
  std::string name;                 ///< from its responses: "darker skin, larger lesion"; "no measured effect"
};

struct DirectionsOptions {
  int64_t count = 8;
  std::pair<int64_t, int64_t> layers = {0, -1};  ///< of the styles that are moved and factorised, -1: the last
  std::string condition;
  int64_t seeds = 16;     ///< images that each direction is tried on
  int64_t strengths = 5;  ///< odd; from -range to range
  double range = 2;       ///< deviations
  uint64_t seed = 0;      ///< the first of the seeds
  double psi = 1;         ///< truncation of styles
};

struct Directions {
  std::vector<Direction> directions;
  std::vector<Quantity> quantities;
  std::string space, condition, measured_by, from;  ///< `from`: which matrices
  std::pair<int64_t, int64_t> layers = {0, 0};      ///< moved, both included; 0, 0 in z
  DirectionsOptions options;
  std::string bundle_sha256, recipe;

  nlohmann::json to_json() const;  ///< names, responses, how they were measured; without the vectors
  std::string to_csv() const;      ///< a row a direction and quantity
};

/// A direction is named by a quantity if its effect is at least this (deviations over the whole range) ...
inline constexpr double kLeastEffect = 0.5;
/// ... and the sign test, times the number of directions and quantities (Bonferroni), stays below this.
inline constexpr double kNameAlpha = 0.05;

/// Factorises and measures.
/// @throws UsageError: a model that paints from a map; one whose latent goes into no single linear layer; options out
///         of range
Directions find_directions(const Model& model, const Gauge& gauge, const DirectionsOptions& options);

/// `points` [N, ...] moved along a direction by `strength` of its deviations.
at::Tensor moved(const at::Tensor& points, const Direction& direction, const std::pair<int64_t, int64_t>& layers,
                 double strength);

/// The vectors, and in the metadata ("directions") what to_json() says, as safetensors: a file that the program and
/// Python read.
void write_directions(const std::filesystem::path& file, const Directions& directions);
/// @param bundle_sha256  of the model that they are to be used with
/// @throws DataError: not such a file, or of other weights
Directions read_directions(const std::filesystem::path& file, const std::string& bundle_sha256);

/// A sheet of one direction: a row a seed, a column a strength.
image::Image strip(const Model& model, const Directions& directions, size_t which, int64_t rows);

/// Finds, measures and writes directions.safetensors, directions.json, directions.csv, direction-NN.png and report.html
/// to `out`, whole or not at all.
Directions write_directions_report(const Model& model, const Gauge& gauge, const DirectionsOptions& options,
                                   const std::string& command, const std::filesystem::path& out);

}  // namespace derm::explore
