#include "derm/explore/map.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <torch/torch.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/report/report.h"

namespace derm::explore {
namespace {

constexpr size_t kMostSeries = 8;

/// `count` items at random, in their order.
evaluation::ImageSet some(const evaluation::ImageSet& set, size_t count, uint64_t seed) {
  std::vector<size_t> rows(set.size());
  std::iota(rows.begin(), rows.end(), size_t{0});
  if (rows.size() > count) {
    Rng(seed).shuffle(rows);
    rows.resize(count);
    std::sort(rows.begin(), rows.end());
  }
  return set.subset(rows);
}

std::vector<double> values_of(const at::Tensor& t) {
  const at::Tensor flat = t.to(at::kCPU, at::kDouble).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

}  // namespace

Neighbours nearest_kinds(const at::Tensor& a, const at::Tensor& b) {
  if (a.dim() != 2 || b.dim() != 2 || a.sizes() != b.sizes() || a.size(0) < 2)
    throw UsageError("nearest neighbours: features [{}] and [{}]; as many of either kind, two at least, are needed",
                     fmt::join(a.sizes(), ", "), fmt::join(b.sizes(), ", "));
  const at::Tensor all = at::cat({a, b}).to(at::kDouble);
  at::Tensor distance = at::cdist(all, all, 2, /*compute_mode=*/2);  // exact differences, no matrix product
  distance.fill_diagonal_(std::numeric_limits<double>::infinity());
  const at::Tensor of_b = distance.argmin(1) >= a.size(0);
  Neighbours n;
  n.photographs = 1 - of_b.narrow(0, 0, a.size(0)).to(at::kDouble).mean().item<double>();
  n.synthetic = of_b.narrow(0, a.size(0), a.size(0)).to(at::kDouble).mean().item<double>();
  n.accuracy = (n.photographs + n.synthetic) / 2;
  return n;
}

std::vector<double> principal_start(const at::Tensor& features) {
  const at::Tensor centred = features.to(at::kDouble) - features.to(at::kDouble).mean(0, true);
  const auto [u, s, v] = at::linalg_svd(centred, /*full_matrices=*/false);
  at::Tensor first = u.narrow(1, 0, 2) * s.narrow(0, 0, 2);
  // A sign of its own for each component, so that another library's choice gives the same picture.
  for (int64_t c = 0; c < 2; ++c) {
    at::Tensor column = first.select(1, c);
    if (column[column.abs().argmax()].item<double>() < 0) column.neg_();
  }
  const double spread = first.select(1, 0).std().item<double>();
  return values_of(spread > 0 ? first * (1e-4 / spread) : first);
}

MapResult write_map(evaluation::ImageSet real, evaluation::ImageSet synthetic, metrics::Extractor& extractor,
                    const evaluation::FeatureCache& cache, const MapOptions& options,
                    const std::filesystem::path& out) {
  if (options.count < 4)
    throw UsageError("map: {} images of either set were asked for; at least 4 are needed", options.count);
  NewDirectory directory(out);
  const std::filesystem::path& root = directory.path();
  real.reduce_to(synthetic.size_px());
  const size_t each = std::min({options.count, real.size(), synthetic.size()});
  const evaluation::ImageSet shown_real = some(real, each, mix_seed(options.seed, 1)),
                             shown_synthetic = some(synthetic, each, mix_seed(options.seed, 2));
  const at::Tensor a = cache.features(shown_real, extractor, "photographs");
  const at::Tensor b = evaluation::extract(shown_synthetic, extractor, "synthetic");
  const at::Tensor all = at::cat({a, b});
  MapResult result;
  result.photographs = result.synthetic = each;
  result.neighbours = nearest_kinds(a, b);
  result.map = tsne(values_of(all), principal_start(all), options.tsne);
  const std::vector<double>& y = result.map.y;

  const auto item_of = [&](size_t i) -> const evaluation::Item& {
    return i < each ? shown_real.items()[i] : shown_synthetic.items()[i - each];
  };
  report::Plot kinds;
  kinds.title = "Photographs and synthetic images";
  kinds.series.resize(2);
  kinds.series[0].name = "photographs";
  kinds.series[1].name = "synthetic";
  for (report::Series& series : kinds.series) {
    series.line = false;
    series.points = true;
  }
  std::map<std::string, report::Series> by_condition;
  CsvTable table({"kind", "file_name", "condition", "x", "y"});
  for (size_t i = 0; i < 2 * each; ++i) {
    const evaluation::Item& item = item_of(i);
    report::Series& series = kinds.series[i < each ? 0 : 1];
    series.x.push_back(y[2 * i]);
    series.y.push_back(y[2 * i + 1]);
    std::string condition = item.condition.empty() ? "no condition" : item.condition;
    std::replace(condition.begin(), condition.end(), '_', ' ');
    report::Series& group = by_condition[condition + (i < each ? ", photographs" : ", synthetic")];
    group.x.push_back(y[2 * i]);
    group.y.push_back(y[2 * i + 1]);
    table.add_row({i < each ? "photograph" : "synthetic", item.file_name, item.condition, number_text(y[2 * i]),
                   number_text(y[2 * i + 1])});
  }
  result.json = {{"photographs", shown_real.name()},
                 {"synthetic", shown_synthetic.name()},
                 {"n_photographs", each},
                 {"n_synthetic", each},
                 {"size_px", synthetic.size_px()},
                 {"extractor", extractor.name()},
                 {"extractor_sha256", extractor.sha256()},
                 {"resize_kernel", extractor.resize_kernel()},
                 {"perplexity", options.tsne.perplexity},
                 {"iterations", options.tsne.iterations},
                 {"exaggeration", options.tsne.exaggeration},
                 {"seed", options.seed},
                 {"divergence_nats", result.map.divergence},
                 {"nearest_neighbour_accuracy", result.neighbours.accuracy},
                 {"nearest_neighbour_accuracy_photographs", result.neighbours.photographs},
                 {"nearest_neighbour_accuracy_synthetic", result.neighbours.synthetic},
                 {"software", "dermgan " + version()}};
  if (!options.command.empty()) result.json["command"] = options.command;

  report::Page page("A map of photographs and synthetic images",
                    fmt::format("{} of each, by {}", each, extractor.name()));
  page.paragraph(fmt::format(
      "In the extractor's own space {:.0f} % of the images have a nearest neighbour of their own kind ({:.0f} % of the "
      "photographs, {:.0f} % of the synthetic images). 50 % would be two sets that cannot be told apart, 100 % two "
      "that "
      "lie apart.",
      100 * result.neighbours.accuracy, 100 * result.neighbours.photographs, 100 * result.neighbours.synthetic));
  page.heading("The map");
  kinds.caption = fmt::format("Exact t-SNE, perplexity {}, {} iterations, divergence {:.3f} nats.",
                              options.tsne.perplexity, options.tsne.iterations, result.map.divergence);
  page.plot(kinds);
  report::Plot conditions;
  conditions.title = "By condition";
  std::vector<std::pair<std::string, report::Series>> groups(by_condition.begin(), by_condition.end());
  std::stable_sort(groups.begin(), groups.end(),
                   [](const auto& x, const auto& z) { return x.second.x.size() > z.second.x.size(); });
  for (auto& [name, series] : groups) {
    if (conditions.series.size() == kMostSeries) break;
    series.name = name;
    series.line = false;
    series.points = true;
    conditions.series.push_back(series);
  }
  conditions.caption = groups.size() > kMostSeries
                           ? fmt::format("The {} largest of {} groups; map.csv has all.", kMostSeries, groups.size())
                           : "Photographs by what is in their table, synthetic images by what was asked.";
  page.plot(conditions);
  page.heading("How to read it");
  page.list(
      {"Near neighbours of the map are near in the extractor's space. Sizes of clusters, the empty space between them, "
       "and the axes mean nothing (Wattenberg et al. 2016).",
       "What the map shows it shows of these images; `dermgan evaluate` has the figures with their intervals.",
       "The dots stand for photographs; no photograph is in this file."});
  page.heading("Protocol");
  std::vector<std::vector<std::string>> facts;
  for (const auto& [name, value] : result.json.items()) {
    std::string label = name;
    std::replace(label.begin(), label.end(), '_', ' ');
    facts.push_back({label, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  page.table({"what", "value"}, facts);
  write_file(root / "map.csv", table.to_string());
  write_file(root / "map.json", result.json.dump(2) + "\n");
  page.write(root / "report.html");
  directory.commit();
  return result;
}

}  // namespace derm::explore
