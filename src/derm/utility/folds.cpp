#include "derm/utility/folds.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "derm/base/error.h"
#include "derm/base/random.h"

namespace derm::utility {
namespace {

/// An order of the patients that is the seed's own and does not depend on that of the rows.
uint64_t place(uint64_t seed, const std::string& patient) { return mix_seed(seed, hash_text(patient)); }

/// Deals whole patients to parts of these shares; returns the part of each of `among`. Patients of the rarest
/// conditions are dealt first, each to the part that is furthest behind in that condition.
std::vector<size_t> deal(const std::vector<Row>& rows, const std::vector<size_t>& among,
                         const std::vector<double>& shares, size_t conditions, uint64_t seed) {
  std::vector<double> total(conditions, 0);
  std::map<std::string, std::vector<size_t>> of_patient;  // positions in `among`
  for (size_t i = 0; i < among.size(); ++i) {
    total[rows[among[i]].condition] += 1;
    of_patient[rows[among[i]].patient].push_back(i);
  }
  struct Group {
    size_t rarest;
    uint64_t order;
    const std::string* patient;
    const std::vector<size_t>* members;
  };
  std::vector<Group> groups;
  for (const auto& [patient, members] : of_patient) {
    size_t rarest = rows[among[members.front()]].condition;
    for (const size_t i : members)
      if (total[rows[among[i]].condition] < total[rarest]) rarest = rows[among[i]].condition;
    groups.push_back({rarest, place(seed, patient), &patient, &members});
  }
  std::sort(groups.begin(), groups.end(), [&](const Group& a, const Group& b) {
    if (a.rarest != b.rarest)
      return total[a.rarest] != total[b.rarest] ? total[a.rarest] < total[b.rarest] : a.rarest < b.rarest;
    // Large groups first, while there is room to even them out.
    if (a.members->size() != b.members->size()) return a.members->size() > b.members->size();
    return a.order != b.order ? a.order < b.order : *a.patient < *b.patient;
  });
  std::vector<std::vector<double>> held(shares.size(), std::vector<double>(conditions + 1, 0));
  std::vector<size_t> part_of(among.size());
  for (const Group& group : groups) {
    size_t best = 0;
    const auto behind = [&](size_t part) {
      return std::pair(held[part][group.rarest] / shares[part], held[part][conditions] / shares[part]);
    };
    for (size_t part = 1; part < shares.size(); ++part)
      if (behind(part) < behind(best)) best = part;
    for (const size_t i : *group.members) {
      part_of[i] = best;
      held[best][rows[among[i]].condition] += 1;
      held[best][conditions] += 1;
    }
  }
  return part_of;
}

void check(const Fold& fold, size_t number, const std::vector<Row>& rows, const std::vector<std::string>& conditions) {
  for (const auto& [part, name] :
       {std::pair(&fold.train, "training"), std::pair(&fold.validation, "validation"), std::pair(&fold.test, "test")})
    if (part->empty())
      throw DataError("fold {}: there is no {} photograph; take fewer folds, or another part for validation", number,
                      name);
  std::vector<bool> there(conditions.size(), false);
  for (const size_t row : fold.train) there[rows[row].condition] = true;
  for (size_t k = 0; k < conditions.size(); ++k)
    if (!there[k])
      throw DataError("fold {}: there is no training photograph of {}; leave the condition out (conditions = ...)",
                      number, conditions[k]);
}

}  // namespace

std::vector<Fold> make_folds(const std::vector<Row>& rows, const std::vector<std::string>& conditions, int64_t folds,
                             double validation, uint64_t seed) {
  std::vector<Fold> result(static_cast<size_t>(folds));
  if (folds == 1) {
    std::map<std::string, std::string> split_of;
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto [found, is_new] = split_of.emplace(rows[i].patient, rows[i].split);
      if (!is_new && found->second != rows[i].split) {
        throw DataError(
            "{} is on both sides: in the split {} and in {}; `dermgan prepare` keeps patients together, or "
            "take folds = 5",
            rows[i].patient, found->second, rows[i].split);
      }
      Fold& fold = result.front();
      (rows[i].split == "test" ? fold.test : rows[i].split == "validation" ? fold.validation : fold.train).push_back(i);
    }
    check(result.front(), 0, rows, conditions);
    return result;
  }
  std::vector<std::set<std::string>> patients(conditions.size());
  for (const Row& row : rows) patients[row.condition].insert(row.patient);
  for (size_t k = 0; k < conditions.size(); ++k) {
    // One for each test part; the others are then enough for train and validation.
    if (patients[k].size() < static_cast<size_t>(std::max<int64_t>(folds, 3)))
      throw UsageError("folds = {}: {} has {} patients, and at least {} are needed; take fewer folds or leave it out",
                       folds, conditions[k], patients[k].size(), std::max<int64_t>(folds, 3));
  }
  std::vector<size_t> all(rows.size());
  std::iota(all.begin(), all.end(), size_t{0});
  const std::vector<size_t> test_of =
      deal(rows, all, std::vector<double>(static_cast<size_t>(folds), 1.0), conditions.size(), mix_seed(seed, 1));
  for (size_t f = 0; f < result.size(); ++f) {
    std::vector<size_t> rest;
    for (size_t i = 0; i < rows.size(); ++i) (test_of[i] == f ? result[f].test : rest).push_back(i);
    const std::vector<size_t> part =
        deal(rows, rest, {1 - validation, validation}, conditions.size(), mix_seed(seed, 2 + f));
    for (size_t i = 0; i < rest.size(); ++i) (part[i] == 1 ? result[f].validation : result[f].train).push_back(rest[i]);
    check(result[f], f, rows, conditions);
  }
  return result;
}

