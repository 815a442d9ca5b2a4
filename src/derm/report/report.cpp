#include "derm/report/report.h"

#include <algorithm>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/image/codec.h"
#include "derm/image/resize.h"

namespace derm::report {
namespace {

// Colours of series: Okabe and Ito's, which people with a colour deficiency tell apart; darker or lighter to suit the
// ground.
constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--ground:#fff;--ink:#1d1d1f;--soft:#5c5c63;--line:#d9d9de;--shade:#f4f4f6;--note:#fff4d6;--band:#8c8c9638;
--c0:#0072b2;--c1:#c24e00;--c2:#007a5a;--c3:#a8497f;--c4:#8a6d00;--c5:#2b83ba;--c6:#1d1d1f;--c7:#7a5195}
@media(prefers-color-scheme:dark){:root{--ground:#16161a;--ink:#ececf0;--soft:#a9a9b3;--line:#3a3a42;--shade:#212127;--note:#3b3115;
--band:#a9a9b338;--c0:#56b4e9;--c1:#ff9a4d;--c2:#2fc79a;--c3:#e58fbf;--c4:#f0e442;--c5:#8fc7ee;--c6:#ececf0;--c7:#c3a6e0}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,sans-serif;overflow-wrap:break-word}
header,main,nav,footer{max-width:62rem;margin:0 auto;padding:0 1.1rem}
h1{margin:1.6rem 0 .2rem;font-size:1.8rem;line-height:1.2}
h2{margin:2.2rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--line);font-size:1.35rem}
h3{margin:1.6rem 0 .4rem;font-size:1.08rem}
p,ul{max-width:46rem}
.subtitle{margin:0 0 1rem;color:var(--soft)}
nav ul{padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem}
a{color:var(--c0)}
.note{margin:1rem 0;padding:.7rem 1rem;background:var(--note);border-left:4px solid var(--c4);max-width:46rem}
pre{background:var(--shade);padding:.8rem 1rem;overflow-x:auto;font-size:.88rem}
figure{margin:1.2rem 0}
figure img{display:block;max-width:100%;height:auto}
.gallery{display:flex;flex-wrap:wrap;gap:.8rem}
.gallery figure{margin:0;flex:0 1 auto}
.gallery figcaption{padding:.2rem 0;font-size:.82rem;line-height:1.35}
.scroll+figcaption{margin-top:-1.2rem}
figcaption,caption{color:var(--soft);font-size:.92rem;text-align:left;padding:.4rem 0;max-width:46rem}
.scroll{overflow-x:auto;margin:1.2rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.32rem .8rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{border-bottom:2px solid var(--soft);vertical-align:bottom}
tbody th{font-weight:500}
.number{text-align:right;white-space:nowrap}
svg.plot{display:block;width:100%;min-width:30rem;max-width:52rem;height:auto;font:12px system-ui,sans-serif}
svg text{fill:var(--ink)}
svg .label{font-size:13px}
svg .middle{text-anchor:middle}
svg .end{text-anchor:end}
svg path{fill:none}
svg .grid{stroke:var(--line);stroke-width:.7}
svg .axis{stroke:var(--soft)}
svg path.band{fill:var(--band)}
svg .identity{stroke:var(--soft);stroke-dasharray:5 5}
svg .line{stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}
svg .d1{stroke-dasharray:7 4}
svg .d2{stroke-dasharray:2 4}
svg .dots{stroke-width:5.5;stroke-opacity:.75}
svg .round{stroke-linecap:round}
svg .square{stroke-linecap:square;stroke-width:4.5}
svg .c0{stroke:var(--c0)}svg .c1{stroke:var(--c1)}svg .c2{stroke:var(--c2)}svg .c3{stroke:var(--c3)}
svg .c4{stroke:var(--c4)}svg .c5{stroke:var(--c5)}svg .c6{stroke:var(--c6)}svg .c7{stroke:var(--c7)}
svg .bar{stroke:none}
svg .bar.c0{fill:var(--c0)}svg .bar.c1{fill:var(--c1)}svg .bar.c2{fill:var(--c2)}svg .bar.c3{fill:var(--c3)}
svg .bar.c4{fill:var(--c4)}svg .bar.c5{fill:var(--c5)}svg .bar.c6{fill:var(--c6)}svg .bar.c7{fill:var(--c7)}
svg .bar{fill-opacity:.72}
svg .whisker{stroke:var(--ink);stroke-width:1.4}
@media(max-width:40rem){body{font-size:15px}th,td{padding:.3rem .5rem}}
@media print{h2{break-after:avoid}figure,tr{break-inside:avoid}}
)css";

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

/// Length of the UTF-8 character at `at`; 0 if there is none.
size_t utf8_length(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto follows = [&](size_t i, int low = 0x80, int high = 0xbf) { return byte(i) >= low && byte(i) <= high; };
  const int lead = byte(at);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return follows(at + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {  // neither overlong nor half a surrogate pair
    return follows(at + 1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf) && follows(at + 2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    return follows(at + 1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf) && follows(at + 2) && follows(at + 3)
               ? 4
               : 0;
  }
  return 0;
}

/// Numbers, percentages, ranges, "3.1 ± 0.2", "0.4 [0.3, 0.5]".
bool looks_like_number(const std::string& cell) {
  bool digit = false;
  for (size_t i = 0; i < cell.size(); ++i) {
    const char c = cell[i];
    if (c >= '0' && c <= '9') {
      digit = true;
    } else if (std::string_view("+-.,%()[]eEx: /").find(c) == std::string_view::npos) {
      // Beyond ASCII: plus-minus, degree, the minus sign and the dashes.
      bool known = false;
      for (const std::string_view sign : {"\u00b1", "\u00b0", "\u2212", "\u2013", "\u00d7"}) {
        if (std::string_view(cell).substr(i).starts_with(sign)) {
          i += sign.size() - 1;
          known = true;
          break;
        }
      }
      if (!known) return false;
    }
  }
  return digit;
}

constexpr int kJpegQuality = 88;

/// The picture as an <img> that is `width` pixels wide on the page.
std::string element_of(const image::Image& image, int width, const std::string& alt) {
  const std::string png = image::encode_png(image), jpeg = image::encode_jpeg(image, kJpegQuality);
  const bool lossy = 2 * jpeg.size() < png.size();
  const int height = std::max(1, image.height * width / std::max(1, image.width));
  return fmt::format(
      "<img width=\"{}\" height=\"{}\" loading=\"lazy\" decoding=\"async\" alt=\"{}\" "
      "src=\"data:image/{};base64,{}\">",
      width, height, escape(alt), lossy ? "jpeg" : "png", base64(lossy ? jpeg : png));
}

}  // namespace

std::string escape(const std::string& text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length != 1) {
      result += length == 0 ? kReplacement : std::string_view(text).substr(i, length);
      i += std::max<size_t>(length, 1);
      continue;
    }
    const char c = text[i++];
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      case '\n':
      case '\t': result += c; break;
      default:
        if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
          result += kReplacement;
        } else {
          result += c;
        }
    }
  }
  return result;
}

