#pragma once
// A ZIP archive in memory, its files stored as they are (PNG holds little that could be packed further).
#include <cstddef>
#include <string>
#include <string_view>

namespace derm::serving {

/// Writes what unzip, Python and every desktop read: no Zip64, so at most 65535 files and 4 GB. The same files give the
/// same bytes: the time stamp is always 1 January 1980.
class ZipWriter {
 public:
  /// @param name  relative, with '/', UTF-8. @throws UsageError: a name that is empty, absolute, holds ".." or a
  ///              backslash; too many files or bytes
  void add(const std::string& name, std::string_view bytes);
  /// The archive. The writer is empty afterwards.
  std::string finish();
  size_t files() const { return files_; }

 private:
  std::string data_, directory_;
  size_t files_ = 0;
};

}  // namespace derm::serving
