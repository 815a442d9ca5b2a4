#include "derm/image/draw.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "derm/base/error.h"

namespace derm::image {
namespace {

constexpr int kGlyphWidth = 5, kGlyphHeight = 7, kAdvance = 6;
constexpr int kGlyphRows = kGlyphHeight + 2;  // g, j, p, q and y hang below the line

// The font as it looks: blocks of twelve characters in the order of ASCII from '!' to '~', the degree sign last. Each
// block is a line that names its characters and nine rows of dots, a character every eight columns.
constexpr int kBlock = 12;
constexpr std::string_view kFont = R"font(
!       "       #       $       %       &       '       (       )       *       +       ,
..#..   .#.#.   .#.#.   ..#..   ##..#   .##..   ..#..   ...#.   .#...   .....   .....   .....
..#..   .#.#.   .#.#.   .####   ##..#   #..#.   ..#..   ..#..   ..#..   ..#..   ..#..   .....
..#..   .#.#.   #####   #.#..   ...#.   #.#..   ..#..   .#...   ...#.   #.#.#   ..#..   .....
..#..   .....   .#.#.   .###.   ..#..   .#...   .....   .#...   ...#.   .###.   #####   .....
..#..   .....   #####   ..#.#   .#...   #.#.#   .....   .#...   ...#.   #.#.#   ..#..   .....
.....   .....   .#.#.   ####.   #..##   #..#.   .....   ..#..   ..#..   ..#..   ..#..   ..##.
..#..   .....   .#.#.   ..#..   #..##   .##.#   .....   ...#.   .#...   .....   .....   ..##.
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....   ...#.
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....   ..#..
-       .       /       0       1       2       3       4       5       6       7       8
.....   .....   ....#   .###.   ..#..   .###.   .###.   ...#.   #####   ..##.   #####   .###.
.....   .....   ....#   #...#   .##..   #...#   #...#   ..##.   #....   .#...   ....#   #...#
.....   .....   ...#.   #..##   ..#..   ....#   ....#   .#.#.   ####.   #....   ...#.   #...#
#####   .....   ..#..   #.#.#   ..#..   ...#.   ..##.   #..#.   ....#   ####.   ..#..   .###.
.....   .....   .#...   ##..#   ..#..   ..#..   ....#   #####   ....#   #...#   .#...   #...#
.....   .##..   #....   #...#   ..#..   .#...   #...#   ...#.   #...#   #...#   .#...   #...#
.....   .##..   #....   .###.   .###.   #####   .###.   ...#.   .###.   .###.   .#...   .###.
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....
9       :       ;       <       =       >       ?       @       A       B       C       D
.###.   .....   .....   ...#.   .....   .#...   .###.   .###.   .###.   ####.   .###.   ####.
#...#   .....   .....   ..#..   .....   ..#..   #...#   #...#   #...#   #...#   #...#   #...#
#...#   ..##.   ..##.   .#...   #####   ...#.   ....#   #.###   #...#   #...#   #....   #...#
.####   ..##.   ..##.   #....   .....   ....#   ...#.   #.#.#   #####   ####.   #....   #...#
....#   .....   .....   .#...   #####   ...#.   ..#..   #.###   #...#   #...#   #....   #...#
...#.   ..##.   ..##.   ..#..   .....   ..#..   .....   #....   #...#   #...#   #...#   #...#
.##..   ..##.   ..##.   ...#.   .....   .#...   ..#..   .###.   #...#   ####.   .###.   ####.
.....   .....   ...#.   .....   .....   .....   .....   .....   .....   .....   .....   .....
.....   .....   ..#..   .....   .....   .....   .....   .....   .....   .....   .....   .....
E       F       G       H       I       J       K       L       M       N       O       P
#####   #####   .###.   #...#   .###.   ..###   #...#   #....   #...#   #...#   .###.   ####.
#....   #....   #...#   #...#   ..#..   ...#.   #..#.   #....   ##.##   ##..#   #...#   #...#
#....   #....   #....   #...#   ..#..   ...#.   #.#..   #....   #.#.#   ##..#   #...#   #...#
####.   ####.   #.###   #####   ..#..   ...#.   ##...   #....   #.#.#   #.#.#   #...#   ####.
#....   #....   #...#   #...#   ..#..   ...#.   #.#..   #....   #...#   #..##   #...#   #....
#....   #....   #...#   #...#   ..#..   #..#.   #..#.   #....   #...#   #..##   #...#   #....
#####   #....   .###.   #...#   .###.   .##..   #...#   #####   #...#   #...#   .###.   #....
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....
Q       R       S       T       U       V       W       X       Y       Z       [       \
.###.   ####.   .####   #####   #...#   #...#   #...#   #...#   #...#   #####   .###.   #....
#...#   #...#   #....   ..#..   #...#   #...#   #...#   #...#   #...#   ....#   .#...   #....
#...#   #...#   #....   ..#..   #...#   #...#   #...#   .#.#.   .#.#.   ...#.   .#...   .#...
#...#   ####.   .###.   ..#..   #...#   #...#   #.#.#   ..#..   ..#..   ..#..   .#...   ..#..
#.#.#   #.#..   ....#   ..#..   #...#   .#.#.   #.#.#   .#.#.   ..#..   .#...   .#...   ...#.
#..#.   #..#.   ....#   ..#..   #...#   .#.#.   ##.##   #...#   ..#..   #....   .#...   ....#
.##.#   #...#   ####.   ..#..   .###.   ..#..   #...#   #...#   ..#..   #####   .###.   ....#
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .....
]       ^       _       `       a       b       c       d       e       f       g       h
.###.   ..#..   .....   .#...   .....   #....   .....   ....#   .....   ..##.   .....   #....
...#.   .#.#.   .....   ..#..   .....   #....   .....   ....#   .....   .#..#   .....   #....
...#.   #...#   .....   .....   .###.   ####.   .###.   .####   .###.   .#...   .####   #.##.
...#.   .....   .....   .....   ....#   #...#   #....   #...#   #...#   ###..   #...#   ##..#
...#.   .....   .....   .....   .####   #...#   #....   #...#   #####   .#...   #...#   #...#
...#.   .....   .....   .....   #...#   #...#   #...#   #...#   #....   .#...   #...#   #...#
.###.   .....   #####   .....   .####   ####.   .###.   .####   .###.   .#...   .####   #...#
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   ....#   .....
.....   .....   .....   .....   .....   .....   .....   .....   .....   .....   .###.   .....
i       j       k       l       m       n       o       p       q       r       s       t
..#..   ...#.   #....   .##..   .....   .....   .....   .....   .....   .....   .....   .#...
.....   .....   #....   ..#..   .....   .....   .....   .....   .....   .....   .....   .#...
.##..   ..##.   #..#.   ..#..   ##.#.   #.##.   .###.   ####.   .####   #.##.   .####   ###..
..#..   ...#.   #.#..   ..#..   #.#.#   ##..#   #...#   #...#   #...#   ##..#   #....   .#...
..#..   ...#.   ##...   ..#..   #.#.#   #...#   #...#   #...#   #...#   #....   .###.   .#...
..#..   ...#.   #.#..   ..#..   #.#.#   #...#   #...#   #...#   #...#   #....   ....#   .#..#
.###.   ...#.   #..#.   .###.   #.#.#   #...#   .###.   ####.   .####   #....   ####.   ..##.
.....   #..#.   .....   .....   .....   .....   .....   #....   ....#   .....   .....   .....
.....   .##..   .....   .....   .....   .....   .....   #....   ....#   .....   .....   .....
u       v       w       x       y       z       {       |       }       ~       o
.....   .....   .....   .....   .....   .....   ...##   ..#..   ##...   .....   .##..
.....   .....   .....   .....   .....   .....   ..#..   ..#..   ..#..   .....   #..#.
#...#   #...#   #...#   #...#   #...#   #####   ..#..   ..#..   ..#..   .#...   #..#.
#...#   #...#   #...#   .#.#.   #...#   ...#.   .#...   ..#..   ...#.   #.#.#   .##..
#...#   #...#   #.#.#   ..#..   #...#   ..#..   ..#..   ..#..   ..#..   ...#.   .....
#..##   .#.#.   #.#.#   .#.#.   #...#   .#...   ..#..   ..#..   ..#..   .....   .....
.##.#   ..#..   .#.#.   #...#   .####   #####   ...##   ..#..   ##...   .....   .....
.....   .....   .....   .....   ....#   .....   .....   .....   .....   .....   .....
.....   .....   .....   .....   .###.   .....   .....   .....   .....   .....   .....
)font";

constexpr int kFirst = '!', kLast = '~', kGlyphs = kLast - kFirst + 2;
constexpr uint32_t kDegree = 0xb0;
using Glyph = std::array<uint8_t, kGlyphRows>;  // a row a byte, bit 4 on the left

std::array<Glyph, kGlyphs> parse_font() {
  std::vector<std::string_view> lines;
  for (size_t at = 1; at < kFont.size();) {
    const size_t end = kFont.find('\n', at);
    lines.push_back(kFont.substr(at, end - at));
    at = end + 1;
  }
  std::array<Glyph, kGlyphs> glyphs{};
  for (int i = 0; i < kGlyphs; ++i) {
    for (int row = 0; row < kGlyphRows; ++row) {
      const std::string_view dots =
          lines.at(i / kBlock * (kGlyphRows + 1) + 1 + row).substr(i % kBlock * 8, kGlyphWidth);
      for (int x = 0; x < kGlyphWidth; ++x) {
        if (dots.at(x) == '#') glyphs[i][row] |= static_cast<uint8_t>(16 >> x);
      }
    }
  }
  return glyphs;
}

Glyph glyph_of(uint32_t code) {
  static const std::array<Glyph, kGlyphs> glyphs = parse_font();
  if (code == ' ') return {};
  if (code == kDegree) return glyphs[kGlyphs - 1];
  if (code < kFirst || code > kLast) code = '?';
  return glyphs[code - kFirst];
}

/// What each character of UTF-8 text shows as; several bytes are one character.
std::vector<uint32_t> characters(const std::string& text) {
  std::vector<uint32_t> result;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<uint8_t>(text[i++]);
    if (byte < 0x80) {
      result.push_back(byte);
      continue;
    }
    bool degree = byte == 0xc2;
    int more = 0;
    while (i < text.size() && (static_cast<uint8_t>(text[i]) & 0xc0) == 0x80 && more < 3) {
      degree = degree && static_cast<uint8_t>(text[i]) == 0xb0;
      ++i;
      ++more;
    }
    result.push_back(degree && more == 1 ? kDegree : '?');
  }
  return result;
}

void set_pixel(Image& image, int x, int y, Rgb colour) {
  uint8_t* p = image.at(x, y);
  if (image.channels == 3) {
    p[0] = colour.r;
    p[1] = colour.g;
    p[2] = colour.b;
  } else {
    p[0] = static_cast<uint8_t>((299 * colour.r + 587 * colour.g + 114 * colour.b + 500) / 1000);
  }
}

int line_height(int scale) { return kGlyphRows * scale + scale; }

/// Cuts `text` to `room` pixels, two dots in place of what is left out.
std::string fitted(const std::string& text, int room, int scale) {
  if (text_width(text, scale) <= room) return text;
  std::string cut = text;
  while (!cut.empty() && text_width(cut + "..", scale) > room) {
    // A whole character: its continuation bytes go with it.
    while (!cut.empty() && (static_cast<uint8_t>(cut.back()) & 0xc0) == 0x80) cut.pop_back();
    if (!cut.empty()) cut.pop_back();
  }
  return cut.empty() ? cut : cut + "..";
}

}  // namespace

void draw_text(Image& image, int x, int y, const std::string& text, Rgb colour, int scale) {
  if (scale < 1) throw UsageError("draw_text: the scale is {}; it must be at least 1", scale);
  for (const uint32_t code : characters(text)) {
    const Glyph glyph = glyph_of(code);
    for (int row = 0; row < kGlyphRows; ++row) {
      for (int column = 0; column < kGlyphWidth; ++column) {
        if (glyph[row] & 16 >> column) fill_rectangle(image, x + column * scale, y + row * scale, scale, scale, colour);
      }
    }
    x += kAdvance * scale;
  }
}

int text_width(const std::string& text, int scale) {
  const int count = static_cast<int>(characters(text).size());
  return count == 0 ? 0 : (count * kAdvance - (kAdvance - kGlyphWidth)) * scale;
}

void fill_rectangle(Image& image, int x, int y, int w, int h, Rgb colour) {
  const int right = std::min(image.width, x + w), bottom = std::min(image.height, y + h);
  for (int row = std::max(0, y); row < bottom; ++row) {
    for (int column = std::max(0, x); column < right; ++column) set_pixel(image, column, row, colour);
  }
}

void draw_rectangle(Image& image, int x, int y, int w, int h, Rgb colour, int thickness) {
  const int t = std::min({thickness, w, h});
  fill_rectangle(image, x, y, w, t, colour);
  fill_rectangle(image, x, y + h - t, w, t, colour);
  fill_rectangle(image, x, y, t, h, colour);
  fill_rectangle(image, x + w - t, y, t, h, colour);
}

void draw_mask_outline(Image& image, const Mask& mask, Rgb colour) {
  if (mask.channels != 1 || mask.width != image.width || mask.height != image.height) {
    throw UsageError(
        "draw_mask_outline: the mask is {}x{} with {} channels, the image {}x{}; the mask needs its size and 1 channel",
        mask.width, mask.height, mask.channels, image.width, image.height);
  }
  const auto set = [&](int x, int y) {
    return x >= 0 && y >= 0 && x < mask.width && y < mask.height && *mask.at(x, y) >= 128;
  };
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      if (set(x, y) && !(set(x - 1, y) && set(x + 1, y) && set(x, y - 1) && set(x, y + 1)))
        set_pixel(image, x, y, colour);
    }
  }
}

void paste(Image& target, const Image& source, int x, int y) {
  if (target.channels == 3 && source.channels == 1) return paste(target, to_rgb(source), x, y);
  if (target.channels != source.channels) {
    throw UsageError("paste: the picture has {} channels, what it goes onto {}; convert one of them", source.channels,
                     target.channels);
  }
  const int left = std::max(0, -x), right = std::min(source.width, target.width - x);
  if (left >= right) return;
  for (int row = std::max(0, -y); row < std::min(source.height, target.height - y); ++row) {
    std::copy_n(source.at(left, row), static_cast<size_t>(right - left) * source.channels,
                target.at(x + left, y + row));
  }
}

Image draw_grid(const Grid& grid) {
  constexpr Rgb kInk{34, 34, 34};
  int cell_w = 0, cell_h = 0;
  size_t columns = grid.column_labels.size();
  for (const auto& row : grid.rows) {
    columns = std::max(columns, row.size());
    for (const Image& cell : row) {
      if (cell.empty()) continue;
      if (cell_w == 0) {
        cell_w = cell.width;
        cell_h = cell.height;
      }
      if (cell.width != cell_w || cell.height != cell_h) {
        throw UsageError("draw_grid: pictures of {}x{} and {}x{}; all must have one size, resize them first", cell_w,
                         cell_h, cell.width, cell.height);
      }
    }
  }
  if (cell_w == 0) throw UsageError("draw_grid: the grid holds no picture; give it at least one");
  const size_t rows = std::max(grid.rows.size(), grid.row_labels.size());
  const int gap = std::max(0, grid.gap_px);

  // Two pixels a dot where the pictures are large enough for the longest label, else one.
  const auto widest = [](const std::vector<std::string>& labels, int scale) {
    int width = 0;
    for (const auto& label : labels) width = std::max(width, text_width(label, scale));
    return width;
  };
  const int scale = cell_w >= 128 && widest(grid.column_labels, 2) <= cell_w ? 2 : 1;
  const int left = grid.row_labels.empty() ? gap : widest(grid.row_labels, scale) + 6 * scale + gap;
  const int title_scale = scale + 1;
  const int title_height = grid.title.empty() ? 0 : line_height(title_scale) + 2 * scale;
  const int top = title_height + (grid.column_labels.empty() ? gap : line_height(scale) + gap);
  const int width = left + static_cast<int>(columns) * (cell_w + gap);
  Image result(width, top + static_cast<int>(rows) * (cell_h + gap), 3, 255);

  if (!grid.title.empty()) {
    const int used = text_width(grid.title, title_scale) <= width - 2 * gap ? title_scale : 1;
    draw_text(result, std::max(gap, 2), 2 * scale, fitted(grid.title, width - 2 * std::max(gap, 2), used), kInk, used);
  }
  for (size_t c = 0; c < grid.column_labels.size(); ++c) {
    const std::string label = fitted(grid.column_labels[c], cell_w, scale);
    const int x = left + static_cast<int>(c) * (cell_w + gap);
    draw_text(result, x + (cell_w - text_width(label, scale)) / 2, title_height + scale, label, kInk, scale);
  }
  for (size_t r = 0; r < rows; ++r) {
    const int y = top + static_cast<int>(r) * (cell_h + gap);
    if (r < grid.row_labels.size()) {
      const std::string& label = grid.row_labels[r];
      draw_text(result, left - gap - 3 * scale - text_width(label, scale), y + (cell_h - kGlyphHeight * scale) / 2,
                label, kInk, scale);
    }
    if (r >= grid.rows.size()) continue;
    for (size_t c = 0; c < grid.rows[r].size(); ++c) {
      if (!grid.rows[r][c].empty()) paste(result, grid.rows[r][c], left + static_cast<int>(c) * (cell_w + gap), y);
    }
  }
  return result;
}

}  // namespace derm::image
