#include "derm/cli/program.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/base/text.h"
#include "derm/cli/verbs.h"
#include "derm/ranks/group.h"

namespace derm::cli {

namespace {

constexpr int kOurFault = 1, kBadData = 3;

/// The command line as a shell would take it again.
std::string quoted(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                            "-_./=:,+@%") == std::string::npos;
    if (i > 0) line += ' ';
    if (plain) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// What CLI11 could not place. It takes all of it silently (allow_extras), so that a typo is named before anything else
/// is.
void refuse_extras(const CLI::App& app, const std::string& where) {
  const std::vector<std::string> extras = app.remaining();
  if (extras.empty()) return;
  const auto flag =
      std::find_if(extras.begin(), extras.end(), [](const std::string& word) { return word.starts_with("-"); });
  if (flag == extras.end()) {
    std::vector<std::string> parts;
    for (const CLI::App* part : app.get_subcommands({})) parts.push_back(part->get_name());
    if (!parts.empty() && app.get_parent() != nullptr) {
      throw UsageError("{}: \"{}\" is no part of it{}", where, extras.front(), did_you_mean(extras.front(), parts));
    }
    throw UsageError("{}: \"{}\" is one argument too many; see {} --help", where, extras.front(), where);
  }
  const std::string name = flag->substr(0, flag->find('='));
  throw UsageError("{}: \"{}\" is not a flag of this command{} (see {} --help)", where, name,
                   did_you_mean(name, flags_of(app)), where);
}

int parse_and_run(int argc, const char* const* argv) {
  CLI::App program(
      "Learns from skin photographs, and makes new ones to order: this condition, this size, here, on skin of this "
      "colour.",
      "dermgan");
  program.set_version_flag(
      "--version", [] { return "dermgan " + version(); }, "Print the version");
  program.set_help_flag("-h,--help", "Print this help");
  program.get_formatter()->column_width(30);
  program.footer(
      "Example:\n"
      "  dermgan prepare photographs --out D\n"
      "  dermgan train --recipe dermgan --data D --out runs --minutes 20\n"
      "  dermgan generate --bundle runs/00000-dermgan-D-256 --sweep size=0.1..0.6:6 --out grid\n"
      "\ndermgan VERB --help tells more about a verb. Exit codes: 0 done, 2 asked wrongly, 3 bad data, 4 a verdict "
      "said no, 130 interrupted, 1 our fault");
  std::vector<Verb> verbs{add_prepare(program),
                          add_train(program, quoted(argc, argv)),
                          add_generate(program),
                          add_evaluate(program, quoted(argc, argv)),
                          add_compare(program, quoted(argc, argv)),
                          add_explore(program, quoted(argc, argv)),
                          add_audit(program, quoted(argc, argv)),
                          add_study(program),
                          add_utility(program, quoted(argc, argv)),
                          add_phantom(program),
                          add_info(program)};
#ifdef DERM_SERVING
  verbs.push_back(add_serve(program));
#endif
  program.require_subcommand(0, 1);
  program.allow_extras();
  std::vector<std::string> names;
  for (const Verb& verb : verbs) {
    verb.app->allow_extras();
    for (CLI::App* part : verb.app->get_subcommands({})) part->allow_extras();
    names.push_back(verb.app->get_name());
  }

  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& answered) {  // --help, --version
    return program.exit(answered, std::cout, std::cerr);
  } catch (const CLI::ParseError& error) {
    const std::vector<CLI::App*> chosen = program.get_subcommands();
    const std::string where = chosen.empty() ? "dermgan" : "dermgan " + chosen.front()->get_name();
    throw UsageError("{}: {}; see {} --help", where, first_line(error.what()), where);
  }
  const std::vector<CLI::App*> chosen = program.get_subcommands();
  if (chosen.empty()) {
    const std::vector<std::string> extras = program.remaining();
    if (!extras.empty() && !extras.front().starts_with("-")) {
      throw UsageError("dermgan: \"{}\" is not a verb{}", extras.front(), did_you_mean(extras.front(), names));
    }
    refuse_extras(program, "dermgan");
    std::cerr << program.help();
    return 2;
  }
  const Verb& verb = *std::find_if(verbs.begin(), verbs.end(), [&](const Verb& v) { return v.app == chosen.front(); });
  const std::string where = "dermgan " + verb.app->get_name();
  refuse_extras(program, where);
  refuse_extras(*verb.app, where);
  for (const CLI::App* part : verb.app->get_subcommands()) refuse_extras(*part, where + " " + part->get_name());
  for (const CLI::Option* option : verb.required) {
    if (option->count() == 0) throw UsageError("{}: {} is missing; see {} --help", where, option->get_name(), where);
  }
  return verb.run();
}

int complain(const std::string& sentence, int code) {
  log_line(LogLevel::error, sentence);
  return code;
}

}  // namespace

int run(int argc, const char* const* argv) {
  try {
    const int code = parse_and_run(argc, argv);
    std::cout.flush();
    if (!std::cout) return complain("stdout: the answer could not be written; is the disk full?", kBadData);
    return code;
  } catch (const Error& error) {
    return complain(error.what(), error.exit_code());
  } catch (const std::filesystem::filesystem_error& error) {
    return complain(fmt::format("{}: {}", error.path1().string(), error.code().message()), kBadData);
  } catch (const c10::Error& error) {
    // what() is four kilobytes of trace.
    return complain("libtorch: " + first_line(error.what_without_backtrace()), kOurFault);
  } catch (const std::bad_alloc&) {
    return complain("out of memory; try a smaller --size, --batch or --threads", kOurFault);
  } catch (const std::exception& error) {
    return complain(first_line(error.what()), kOurFault);
  }
}

CLI::Option* add_repeatable(CLI::App& app, const std::string& name, std::vector<std::string>& values,
                            const std::string& help) {
  return app.add_option(name, values, help + " (repeatable)")->allow_extra_args(false);
}

void DeviceFlags::add(CLI::App& app) {
  app.add_option("--device", device, "auto, cpu, cuda, cuda:1")->capture_default_str();
  app.add_option("--precision", precision, "auto (bf16 where the processor gains from it), fp32, bf16")
      ->capture_default_str();
  app.add_option("--threads", threads, "0: every processor that this process may use")->capture_default_str();
}

std::unique_ptr<ranks::Group> join_ranks() {
  std::unique_ptr<ranks::Group> group = ranks::Group::join(ranks::place_from_environment());
  if (group && !group->leads()) {
    set_log_level(LogLevel::warning);
    Progress::silence();
  }
  return group;
}

std::pair<std::string, std::string> split_assignment(const std::string& flag, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) throw UsageError("{} {}: NAME=VALUE is expected", flag, text);
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void print_json(const nlohmann::ordered_json& json) {
  std::cout << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

void print_facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  size_t width = 0;
  for (const auto& [name, value] : facts) width = std::max(width, name.size());
  for (const auto& [name, value] : facts) std::cout << fmt::format("{:<{}}  {}\n", name, width, value);
}

}  // namespace derm::cli
