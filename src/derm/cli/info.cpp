#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <torch/version.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/progress.h"
#include "derm/base/system.h"
#include "derm/cli/verbs.h"
#include "derm/data/dataset.h"
#include "derm/image/codec.h"
#include "derm/models/catalogue.h"
#include "derm/recipe/bundle.h"
#include "derm/tensor/policy.h"

namespace derm::cli {

namespace {

using json = nlohmann::ordered_json;  // facts in the order in which they are of use

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

json bundle_facts(const fs::path& path) {
  const recipe::BundleConfig config = recipe::read_bundle_config(path);
  if (recipe::is_judge(config.kind)) {
    return {{"kind", "bundle of a judge"},
            {"path", path.string()},
            {"name", config.name},
            {"judges as", recipe::kind_name(config.kind)},
            {"recipe", config.recipe},
            {"size_px", config.size_px},
            {"conditions", config.conditions},
            {"options", config.options},
            {"training", config.training},
            {"bytes", fs::file_size(path / "model.safetensors")},
            {"sha256", recipe::bundle_sha256(path)}};
  }
  return {{"kind", "bundle"},
          {"path", path.string()},
          {"recipe", config.recipe},
          {"size_px", config.size_px},
          {"conditions", config.conditions},
          {"encoding", data::encoding_name(config.map.encoding)},
          {"ita_low", config.offer.locus.low_ita()},
          {"ita_high", config.offer.locus.high_ita()},
          {"lesion_size_low", config.offer.low_size},
          {"lesion_size_high", config.offer.high_size},
          {"options", config.options},
          {"training", config.training},
          {"bytes", fs::file_size(path / "model.safetensors")},
          {"sha256", recipe::bundle_sha256(path)}};
}

json data_set_facts(const fs::path& path) {
  const data::DataSet set = data::DataSet::open(path);
  std::map<std::string, std::map<std::string, size_t>> counts;
  for (const data::Record& record : set.records()) ++counts[record.condition][record.split];
  const bool generated = std::any_of(set.records().begin(), set.records().end(), [](const data::Record& record) {
    const auto at = record.extra.find("image_manipulation");
    return at != record.extra.end() && at->second == "synthetic";
  });
  return {{"kind", "data set"},
          {"path", path.string()},
          {"images", set.records().size()},
          {"size_px", set.size_px()},
          {"conditions", set.conditions()},
          {"counts", counts},
          {"usable_for_training", set.usable("train").size()},
          {"generated", generated},
          {"fingerprint", set.fingerprint()}};
}

/// The last line of stats.jsonl that is whole; null if there is none.
json last_statistics(const fs::path& file) {
  std::ifstream in(file);
  json last;
  for (std::string line; std::getline(in, line);) {
    const json parsed = json::parse(line, nullptr, false);
    if (parsed.is_object()) last = parsed;
  }
  return last;
}

json run_facts(const fs::path& path) {
  json facts{{"kind", "run"}, {"path", path.string()}};
  std::vector<std::string> checkpoints;
  if (fs::is_directory(path / "checkpoints")) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path / "checkpoints"))
      checkpoints.push_back(entry.path().filename());
  }
  std::sort(checkpoints.begin(), checkpoints.end());
  facts["checkpoints"] = checkpoints;
  if (fs::exists(path / "command.txt")) {
    std::string command = read_file(path / "command.txt");
    while (command.ends_with('\n')) command.pop_back();
    facts["command"] = command;
  }
  const json last = last_statistics(path / "stats.jsonl");
  if (!last.is_null()) facts["last"] = last;
  try {
    facts["bundle"] = bundle_facts(recipe::find_bundle(path));
  } catch (const UsageError&) {
    facts["bundle"] = nullptr;  // not yet: the run has made no checkpoint
  }
  if (fs::exists(path / "config.toml")) facts["config"] = read_file(path / "config.toml");
  return facts;
}

