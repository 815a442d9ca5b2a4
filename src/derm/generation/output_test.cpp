#include "derm/generation/output.h"

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/image/codec.h"
#include "derm/image/mask.h"
#include "derm/recipe/stand_in.h"

namespace derm::generation {
namespace {

namespace fs = std::filesystem;

class OutputTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("derm-output-" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
    recipe::Painter painter;
    recipe::write_untrained_bundle(root_ / "bundle", painter, "painter", 64, recipe::stand_in_offer());
    EngineOptions options;
    options.bundle = root_ / "bundle";
    options.device = "cpu";
    options.threads = 1;
    engine_ = std::make_unique<Engine>(options, recipe::stand_in_catalogue());
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(OutputTest, IsADataSetThatSaysWhatWasAsked) {
  data::Wish wish;
  wish.condition = "light";
  wish.skin = "#c68642";
  wish.size = "0.25";
  wish.x = "0.5";
  wish.y = "0.25";
  wish.shape = "ellipse";
  wish.seed = 17;
  wish.regions = {"condition=dark,x=0.8,y=0.8,size=0.125,shape=box"};
  const data::Request request = data::make_request(wish, engine_->offer());
  write_generated_set(*engine_, {request}, root_ / "set");

  const data::DataSet set = data::DataSet::open(root_ / "set");
  ASSERT_EQ(set.records().size(), 1u);
  EXPECT_EQ(set.size_px(), 64);
  EXPECT_EQ(set.usable("train").size(), 1u);
  const data::Record& r = set.records()[0];
  EXPECT_EQ(r.condition, "light");
  EXPECT_EQ(image::hex_of(*r.skin_rgb), "#c68642");
  ASSERT_EQ(r.boxes.size(), 2u);
  EXPECT_EQ(r.boxes[0], (image::Box{24, 8, 16, 16}));
  EXPECT_EQ(r.boxes[1], (image::Box{47.2, 47.2, 8, 8}));
  EXPECT_EQ(r.extra.at("requested_condition"), "light");
  EXPECT_EQ(r.extra.at("requested_skin"), "#c68642");
  EXPECT_EQ(r.extra.at("requested_size"), "0.25");
  EXPECT_EQ(r.extra.at("requested_x"), "0.5");
  EXPECT_EQ(r.extra.at("requested_y"), "0.25");
  EXPECT_EQ(r.extra.at("requested_shape"), "ellipse");
  EXPECT_EQ(r.extra.at("seed"), "17");
  EXPECT_EQ(r.extra.at("bundle_sha256"), engine_->bundle_sha256());
  EXPECT_EQ(r.extra.at("image_manipulation"), "synthetic");
  EXPECT_EQ(nlohmann::json::parse(r.extra.at("requested_regions")).size(), 2u);

  EXPECT_EQ(image::read_image(root_ / "set" / r.file_name), engine_->generate(request));
  EXPECT_EQ(image::read_mask(root_ / "set" / r.mask_file_name), data::region_mask(request, 64));
  const image::TextChunks text = image::read_png_text(root_ / "set" / r.file_name);
  EXPECT_EQ(text.at("image_manipulation"), "synthetic");
  EXPECT_EQ(text.at("seed"), "17");
  EXPECT_EQ(text.at("bundle_sha256"), engine_->bundle_sha256());
  EXPECT_EQ(data::to_json(data::request_from_json(nlohmann::json::parse(text.at("request")))), data::to_json(request));
  EXPECT_EQ(set.facts().at("complete"), true);
}

TEST_F(OutputTest, GivesTheSameFilesEachTime) {
  const auto requests = data::balanced_requests(3, {"condition"}, engine_->offer(), 2);
  write_generated_set(*engine_, requests, root_ / "a");
  write_generated_set(*engine_, requests, root_ / "b");
  for (const char* name : {"metadata.csv", "dataset.json", "images/000002.png", "masks/000002.png"}) {
    EXPECT_EQ(read_file(root_ / "a" / name), read_file(root_ / "b" / name)) << name;
  }
}

TEST_F(OutputTest, RefusesAFolderThatIsInUseAndAnEmptyOrder) {
  fs::create_directories(root_ / "full");
  std::ofstream(root_ / "full" / "mine.txt") << "x";
  const auto requests = data::balanced_requests(1, {}, engine_->offer(), 2);
  EXPECT_THROW(write_generated_set(*engine_, requests, root_ / "full"), UsageError);
  EXPECT_THROW(write_generated_set(*engine_, {}, root_ / "none"), UsageError);
  EXPECT_FALSE(fs::exists(root_ / "none"));
}

TEST_F(OutputTest, KeepsWhatIsDoneWhenTheUserInterrupts) {
  // In a process of its own: an interrupt cannot be taken back.
  const auto requests = data::balanced_requests(40, {"condition"}, engine_->offer(), 2);
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);
    int code = 1;
    try {
      std::thread([] {
        usleep(300000);
        request_interrupt();
      }).detach();
      for (int i = 0; i < 1000; ++i) write_generated_set(*engine_, requests, root_ / ("set" + std::to_string(i)));
    } catch (const Interrupted&) {
      code = 130;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  for (const auto& entry : fs::directory_iterator(root_)) {
    const std::string name = entry.path().filename();
    EXPECT_EQ(name.find("partial"), std::string::npos) << name;
    if (!name.starts_with("set")) continue;
    const data::DataSet set = data::DataSet::open(entry.path());
    size_t files = 0;
    for ([[maybe_unused]] const auto& file : fs::directory_iterator(entry.path() / "images")) ++files;
    EXPECT_EQ(set.records().size(), files);
    EXPECT_EQ(set.facts().at("complete").get<bool>(), files == 40);
  }
}

TEST_F(OutputTest, DrawsAGridWithTheFirstSweepDownAndTheSecondAcross) {
  const data::Sweep size = data::parse_sweep("size=0.2..0.6:3", engine_->offer());
  const data::Sweep condition = data::parse_sweep("condition=*", engine_->offer());
  data::Wish wish;
  wish.shape = "ellipse";
  write_grid(*engine_, wish, {condition, size}, root_ / "grid");
  const data::DataSet set = data::DataSet::open(root_ / "grid");
  ASSERT_EQ(set.records().size(), 6u);
  EXPECT_EQ(set.records()[0].condition, "dark");
  EXPECT_EQ(set.records()[5].condition, "light");
  EXPECT_EQ(set.records()[1].extra.at("requested_size"), "0.4");
  const image::Image sheet = image::read_image(root_ / "grid/grid.png"),
                     outlined = image::read_image(root_ / "grid/grid-regions.png");
  EXPECT_GT(sheet.width, 3 * 64);
  EXPECT_GT(sheet.height, 2 * 64);
  EXPECT_NE(sheet, outlined);
  EXPECT_EQ(image::read_png_text(root_ / "grid/grid.png").at("image_manipulation"), "synthetic");
}

TEST_F(OutputTest, MarksExtrapolatedCells) {
  const GridPlan plan = plan_grid(engine_->offer(), {}, {data::parse_sweep("skin=ita:30,monk:10", engine_->offer())});
  ASSERT_EQ(plan.rows.size(), 1u);
  EXPECT_TRUE(plan.row_labels.empty());
  EXPECT_THAT(plan.column_labels, ::testing::ElementsAre("ita:30", "monk:10"));
  EXPECT_FALSE(plan.rows[0][0].extrapolated);
  EXPECT_TRUE(plan.rows[0][1].extrapolated);
  const image::Image blank(64, 64, 3, 90);
  GridPlan unmarked = plan;
  unmarked.rows[0][1].extrapolated = false;
  EXPECT_NE(draw_sheet(plan, {blank, blank}, "", false), draw_sheet(unmarked, {blank, blank}, "", false));
}

TEST_F(OutputTest, NamesWhatAGridNeeds) {
  const data::Sweep size = data::parse_sweep("size=0.2..0.6:3", engine_->offer());
  EXPECT_THROW(write_grid(*engine_, {}, {}, root_ / "g"), UsageError);
  EXPECT_THROW(write_grid(*engine_, {}, {size, size}, root_ / "g"), UsageError);
  EXPECT_EQ(sweep_label("size", "0.1"), "size 0.10");
  EXPECT_EQ(sweep_label("skin", "monk:3"), "monk:3");
  EXPECT_EQ(sweep_label("condition", "melanoma"), "melanoma");
}

}  // namespace
}  // namespace derm::generation
