// Texts of `dpflash --help` and of each command's help.
#pragma once

namespace dpflash::cli {

inline constexpr const char* kAbout =
    R"(dpflash: certified differential privacy accounting.

A training run or a set of statistics that adds random noise is (epsilon, delta)-differentially private: whatever one
record says, the result's probabilities change by at most a factor e^epsilon, except with probability delta. Smaller is
more private; epsilon between 1 and 10 and delta below 1 / (number of records) are usual. dpflash computes, for what was
released (the plan), an interval that is proved to hold the smallest such epsilon. Publish its upper end.)";

inline constexpr const char* kExamples =
    R"(Examples:
  dpflash epsilon --delta 1e-5 --noise-multiplier 1.1 --sampling-rate 0.004 --steps 20000
  dpflash delta --epsilon 2 --noise-multiplier 4 --steps 10
  dpflash calibrate --target-epsilon 3 --delta 1e-6 --solve noise-multiplier --sampling-rate 0.01 --steps 5000
  dpflash compare --delta 1e-5 --events plan.json
  dpflash runs examples/runs
  dpflash sensitivity examples/attention/decoder.json --mu 0.5 --format text
  dpflash ledger create budget.db --epsilon 3 --delta 1e-5
`dpflash COMMAND --help` explains each command. Exit status: 0 answered; 1 cannot be computed; 2 unusable input.)";

inline constexpr const char* kPlanHelp =
    R"(A plan is the DP-SGD shorthand (--noise-multiplier [--sampling-rate] [--steps]) or a JSON document (--events):
  {"adjacency": "add-or-remove-one",
   "events": [{"mechanism": {"type": "gaussian", "noise_multiplier": 1.1},
               "sampling": {"type": "poisson", "rate": 0.004}, "count": 20000},
              {"mechanism": {"type": "laplace", "noise_multiplier": 12.0}}]})";

inline constexpr const char* kEpsilonHelp =
    "The smallest epsilon for which the plan is (epsilon, delta)-DP, as a certified interval.";
inline constexpr const char* kDeltaHelp =
    "The smallest delta for which the plan is (epsilon, delta)-DP, as a certified interval.";
inline constexpr const char* kCalibrateHelp =
    "The least noise, most steps or highest sampling rate that keeps epsilon at or below a target, certified.\n"
    "Leave the field that is solved for out of the plan; in a document, write null for it in exactly one event.";
inline constexpr const char* kCompareHelp = "Epsilon by every accountant side by side, with the time each took.";
inline constexpr const char* kRunsHelp =
    "Published training runs (JSON files, or folders of them) recomputed: does the published epsilon hold?";

inline constexpr const char* kSensitivityHelp =
    "How far one record can move the output of clipped softmax attention, from public numbers; and noise for it.";
inline constexpr const char* kShapeHelp =
    R"(A shape is a JSON document; numbers may be strings of decimals:
  {"unit": "token", "lengths": [[2048, 2048]], "causal": true, "window": [-1, -1],
   "H": 8, "H_kv": 2, "D": 128, "scale": 0.088, "C_q": 4, "C_k": 3, "C_v": [1, 1]}
unit: token, zero-out, self-token, sequence, token-add-remove. Optional: block_m, window, H_kv, scale (1 / sqrt(D)),
softcap, sigma (one a query head; adds mu), finite_precision ("bf16", "fp16" or {u_P, eps_s, eta_over_Cv}), id, desc.)";

inline constexpr const char* kLedgerAbout =
    "What was released, by whom, against a budget that cannot be overspent; one file, many writers.";
inline constexpr const char* kLedgerHelp =
    R"(A spend is checked with the composed privacy loss of everything spent and reserved, and is on the disk before the
command returns: release the noise afterwards, and only with exit status 0. Keep the receipts elsewhere: verify --receipt
then also finds what someone took out who could write to the file.
  dpflash ledger create budget.db --epsilon 3 --delta 1e-5
  dpflash ledger spend budget.db --noise-multiplier 1.1 --sampling-rate 0.004 --steps 2000 --run first
  dpflash ledger reserve budget.db --events plan.json --run second
  dpflash ledger commit budget.db 3
  dpflash ledger report budget.db --by run
Exit status: 0 recorded or answered; 1 the file cannot be used; 2 unusable input; 3 over budget; 4 verify found faults.)";

inline constexpr const char* kAdjacencyHelp =
    "Which data sets are neighbours: add-or-remove-one (default), replace-one, replace-special, add-one, remove-one; "
    "overrides the document's";

}  // namespace dpflash::cli
