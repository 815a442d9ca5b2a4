#include "derm/report/report.h"

#include <cmath>
#include <limits>
#include <regex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"

namespace derm::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

int count(const std::string& text, const std::string& what) {
  int n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

TEST(Escape, LeavesNothingThatHtmlWouldRead) {
  EXPECT_EQ(escape("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  EXPECT_EQ(escape("caf\u00e9 25\u00b0 \u76ae \U0001f642"), "caf\u00e9 25\u00b0 \u76ae \U0001f642");
}

TEST(Escape, ShowsBytesThatAreNotTextAsOneSignEach) {
  const std::string sign = "\xef\xbf\xbd";
  EXPECT_EQ(escape("a\xff"
                   "b"),
            "a" + sign + "b");
  EXPECT_EQ(escape("\xc3"), sign);
  EXPECT_EQ(escape("\xed\xa0\x80"), sign + sign + sign);  // half a surrogate pair
  EXPECT_EQ(escape(std::string("a\0\x1b", 3)), "a" + sign + sign);
  EXPECT_EQ(escape("a\n\tb"), "a\n\tb");
}

TEST(Page, EscapesEveryTextItIsGiven) {
  const std::string evil = "<script>alert(\"x\")</script>";
  Plot plot;
  plot.title = plot.x_label = plot.y_label = plot.caption = plot.y_band_label = evil;
  plot.y_band = {0, 1};
  plot.series = {{evil, {0, 1}, {0, 1}}};
  Page page(evil, evil);
  page.heading(evil).heading(evil).subheading(evil).paragraph(evil).note(evil).code(evil).list({evil});
  page.table({evil, evil}, {{evil, evil}}, evil).figure(image::Image(2, 2, 3), evil, evil).plot(plot);
  Bars bars;
  bars.title = bars.y_label = bars.caption = evil;
  bars.groups = {evil};
  bars.series = {{evil, {1}, {0.5}, {2}}};
  page.plot(bars).gallery({{image::Image(2, 2, 3), evil, evil}}, 10, evil);
  const std::string html = page.html();
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("alert(\"")));
}

TEST(Page, TakesJpegWhereThatIsMuchSmallerAndPngElsewhere) {
  image::Image smooth(128, 128, 3), noise(128, 128, 3);
  Rng rng(1);
  for (int y = 0; y < 128; ++y) {
    for (int x = 0; x < 128; ++x) {
      for (int c = 0; c < 3; ++c) {
        smooth.at(x, y)[c] = static_cast<uint8_t>(100 + x + (x * y * (c + 3)) % 3);
        noise.at(x, y)[c] = static_cast<uint8_t>(rng.integer(0, 255));
      }
    }
  }
  const std::string photo = Page("p").figure(smooth, "", "a").html(),
                    flat = Page("p").figure(image::Image(64, 64, 3, 9), "", "a").html();
  EXPECT_THAT(photo, HasSubstr("data:image/jpeg;base64,/9j/"));
  EXPECT_THAT(flat, HasSubstr("data:image/png;base64,iVBORw0KGgo"));
  EXPECT_THAT(photo, HasSubstr("loading=\"lazy\""));
  // A gallery keeps twice the width that it shows: 80 of 128 px.
  const std::string small = Page("p").gallery({{noise, "one", "noise"}}, 40).html();
  EXPECT_THAT(small, HasSubstr("<img width=\"40\" height=\"40\""));
  EXPECT_LT(small.size(), 0.55 * static_cast<double>(Page("p").figure(noise, "one", "noise").html().size()));
  EXPECT_THROW(Page("p").gallery({}, 0), UsageError);
}

TEST(Bars, DrawsABarAWhiskerAndADashForWhatIsMissing) {
  const double nan = std::nan("");
  Bars bars;
  bars.title = "KID per tone";
  bars.groups = {"very_light", "tan", "dark"};
  bars.series = {{"synthetic", {0.01, 0.02, nan}, {0.005, nan, nan}, {0.015, nan, nan}},
                 {"floor", {-0.001, 0, 0}, {nan, nan, nan}, {nan, nan, nan}}};
  const std::string svg = svg_of(bars);
  EXPECT_EQ(count(svg, "class=\"whisker\""), 1);
  EXPECT_EQ(count(svg, ">-</text>"), 1);
  EXPECT_EQ(count(svg, "<path class=\"bar"), 2 + 5);  // two in the legend
  EXPECT_THAT(svg, HasSubstr("very_light 0.01;"));
  EXPECT_THAT(svg, HasSubstr("dark none;"));
  bars.series[0].low.pop_back();
  EXPECT_THROW(svg_of(bars), UsageError);
}

TEST(Page, NeedsNothingFromOutside) {
  Page page("Report", "of a test");
  page.heading("One").figure(image::Image(3, 2, 3, 9), "caption", "nine everywhere").heading("Two");
  const std::string html = page.html();
  EXPECT_THAT(html, HasSubstr("src=\"data:image/png;base64,iVBORw0KGgo"));
  EXPECT_THAT(html, HasSubstr("alt=\"nine everywhere\""));
  EXPECT_THAT(html, HasSubstr("href=\"#section-2\""));
  EXPECT_THAT(html, HasSubstr("id=\"section-2\""));
  EXPECT_THAT(html, Not(HasSubstr("http://")));
  EXPECT_THAT(html, Not(HasSubstr("https://")));
  EXPECT_THAT(html, Not(HasSubstr("<link")));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(html, HasSubstr("lang=\"en\""));
}

TEST(Page, ClosesWhatItOpens) {
  Plot plot;
  plot.series = {{"a", {0, 1}, {0, 1}, true, true}};
  Page page("t", "s");
  page.heading("h")
      .paragraph("p")
      .table({"a", "b"}, {{"x", "1"}})
      .plot(plot)
      .figure(image::Image(1, 1, 1), "c", "a")
      .heading("i");
  const std::string html = page.html();
  for (const char* tag :
       {"html", "head", "body", "main", "header", "nav", "figure", "figcaption", "table", "thead", "tbody",
        "tr",   "div",  "svg",  "g",    "text",   "p",   "h1",     "h2",         "ul",    "li",    "style"}) {
    const std::regex open(std::string("<") + tag + "[ >]");
    EXPECT_EQ(std::distance(std::sregex_iterator(html.begin(), html.end(), open), std::sregex_iterator()),
              count(html, std::string("</") + tag + ">"))
        << tag;
  }
}

TEST(Table, NamesItsRowsAndColumnsAndSetsNumbersRight) {
  Page page("t");
  page.table({"condition", "share", "note"}, {{"nevus", "12.5 %", "a"}, {"melanoma", "0.4 [0.3, 0.5]", "7"}}, "Shares");
  const std::string html = page.html();
  EXPECT_THAT(html, HasSubstr("<caption>Shares</caption>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"col\" class=\"number\">share</th>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">nevus</th>"));
  EXPECT_THAT(html, HasSubstr("<td class=\"number\">12.5 %</td>"));
  EXPECT_THAT(html, HasSubstr("<td>7</td>"));  // a column of mixed kinds stays on the left
  EXPECT_THROW(page.table({"a", "b"}, {{"1"}}), UsageError);
}

TEST(Ticks, AreRoundAndInside) {
  EXPECT_THAT(ticks(0, 1, 5), ElementsAre(0, 0.2, 0.4, 0.6, 0.8, 1));
  EXPECT_THAT(ticks(0.05, 0.35, 3), ElementsAre(0.1, 0.2, 0.3));
  EXPECT_THAT(ticks(-93, 61, 3), ElementsAre(-50, 0, 50));
  EXPECT_THAT(ticks(1000, 20000, 4), ElementsAre(5000, 10000, 15000, 20000));
  EXPECT_THAT(ticks(3, 3), ElementsAre());
  EXPECT_THAT(ticks(4, 3), ElementsAre());
  EXPECT_THAT(ticks(0, std::numeric_limits<double>::infinity()), ElementsAre());
}

TEST(Ticks, AreAFewForRangesOfAnySize) {
  for (const double size : {1e-9, 1e-3, 0.7, 1.0, 13.0, 99.0, 12345.0, 7e11}) {
    for (const double low : {-2.0, -0.31, 0.0, 0.77}) {
      const auto values = ticks(low * size, (low + 1) * size, 6);
      EXPECT_GE(values.size(), 3u) << size << " " << low;
      EXPECT_LE(values.size(), 11u) << size << " " << low;
      for (const double v : values) {
        EXPECT_GE(v, (low - 1e-6) * size);
        EXPECT_LE(v, (low + 1 + 1e-6) * size);
      }
    }
  }
}

TEST(TickLabel, IsAsShortAsTheStepAllows) {
  EXPECT_EQ(tick_label(0.25, 0.05), "0.25");
  EXPECT_EQ(tick_label(0.3, 0.1), "0.3");
  EXPECT_EQ(tick_label(1, 0.2), "1.0");
  EXPECT_EQ(tick_label(1200, 200), "1200");
  EXPECT_EQ(tick_label(-50, 50), "-50");
  EXPECT_EQ(tick_label(-1e-17, 0.1), "0");
  EXPECT_EQ(tick_label(1e-5, 1e-5), "1e-05");
  EXPECT_EQ(tick_label(2500000, 500000), "2.5e+06");
}

TEST(Plot, DrawsEachSeriesAndNamesIt) {
  Plot plot;
  plot.title = "KID over time";
  plot.x_label = "kimg";
  plot.series = {{"train", {0, 1, 2}, {3, 2, 1}}, {"validation", {0, 1, 2}, {3, 2.5, 2}, false, true}};
  plot.identity = true;
  plot.y_band = {1.0, 1.5};
  plot.y_band_label = "real against real";
  const std::string svg = svg_of(plot);
  for (const char* text :
       {">train<", ">validation<", ">kimg<", ">real against real<", ">equal<", "aria-label=\"KID over time."}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(Plot, PutsTheMiddleInTheMiddle) {
  Plot plot;
  plot.x_range = {0, 10};
  plot.y_range = {0, 10};
  plot.series = {{"", {0, 5, 10}, {0, 5, 10}}};
  // The frame is 320 high; a line from its lower left to its upper right corner.
  EXPECT_TRUE(std::regex_search(svg_of(plot), std::regex("d=\"M0 320h0L[0-9.]+ 160L[0-9.]+ 0\"")));
}

TEST(Plot, LogarithmicAxisSpacesDecadesEvenly) {
  Plot plot;
  plot.log_y = true;
  plot.x_range = {0, 10};
  plot.y_range = {1, 100};
  plot.series = {{"", {0, 5, 10}, {1, 10, 100}}};
  const std::string svg = svg_of(plot);
  EXPECT_TRUE(std::regex_search(svg, std::regex("d=\"M0 320h0L[0-9.]+ 160L[0-9.]+ 0\"")));
  for (const char* label : {">1<", ">10<", ">100<", ">20<", ">50<"}) EXPECT_THAT(svg, HasSubstr(label));
  plot.y_range = {0, 100};
  EXPECT_THROW(svg_of(plot), UsageError);
}

TEST(Plot, LeavesGapsWhereThereIsNoNumber) {
  const double nan = std::nan("");
  Plot plot;
  plot.x_range = {0, 4};
  plot.y_range = {0, 4};
  plot.series = {{"", {0, 1, 2, 3, 4}, {1, 2, nan, 2, 1}}};
  const std::string svg = svg_of(plot);
  const size_t at = svg.find("class=\"line");
  const std::string path = svg.substr(at, svg.find("/>", at) - at);
  EXPECT_EQ(count(path, "M"), 2);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(Plot, BearsEmptyFlatAndExtremeData) {
  const double inf = std::numeric_limits<double>::infinity();
  Plot plot;
  EXPECT_THAT(svg_of(plot), HasSubstr("no data"));
  for (const std::vector<double>& y :
       {std::vector<double>{7, 7}, {0, 0}, {-1e308, 1e308}, {1e-320, 1e300}, {inf, -inf}, {std::nan(""), 1}}) {
    for (const bool log : {false, true}) {
      plot.log_y = log;
      plot.series = {{"s", {0, 1}, y, true, true}};
      const std::string svg = svg_of(plot);
      EXPECT_THAT(svg, Not(HasSubstr("nan"))) << y[0];
      EXPECT_FALSE(std::regex_search(svg, std::regex("[ML-]inf"))) << y[0];
    }
  }
  plot.series = {{"s", {0, 1}, {1}}};
  EXPECT_THROW(svg_of(plot), UsageError);
}

TEST(Plot, OfAMillionPointsStaysSmallAndKeepsItsSpike) {
  Plot plot;
  Series s{"s", {}, {}, true, true};
  for (int i = 0; i < 1000000; ++i) {
    s.x.push_back(i);
    s.y.push_back(i == 123457 ? 100 : std::sin(i * 1e-5));
  }
  plot.series = {s};
  plot.y_range = {-100, 100};
  const std::string svg = svg_of(plot);
  EXPECT_LT(svg.size(), 200000u);
  EXPECT_TRUE(std::regex_search(svg, std::regex("L[0-9.]+ 0L")));  // the spike touches the top
}

TEST(Page, IsWrittenAsOneFile) {
  const auto path = std::filesystem::path(testing::TempDir()) / "derm_report_test.html";
  Page page("Report");
  page.paragraph("text");
  page.write(path);
  EXPECT_EQ(read_file(path), page.html());
}

}  // namespace
}  // namespace derm::report
