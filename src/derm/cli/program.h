#pragma once
// The program `dermgan`: `dermgan VERB`, a file a verb.

namespace derm::cli {

/// Reads the command line, runs the verb and returns the exit code: 0 done, 2 asked wrongly, 3 bad data, 4 a verdict
/// said no, 130 interrupted, 1 our fault. Nothing is thrown: every error ends as one sentence on stderr.
int run(int argc, const char* const* argv);

}  // namespace derm::cli
