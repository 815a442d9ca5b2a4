#include "derm/study/study_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/image/codec.h"
#include "derm/image/draw.h"
#include "derm/study/analysis.h"
#include "derm/study/service.h"

namespace derm::study {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kDash = "\u2013";
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kPictures = 8;

double number(const Json& v) { return v.is_number() ? v.get<double>() : kNone; }
std::string text_of(const Json& v, const char* format_unit = "") {
  return v.is_number() ? fmt::format("{:.1f}{}", v.get<double>(), format_unit) : kDash;
}

std::string share_text(const Json& v) { return v.is_number() ? fmt::format("{:.3f}", v.get<double>()) : kDash; }

/// "reader-01" is 01 where a column or an axis says that it is a reader.
std::string short_name(const std::string& reader) { return reader.starts_with("reader-") ? reader.substr(7) : reader; }

/// Reasons why figures are missing, each once.
class Reasons {
 public:
  const Json& note(const Json& estimate, const std::string& what) {
    if (estimate.at("reason").is_string()) seen_[estimate.at("reason").get<std::string>()].insert(what);
    return estimate;
  }
  void print(report::Page& page) const {
    if (seen_.empty()) return;
    std::vector<std::string> lines;
    for (const auto& [reason, what] : seen_) {
      std::string names;
      size_t listed = 0;
      for (const std::string& w : what) {
        if (++listed > 6) {
          names += fmt::format(" and {} more", what.size() - 6);
          break;
        }
        names += (names.empty() ? "" : ", ") + w;
      }
      lines.push_back(names + ": " + reason + ".");
    }
    page.paragraph("A dash, or a number without an interval, has a reason:");
    page.list(lines);
  }

 private:
  std::map<std::string, std::set<std::string>> seen_;
};

void add_estimate(report::Bars::Series& series, const Json& e) {
  series.value.push_back(number(e.at("value")));
  series.low.push_back(number(e.at("low")));
  series.high.push_back(number(e.at("high")));
}

report::Series curve(const std::string& name, const Json& points) {
  report::Series series;
  series.name = name;
  for (const Json& p : points) {
    series.x.push_back(p[0].get<double>());
    series.y.push_back(p[1].get<double>());
  }
  return series;
}

/// Real called real and synthetic called real, side by side for each part.
void rates_plot(report::Page& page, const Json& parts, const std::string& title, const std::string& caption) {
  if (parts.empty()) return;
  report::Bars bars;
  bars.title = title;
  bars.y_label = "called real";
  bars.series = {{"real (TPR)", {}, {}, {}}, {"synthetic (FPR)", {}, {}, {}}};
  for (const Json& p : parts) {
    bars.groups.push_back(p.at("name"));
    add_estimate(bars.series[0], p.at("tpr"));
    add_estimate(bars.series[1], p.at("fpr"));
  }
  bars.caption = caption;
  page.plot(bars);
}

void parts_table(report::Page& page, const Json& parts, const std::string& what, Reasons& reasons) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& p : parts) {
    const std::string name = p.at("name").get<std::string>();
    std::vector<std::string> row{name.empty() ? "(none)" : name, std::to_string(p.at("answers").get<int64_t>())};
    for (const char* figure : {"accuracy", "tpr", "fpr", "balanced_accuracy", "auc"}) {
      row.push_back(estimate_text(reasons.note(p.at(figure), what + " " + name)));
    }
    rows.push_back(std::move(row));
  }
  page.table({what, "answers", "accuracy", "TPR", "FPR", "balanced accuracy", "AUC"}, rows);
}

/// Shares of answers that took no longer than so many seconds.
report::Series times_curve(const std::string& name, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  report::Series series;
  series.name = name;
  for (size_t i = 0; i < seconds.size(); ++i) {
    series.x.push_back(seconds[i]);
    series.y.push_back(static_cast<double>(i + 1) / static_cast<double>(seconds.size()));
  }
  return series;
}

/// A synthetic image with the boxes that readers drew.
image::Image marked(const fs::path& study, const std::string& file, const std::vector<const Row*>& rows) {
  image::Image picture = image::read_image(resolve_inside(study / "images", file));
  for (const Row* row : rows) {
    for (const Json& mark : Json::parse(row->answer.marks)) {
      if (!mark.contains("x")) continue;
      const auto pixel = [&](const char* name, int side) {
        return static_cast<int>(std::lround(mark.at(name).get<double>() * side));
      };
      image::draw_rectangle(picture, pixel("x", picture.width), pixel("y", picture.height),
                            std::max(2, pixel("w", picture.width)), std::max(2, pixel("h", picture.height)),
                            image::Rgb{0, 170, 255}, std::max(1, picture.width / 128));
    }
  }
  return picture;
}

