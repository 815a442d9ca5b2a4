#include "derm/image/codec.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

// jpeglib.h needs FILE and size_t before it, and jerror.h needs jpeglib.h.
#include <jpeglib.h>
#include <png.h>

#include <jerror.h>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/image/jpeg.h"

// libpng and libjpeg leave an error by longjmp. Two rules keep that safe: whatever owns memory lives outside the
// function that calls setjmp, and a body run under setjmp has only plain variables.

namespace derm::image {
namespace {

enum class Alpha { over_white, over_black };

void check_size(const std::string& where, uint64_t width, uint64_t height, const Limits& limits) {
  if (width == 0 || height == 0) {
    throw DataError("{}: the image is {}x{} pixels; it must have at least one", where, width, height);
  }
  if (width > limits.max_pixels / height) {
    throw DataError("{}: the image is {}x{} pixels, more than the {} that are accepted; make it smaller", where, width,
                    height, limits.max_pixels);
  }
}

// ---------------------------------------------------------------------------------------------------------------- EXIF

/// Orientation (1 to 8) in a TIFF structure; 1 if there is none or it does not hold together.
int tiff_orientation(std::string_view tiff) {
  if (tiff.size() < 8) return 1;
  const bool big = tiff.substr(0, 2) == "MM";
  if (!big && tiff.substr(0, 2) != "II") return 1;
  const auto number = [&](size_t at, int bytes) -> uint64_t {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      const auto byte = static_cast<uint8_t>(tiff[big ? at + i : at + bytes - 1 - i]);
      value = value << 8 | byte;
    }
    return value;
  };
  if (number(2, 2) != 42) return 1;
  const uint64_t directory = number(4, 4);
  if (directory + 2 > tiff.size()) return 1;
  const uint64_t entries = number(directory, 2);
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.size()) return 1;
    constexpr uint64_t kOrientation = 0x112, kShort = 3, kLong = 4;
    if (number(entry, 2) != kOrientation) continue;
    const uint64_t type = number(entry + 2, 2);
    const uint64_t value = type == kShort ? number(entry + 8, 2) : type == kLong ? number(entry + 8, 4) : 1;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image upright(Image image, int orientation) {
  switch (orientation) {
    case 2: return flip_horizontal(image);
    case 3: return quarter_turns(image, 2);
    case 4: return quarter_turns(flip_horizontal(image), 2);
    case 5: return quarter_turns(flip_horizontal(image), 1);
    case 6: return quarter_turns(image, 3);
    case 7: return quarter_turns(flip_horizontal(image), 3);
    case 8: return quarter_turns(image, 1);
    default: return image;
  }
}

// ----------------------------------------------------------------------------------------------------------------- PNG

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

struct PngMessage {
  char text[200] = "";
};

[[noreturn]] void png_failed(png_structp png, png_const_charp message) {
  auto* kept = static_cast<PngMessage*>(png_get_error_ptr(png));
  std::snprintf(kept->text, sizeof kept->text, "%s", message);
  png_longjmp(png, 1);
}
void png_ignore(png_structp, png_const_charp) {}

struct PngInput {
  const char* data;
  size_t left;
};
void png_take(png_structp png, png_bytep to, size_t size) {
  auto* input = static_cast<PngInput*>(png_get_io_ptr(png));
  if (size > input->left) png_error(png, "the file ends too early");
  std::memcpy(to, input->data, size);
  input->data += size;
  input->left -= size;
}
void png_append(png_structp png, png_bytep data, size_t size) {
  bool kept = true;
  try {  // an exception must not pass through C
    static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(data), size);
  } catch (...) {
    kept = false;
  }
  if (!kept) png_error(png, "out of memory");
}
void png_nothing(png_structp) {}

/// Runs `body` with libpng's errors caught; false after one.
template <class Body>
bool png_try(png_structp png, const Body& body) {
  if (setjmp(png_jmpbuf(png))) return false;
  body();
  return true;
}

