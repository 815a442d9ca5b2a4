#include <filesystem>
#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/cli/verbs.h"
#ifdef DERM_WITH_STUDY
#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <set>
#include <thread>

#include "derm/http/server.h"
#include "derm/study/analysis.h"
#include "derm/study/results.h"
#include "derm/study/service.h"
#include "derm/study/study.h"
#include "derm/study/study_report.h"
#endif

namespace derm::cli {

#ifdef DERM_WITH_STUDY

namespace {

namespace fs = std::filesystem;

struct NewFlags {
  study::NewStudy wish;
  std::string real, out;
  std::vector<std::string> synthetic, readers;
  std::string strata = "condition,tone", ask = "condition,ratings,marks,remark";
  double viewing_seconds = 0;
  bool json = false;
};

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    if (comma > at) words.push_back(list.substr(at, comma - at));
    at = comma + 1;
  }
  return words;
}

/// A list of words, each of them known. "none" is the empty list.
bool take_words(const std::string& flag, const std::string& list, const std::vector<std::string>& known,
                const std::vector<bool*>& targets) {
  for (bool* target : targets) *target = false;
  if (list == "none") return true;
  for (const std::string& word : words_of(list)) {
    const auto it = std::find(known.begin(), known.end(), word);
    if (it == known.end())
      throw UsageError("{} {}: \"{}\" is none of them{}", flag, list, word, did_you_mean(word, known));
    *targets[static_cast<size_t>(it - known.begin())] = true;
  }
  return true;
}

