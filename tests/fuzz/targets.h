#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace derm::fuzz {

/// A parser fed with any bytes. It may refuse them by a derm::Error; anything else thrown, a crash or a hang is a
/// mistake.
using Target = std::function<void(std::string_view bytes)>;

/// By name, which is also the name of the folder with its corpus.
const std::map<std::string, Target>& targets();

}  // namespace derm::fuzz