class PngReader {
 public:
  PngReader(std::string_view bytes, const std::string& where, const Limits& limits)
      : where_(where), limits_(limits), input_{bytes.data(), bytes.size()}, size_(bytes.size()) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &message_, png_failed, png_ignore);
    if (png_) info_ = png_create_info_struct(png_);
    if (!info_) {
      png_destroy_read_struct(&png_, &info_, nullptr);
      throw DataError("{}: libpng could not start (out of memory, or another version than it was built with)", where_);
    }
    png_set_read_fn(png_, &input_, png_take);
    // Our own limit on pixels comes below; libpng's guards compressed text and profiles against bombs.
    png_set_user_limits(png_, 0x7fffffff, 0x7fffffff);
    png_set_chunk_cache_max(png_, 1000);
    png_set_chunk_malloc_max(png_, 8 << 20);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  Image image(Alpha alpha) {
    png_uint_32 width = 0, height = 0;
    run([&] {
      png_read_info(png_, info_);
      width = png_get_image_width(png_, info_);
      height = png_get_image_height(png_, info_);
    });
    check_size(where_, width, height, limits_);
    size_t row_bytes = 0;
    run([&] { row_bytes = png_get_rowbytes(png_, info_); });
    // deflate packs at most 1032 to 1: what claims more is cut short, and needs no memory to find that out.
    if (height * row_bytes / 1032 > size_) {
      throw DataError("{}: the PNG claims {}x{} pixels but is only {} bytes long, so it is cut short; replace the file",
                      where_, width, height, size_);
    }
    int channels = 0, passes = 0;
    run([&] {
      // To 8 bit grey, grey and alpha, RGB or RGBA.
      png_set_expand(png_);
      png_set_scale_16(png_);
      passes = png_set_interlace_handling(png_);
      png_read_update_info(png_, info_);
      channels = png_get_channels(png_, info_);
      row_bytes = png_get_rowbytes(png_, info_);
    });
    if (channels < 1 || channels > 4 || row_bytes != static_cast<size_t>(width) * channels) {
      throw DataError("{}: damaged PNG (rows of {} bytes in {} channels); save it again", where_, row_bytes, channels);
    }
    const int colours = channels >= 3 ? 3 : 1;
    Image result(static_cast<int>(width), static_cast<int>(height), colours);
    const bool opaque = channels == colours;  // then the rows go straight to their place
    std::vector<uint8_t> rows(opaque ? 0 : row_bytes * (passes == 1 ? 1 : height));
    if (passes == 1) {
      for (png_uint_32 y = 0; y < height; ++y) {
        uint8_t* row = opaque ? result.at(0, static_cast<int>(y)) : rows.data();
        if (!png_try(png_, [&] { png_read_row(png_, row, nullptr); })) fail();
        if (!opaque) lay_over(row, result.at(0, static_cast<int>(y)), width, colours, alpha);
      }
    } else {
      std::vector<png_bytep> pointers(height);
      for (png_uint_32 y = 0; y < height; ++y) {
        pointers[y] = opaque ? result.at(0, static_cast<int>(y)) : &rows[y * row_bytes];
      }
      png_bytep* first = pointers.data();
      run([&] { png_read_image(png_, first); });
      for (png_uint_32 y = 0; y < height && !opaque; ++y) {
        lay_over(pointers[y], result.at(0, static_cast<int>(y)), width, colours, alpha);
      }
    }
    int orientation = 1;
    run([&] { png_read_end(png_, info_); });
    png_bytep exif = nullptr;
    png_uint_32 exif_size = 0;
    run([&] { png_get_eXIf_1(png_, info_, &exif_size, &exif); });
    if (exif) orientation = tiff_orientation({reinterpret_cast<const char*>(exif), exif_size});
    return upright(std::move(result), orientation);
  }

  TextChunks text() {
    run([&] { png_read_info(png_, info_); });
    check_size(where_, png_get_image_width(png_, info_), png_get_image_height(png_, info_), limits_);
    run([&] {
      // The pixels have to be gone through to reach the text behind them.
      const int passes = png_set_interlace_handling(png_);
      png_read_update_info(png_, info_);
      const png_uint_32 rows = passes * png_get_image_height(png_, info_);
      for (png_uint_32 y = 0; y < rows; ++y) png_read_row(png_, nullptr, nullptr);
      png_read_end(png_, info_);
    });
    png_textp items = nullptr;
    int count = 0;
    run([&] { png_get_text(png_, info_, &items, &count); });
    TextChunks result;
    for (int i = 0; i < count; ++i) {
      const bool utf8 =
          items[i].compression == PNG_ITXT_COMPRESSION_NONE || items[i].compression == PNG_ITXT_COMPRESSION_zTXt;
      const size_t size = utf8 ? items[i].itxt_length : items[i].text_length;
      const std::string_view raw = items[i].text ? std::string_view(items[i].text, size) : std::string_view();
      std::string& to = result[items[i].key];
      to.clear();
      if (utf8) {
        to = raw;
        continue;
      }
      for (const char c : raw) {
        const auto byte = static_cast<uint8_t>(c);
        if (byte >= 0x80) {
          to += static_cast<char>(0xc0 | byte >> 6);
          to += static_cast<char>(0x80 | (byte & 0x3f));
        } else {
          to += c;
        }
      }
    }
    return result;
  }

 private:
  template <class Body>
  void run(const Body& body) {
    if (!png_try(png_, body)) fail();
  }
  [[noreturn]] void fail() const { throw DataError("{}: damaged PNG ({}); replace the file", where_, message_.text); }

  static void lay_over(const uint8_t* row, uint8_t* to, size_t width, int colours, Alpha alpha) {
    const int ground = alpha == Alpha::over_white ? 255 : 0;
    for (size_t x = 0; x < width; ++x, row += colours + 1, to += colours) {
      const int a = row[colours];
      for (int c = 0; c < colours; ++c) to[c] = static_cast<uint8_t>((row[c] * a + ground * (255 - a) + 127) / 255);
    }
  }

  const std::string& where_;
  const Limits& limits_;
  PngInput input_;
  size_t size_;
  PngMessage message_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