int run_new(NewFlags& flags, bool seed_given) {
  study::NewStudy& wish = flags.wish;
  wish.real = flags.real;
  wish.out = flags.out;
  for (const std::string& source : flags.synthetic) {
    const auto [name, path] = split_assignment("--synthetic", source);
    wish.synthetic.push_back({name, path});
  }
  if (!flags.readers.empty()) {
    wish.design.groups.clear();
    for (const std::string& group : flags.readers) {
      const bool named = group.find('=') != std::string::npos;
      const auto [name, count] =
          named ? split_assignment("--readers", group) : std::pair<std::string, std::string>{"readers", group};
      try {
        size_t end = 0;
        const int64_t number = std::stoll(count, &end);
        if (end != count.size()) throw std::invalid_argument(count);
        wish.design.groups.emplace_back(name, number);
      } catch (const std::logic_error&) {
        throw UsageError("--readers {}: COUNT or GROUP=COUNT is expected, for example dermatologists=4", group);
      }
    }
  }
  take_words("--strata", flags.strata, {"condition", "tone"}, {&wish.design.by_condition, &wish.design.by_tone});
  study::Settings& s = wish.settings;
  take_words("--ask", flags.ask, {"condition", "ratings", "marks", "remark"},
             {&s.ask_condition, &s.ask_ratings, &s.ask_marks, &s.ask_remark});
  s.viewing_ms = std::llround(flags.viewing_seconds * 1000);
  // A seed that somebody could guess would let them draw the same study again, key and all.
  if (!seed_given) wish.design.seed = (uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  const study::MadeStudy made = study::make_study(wish);
  for (const std::string& note : made.notes) log_warning("{}", note);
  const study::PowerReport& p = made.design.power;
  const study::Description& d = made.description;
  if (flags.json) {
    nlohmann::ordered_json codes = nlohmann::ordered_json::array();
    for (size_t i = 0; i < made.codes.size(); ++i) {
      codes.push_back(
          {{"reader", made.codes[i].first}, {"group", made.design.readers[i].group}, {"code", made.codes[i].second}});
    }
    print_json({{"out", flags.out},
                {"key_sha256", d.key_sha256},
                {"images", d.images},
                {"practice", d.practice},
                {"repeats", d.repeats},
                {"power", d.power},
                {"readers", codes}});
    return 0;
  }
  print_facts({
      {"study", flags.out},
      {"readers", std::to_string(p.readers)},
      {"images a reader", fmt::format("{} (half of them real), {} shown twice, after {} for practice",
                                      p.images_per_reader, d.repeats, d.practice)},
      {"images in all", fmt::format("{}: {} of each model, as many real ones as synthetic", p.images_in_all,
                                    p.images_in_all / (2 * p.models))},
      {"seen by all", fmt::format("{} images (anchors)", made.design.anchor_units * 2 * p.models)},
      {"blocks", made.design.blocks == 0 ? std::string("none")
                                         : fmt::format("{}, of which each reader sees {}", made.design.blocks,
                                                       made.design.blocks_per_reader)},
      {"power", fmt::format("{:.2f} to find an accuracy of {:.2f} against chance, for {}{}", p.power,
                            p.assumptions.accuracy, p.models == 1 ? "the model" : "each model",
                            p.computed_size ? "; the number of images follows from that" : "")},
      {"found with power " + fmt::format("{:.2f}", p.assumptions.power),
       fmt::format("an accuracy of {:.3f} by all readers together; {} by one alone", p.detectable,
                   p.detectable_by_one < 1 ? fmt::format("{:.3f}", p.detectable_by_one) : std::string("none"))},
      {"assumed", fmt::format("correlation of readers {}, of images {}; alpha {}{}", p.assumptions.icc_reader,
                              p.assumptions.icc_image, p.assumptions.alpha,
                              p.models > 1 ? fmt::format(" over {} models", p.models) : "")},
      {"strata", fmt::format("{}", made.design.strata.size())},
  });
  for (const auto& [name, count] : made.design.strata)
    std::cout << fmt::format("  {:<28}  {} of each model\n", name, count);
  std::cout << fmt::format(
      "\nThe key is sealed. Publish this now, before anybody reads:\n  SHA-256 of key.json  {}\n\n", d.key_sha256);
  std::cout << fmt::format("Codes for the readers, also in {}:\n", (fs::path(flags.out) / "codes.csv").string());
  for (size_t i = 0; i < made.codes.size(); ++i) {
    std::cout << fmt::format("  {}  {:<16}  {}\n", made.codes[i].first, made.design.readers[i].group,
                             made.codes[i].second);
  }
  std::cout << fmt::format("\nNext: dermgan study serve {}\n", flags.out);
  return 0;
}

struct ServeFlags {
  std::string study, address = "127.0.0.1";
  int port = 8090;
  std::vector<std::string> hosts, origins;
};

int run_serve(const ServeFlags& flags) {
  study::Service service(flags.study);
  http::ServerOptions options;
  options.address = flags.address;
  options.port = flags.port;
  options.hosts = flags.hosts;
  options.origins = flags.origins;
  options.validate();
  catch_interrupts();
  http::Server server(options);
  service.add_routes(server);
  server.start();
  const study::Description& d = service.description();
  log_info("\"{}\": {} readers, {} images; SHA-256 of the sealed key: {}", d.settings.title, d.readers, d.images,
           d.key_sha256);
  if (fs::exists(fs::path(flags.study) / "key.json")) {
    log_info(
        "key.json lies beside the study; whoever can read it here is not blinded. It may be kept elsewhere until the "
        "report");
  }
  if (service.store().unsealed_at() != 0) {
    log_warning("the key was opened at {}; answers from now on do not count",
                study::utc_text(service.store().unsealed_at()));
  }
  // For programs that start the server with --port 0.
  std::cout << server.url() << "/study" << std::endl;
  while (!interrupt_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  log_info("stopping; every accepted answer is stored");
  server.stop();
  return 0;
}

struct ReportFlags {
  std::string study, key, out;
  study::AnalysisOptions options;
  bool early = false, json = false, feedback = false;
};

fs::path key_of(const ReportFlags& flags) {
  return flags.key.empty() ? fs::path(flags.study) / "key.json" : fs::path(flags.key);
}

/// Opening the key ends the study: that is not done by accident.
void require_finished(const ReportFlags& flags) {
  const study::Store store(fs::path(flags.study) / "study.db");
  if (store.unsealed_at() != 0) return;
  std::set<int64_t> practice;
  for (const study::Reader& reader : store.readers()) {
    for (const study::Presentation& p : store.presentations(reader.id)) {
      if (p.kind == "practice") practice.insert(p.id);
    }
  }
  const std::vector<study::StoredAnswer> answers = store.answers();
  if (std::none_of(answers.begin(), answers.end(), [&](const study::StoredAnswer& a) {
        return a.withdrawn_at == 0 && !practice.contains(a.presentation);
      })) {
    throw UsageError("{}: there is no answer yet that counts: nobody has judged an image behind the practice ones",
                     flags.study);
  }
  if (flags.early) return;
  int64_t due = 0, done = 0;
  for (const study::Reader& reader : store.readers()) {
    due += static_cast<int64_t>(store.presentations(reader.id).size());
    done += store.answered(reader.id);
  }
  if (done < due) {
    throw UsageError(
        "{}: {} of {} answers are still to come. Opening the key ends the study: what is answered later does not "
        "count; give "
        "--early to do so",
        flags.study, due - done, due);
  }
}

int run_report(const ReportFlags& flags) {
  flags.options.validate();
  study::Description::read(flags.study);
  require_finished(flags);
  const study::Results results = study::open_results(flags.study, key_of(flags));
  const nlohmann::ordered_json numbers = study::analyse(results, flags.options);
  study::write_report(flags.study, results, numbers, flags.out);
  if (flags.json) {
    print_json(numbers);
    return 0;
  }
  const nlohmann::ordered_json& overall = numbers.at("overall");
  std::vector<std::pair<std::string, std::string>> facts = {
      {"key", "verified: " + results.description.key_sha256},
      {"answers", fmt::format("{} that count, of {} readers", overall.at("answers").get<int64_t>(),
                              overall.at("readers").get<int64_t>())},
      {"accuracy", study::estimate_text(overall.at("accuracy"), 3)},
      {"real called real (TPR)", study::estimate_text(overall.at("tpr"), 3)},
      {"synthetic called real (FPR)", study::estimate_text(overall.at("fpr"), 3)},
      {"area under ROC", study::estimate_text(overall.at("auc"), 3)}};
  for (const auto& model : numbers.at("models")) {
    facts.emplace_back("FPR of " + model.at("name").get<std::string>(), study::estimate_text(model.at("fpr"), 3));
  }
  facts.emplace_back("report", (fs::path(flags.out) / "report.html").string());
  facts.emplace_back("every answer", (fs::path(flags.out) / "answers.csv").string());
  print_facts(facts);
  return 0;
}

int run_export(const ReportFlags& flags) {
  if (!flags.feedback) throw UsageError("dermgan study export: what? --feedback is what there is");
  study::Description::read(flags.study);
  require_finished(flags);
  const study::Results results = study::open_results(flags.study, key_of(flags));
  const study::Feedback made = study::export_feedback(flags.study, results, flags.out);
  std::cout << fmt::format("{}  ({} images, {} marks)\n", flags.out, made.images, made.marks);
  return 0;
}

}  // namespace

Verb add_study(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("study", "A blinded reader study (human Turing test): new, serve, report, export");
  app->footer(
      "Example:\n"
      "  dermgan study new --real D --synthetic dermgan=made --readers dermatologists=4 --readers lay=6 --out S\n"
      "  dermgan study serve S\n"
      "  dermgan study report S --out S-report\n"
      "\ndermgan study new --help (serve, report, export) tells more.");
  app->require_subcommand(0, 1);
  std::vector<CLI::Option*> needed_new, needed_serve, needed_report, needed_export;

  auto made = std::make_shared<NewFlags>();
  study::DesignOptions& o = made->wish.design;
  CLI::App* fresh =
      app->add_subcommand("new", "Draw the images, encode them alike, seal the key, print the readers' codes");
  needed_new.push_back(fresh->add_option("--real", made->real, "Data set of real images"));
  needed_new.push_back(add_repeatable(*fresh, "--synthetic", made->synthetic,
                                      "NAME=SET: a model's images, a data set of dermgan generate"));
  needed_new.push_back(fresh->add_option("--out", made->out, "The study to make; must not exist yet"));
  add_repeatable(*fresh, "--readers", made->readers, "COUNT, or GROUP=COUNT for each group; 3 without");
  fresh
      ->add_option("--split", made->wish.split,
                   "Split of the real set: test, validation, train, all. A model has not seen the test split")
      ->capture_default_str();
  fresh->add_option("--images", o.images_per_reader, "Images each reader judges; 0: as many as the power needs")
      ->capture_default_str();
  fresh->add_option("--accuracy", o.assumptions.accuracy, "Of the readers, that the study should be able to find")
      ->capture_default_str();
  fresh->add_option("--power", o.assumptions.power, "Probability of finding it")->capture_default_str();
  fresh->add_option("--alpha", o.assumptions.alpha, "Of a false alarm, over all models together")
      ->capture_default_str();
  fresh->add_option("--icc-reader", o.assumptions.icc_reader, "Assumed correlation of one reader's answers")
      ->capture_default_str();
  fresh->add_option("--icc-image", o.assumptions.icc_image, "Assumed correlation of answers to one image")
      ->capture_default_str();
  fresh->add_option("--strata", made->strata, "Matched between sources: condition,tone, one of them, or none")
      ->capture_default_str();
  fresh->add_option("--anchors", o.anchor_share, "Share of a reader's images that all readers see")
      ->capture_default_str();
  fresh->add_option("--blocks", o.blocks, "Blocks of images that rotate over the readers; 0: half as many as readers")
      ->capture_default_str();
  fresh->add_option("--blocks-per-reader", o.blocks_per_reader, "0: two, or all there are")->capture_default_str();
  fresh->add_option("--practice", o.practice, "Images before the study that count for nothing")->capture_default_str();
  fresh->add_option("--repeats", o.repeats, "Images that each reader sees twice; -1: a tenth of theirs, at least 4")
      ->capture_default_str();
  fresh->add_option("--seed", o.seed,
                    "Draws and orders follow from it; drawn when not given, and kept in the sealed key");
  fresh->add_option("--size", made->wish.size_px, "Side in pixels that all images get; 0: that of the smallest")
      ->capture_default_str();
  fresh->add_option("--quality", made->wish.quality, "JPEG quality of all images")->capture_default_str();
  fresh->add_option("--title", made->wish.settings.title, "What readers see above the study")->capture_default_str();
  fresh
      ->add_option("--viewing-seconds", made->viewing_seconds,
                   "How long an image is shown; 0: as long as readers like. With a fixed time no answer is taken back")
      ->capture_default_str();
  fresh->add_option("--ask", made->ask, "Beside the verdict: condition,ratings,marks,remark, or none")
      ->capture_default_str();
  fresh->add_flag("--practice-feedback", made->wish.settings.practice_feedback,
                  "Tell the source of each practice image after its answer");
  fresh->add_flag("--json", made->json, "Print what was made as JSON");
  fresh->footer(
      "Example:\n  dermgan study new --real D --synthetic dermgan=made --synthetic pix2pix=other --readers "
      "dermatologists=4 --readers lay=6 --out S");

  auto serving = std::make_shared<ServeFlags>();
  CLI::App* serve =
      app->add_subcommand("serve", "The page for readers; Ctrl-C stops it, and it may be started again at any time");
  needed_serve.push_back(serve->add_option("STUDY", serving->study, "The folder of the study"));
  serve
      ->add_option("--host", serving->address,
                   "Address to listen on; beyond loopback put a reverse proxy with TLS before it")
      ->capture_default_str();
  serve->add_option("--port", serving->port, "0: any free one, printed")->capture_default_str();
  add_repeatable(*serve, "--allow-host", serving->hosts, "A further Host name to answer for: a reverse proxy's");
  add_repeatable(*serve, "--allow-origin", serving->origins,
                 "A further origin whose pages may ask: https://lab.example");
  serve->footer("Example:\n  dermgan study serve S --port 8090");

  auto reporting = std::make_shared<ReportFlags>();
  CLI::App* report = app->add_subcommand("report", "Open the key, check it against the published hash, and report");
  needed_report.push_back(report->add_option("STUDY", reporting->study, "The folder of the study"));
  needed_report.push_back(
      report->add_option("--out", reporting->out, "The folder to write: report.html, report.json, answers.csv"));
  report->add_option("--key", reporting->key, "The key, if it was kept elsewhere; STUDY/key.json without");
  report->add_option("--seed", reporting->options.seed, "Of the bootstrap")->capture_default_str();
  report->add_option("--replicates", reporting->options.replicates, "Draws of the bootstrap")->capture_default_str();
  report->add_flag("--early", reporting->early, "Although answers are missing: what comes later does not count");
  report->add_flag("--json", reporting->json, "Print all numbers as JSON");
  report->footer("Example:\n  dermgan study report S --out S-report");

  auto exporting = std::make_shared<ReportFlags>();
  CLI::App* exported = app->add_subcommand("export", "What readers marked, as a data set for alignment");
  needed_export.push_back(exported->add_option("STUDY", exporting->study, "The folder of the study"));
  needed_export.push_back(exported->add_option("--out", exporting->out, "The folder to write"));
  exported->add_flag("--feedback", exporting->feedback, "Marks, ratings and remarks for each image");
  exported->add_option("--key", exporting->key, "The key, if it was kept elsewhere; STUDY/key.json without");
  exported->add_flag("--early", exporting->early, "Although answers are missing: what comes later does not count");
  exported->footer("Example:\n  dermgan study export S --feedback --out feedback");

  const auto require = [](const char* where, const std::vector<CLI::Option*>& options) {
    for (const CLI::Option* option : options) {
      if (option->count() == 0) throw UsageError("{}: {} is missing; see {} --help", where, option->get_name(), where);
    }
  };
  return {app, {}, [=] {
            if (fresh->parsed()) {
              require("dermgan study new", needed_new);
              return run_new(*made, fresh->get_option("--seed")->count() > 0);
            }
            if (serve->parsed()) {
              require("dermgan study serve", needed_serve);
              return run_serve(*serving);
            }
            if (report->parsed()) {
              require("dermgan study report", needed_report);
              return run_report(*reporting);
            }
            if (exported->parsed()) {
              require("dermgan study export", needed_export);
              return run_export(*exporting);
            }
            throw UsageError("dermgan study: new, serve, report or export is expected; see dermgan study --help");
          }};
}

#else

Verb add_study(CLI::App& program) {
  CLI::App* app = program.add_subcommand("study", "A blinded reader study (not in this build)");
  return {app, {}, []() -> int {
            throw UsageError(
                "dermgan study: this program was built without it; install libboost-dev and libsqlite3-dev and build "
                "again");
          }};
}

#endif

}  // namespace derm::cli