json picture_facts(const fs::path& path) {
  const image::TextChunks text = image::read_png_text(path);
  const image::Image picture = image::read_image(path);
  json facts{{"kind", "image"}, {"path", path.string()}, {"width", picture.width}, {"height", picture.height}};
  facts["generated"] = text.contains("image_manipulation");
  for (const auto& [keyword, value] : text) {
    const json parsed = json::parse(value, nullptr, false);
    facts["text"][keyword] = parsed.is_object() ? parsed : json(value);
  }
  return facts;
}

json facts_of(const fs::path& path) {
  if (!fs::exists(path)) throw UsageError("{}: there is no such file or folder", path.string());
  if (!fs::is_directory(path)) {
    if (path.extension() == ".png") return picture_facts(path);
    throw UsageError("{}: is neither a folder nor a PNG; give a bundle, a run, a data set or a generated image",
                     path.string());
  }
  if (fs::exists(path / "config.json")) return bundle_facts(path);
  if (fs::exists(path / "config.toml") || fs::exists(path / "checkpoints")) return run_facts(path);
  if (fs::exists(path / "metadata.csv")) return data_set_facts(path);
  throw DataError(
      "{}: holds no config.json (a bundle), config.toml (a run) or metadata.csv (a data set); check the path",
      path.string());
}

json machine_facts() {
  json facts{{"version", version()}, {"libtorch", TORCH_VERSION}};
  facts.update(json(system_facts()));
  facts["compute"] = tensor::choose_policy({}).text();
  facts["recipes"] = models::catalogue().names();
  return facts;
}

/// Lines for people: texts and numbers as they are, lists in a row, tables indented under their name.
void print_readable(const json& facts, const std::string& indent = "") {
  size_t width = 0;
  for (const auto& [name, value] : facts.items()) width = std::max(width, name.size());
  for (const auto& [name, value] : facts.items()) {
    const bool words =
        value.is_array() && std::all_of(value.begin(), value.end(), [](const json& v) { return v.is_string(); });
    if (value.is_object() && !value.empty()) {
      std::cout << indent << name << '\n';
      print_readable(value, indent + "  ");
    } else if (value.is_string() && value.get_ref<const std::string&>().find('\n') != std::string::npos) {
      std::cout << indent << name << '\n';
      std::istringstream lines(value.get<std::string>());
      for (std::string line; std::getline(lines, line);) std::cout << indent << "  " << line << '\n';
    } else {
      const std::string shown = value.is_string()         ? value.get<std::string>()
                                : words                   ? joined(value.get<std::vector<std::string>>())
                                : value.is_null()         ? "none"
                                : value.is_number_float() ? fmt::format("{:.6g}", value.get<double>())
                                                          : value.dump();
      std::cout << fmt::format("{}{:<{}}  {}\n", indent, name, width, shown);
    }
  }
}

}  // namespace

Verb add_info(CLI::App& program) {
  struct InfoFlags {
    std::string path;
    bool system = false, json = false;
  };
  auto flags = std::make_shared<InfoFlags>();
  CLI::App* app =
      program.add_subcommand("info", "What a bundle, run, data set or generated image is, and where it came from");
  app->add_option("PATH", flags->path, "A bundle, a run, a data set or a generated PNG");
  app->add_flag("--system", flags->system, "Tell about this machine instead");
  app->add_flag("--json", flags->json, "Print as JSON");
  app->footer("Example:\n  dermgan info runs/00000-dermgan-D-256\n  dermgan info --system --json");
  return {app, {}, [flags] {
            if (flags->system == !flags->path.empty()) {
              throw UsageError("dermgan info: give a PATH or --system{}", flags->system ? ", not both" : "");
            }
            const json facts = flags->system ? machine_facts() : facts_of(flags->path);
            if (flags->json) {
              print_json(facts);
            } else {
              print_readable(facts);
            }
            return 0;
          }};
}

}  // namespace derm::cli