/// UTF-8 to code points; false if it is not UTF-8.
bool code_points(std::string_view text, std::vector<uint32_t>& out) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const int more = lead < 0x80                   ? 0
                     : lead >= 0xc2 && lead < 0xe0 ? 1
                     : lead >= 0xe0 && lead < 0xf0 ? 2
                     : lead >= 0xf0 && lead < 0xf5 ? 3
                                                   : -1;
    if (more < 0 || i + more >= text.size()) return false;
    uint32_t code = more == 0 ? lead : lead & (0x3f >> more);
    for (int k = 1; k <= more; ++k) {
      const auto byte = static_cast<uint8_t>(text[i + k]);
      if ((byte & 0xc0) != 0x80) return false;
      code = code << 6 | (byte & 0x3f);
    }
    constexpr uint32_t kLeast[4] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    out.push_back(code);
    i += more + 1;
  }
  return true;
}

struct TextEntry {
  std::string keyword, text;
  bool latin1 = false;
};

std::vector<TextEntry> text_entries(const TextChunks& chunks) {
  std::vector<TextEntry> result;
  for (const auto& [keyword, text] : chunks) {
    const bool plain = std::all_of(keyword.begin(), keyword.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (keyword.empty() || keyword.size() > 79 || !plain || keyword.front() == ' ' || keyword.back() == ' ' ||
        keyword.find("  ") != std::string::npos) {
      throw UsageError(
          "PNG text: the keyword '{}' is not 1 to 79 printable ASCII characters without outer or double spaces; choose "
          "another",
          keyword);
    }
    std::vector<uint32_t> codes;
    if (!code_points(text, codes) || std::find(codes.begin(), codes.end(), 0u) != codes.end()) {
      throw UsageError("PNG text: the text of '{}' is not UTF-8 without zero bytes; encode it so", keyword);
    }
    TextEntry entry{keyword, text, true};
    for (const uint32_t code : codes)
      entry.latin1 = entry.latin1 && ((code >= 0x20 && code < 0x7f) || (code >= 0xa0 && code < 0x100));
    if (entry.latin1) {
      entry.text.clear();
      for (const uint32_t code : codes) entry.text += static_cast<char>(static_cast<uint8_t>(code));
    }
    result.push_back(std::move(entry));
  }
  return result;
}

void require_image(const Image& image, const char* what) {
  const bool whole = image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3) &&
                     image.pixels.size() == static_cast<size_t>(image.width) * image.height * image.channels;
  if (!whole) {
    throw UsageError("{}: the image is {}x{} with {} channels and {} values; it needs pixels and 1 or 3 channels", what,
                     image.width, image.height, image.channels, image.pixels.size());
  }
}

