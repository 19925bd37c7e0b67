// Certified epsilon and delta of a plan, by privacy loss distributions.
#pragma once

#include <dpflash/accounting/plan.hpp>
#include <dpflash/accounting/quantities.hpp>
#include <string_view>

namespace dpflash::accounting {

/// What computes the bracket. `automatic` takes a closed form where there is one, else the cheaper engine that reaches
/// the width, else the tightest of what both certify.
enum class Engine { automatic, lattice, inversion, closed_form };

/// "auto", "lattice", "inversion" or "closed-form".
std::string_view name_of(Engine engine);

struct Options {
  Engine engine = Engine::automatic;
  RelativeWidth relative_width = RelativeWidth(1e-4);
};

/// A bracket, and the engine that gave it.
struct Answer {
  Bracket bracket;
  Engine engine = Engine::closed_form;
};

/// Bracket of the smallest epsilon >= 0 for which the plan is (epsilon, delta)-DP under its adjacency.
/// lower is rounded down, upper up; upper - lower <= max(relative_width * upper, 1e-9) unless no engine reaches it, in
/// which case the tightest certified bracket is returned. upper is +inf when the plan is not (epsilon, delta)-DP for
/// any epsilon. Throws UnusableInput for a bad plan, NotComputable for a mechanism/sampling/adjacency without a sound
/// answer or when the engine asked for by name has none. Thread-safe. Proof: docs/math/README.md.
/// Cost: about 0.1 ms where the inversion engine answers (most training runs), up to about two seconds and 350 MB for
/// the hardest plans; a thread keeps up to 32 MB of work space for its next answer, until it ends.
Answer certified_epsilon(const Plan& plan, Delta delta, const Options& options = {});

/// Bracket of the smallest delta in [0, 1] for which the plan is (epsilon, delta)-DP under its adjacency; directions,
/// width (relative only) and errors as certified_epsilon.
Answer certified_delta(const Plan& plan, Epsilon epsilon, const Options& options = {});

}  // namespace dpflash::accounting
