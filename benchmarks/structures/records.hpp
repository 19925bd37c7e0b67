// Real contributions of records: gradients of the example's models, and attention outputs, on the UCI digits.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data.hpp"

namespace structures {

/// Contributions of rows x columns, row-major, one a record. The public half is declared public: spectra, masks, bases
/// and clips come from it alone. The private half is what is released.
struct Records {
  std::string name;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<std::size_t> blocks;  ///< consecutive coordinates that belong together
  std::vector<std::vector<float>> declared_public;
  std::vector<std::vector<float>> held_private;
  [[nodiscard]] std::size_t size() const { return rows * columns; }
};

/// Per-example gradients of the weights of multinomial regression (10 x 64), blocks being rows.
Records logistic_gradients(const dpsgd::Digits& digits);
/// Of the first layer of the 64-32-10 network (32 x 64), blocks being rows.
Records first_layer_gradients(const dpsgd::Digits& digits);
/// Of all four tensors of that network as one column, blocks being tensors.
Records network_gradients(const dpsgd::Digits& digits);
/// Causal softmax attention over an image's 8 rows as tokens, queries, keys and values being the rows themselves
/// (8 x 8), blocks being tokens.
Records attention_outputs(const dpsgd::Digits& digits);

}  // namespace structures