class PngWriter {
 public:
  PngWriter() {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, &message_, png_failed, png_ignore);
    if (png_) info_ = png_create_info_struct(png_);
    if (!info_) {
      png_destroy_write_struct(&png_, &info_);
      throw DataError("PNG: libpng could not start (out of memory, or another version than it was built with)");
    }
    png_set_write_fn(png_, &bytes_, png_append, png_nothing);
  }
  ~PngWriter() { png_destroy_write_struct(&png_, &info_); }
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;

  std::string write(const Image& image, const TextChunks& chunks) {
    std::vector<TextEntry> entries = text_entries(chunks);
    std::vector<png_text> texts(entries.size());
    static char no_language[] = "";
    for (size_t i = 0; i < entries.size(); ++i) {
      png_text& t = texts[i];
      std::memset(&t, 0, sizeof t);
      t.compression = entries[i].latin1 ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
      t.key = entries[i].keyword.data();
      t.text = entries[i].text.data();
      (entries[i].latin1 ? t.text_length : t.itxt_length) = entries[i].text.size();
      t.lang = no_language;
      t.lang_key = no_language;
    }
    const bool done = png_try(png_, [&] {
      png_set_user_limits(png_, 0x7fffffff, 0x7fffffff);
      png_set_IHDR(png_, info_, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8,
                   image.channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                   PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
      // All named, so that another default of the library changes no byte.
      png_set_compression_level(png_, 6);
      png_set_compression_mem_level(png_, 8);
      // Z_RLE on a colour photograph: six times as quick as level 6's search for 6 % more bytes. Flat masks gain from
      // the search.
      png_set_compression_strategy(png_, image.channels == 3 ? 3 : 0);
      png_set_compression_window_bits(png_, 15);
      png_set_compression_buffer_size(png_, 1 << 16);
      png_set_filter(png_, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB | PNG_FILTER_UP | PNG_FILTER_PAETH);
      if (!texts.empty()) png_set_text(png_, info_, texts.data(), static_cast<int>(texts.size()));
      png_write_info(png_, info_);
      for (int y = 0; y < image.height; ++y) png_write_row(png_, image.at(0, y));
      png_write_end(png_, nullptr);
    });
    if (!done) throw DataError("PNG: the image could not be written ({})", message_.text);
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
  PngMessage message_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

// ---------------------------------------------------------------------------------------------------------------- JPEG

struct JpegErrors {
  jpeg_error_mgr manager;  // first, so that its address is ours
  jmp_buf back;
  char text[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void jpeg_failed(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->text);
  std::longjmp(errors->back, 1);
}

/// Warnings after which libjpeg would fill the rest of the picture with grey.
void jpeg_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_ARITH_BAD_CODE: jpeg_failed(info);
    default: ++info->err->num_warnings;
  }
}

void jpeg_silent(j_common_ptr) {}

/// A few bytes can ask for thousands of scans over a huge picture; real files have about ten.
void jpeg_count_scans(j_common_ptr info) {
  constexpr int kMostScans = 200;
  if (!info->is_decompressor) return;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMostScans) {
    auto* errors = reinterpret_cast<JpegErrors*>(info->err);
    std::snprintf(errors->text, sizeof errors->text, "more than %d scans", kMostScans);
    std::longjmp(errors->back, 1);
  }
}

