// Models and the gradient of one example's loss: plain loops, for host and device alike.
#pragma once

#include <cmath>

#ifdef __CUDACC__
#define DPSGD_HD __host__ __device__
#else
#define DPSGD_HD
#endif

namespace dpsgd {

inline constexpr int kPixels = 64;
inline constexpr int kClasses = 10;
inline constexpr int kHidden = 32;
inline constexpr int kMostTensors = 4;

/// Where each tensor of a model lies: parameters, or one example's gradient.
struct Parameters {
  const float* tensor[kMostTensors];
};
struct Gradient {
  float* tensor[kMostTensors];
};

/// One tensor: rows x columns, row-major. Initial values are normal with standard deviation `spread`.
struct Shape {
  int rows;
  int columns;
  float spread;
  [[nodiscard]] constexpr int size() const { return rows * columns; }
};

/// out = weights x + bias.
DPSGD_HD inline void dense(const float* weights, const float* bias, const float* x, int inputs, int outputs,
                           float* out) {
  for (int o = 0; o < outputs; ++o) {
    float sum = bias[o];
    for (int i = 0; i < inputs; ++i) sum += weights[o * inputs + i] * x[i];
    out[o] = sum;
  }
}

/// Gradient of a dense layer's weights and bias from that of its outputs.
DPSGD_HD inline void dense_gradient(const float* x, const float* slope, int inputs, int outputs, float* weights,
                                    float* bias) {
  for (int o = 0; o < outputs; ++o) {
    bias[o] = slope[o];
    for (int i = 0; i < inputs; ++i) weights[o * inputs + i] = slope[o] * x[i];
  }
}

/// Replaces scores by the cross entropy's slope in them: softmax minus the label's indicator.
DPSGD_HD inline void softmax_slope(float* scores, int label) {
  float largest = scores[0];
  for (int c = 1; c < kClasses; ++c) largest = scores[c] > largest ? scores[c] : largest;
  float sum = 0;
  for (int c = 0; c < kClasses; ++c) {
    scores[c] = expf(scores[c] - largest);
    sum += scores[c];
  }
  for (int c = 0; c < kClasses; ++c) scores[c] = scores[c] / sum - (c == label ? 1.0f : 0.0f);
}

/// Multinomial logistic regression: 64 x 10 weights, 10 biases.
struct Logistic {
  static constexpr int kTensors = 2;
  static constexpr Shape kShapes[kTensors] = {{kClasses, kPixels, 0}, {1, kClasses, 0}};

  DPSGD_HD static void scores(const Parameters& p, const float* x, float* out) {
    dense(p.tensor[0], p.tensor[1], x, kPixels, kClasses, out);
  }

  DPSGD_HD static void gradient(const Parameters& p, const float* x, int label, const Gradient& g) {
    float slope[kClasses];
    scores(p, x, slope);
    softmax_slope(slope, label);
    dense_gradient(x, slope, kPixels, kClasses, g.tensor[0], g.tensor[1]);
  }
};

/// 64 - 32 - 10 with tanh.
struct Mlp {
  static constexpr int kTensors = 4;
  static constexpr Shape kShapes[kTensors] = {
      {kHidden, kPixels, 0.125f}, {1, kHidden, 0}, {kClasses, kHidden, 0.18f}, {1, kClasses, 0}};

  DPSGD_HD static void hidden(const Parameters& p, const float* x, float* out) {
    dense(p.tensor[0], p.tensor[1], x, kPixels, kHidden, out);
    for (int h = 0; h < kHidden; ++h) out[h] = tanhf(out[h]);
  }

  DPSGD_HD static void scores(const Parameters& p, const float* x, float* out) {
    float h[kHidden];
    hidden(p, x, h);
    dense(p.tensor[2], p.tensor[3], h, kHidden, kClasses, out);
  }

  DPSGD_HD static void gradient(const Parameters& p, const float* x, int label, const Gradient& g) {
    float h[kHidden];
    hidden(p, x, h);
    float slope[kClasses];
    dense(p.tensor[2], p.tensor[3], h, kHidden, kClasses, slope);
    softmax_slope(slope, label);
    dense_gradient(h, slope, kHidden, kClasses, g.tensor[2], g.tensor[3]);
    for (int i = 0; i < kHidden; ++i) {
      float sum = 0;
      for (int c = 0; c < kClasses; ++c) sum += p.tensor[2][c * kHidden + i] * slope[c];
      h[i] = sum * (1.0f - h[i] * h[i]);
    }
    dense_gradient(x, h, kPixels, kHidden, g.tensor[0], g.tensor[1]);
  }
};

}  // namespace dpsgd