std::vector<size_t> limited(const std::vector<size_t>& part, const std::vector<Row>& rows,
                            const std::vector<std::string>& conditions, const Regime& regime, uint64_t seed) {
  std::vector<std::vector<size_t>> of_condition(conditions.size());
  for (const size_t row : part) of_condition[rows[row].condition].push_back(row);
  std::vector<size_t> kept;
  for (size_t k = 0; k < conditions.size(); ++k) {
    std::vector<size_t>& own = of_condition[k];
    const auto limit = static_cast<size_t>(regime.limit_of(conditions[k]));
    if (limit > 0 && own.size() > limit) {
      std::stable_sort(own.begin(), own.end(), [&](size_t a, size_t b) {
        const uint64_t x = place(seed, rows[a].patient), y = place(seed, rows[b].patient);
        return x != y ? x < y : rows[a].patient < rows[b].patient;
      });
      own.resize(limit);
    }
    kept.insert(kept.end(), own.begin(), own.end());
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

int64_t Composition::size() const {
  return std::accumulate(synthetic.begin(), synthetic.end(), static_cast<int64_t>(photographs.size()));
}

Composition compose(const Arm& arm, const std::vector<size_t>& train, const std::vector<Row>& rows,
                    const std::vector<bool>& fill, double fill_to, uint64_t seed) {
  const size_t conditions = fill.size();
  std::vector<std::vector<size_t>> of_condition(conditions);
  for (const size_t row : train) of_condition[rows[row].condition].push_back(row);
  size_t most = 0;
  for (const auto& own : of_condition) most = std::max(most, own.size());

  Composition result;
  result.synthetic.assign(conditions, 0);
  if (arm.real) result.photographs = train;
  for (size_t k = 0; k < conditions; ++k) {
    const auto have = static_cast<double>(of_condition[k].size());
    int64_t added = 0;  // the same number whether they are duplicates or synthetic
    if (arm.fill != Arm::Fill::none) {
      if (fill[k]) added = std::max<int64_t>(0, std::llround(fill_to * static_cast<double>(most) - have));
    } else {
      added = std::llround(have * std::max(arm.duplicates, arm.synthetic));
    }
    if (arm.uses_synthetic()) {
      result.synthetic[k] = added;
    } else if (added > 0) {
      std::vector<size_t> order = of_condition[k];
      Rng(mix_seed(seed, k)).shuffle(order);
      for (int64_t i = 0; i < added; ++i) result.photographs.push_back(order[static_cast<size_t>(i) % order.size()]);
    }
  }
  return result;
}

}  // namespace derm::utility
