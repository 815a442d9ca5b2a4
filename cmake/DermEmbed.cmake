# cmake -D OUT=embedded.cpp -D PAGES=a;b;c -D OPENAPI=openapi.json -P DermEmbed.cmake
# Files as arrays of bytes in a C++ source.
function(derm_bytes file variable)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "((0x..,){24})" "\\1\n" bytes "${bytes}")
  set(${variable} "${bytes}" PARENT_SCOPE)
endfunction()

set(arrays "")
set(rows "")
set(number 0)
foreach(page IN LISTS PAGES)
  get_filename_component(name ${page} NAME)
  get_filename_component(extension ${page} LAST_EXT)
  set(path "/${name}")
  if(name STREQUAL "index.html")
    set(path "/")
  endif()
  if(extension STREQUAL ".html")
    set(type "text/html; charset=utf-8")
  elseif(extension STREQUAL ".js")
    set(type "text/javascript; charset=utf-8")
  elseif(extension STREQUAL ".css")
    set(type "text/css; charset=utf-8")
  elseif(extension STREQUAL ".svg")
    set(type "image/svg+xml")
  else()
    message(FATAL_ERROR "${page}: no content type is known for ${extension}")
  endif()
  derm_bytes(${page} bytes)
  string(APPEND arrays "const unsigned char kPage${number}[] = {\n${bytes}};\n")
  string(APPEND rows "      {\"${path}\", \"${type}\", text(kPage${number}, sizeof kPage${number})},\n")
  math(EXPR number "${number} + 1")
endforeach()
derm_bytes(${OPENAPI} bytes)
file(WRITE ${OUT}
"// Written by cmake/DermEmbed.cmake.
#include \"derm/serving/service.h\"
namespace derm::serving {
namespace {
${arrays}const unsigned char kOpenApi[] = {
${bytes}};
std::string text(const unsigned char* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }
}  // namespace
const std::vector<StudioFile>& studio_files() {
  static const std::vector<StudioFile> files = {
${rows}  };
  return files;
}
const std::string& openapi_text() {
  static const std::string document = text(kOpenApi, sizeof kOpenApi);
  return document;
}
}  // namespace derm::serving
")
