#pragma once
// Drawing for sample grids and reports.
#include <string>
#include <vector>

#include "derm/image/colour.h"
#include "derm/image/image.h"

namespace derm::image {

/// Text in the built-in 5x7 font, `scale` pixels a dot; x, y is the left upper corner. Characters outside ASCII show as
/// '?' (the degree sign excepted). The tails of g, j, p, q, y hang two dots below the seven.
void draw_text(Image& image, int x, int y, const std::string& text, Rgb colour, int scale = 1);
int text_width(const std::string& text, int scale = 1);
void fill_rectangle(Image& image, int x, int y, int w, int h, Rgb colour);
void draw_rectangle(Image& image, int x, int y, int w, int h, Rgb colour, int thickness = 1);
void draw_mask_outline(Image& image, const Mask& mask, Rgb colour);
void paste(Image& target, const Image& source, int x, int y);  ///< clipped at the edges

/// Pictures of one size in rows, with labels above the columns, left of the rows and a title; missing pictures stay
/// blank.
struct Grid {
  std::vector<std::vector<Image>> rows;
  std::vector<std::string> column_labels, row_labels;  ///< empty: none
  std::string title;
  int gap_px = 2;
};
Image draw_grid(const Grid& grid);

}  // namespace derm::image
