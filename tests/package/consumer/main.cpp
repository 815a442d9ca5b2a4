// What an outside program does with the library: its own skin, and the recipes that were built in.
#include <cstdio>

#include "derm/generation/engine.h"
#include "derm/models/catalogue.h"
#include "derm/phantom/phantom.h"

int main() {
  derm::phantom::PhantomOptions options;
  options.size_px = 64;
  const derm::phantom::Phantom phantom = derm::phantom::make_phantom(options, 0);
  std::printf("%dx%d %s\n", phantom.rgb.width, phantom.rgb.height, phantom.truth.condition.c_str());
  for (const std::string& name : derm::models::catalogue().names()) std::printf("recipe %s\n", name.c_str());
  try {
    derm::generation::EngineOptions engine;
    engine.bundle = "no-such-bundle";
    derm::generation::Engine(engine, derm::models::catalogue());
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return phantom.rgb.width == 64 && !derm::models::catalogue().names().empty() ? 0 : 1;
  }
  return 1;
}
