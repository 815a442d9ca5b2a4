#pragma once
// Cyclic redundancy checks of 32 bits: against damage, not against anybody's intent.
#include <cstdint>
#include <string_view>

namespace derm {

/// CRC-32/ISO-HDLC (ISO 3309), as zip, PNG and gzip use it: 0xcbf43926 of "123456789".
uint32_t crc32(std::string_view bytes);

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), as TFRecord uses it: 0xe3069283 of "123456789".
uint32_t crc32c(std::string_view bytes);

}  // namespace derm
