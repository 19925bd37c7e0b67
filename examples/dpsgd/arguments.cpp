#include "arguments.hpp"

#include <CLI/CLI.hpp>
#include <map>
#include <sstream>

namespace dpsgd {

namespace {

using dpflash::noise::Generator;

const std::map<std::string, ModelKind> kModels = {{"logistic", ModelKind::logistic}, {"mlp", ModelKind::mlp}};
const std::map<std::string, ClippingKind> kClippings = {{"flat", ClippingKind::flat},
                                                        {"per-layer", ClippingKind::per_layer},
                                                        {"automatic", ClippingKind::automatic},
                                                        {"adaptive", ClippingKind::adaptive}};
const std::map<std::string, Generator> kGenerators = {
    {"philox", Generator::philox}, {"chacha12", Generator::chacha12}, {"chacha20", Generator::chacha20}};

/// A number in [low, high]; CLI::Range lets NaN through.
CLI::Validator within(double low, double high) {
  std::ostringstream range;
  range << "in [" << low << " - " << high << "]";
  return {[=, text = range.str()](std::string& word) {
            double value = 0;
            const bool inside = CLI::detail::lexical_cast(word, value) && value >= low && value <= high;
            return inside ? std::string() : word + " is not " + text;
          },
          range.str()};
}

template <class Kind>
std::vector<std::string> names(const std::map<std::string, Kind>& kinds) {
  std::vector<std::string> all;
  for (const auto& [name, kind] : kinds) all.push_back(name);
  return all;
}

struct Raw {
  std::string model = "logistic";
  std::string clipping = "flat";
  std::string generator = "chacha20";
  std::string device = "cpu";
  bool no_privacy = false;
};

void add_options(CLI::App& app, Arguments& arguments, Raw& raw) {
  Setup& setup = arguments.setup;
  app.add_option("--data", arguments.data, "The digits as CSV; examples/dpsgd/fetch_digits gets them")->required();
  app.add_option("--model", raw.model)->check(CLI::IsMember(names(kModels)))->capture_default_str();
  app.add_option("--epochs", setup.epochs)->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--batch", setup.batch, "Expected batch size, the public denominator")
      ->check(within(1, 1e6))
      ->capture_default_str();
  app.add_option("--epsilon", arguments.epsilon, "Target of the whole training")->capture_default_str();
  app.add_option("--delta", arguments.delta)->capture_default_str();
  app.add_option("--noise-multiplier", arguments.noise_multiplier, "Noise as stated instead of --epsilon's");
  app.add_option("--clipping", raw.clipping)->check(CLI::IsMember(names(kClippings)))->capture_default_str();
  app.add_option("--clip", setup.clip, "Clipping norm (adaptive: the first one)")->capture_default_str();
  app.add_option("--quantile", setup.quantile, "Adaptive clipping: share of examples not to be clipped")
      ->capture_default_str();
  app.add_option("--learning-rate", setup.learning_rate)->check(within(1e-9, 1e9))->capture_default_str();
  app.add_option("--momentum", setup.momentum)->check(within(0, 0.9999))->capture_default_str();
  app.add_option("--seeds", arguments.seeds, "Runs, of seeds 1, 2, ...")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--fresh-keys", arguments.fresh_keys,
               "Keys from the operating system instead of seeds: what a model that is published needs");
  app.add_option("--generator", raw.generator)->check(CLI::IsMember(names(kGenerators)))->capture_default_str();
  app.add_option("--device", raw.device, "Where gradients, clipping, noise and updates run")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_flag("--no-privacy", raw.no_privacy, "The baseline alone");
}

}  // namespace

std::optional<Arguments> read_arguments(int argc, char** argv, int& exit_status) {
  CLI::App app("DP-SGD on the UCI digits, with a certified epsilon beside every epoch's accuracy.");
  Arguments arguments;
  Raw raw;
  add_options(app, arguments, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_status = app.exit(error) == 0 ? 0 : 2;
    return std::nullopt;
  }
  Setup& setup = arguments.setup;
  setup.model = kModels.at(raw.model);
  setup.clipping = kClippings.at(raw.clipping);
  setup.device = raw.device == "cuda" ? DeviceKind::cuda : DeviceKind::cpu;
  arguments.generator = kGenerators.at(raw.generator);
  arguments.privacy = !raw.no_privacy;
  return arguments;
}

}  // namespace dpsgd
