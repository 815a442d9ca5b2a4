#include "derm/base/system.h"
#include "derm/cli/program.h"

int main(int argc, char** argv) {
  derm::catch_interrupts();
  return derm::cli::run(argc, argv);
}