void set_up(JpegErrors& errors) {
  jpeg_std_error(&errors.manager);
  errors.manager.error_exit = jpeg_failed;
  errors.manager.emit_message = jpeg_message;
  errors.manager.output_message = jpeg_silent;
}

template <class Body>
bool jpeg_try(JpegErrors& errors, const Body& body) {
  if (setjmp(errors.back)) return false;
  body();
  return true;
}

class JpegReader {
 public:
  JpegReader(std::string_view bytes, const std::string& where, const Limits& limits)
      : where_(where), limits_(limits), size_(bytes.size()) {
    std::memset(&info_, 0, sizeof info_);
    set_up(errors_);
    info_.err = &errors_.manager;
    // On failure libjpeg has nothing to give back, or jpeg_destroy copes with it (mem is then null).
    const bool started = jpeg_try(errors_, [&] {
      jpeg_create_decompress(&info_);
      progress_.progress_monitor = jpeg_count_scans;
      info_.progress = &progress_;
      jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
      jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xffff);
    });
    if (!started) {
      jpeg_destroy_decompress(&info_);
      fail();
    }
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  Image image() {
    run([&] { jpeg_read_header(&info_, TRUE); });
    check_size(where_, info_.image_width, info_.image_height, limits_);
    // Huffman codes spend at least a bit on each block of 8x8: what claims more is cut short, and needs no memory to
    // find out.
    if (!info_.arith_code && uint64_t{info_.image_width} * info_.image_height / (64 * 8) > size_) {
      throw DataError(
          "{}: the JPEG claims {}x{} pixels but is only {} bytes long, so it is cut short; replace the file", where_,
          info_.image_width, info_.image_height, size_);
    }
    const bool cmyk = info_.num_components == 4;
    run([&] {
      info_.out_color_space = info_.num_components == 1 ? JCS_GRAYSCALE : cmyk ? JCS_CMYK : JCS_RGB;
      jpeg_start_decompress(&info_);
    });
    const int channels = info_.output_components;
    if (channels != (cmyk ? 4 : info_.num_components == 1 ? 1 : 3)) {
      throw DataError("{}: the JPEG has {} components; 1, 3 and 4 are read", where_, info_.num_components);
    }
    Image result(static_cast<int>(info_.output_width), static_cast<int>(info_.output_height), cmyk ? 3 : channels);
    std::vector<uint8_t> inks(cmyk ? static_cast<size_t>(info_.output_width) * 4 : 0);
    uint8_t* inks_row = inks.data();
    const int turned = orientation();  // now, for the markers are gone at the end
    run([&] {
      while (info_.output_scanline < info_.output_height) {
        uint8_t* to = result.at(0, static_cast<int>(info_.output_scanline));
        JSAMPROW row = cmyk ? inks_row : to;
        jpeg_read_scanlines(&info_, &row, 1);
        // Adobe's convention, which everyone follows: inks are stored inverted, so that 255 is no ink.
        for (size_t x = 0; cmyk && x < info_.output_width; ++x) {
          const uint8_t* ink = inks_row + 4 * x;
          for (int c = 0; c < 3; ++c) to[3 * x + c] = static_cast<uint8_t>((ink[c] * ink[3] + 127) / 255);
        }
      }
      jpeg_finish_decompress(&info_);
    });
    return upright(std::move(result), turned);
  }