void pictures(report::Page& page, const fs::path& study, const Results& results) {
  struct Made {
    std::string file;
    std::vector<const Row*> rows;
    size_t found = 0;
    double share() const { return static_cast<double>(found) / static_cast<double>(rows.size()); }
  };
  std::map<std::string, Made> made;
  for (const Row& row : results.rows) {
    if (row.real || !row.scored()) continue;
    Made& m = made[row.image];
    m.file = row.image;
    m.rows.push_back(&row);
    m.found += row.correct();
  }
  if (made.empty()) return;
  std::vector<Made> all;
  for (auto& [file, m] : made) all.push_back(std::move(m));
  const auto gallery = [&](bool found_out) {
    std::stable_sort(all.begin(), all.end(), [&](const Made& a, const Made& b) {
      if (a.share() != b.share()) return found_out ? a.share() > b.share() : a.share() < b.share();
      return a.rows.size() > b.rows.size();
    });
    std::vector<report::Thumbnail> thumbnails;
    for (size_t i = 0; i < std::min(kPictures, all.size()); ++i) {
      const Made& m = all[i];
      if (found_out ? m.found == 0 : m.found == m.rows.size()) break;
      const std::string caption = fmt::format("{}, {}: {} of {} called it synthetic", m.rows.front()->pool,
                                              m.rows.front()->condition, m.found, m.rows.size());
      thumbnails.push_back({marked(study, m.file, m.rows), caption, "Synthetic image, " + caption});
    }
    return thumbnails;
  };
  page.heading("Synthetic images");
  page.paragraph(
      "Blue boxes are what readers marked as implausible. Real photographs are not shown, so that this page may be "
      "passed "
      "on.");
  if (const auto found = gallery(true); !found.empty()) {
    page.subheading("Most often found out");
    page.gallery(found, 180);
  }
  if (const auto taken = gallery(false); !taken.empty()) {
    page.subheading("Most often taken for real");
    page.gallery(taken, 180);
  }
}

}  // namespace

std::string estimate_text(const Json& e, int digits) {
  if (!e.at("value").is_number()) return kDash;
  if (!e.at("low").is_number() || !e.at("high").is_number())
    return fmt::format("{:.{}f}", e.at("value").get<double>(), digits);
  return fmt::format("{:.{}f} ({:.{}f} to {:.{}f})", e.at("value").get<double>(), digits, e.at("low").get<double>(),
                     digits, e.at("high").get<double>(), digits);
}

