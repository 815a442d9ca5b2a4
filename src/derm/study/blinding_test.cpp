#include "derm/study/blinding.h"

#include <set>

#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/image/codec.h"

namespace derm::study {
namespace {

image::Image noise(int w, int h, int amplitude, uint64_t seed) {
  image::Image picture(w, h, 3);
  Rng rng(seed);
  for (uint8_t& v : picture.pixels) v = static_cast<uint8_t>(128 + rng.integer(-amplitude, amplitude));
  return picture;
}

TEST(ReaderCode, IsSixteenLettersThatNobodyMixesUp) {
  std::set<std::string> codes;
  for (int i = 0; i < 200; ++i) {
    const std::string code = reader_code();
    EXPECT_EQ(code.size(), 19u);
    EXPECT_EQ(code.find_first_of("ILOU"), std::string::npos) << code;
    EXPECT_TRUE(codes.insert(code).second);
  }
}

TEST(ReaderCode, IsReadAsPeopleTypeIt) {
  EXPECT_EQ(normalised_code("k7qm 2vxd-9rta 4hzc"), "K7QM2VXD9RTA4HZC");
  EXPECT_EQ(normalised_code("O7QM-2VXD-9RTA-4HZl"), "07QM2VXD9RTA4HZ1");
  EXPECT_EQ(normalised_code("K7QM"), "");
  EXPECT_EQ(normalised_code("K7QM2VXD9RTA4HZC5"), "");
  EXPECT_EQ(normalised_code("K7QM-2VXD-9RTA-4HZ!"), "");
}

TEST(BlindedImages, ShareTheirFirstBytesWhateverTheyShow) {
  // A flat and a noisy picture; by encode_jpeg() their code tables would differ.
  const std::string flat = encode_blinded(noise(96, 96, 2, 1), 64, 92);
  const std::string rough = encode_blinded(noise(200, 120, 120, 2), 64, 92);
  EXPECT_LT(2 * flat.size(), rough.size());
  const size_t scan = flat.find("\xff\xda");
  ASSERT_NE(scan, std::string::npos);
  EXPECT_GT(scan, 500u);  // the tables of the standard alone take 420 bytes
  EXPECT_EQ(flat.substr(0, scan + 14), rough.substr(0, scan + 14));
}

TEST(BlindedImages, PaddedHaveOneLengthAndDecodeAsBefore) {
  const std::string flat = encode_blinded(noise(64, 64, 2, 1), 64, 92),
                    rough = encode_blinded(noise(64, 64, 90, 2), 64, 92);
  const size_t length = common_length(rough.size());
  EXPECT_EQ(length % 4096, 0u);
  const std::string a = padded(flat, length), b = padded(rough, length);
  EXPECT_EQ(a.size(), b.size());
  EXPECT_EQ(image::decode_image(a, "a"), image::decode_image(flat, "flat"));
  EXPECT_EQ(image::decode_image(b, "b"), image::decode_image(rough, "rough"));
  EXPECT_NE(padded(flat, length), a);  // other random bytes each time
  EXPECT_THROW(padded(rough, 100), UsageError);
}

TEST(BlindedImages, AreTheSquareInTheMiddle) {
  image::Image wide(40, 20, 3, 0);
  for (int y = 0; y < 20; ++y) {
    for (int x = 10; x < 30; ++x) std::fill_n(wide.at(x, y), 3, uint8_t{200});
  }
  const image::Image middle = image::decode_image(encode_blinded(wide, 20, 100), "middle");
  EXPECT_EQ(middle.width, 20);
  EXPECT_NEAR(*middle.at(0, 10), 200, 3);
  EXPECT_NEAR(*middle.at(19, 10), 200, 3);
}

TEST(RandomHex, HasTwoDigitsAByte) {
  EXPECT_EQ(random_hex(16).size(), 32u);
  EXPECT_EQ(random_hex(8).find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(random_hex(16), random_hex(16));
}

}  // namespace
}  // namespace derm::study