 private:
  template <class Body>
  void run(const Body& body) {
    if (!jpeg_try(errors_, body)) fail();
  }
  [[noreturn]] void fail() const { throw DataError("{}: damaged JPEG ({}); replace the file", where_, errors_.text); }

  int orientation() const {
    constexpr std::string_view kExif("Exif\0\0", 6);
    for (auto* marker = info_.marker_list; marker; marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (marker->marker == JPEG_APP0 + 1 && data.starts_with(kExif))
        return tiff_orientation(data.substr(kExif.size()));
    }
    return 1;
  }

  const std::string& where_;
  const Limits& limits_;
  size_t size_;
  JpegErrors errors_;
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct info_;
};

/// libjpeg's own memory destination loses its buffer after an error; this one leaves the bytes with us.
struct JpegOutput {
  jpeg_destination_mgr manager;  // first, so that its address is ours
  std::string bytes;
  JOCTET block[1 << 14];
};
void output_start(j_compress_ptr info) {
  auto* output = reinterpret_cast<JpegOutput*>(info->dest);
  output->manager.next_output_byte = output->block;
  output->manager.free_in_buffer = sizeof output->block;
}
void output_keep(j_compress_ptr info, size_t size) {
  auto* output = reinterpret_cast<JpegOutput*>(info->dest);
  bool kept = true;
  try {  // an exception must not pass through C
    output->bytes.append(reinterpret_cast<const char*>(output->block), size);
  } catch (...) {
    kept = false;
  }
  if (!kept) ERREXIT1(info, JERR_OUT_OF_MEMORY, 0);
}
boolean output_full(j_compress_ptr info) {
  output_keep(info, sizeof(JpegOutput::block));
  output_start(info);
  return TRUE;
}
void output_end(j_compress_ptr info) { output_keep(info, sizeof(JpegOutput::block) - info->dest->free_in_buffer); }

class JpegWriter {
 public:
  JpegWriter() {
    std::memset(&info_, 0, sizeof info_);
    set_up(errors_);
    info_.err = &errors_.manager;
    output_.manager = {};
    output_.manager.init_destination = output_start;
    output_.manager.empty_output_buffer = output_full;
    output_.manager.term_destination = output_end;
  }
  ~JpegWriter() { jpeg_destroy_compress(&info_); }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;

  /// @param alike  code tables of the standard instead of the picture's own, and full chroma at any quality
  std::string write(const Image& image, int quality, bool alike = false) {
    const bool done = jpeg_try(errors_, [&] {
      jpeg_create_compress(&info_);
      info_.dest = &output_.manager;
      info_.image_width = static_cast<JDIMENSION>(image.width);
      info_.image_height = static_cast<JDIMENSION>(image.height);
      info_.input_components = image.channels;
      info_.in_color_space = image.channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
      jpeg_set_defaults(&info_);
      jpeg_set_quality(&info_, quality, TRUE);
      info_.optimize_coding = alike ? FALSE : TRUE;
      // Whoever asks for high quality wants the colour too: full chroma instead of a quarter.
      if (alike || quality >= 90) info_.comp_info[0].h_samp_factor = info_.comp_info[0].v_samp_factor = 1;
      jpeg_start_compress(&info_, TRUE);
      while (info_.next_scanline < info_.image_height) {
        JSAMPROW row = const_cast<uint8_t*>(image.at(0, static_cast<int>(info_.next_scanline)));
        jpeg_write_scanlines(&info_, &row, 1);
      }
      jpeg_finish_compress(&info_);
    });
    if (!done)
      throw DataError("JPEG: the image of {}x{} could not be written ({})", image.width, image.height, errors_.text);
    return std::move(output_.bytes);
  }

 private:
  JpegErrors errors_;
  JpegOutput output_;
  jpeg_compress_struct info_;
};

// ---------------------------------------------------------------------------------------------------------------------