report::Page report_page(const fs::path& study, const Results& results, const Json& n) {
  report::Page page(n.at("title").get<std::string>(), "A blinded reader study: real photographs or synthetic images?");
  const Json& overall = n.at("overall");
  const Json& counts = n.at("counts");
  Reasons reasons;

  page.heading("Result");
  page.paragraph(fmt::format(
      "{} readers judged {} images ({} answers that count). They were right in {} of their answers; guessing gives "
      "0.50. They "
      "called {} of the real images real (TPR) and {} of the synthetic ones (FPR).",
      overall.at("readers").get<int64_t>(), overall.at("images").get<int64_t>(), overall.at("answers").get<int64_t>(),
      estimate_text(overall.at("accuracy")), estimate_text(overall.at("tpr")), estimate_text(overall.at("fpr"))));
  const double low = number(overall.at("balanced_accuracy").at("low")),
               high = number(overall.at("balanced_accuracy").at("high"));
  if (std::isfinite(low) && std::isfinite(high)) {
    page.paragraph(
        low > 0.5
            ? "Readers tell synthetic images from real ones: the interval of their balanced accuracy lies above chance."
        : high < 0.5 ? "Readers take synthetic images for real ones more often than real ones themselves: the interval "
                       "lies below chance."
                     : fmt::format("The interval of the balanced accuracy, {}, holds chance. That is no proof that "
                                   "nobody can tell: it says how well they could, at most.",
                                   estimate_text(overall.at("balanced_accuracy"))));
  }
  if (overall.at("readers").get<int64_t>() == 1) {
    page.note(
        "One reader: the intervals say how far other images would change the figures, not how far other readers "
        "would.");
  }
  if (!n.at("finished").get<bool>()) {
    page.note("The study was not finished when its key was opened. Answers given later do not count.");
  }
  if (counts.at("after_unsealing").get<int64_t>() > 0) {
    page.note(
        fmt::format("{} answers came after the key was opened; they are in the table of answers and count for nothing.",
                    counts.at("after_unsealing").get<int64_t>()));
  }
  std::vector<std::vector<std::string>> main_rows;
  const std::pair<const char*, const char*> figures[] = {
      {"Accuracy", "accuracy"},
      {"Real called real (TPR)", "tpr"},
      {"Synthetic called real (FPR)", "fpr"},
      {"Balanced accuracy, (TPR + 1 - FPR) / 2", "balanced_accuracy"},
      {"Area under the ROC curve, mean of readers", "auc"},
      {"Realism of real images, 1 to 5", "realism_real"},
      {"Realism of synthetic images", "realism_synthetic"},
      {"Artefacts in real images, 1 none to 5", "artefacts_real"},
      {"Artefacts in synthetic images", "artefacts_synthetic"}};
  for (const auto& [label, key] : figures) {
    const Json& e = reasons.note(overall.at(key), label);
    main_rows.push_back({label, estimate_text(e), std::to_string(e.at("n").get<int64_t>())});
  }
  page.table({"figure", "value (95 % interval)", "answers"}, main_rows,
             fmt::format("Intervals: bootstrap crossed over readers and images, {} draws, seed {}.",
                         n.at("replicates").get<int64_t>(), n.at("seed").get<uint64_t>()));

  page.heading("Readers");
  report::Bars accuracy;
  accuracy.title = "Accuracy of each reader";
  accuracy.y_label = "accuracy";
  accuracy.series = {{"accuracy", {}, {}, {}}};
  report::Plot space;
  space.title = "Readers in ROC space";
  space.x_label = "synthetic called real (FPR)";
  space.y_label = "real called real (TPR)";
  space.identity = true;
  space.x_range = space.y_range = std::pair{-0.02, 1.02};
  std::map<std::string, report::Series> dots;
  std::vector<std::vector<std::string>> rows, rates;
  for (const Json& r : n.at("readers")) {
    const std::string name = r.at("name");
    const std::string who = "reader " + name;
    accuracy.groups.push_back(short_name(name));
    add_estimate(accuracy.series[0], r.at("accuracy"));
    if (r.at("tpr").at("value").is_number() && r.at("fpr").at("value").is_number()) {
      report::Series& s = dots[r.at("group").get<std::string>()];
      s.x.push_back(number(r.at("fpr").at("value")));
      s.y.push_back(number(r.at("tpr").at("value")));
    }
    rows.push_back({short_name(name), r.at("group"),
                    fmt::format("{} / {}", r.at("done").get<int64_t>(), r.at("due").get<int64_t>()),
                    estimate_text(reasons.note(r.at("accuracy"), who)), share_text(r.at("p_chance")),
                    text_of(r.at("times").at("median_s"), " s")});
    rates.push_back({short_name(name), estimate_text(reasons.note(r.at("tpr"), who)),
                     estimate_text(reasons.note(r.at("fpr"), who)), estimate_text(reasons.note(r.at("auc"), who))});
  }
  accuracy.groups.push_back("all");
  add_estimate(accuracy.series[0], overall.at("accuracy"));
  accuracy.caption =
      "Whiskers of single readers: exact (Clopper-Pearson). Of all: bootstrap over readers and images. Chance is 0.5.";
  page.plot(accuracy);
  page.table({"reader", "group", "answered", "accuracy", "p against chance", "median time"}, rows,
             "Accuracy with exact 95 % intervals (Clopper-Pearson); p of the exact two-sided binomial test.");
  page.table({"reader", "real called real (TPR)", "synthetic called real (FPR)", "AUC"}, rates,
             "TPR and FPR with exact intervals; AUC from verdict and confidence with DeLong's interval.");

  page.subheading("ROC");
  for (auto& [group, s] : dots) {
    s.name = group;
    s.line = false;
    s.points = true;
    space.series.push_back(s);
  }
  space.series.push_back(curve("all answers, by confidence", overall.at("roc")));
  if (n.at("models").size() > 1) {
    for (const Json& m : n.at("models"))
      space.series.push_back(curve("beside " + m.at("name").get<std::string>(), m.at("roc")));
  }
  space.caption =
      "A dot is a reader's two answers, real or synthetic; a curve goes over verdict and confidence together, from "
      "\"certainly "
      "real\" down. On the dashed line nobody can tell.";
  page.plot(space);

  page.heading("Models");
  rates_plot(page, n.at("models"), "Called real, by model",
             "The real images are the same beside each model. Whiskers: 95 %, over readers and images.");
  parts_table(page, n.at("models"), "model", reasons);
  std::vector<std::vector<std::string>> ratings;
  for (const Json& m : n.at("models")) {
    ratings.push_back({m.at("name"), estimate_text(reasons.note(m.at("realism_synthetic"), "realism")),
                       estimate_text(m.at("artefacts_synthetic")), estimate_text(m.at("condition_synthetic"))});
  }
  ratings.push_back({"real images", estimate_text(overall.at("realism_real")),
                     estimate_text(overall.at("artefacts_real")), estimate_text(overall.at("condition_real"))});
  page.table({"images", "realism, 1 to 5", "artefacts, 1 none to 5", "condition named as asked"}, ratings);
  if (!n.at("model_differences").empty()) {
    std::vector<std::vector<std::string>> differences;
    for (const Json& d : n.at("model_differences")) {
      differences.push_back({d.at("a").get<std::string>() + " less " + d.at("b").get<std::string>(),
                             estimate_text(reasons.note(d.at("fpr_difference"), "difference of models"))});
    }
    page.table({"models", "difference of FPR"}, differences,
               "Above 0: the first is taken for real more often. Same readers, same draws of the bootstrap.");
  }

  page.heading("Conditions, tones, groups");
  const std::tuple<const char*, const char*, const char*> parts[] = {
      {"conditions", "condition", "Called real, by condition"},
      {"tones", "tone", "Called real, by tone of skin"},
      {"groups", "group", "Called real, by group of readers"}};
  for (const auto& [key, label, title] : parts) {
    page.subheading(fmt::format("By {}", label));
    rates_plot(page, n.at(key), title, "");
    parts_table(page, n.at(key), label, reasons);
  }

  page.heading("Agreement");
  const Json& agreement = n.at("agreement");
  std::vector<std::vector<std::string>> agree;
  const auto add = [&](const std::string& label, const Json& e) {
    agree.push_back({label, estimate_text(reasons.note(e, label)), std::to_string(e.at("n").get<int64_t>())});
  };
  add("Real or synthetic, all images: Krippendorff's alpha, nominal", agreement.at("alpha_verdict"));
  add("Verdict with confidence, all images: Krippendorff's alpha, ordinal", agreement.at("alpha_score"));
  add("Realism, all images: Krippendorff's alpha, ordinal", agreement.at("alpha_realism"));
  add("Real or synthetic, anchors: Fleiss' kappa", agreement.at("fleiss_anchors"));
  add("Condition, real images: Krippendorff's alpha, nominal", agreement.at("alpha_condition_real"));
  add("Condition, synthetic images: Krippendorff's alpha, nominal", agreement.at("alpha_condition_synthetic"));
  add("Of readers with themselves: share of repeats answered alike", overall.at("self_agreement"));
  add("Of readers with themselves: Cohen's kappa", overall.at("self_kappa"));
  page.table({"agreement", "value (95 % interval)", "images or pairs"}, agree,
             "1 is full agreement, 0 what chance gives. Intervals resample images (pairs for Cohen's kappa); the share "
             "of repeats "
             "has an exact one.");
  std::vector<std::vector<std::string>> own;
  for (const Json& r : n.at("readers")) {
    const std::string who = "self-agreement of " + r.at("name").get<std::string>();
    own.push_back({short_name(r.at("name")), estimate_text(reasons.note(r.at("self_agreement"), who)),
                   estimate_text(reasons.note(r.at("self_kappa"), who)),
                   estimate_text(reasons.note(r.at("condition_real"), "condition, " + r.at("name").get<std::string>())),
                   estimate_text(r.at("condition_synthetic"))});
  }
  page.subheading("Of each reader");
  page.table({"reader", "repeats answered alike", "kappa", "condition right, real", "condition right, synthetic"}, own);

  page.heading("Conditions that readers named");
  std::vector<std::vector<std::string>> named;
  for (const char* kind : {"real", "synthetic"}) {
    named.push_back({kind,
                     estimate_text(reasons.note(overall.at(fmt::format("condition_{}", kind)), "condition named")),
                     estimate_text(n.at("condition").at(fmt::format("unsure_{}", kind)))});
  }
  page.table({"images", "named the recorded condition", "cannot tell"}, named,
             "The recorded condition is the label of a real image and the request of a synthetic one. \"Cannot tell\" "
             "counts as not named.");

  page.heading("Response times");
  std::vector<double> real_s, made_s;
  for (const Row& row : results.rows) {
    if (row.scored() && row.views <= 1) {
      (row.real ? real_s : made_s).push_back(static_cast<double>(row.answer.response_ms) / 1000);
    }
  }
  report::Plot times;
  times.title = "Share of answers given within so many seconds";
  times.x_label = "seconds";
  times.y_label = "share of answers";
  times.y_range = std::pair{0.0, 1.02};
  if (!real_s.empty()) times.series.push_back(times_curve("real", real_s));
  if (!made_s.empty()) times.series.push_back(times_curve("synthetic", made_s));
  if (!times.series.empty()) page.plot(times);
  std::vector<std::vector<std::string>> time_rows;
  for (const auto& [name, t] : n.at("times").items()) {
    time_rows.push_back({name, std::to_string(t.at("n").get<int64_t>()), text_of(t.at("median_s")),
                         text_of(t.at("low_quartile_s")), text_of(t.at("high_quartile_s"))});
  }
  page.table({"answers", "n", "median, s", "lower quartile", "upper quartile"}, time_rows,
             "From the appearance of the image to the answer. Images seen more than once (a tab closed and opened "
             "again, an answer "
             "taken back) are left out.");

  if (!n.at("marks").empty()) {
    page.heading("Why images were found implausible");
    std::map<std::string, std::string> words(mark_reasons().begin(), mark_reasons().end());
    std::vector<std::vector<std::string>> marks;
    for (const Json& m : n.at("marks")) {
      const auto word = words.find(m.at("reason").get<std::string>());
      marks.push_back({word == words.end() ? m.at("reason").get<std::string>() : word->second,
                       std::to_string(m.at("synthetic").get<int64_t>()), std::to_string(m.at("real").get<int64_t>())});
    }
    page.table({"reason", "marks on synthetic images", "marks on real images"}, marks);
  }
  pictures(page, study, results);

  page.heading("How it was done");
  reasons.print(page);
  const Json& power = n.at("power");
  page.list({
      fmt::format("Planned: {} readers, {} images each, {} in all; power {:.2f} to find an accuracy of {:.2f} (alpha "
                  "{} over {} "
                  "model{}, correlation of readers {}, of images {}).",
                  power.at("readers").get<int64_t>(), power.at("images_per_reader").get<int64_t>(),
                  power.at("images_in_all").get<int64_t>(), power.at("power").get<double>(),
                  power.at("accuracy").get<double>(), power.at("alpha").get<double>(),
                  power.at("models").get<int64_t>(), power.at("models").get<int64_t>() == 1 ? "" : "s",
                  power.at("icc_reader").get<double>(), power.at("icc_image").get<double>()),
      fmt::format(
          "Answers: {} in all; {} practice, {} taken back by their readers (both count for nothing); repeats count for "
          "self-agreement alone; {} images were seen more than once before their answer.",
          counts.at("answers").get<int64_t>(), counts.at("practice").get<int64_t>(),
          counts.at("withdrawn").get<int64_t>(), counts.at("seen_more_than_once").get<int64_t>()),
      results.description.settings.viewing_ms == 0
          ? std::string("Readers looked as long as they liked.")
          : fmt::format("Each image was shown for {:.1f} s.",
                        static_cast<double>(results.description.settings.viewing_ms) / 1000),
      fmt::format("Images: {0} x {0} px, JPEG by one encoder with fixed tables, {1} bytes each.",
                  results.description.size_px, results.description.image_bytes),
  });
  std::vector<std::string> sources;
  for (const KeyPool& p : results.key.pools) {
    sources.push_back(fmt::format("{}: {} ({} images to draw from{})", p.name, fs::path(p.path).filename().string(),
                                  p.images,
                                  p.fingerprint.empty() ? "" : ", fingerprint " + p.fingerprint.substr(0, 16)));
  }
  page.list(sources);
  page.paragraph(
      fmt::format("The key was sealed on {} by publishing its SHA-256, which every reader was shown, and opened on {}. "
                  "The key that this report "
                  "used has that SHA-256, and every image has the one that the key lists:",
                  n.at("created").get<std::string>(), n.at("unsealed_at").get<std::string>()));
  page.code(n.at("key_sha256").get<std::string>());
  return page;
}

void write_report(const fs::path& study, const Results& results, const Json& numbers, const fs::path& out) {
  NewDirectory directory(out);
  report_page(study, results, numbers).write(directory.path() / "report.html");
  write_file(directory.path() / "report.json", numbers.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  write_file(directory.path() / "answers.csv", answers_table(results).to_string());
  directory.commit();
}

}  // namespace derm::study
