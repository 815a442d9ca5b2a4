#pragma once
// What a verb is to the program. Each add_*() declares its flags on `program`; what runs is called after all flags were
// read.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace derm::ranks {
class Group;
}

namespace derm::cli {

struct Verb {
  CLI::App* app = nullptr;
  std::vector<CLI::Option*> required;  ///< checked after unknown flags, so that a mistyped one is named as such
  std::function<int()> run;            ///< returns the exit code
};

Verb add_prepare(CLI::App& program);
Verb add_train(CLI::App& program, const std::string& command_line);
Verb add_generate(CLI::App& program);
Verb add_evaluate(CLI::App& program, const std::string& command_line);
Verb add_compare(CLI::App& program, const std::string& command_line);
Verb add_explore(CLI::App& program, const std::string& command_line);
Verb add_audit(CLI::App& program, const std::string& command_line);
Verb add_study(CLI::App& program);
Verb add_utility(CLI::App& program, const std::string& command_line);
Verb add_phantom(CLI::App& program);
Verb add_info(CLI::App& program);
Verb add_serve(CLI::App& program);  ///< in builds with DERM_SERVING

/// A flag that takes one value each time it is given, as often as it is given.
CLI::Option* add_repeatable(CLI::App& app, const std::string& name, std::vector<std::string>& values,
                            const std::string& help);

/// Flags that every verb with a model shares.
struct DeviceFlags {
  std::string device = "auto", precision = "auto";
  int threads = 0;
  void add(CLI::App& app);
};

/// The processes that torchrun, mpirun or srun started with this one, nullptr if it is on its own. All but the first
/// keep silent but for warnings from here on.
std::unique_ptr<ranks::Group> join_ranks();

/// Splits "name=value". @throws UsageError naming the flag if there is no '=' or no name.
std::pair<std::string, std::string> split_assignment(const std::string& flag, const std::string& text);

/// Prints to stdout: a JSON document, or lines of a name and a value, the values in one column.
void print_json(const nlohmann::ordered_json& json);
void print_facts(const std::vector<std::pair<std::string, std::string>>& facts);

}  // namespace derm::cli