/// What a file is that we do not read, for the message.
std::string kind_of(std::string_view bytes) {
  if (bytes.empty()) return "is empty";
  const auto has = [&](size_t at, std::string_view what) {
    return bytes.size() >= at && bytes.substr(at).starts_with(what);
  };
  if (has(0, "GIF8")) return "is a GIF";
  if (has(0, "RIFF") && has(8, "WEBP")) return "is a WebP";
  if (has(0, "BM")) return "is a BMP";
  if (has(0, std::string_view("II*\0", 4)) || has(0, std::string_view("MM\0*", 4))) return "is a TIFF";
  if (has(4, "ftyp")) return "is a HEIC, AVIF or video";
  if (has(0, "\x76\x2f\x31\x01")) return "is an OpenEXR";
  std::string hex;
  for (const char c : bytes.substr(0, 4)) hex += fmt::format(" {:02x}", static_cast<uint8_t>(c));
  return "starts with" + hex;
}

Image decode(std::string_view bytes, const std::string& where, const Limits& limits, Alpha alpha) {
  if (bytes.size() > limits.max_file_bytes) {
    throw DataError("{}: {} bytes, more than the {} that are accepted; make it smaller", where, bytes.size(),
                    limits.max_file_bytes);
  }
  // An Image counts its sides in int.
  Limits bounded = limits;
  bounded.max_pixels = std::min(limits.max_pixels, uint64_t{0x7fffffff});
  if (bytes.starts_with(kPngSignature)) return PngReader(bytes, where, bounded).image(alpha);
  if (bytes.starts_with("\xff\xd8\xff")) return JpegReader(bytes, where, bounded).image();
  throw DataError("{}: {}; a PNG or JPEG image was expected, convert it to one", where, kind_of(bytes));
}

}  // namespace

Image decode_image(std::string_view bytes, const std::string& where, const Limits& limits) {
  return decode(bytes, where, limits, Alpha::over_white);
}

Image read_image(const std::filesystem::path& path, const Limits& limits) {
  return decode_image(read_file(path, limits.max_file_bytes), path.string(), limits);
}

Mask read_mask(const std::filesystem::path& path, const Limits& limits) {
  // Over black: what is transparent in a mask was not painted.
  const Image image = decode(read_file(path, limits.max_file_bytes), path.string(), limits, Alpha::over_black);
  Mask mask(image.width, image.height, 1);
  const uint8_t* from = image.pixels.data();
  for (uint8_t& to : mask.pixels) {
    const int luminance = image.channels == 1 ? from[0] : (299 * from[0] + 587 * from[1] + 114 * from[2] + 500) / 1000;
    to = luminance >= 128 ? 255 : 0;
    from += image.channels;
  }
  return mask;
}

std::string encode_png(const Image& image, const TextChunks& text) {
  require_image(image, "encode_png");
  return PngWriter().write(image, text);
}

void write_png(const std::filesystem::path& path, const Image& image, const TextChunks& text) {
  write_file(path, encode_png(image, text));
}

TextChunks read_png_text(const std::filesystem::path& path) {
  const Limits limits;
  const std::string bytes = read_file(path, limits.max_file_bytes);
  const std::string where = path.string();
  if (!bytes.starts_with(kPngSignature)) throw DataError("{}: {}; a PNG image was expected", where, kind_of(bytes));
  return PngReader(bytes, where, limits).text();
}

std::string encode_jpeg(const Image& image, int quality) {
  require_image(image, "encode_jpeg");
  if (quality < 1 || quality > 100) throw UsageError("encode_jpeg: the quality is {}; it goes from 1 to 100", quality);
  return JpegWriter().write(image, quality);
}

std::string encode_jpeg_alike(const Image& image, int quality) {
  require_image(image, "encode_jpeg_alike");
  if (quality < 1 || quality > 100) {
    throw UsageError("encode_jpeg_alike: the quality is {}; it goes from 1 to 100", quality);
  }
  return JpegWriter().write(image, quality, true);
}

}  // namespace derm::image
