#include "records.hpp"

#include <algorithm>
#include <cmath>
#include <dpflash/noise/source.hpp>
#include <span>

#include "model.hpp"

namespace structures {

namespace {

using dpflash::noise::NoiseSource;

constexpr int kSteps = 60;
constexpr float kLearningRate = 0.5f;

/// A model's tensors, one after another.
template <class Model>
struct Flat {
  std::vector<float> values;

  static std::size_t begin(std::size_t tensor) {
    std::size_t at = 0;
    for (std::size_t t = 0; t < tensor; ++t) at += static_cast<std::size_t>(Model::kShapes[t].size());
    return at;
  }
  static std::size_t size() { return begin(Model::kTensors); }

  [[nodiscard]] std::vector<float> gradient(const dpsgd::Images& images, std::size_t i) const {
    std::vector<float> out(size());
    dpsgd::Parameters at{};
    dpsgd::Gradient gradient{};
    for (std::size_t t = 0; t < Model::kTensors; ++t) {
      at.tensor[t] = values.data() + begin(t);
      gradient.tensor[t] = out.data() + begin(t);
    }
    Model::gradient(at, images.image(i), images.labels[i], gradient);
    return out;
  }
};

/// Trained on the public images alone, a little: gradients are then those of the middle of a training.
template <class Model>
Flat<Model> trained(const dpsgd::Images& images) {
  Flat<Model> model;
  model.values.resize(Flat<Model>::size());
  auto source = NoiseSource::reproducible(dpflash::noise::Generator::philox, 1);
  source.normal(model.values, {});
  for (std::size_t t = 0; t < Model::kTensors; ++t)
    for (std::size_t i = Flat<Model>::begin(t); i < Flat<Model>::begin(t + 1); ++i)
      model.values[i] *= Model::kShapes[t].spread;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<float> sum(model.values.size());
    for (std::size_t i = 0; i < images.size(); ++i) {
      const std::vector<float> one = model.gradient(images, i);
      std::transform(sum.begin(), sum.end(), one.begin(), sum.begin(), std::plus<>());
    }
    for (std::size_t j = 0; j < sum.size(); ++j)
      model.values[j] -= kLearningRate * sum[j] / static_cast<float>(images.size());
  }
  return model;
}

/// Coordinates [begin, end) of every image's gradient.
template <class Model>
std::vector<std::vector<float>> gradients(const Flat<Model>& model, const dpsgd::Images& images, std::size_t begin,
                                          std::size_t end) {
  std::vector<std::vector<float>> out;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::vector<float> one = model.gradient(images, i);
    out.emplace_back(one.begin() + static_cast<std::ptrdiff_t>(begin), one.begin() + static_cast<std::ptrdiff_t>(end));
  }
  return out;
}

template <class Model>
Records first_tensor(const dpsgd::Digits& digits, std::string name) {
  const auto rows = static_cast<std::size_t>(Model::kShapes[0].rows);
  const auto columns = static_cast<std::size_t>(Model::kShapes[0].columns);
  const Flat<Model> model = trained<Model>(digits.test);
  return {std::move(name),
          rows,
          columns,
          std::vector<std::size_t>(rows, columns),
          gradients(model, digits.test, 0, rows * columns),
          gradients(model, digits.train, 0, rows * columns)};
}

std::vector<float> attention(const float* tokens) {
  constexpr std::size_t n = 8;
  std::vector<float> out(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<float> weight(i + 1);
    float sum = 0;
    for (std::size_t j = 0; j <= i; ++j) {
      float score = 0;
      for (std::size_t k = 0; k < n; ++k) score += tokens[n * i + k] * tokens[n * j + k];
      weight[j] = std::exp(score / std::sqrt(static_cast<float>(n)));
      sum += weight[j];
    }
    for (std::size_t j = 0; j <= i; ++j)
      for (std::size_t k = 0; k < n; ++k) out[n * i + k] += weight[j] / sum * tokens[n * j + k];
  }
  return out;
}

}  // namespace

Records logistic_gradients(const dpsgd::Digits& digits) {
  return first_tensor<dpsgd::Logistic>(digits, "gradients, regression, 10 x 64");
}

Records first_layer_gradients(const dpsgd::Digits& digits) {
  return first_tensor<dpsgd::Mlp>(digits, "gradients, first layer, 32 x 64");
}

Records network_gradients(const dpsgd::Digits& digits) {
  const auto model = trained<dpsgd::Mlp>(digits.test);
  const std::size_t size = Flat<dpsgd::Mlp>::size();
  Records records{"gradients, whole network, 2410", size, 1, {}, {}, {}};
  for (const dpsgd::Shape& shape : dpsgd::Mlp::kShapes)
    records.blocks.push_back(static_cast<std::size_t>(shape.size()));
  records.declared_public = gradients(model, digits.test, 0, size);
  records.held_private = gradients(model, digits.train, 0, size);
  return records;
}

Records attention_outputs(const dpsgd::Digits& digits) {
  Records records{"attention outputs, 8 x 8", 8, 8, std::vector<std::size_t>(8, 8), {}, {}};
  for (std::size_t i = 0; i < digits.test.size(); ++i)
    records.declared_public.push_back(attention(digits.test.image(i)));
  for (std::size_t i = 0; i < digits.train.size(); ++i)
    records.held_private.push_back(attention(digits.train.image(i)));
  return records;
}

}  // namespace structures
