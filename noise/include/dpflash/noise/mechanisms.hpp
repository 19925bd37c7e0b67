// Every continuous mechanism of the library. What they share:
//
// - A *record's contribution* goes through `clip`, which puts it into the neighbouring set the mechanism states; the
//   caller adds contributions up and hands the sum to `privatise`, which adds the noise in place.
// - The scale comes from a Calibration and nothing else. `mu()` is the supremum of |Sigma^(-1/2) Delta| over the
//   neighbouring set *for the float scales really used*, rounded up, and never above 1/noise_multiplier: every scale is
//   rounded up to a float. Under replace_one two versions of a record are twice as far apart; that factor is inside the
//   calibration's noise multiplier, and `mu()` stays the value for one record more or less.
// - Noise is added as g_i = fmaf(scale_i, z_i, g_i) with one float scale_i, so that host and device agree bit for bit;
//   z_i is draw position.first + (number of i among the noised elements).
// - `privatise` checks sizes first, then claims its draws, then writes: a call that throws has changed nothing.
// - Threads: one mechanism may be used from many threads, a NoiseSource from one at a time.
//
// Not covered: the last bits of what is released. A certificate here is about ideal noise; released as floats, 1000
// coordinates tell one candidate from another (Mironov 2012; docs/math/attacks.md, section 2, does it to these very
// mechanisms). What leaves the trust boundary bit by bit goes through GridMechanism, DiscreteGaussian or
// DiscreteLaplace. A NaN in a sum went round `clip` and stays NaN.
#pragma once

#include <dpflash/noise/block_diagonal.hpp>
#include <dpflash/noise/isotropic.hpp>
#include <dpflash/noise/laplace.hpp>
#include <dpflash/noise/low_rank.hpp>
#include <dpflash/noise/matrix_variate.hpp>
#include <dpflash/noise/sparse.hpp>
#include <dpflash/noise/weighted.hpp>