Page::Page(std::string title, std::string subtitle) : title_(std::move(title)), subtitle_(std::move(subtitle)) {}

Page& Page::heading(const std::string& text) {
  sections_.emplace_back(fmt::format("section-{}", sections_.size() + 1), text);
  body_ += fmt::format("<h2 id=\"{}\">{}</h2>\n", sections_.back().first, escape(text));
  return *this;
}

Page& Page::subheading(const std::string& text) {
  body_ += fmt::format("<h3>{}</h3>\n", escape(text));
  return *this;
}

Page& Page::paragraph(const std::string& text) {
  body_ += fmt::format("<p>{}</p>\n", escape(text));
  return *this;
}

Page& Page::note(const std::string& text) {
  body_ += fmt::format("<p class=\"note\" role=\"note\">{}</p>\n", escape(text));
  return *this;
}

Page& Page::code(const std::string& text) {
  body_ += fmt::format("<pre tabindex=\"0\"><code>{}</code></pre>\n", escape(text));
  return *this;
}

Page& Page::list(const std::vector<std::string>& items) {
  body_ += "<ul>\n";
  for (const auto& item : items) body_ += fmt::format("<li>{}</li>\n", escape(item));
  body_ += "</ul>\n";
  return *this;
}

Page& Page::table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                  const std::string& caption) {
  std::vector<bool> numbers(header.size(), !rows.empty());
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].size() != header.size()) {
      throw UsageError("table '{}': row {} has {} cells, the header {}; give each row as many", caption, r + 1,
                       rows[r].size(), header.size());
    }
    for (size_t c = 0; c < header.size(); ++c) {
      const std::string& cell = rows[r][c];
      if (!cell.empty() && cell != "-" && cell != "n/a" && !looks_like_number(cell)) numbers[c] = false;
    }
  }
  const auto style = [&](size_t c) { return c > 0 && numbers[c] ? " class=\"number\"" : ""; };
  body_ += fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>\n",
                       escape(caption.empty() ? "Table" : caption));
  if (!caption.empty()) body_ += fmt::format("<caption>{}</caption>\n", escape(caption));
  body_ += "<thead><tr>";
  for (size_t c = 0; c < header.size(); ++c)
    body_ += fmt::format("<th scope=\"col\"{}>{}</th>", style(c), escape(header[c]));
  body_ += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows) {
    body_ += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) {
      body_ += c == 0 ? fmt::format("<th scope=\"row\">{}</th>", escape(row[c]))
                      : fmt::format("<td{}>{}</td>", style(c), escape(row[c]));
    }
    body_ += "</tr>\n";
  }
  body_ += "</tbody></table></div>\n";
  return *this;
}

