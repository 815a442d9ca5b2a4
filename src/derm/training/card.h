#pragma once
#include <string>

#include "derm/data/dataset.h"
#include "derm/recipe/bundle.h"

namespace derm::training {

/// The model card (README.md) of a bundle, in the Hugging Face layout: what it makes, what it learned from under which
/// licences, how far it was trained and measured, what it must not be used for.
std::string model_card(const recipe::BundleConfig& config, const recipe::Needs& needs, const data::DataSet& data);

}  // namespace derm::training
