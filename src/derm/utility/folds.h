#pragma once
// Who is learned from and who is asked: folds by patient, regimes, and what an arm adds.
#include <cstdint>
#include <string>
#include <vector>

#include "derm/utility/design.h"

namespace derm::utility {

/// A photograph, as the folds see it.
struct Row {
  std::string patient;  ///< never on two sides
  size_t condition = 0;
  std::string split;  ///< of the data set: train, validation or test
};

/// Positions of rows, ascending.
struct Fold {
  std::vector<size_t> train, validation, test;
};

/// Every patient is in the test part of exactly one fold, and each fold's other patients are cut into train and
/// validation; conditions keep their shares as well as whole patients allow. Depends on the patients' names and the
/// seed, not on the order of the rows. With `folds` 1 the parts are the data set's own splits.
/// @throws UsageError if a condition has fewer patients than there are folds; DataError if a part is empty, a condition
///         has no training photograph, or a patient stands on two sides of the data set's own splits
std::vector<Fold> make_folds(const std::vector<Row>& rows, const std::vector<std::string>& conditions, int64_t folds,
                             double validation, uint64_t seed);

/// The rows that a regime leaves of a part: of each condition whole patients in an order of the seed's own until the
/// limit is reached (the last one may be cut). All that there are where there are fewer. Ascending.
std::vector<size_t> limited(const std::vector<size_t>& part, const std::vector<Row>& rows,
                            const std::vector<std::string>& conditions, const Regime& regime, uint64_t seed);

/// The images of one arm: as many in every arm of the same numbers, whatever they are.
struct Composition {
  std::vector<size_t> photographs;  ///< positions of rows, repeated ones as often as they stand there
  std::vector<int64_t> synthetic;   ///< how many of each condition
  int64_t size() const;
};

/// @param train  rows that the arm may learn from (after limited())
/// @param fill   which conditions `fill` fills up, a flag each
Composition compose(const Arm& arm, const std::vector<size_t>& train, const std::vector<Row>& rows,
                    const std::vector<bool>& fill, double fill_to, uint64_t seed);

}  // namespace derm::utility