Page& Page::figure(const image::Image& image, const std::string& caption, const std::string& alt) {
  body_ += fmt::format("<figure>{}", element_of(image, image.width, alt));
  if (!caption.empty()) body_ += fmt::format("<figcaption>{}</figcaption>", escape(caption));
  body_ += "</figure>\n";
  return *this;
}

Page& Page::gallery(const std::vector<Thumbnail>& pictures, int width_px, const std::string& caption) {
  if (width_px < 1) throw UsageError("gallery: pictures {} px wide were asked for, at least 1 is needed", width_px);
  body_ += "<figure><div class=\"gallery\">\n";
  for (const Thumbnail& one : pictures) {
    const int shown = std::min(width_px, one.image.width), kept = std::min(2 * width_px, one.image.width);
    const int height = std::max(1, one.image.height * kept / std::max(1, one.image.width));
    body_ += fmt::format(
        "<figure style=\"max-width:{}px\">{}<figcaption>{}</figcaption></figure>\n", shown,
        element_of(kept < one.image.width ? image::resize(one.image, kept, height) : one.image, shown, one.alt),
        escape(one.caption));
  }
  body_ += "</div>\n";
  if (!caption.empty()) body_ += fmt::format("<figcaption>{}</figcaption>", escape(caption));
  body_ += "</figure>\n";
  return *this;
}

Page& Page::plot(const Plot& plot) {
  body_ += "<figure>\n";
  if (!plot.title.empty()) body_ += fmt::format("<h3>{}</h3>\n", escape(plot.title));
  body_ += fmt::format("<div class=\"scroll\" tabindex=\"0\">{}</div>\n", svg_of(plot));
  if (!plot.caption.empty()) body_ += fmt::format("<figcaption>{}</figcaption>\n", escape(plot.caption));
  body_ += "</figure>\n";
  return *this;
}

Page& Page::plot(const Bars& bars) {
  body_ += "<figure>\n";
  if (!bars.title.empty()) body_ += fmt::format("<h3>{}</h3>\n", escape(bars.title));
  body_ += fmt::format("<div class=\"scroll\" tabindex=\"0\">{}</div>\n", svg_of(bars));
  if (!bars.caption.empty()) body_ += fmt::format("<figcaption>{}</figcaption>\n", escape(bars.caption));
  body_ += "</figure>\n";
  return *this;
}

std::string Page::html() const {
  std::string html =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      // The page asks for nothing and runs nothing; the browser is told to hold it to that.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n";
  html += fmt::format("<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n", escape(title_), kStyle);
  html += fmt::format("<header>\n<h1>{}</h1>\n", escape(title_));
  if (!subtitle_.empty()) html += fmt::format("<p class=\"subtitle\">{}</p>\n", escape(subtitle_));
  html += "</header>\n";
  if (sections_.size() > 1) {
    html += "<nav aria-label=\"Contents\"><ul>\n";
    for (const auto& [id, text] : sections_) html += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", id, escape(text));
    html += "</ul></nav>\n";
  }
  html += "<main>\n";
  html += body_;
  html += "</main>\n</body>\n</html>\n";
  return html;
}

void Page::write(const std::filesystem::path& path) const { write_file(path, html()); }

}  // namespace derm::report
