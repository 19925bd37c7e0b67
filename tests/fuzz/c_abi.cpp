// libFuzzer target: sequences of calls of the C interface with any bytes. A call may fail, with a status and a reason
// of one line; nothing may crash, leak, or write outside what it was given.
#include <dpflash/dpflash.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

/// Bytes as numbers, texts and structs; zeros when they are used up.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return size_ == 0; }
  template <class T>
  T take() {
    T out{};
    const std::size_t count = size_ < sizeof(T) ? size_ : sizeof(T);
    std::memcpy(&out, data_, count);
    data_ += count;
    size_ -= count;
    return out;
  }
  /// A byte says how long.
  std::string text() {
    const std::size_t asked = take<std::uint8_t>() * std::size_t{4};
    const std::size_t count = size_ < asked ? size_ : asked;
    std::string out(reinterpret_cast<const char*>(data_), count);
    data_ += count;
    size_ -= count;
    return out;
  }
  /// Now and then a usual one, or calls would get no further than their first check.
  double number() {
    constexpr double kUsual[] = {1e-5, 1, 0.01, 3, 0, 8};
    const auto which = take<std::uint8_t>();
    return which < 200 ? kUsual[which % 6] : take<double>();
  }
  std::string plan() {
    static const char* const kUsual[] = {
        R"({"events":[{"mechanism":{"type":"gaussian","noise_multiplier":4}}]})",
        R"({"events":[{"mechanism":{"type":"gaussian","noise_multiplier":2},"sampling":{"type":"poisson","rate":0.01},"count":10}]})",
        R"({"events":[{"mechanism":{"type":"laplace","noise_multiplier":9},"label":"l"}]})",
        R"({"adjacency":"replace-one","events":[{"mechanism":{"type":"gaussian","noise_multiplier":null}}]})"};
    const auto which = take<std::uint8_t>();
    return which < 200 ? kUsual[which % 4] : text();
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

void check(int status) {
  if (status == DPF_OK) return;
  if (status < 0 || status > DPF_ERROR_CANCELLED || status == DPF_ERROR_INTERNAL) std::abort();
  const char* const reason = dpf_last_error();
  if (*reason == '\0' || std::strchr(reason, '\n') != nullptr) std::abort();
}

/// Handles, some of them freed.
struct Handles {
  std::vector<dpf_ledger*> ledgers{nullptr};
  std::vector<dpf_calibration*> calibrations{nullptr};
  std::vector<dpf_attention_noise*> noises{nullptr};
  std::vector<dpf_noise_source*> sources{nullptr};
};

template <class T>
T* pick(const std::vector<T*>& from, Bytes& bytes) {
  const auto which = bytes.take<std::uint8_t>();
  if (which == 255) return reinterpret_cast<T*>(bytes.take<std::uintptr_t>());
  return from[which % from.size()];
}

struct Out {
  std::array<char, 2048> buffer{};
  std::size_t size = 0;
  std::size_t capacity;
  explicit Out(Bytes& bytes) : capacity(bytes.take<std::uint16_t>() % buffer.size()) { buffer.fill('~'); }
  ~Out() {
    // Nothing behind the capacity.
    for (std::size_t i = capacity; i < buffer.size(); ++i)
      if (buffer[i] != '~') std::abort();
  }
};

const std::string& path() {
  static const std::string name = std::string(getenv("TMPDIR") != nullptr ? getenv("TMPDIR") : "/tmp") +
                                  "/dpflash-fuzz-" + std::to_string(getpid()) + ".db";
  return name;
}

dpf_options options_of(Bytes& bytes) {
  dpf_options options = DPF_OPTIONS_INIT;
  // Answers of a millisecond, so that many are tried.
  options.relative_width = 1e-1;
  const auto which = bytes.take<std::uint8_t>();
  if (which % 4 == 1) options.accountant = bytes.take<std::int8_t>();
  if (which % 4 == 2) options.engine = bytes.take<std::int8_t>();
  if (which % 4 == 3) options.abi_version = bytes.take<std::uint32_t>();
  if (which > 250) options.struct_size = bytes.take<std::uint32_t>();
  return options;
}

void ledger_call(Bytes& bytes, Handles& handles) {
  const std::string plan = bytes.plan();
  const std::string word = bytes.text().c_str();
  dpf_labels labels = DPF_LABELS_INIT;
  labels.run = word.c_str();
  labels.first_step = bytes.take<std::int8_t>();
  labels.last_step = bytes.take<std::int8_t>();
  dpf_receipt receipt = DPF_RECEIPT_INIT;
  dpf_ledger* const ledger = pick(handles.ledgers, bytes);
  Out out(bytes);
  switch (bytes.take<std::uint8_t>() % 10) {
    case 0: {
      dpf_ledger* made = nullptr;
      check(dpf_ledger_create(path().c_str(), bytes.number(), bytes.number(), bytes.take<std::int8_t>(), &made));
      handles.ledgers.push_back(made);
      break;
    }
    case 1: {
      dpf_ledger* made = nullptr;
      check(dpf_ledger_open(path().c_str(), bytes.take<std::uint8_t>() % 3, &made));
      handles.ledgers.push_back(made);
      break;
    }
    case 2:
      check(dpf_ledger_spend(ledger, plan.data(), plan.size(), &labels, &receipt));
      break;
    case 3:
      check(dpf_ledger_reserve(ledger, plan.data(), plan.size(), &labels, &receipt));
      break;
    case 4:
      check(dpf_ledger_commit(ledger, bytes.take<std::int8_t>(), bytes.take<std::int8_t>(), &receipt));
      break;
    case 5:
      check(dpf_ledger_abort(ledger, bytes.take<std::int8_t>(), nullptr));
      break;
    case 6:
      check(dpf_ledger_state_json(ledger, out.buffer.data(), out.capacity, &out.size));
      break;
    case 7:
      check(dpf_ledger_report(ledger, word.c_str(), 0, nullptr, nullptr, out.buffer.data(), out.capacity, &out.size));
      break;
    case 8: {
      receipt.sequence = bytes.take<std::int8_t>();
      std::memcpy(receipt.hash, word.data(), word.size() < sizeof receipt.hash ? word.size() : sizeof receipt.hash);
      check(dpf_ledger_verify_json(ledger, &receipt, 1, out.buffer.data(), out.capacity, &out.size));
      break;
    }
    default:
      dpf_ledger_free(ledger);
  }
}

void accounting_call(Bytes& bytes) {
  const std::string plan = bytes.plan();
  const dpf_options options = options_of(bytes);
  Out out(bytes);
  switch (bytes.take<std::uint8_t>() % 3) {
    case 0:
      check(dpf_epsilon_json(plan.data(), plan.size(), bytes.number(), &options, out.buffer.data(), out.capacity,
                             &out.size));
      break;
    case 1:
      check(dpf_delta_json(plan.data(), plan.size(), bytes.number(), &options, out.buffer.data(), out.capacity,
                           &out.size));
      break;
    default:
      check(dpf_calibrate_json(plan.data(), plan.size(), bytes.number(), bytes.number(), &options, out.buffer.data(),
                               out.capacity, &out.size));
  }
}

void noise_call(Bytes& bytes, Handles& handles) {
  static const char kShape[] =
      R"({"unit":"token","lengths":[[3,3]],"causal":true,"H":1,"D":8,"C_q":1,"C_k":1,"C_v":1})";
  const std::string word = bytes.text();
  const std::string shape = word.empty() ? std::string(kShape) : word;
  Out out(bytes);
  dpf_releases releases = DPF_RELEASES_INIT;
  releases.count = bytes.take<std::int16_t>();
  releases.adjacency = bytes.take<std::int8_t>() % 6;
  switch (bytes.take<std::uint8_t>() % 7) {
    case 0: {
      dpf_calibration* made = nullptr;
      check(dpf_calibration_gaussian_stated(bytes.number(), bytes.number(), &releases, &made));
      handles.calibrations.push_back(made);
      break;
    }
    case 1:
      check(dpf_calibration_certificate_json(pick(handles.calibrations, bytes), out.buffer.data(), out.capacity,
                                             &out.size));
      break;
    case 2:
      check(dpf_sensitivity_json(shape.data(), shape.size(), out.buffer.data(), out.capacity, &out.size));
      break;
    case 3: {
      dpf_attention_noise* made = nullptr;
      check(dpf_attention_noise_calibrated(shape.data(), shape.size(), pick(handles.calibrations, bytes),
                                           bytes.take<std::int8_t>(), &made));
      handles.noises.push_back(made);
      break;
    }
    case 4: {
      double mu = 0;
      check(dpf_attention_noise_mu(pick(handles.noises, bytes), &mu));
      dpf_attention_noise_free(pick(handles.noises, bytes));
      break;
    }
    case 5: {
      dpf_noise_source* made = nullptr;
      check(dpf_noise_source_reproducible(bytes.take<std::int8_t>(), 1, &made));
      handles.sources.push_back(made);
      break;
    }
    default:
      dpf_calibration_free(pick(handles.calibrations, bytes));
      dpf_noise_source_free(pick(handles.sources, bytes));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  Handles handles;
  unlink(path().c_str());
  for (int calls = 0; calls < 40 && !bytes.empty(); ++calls) {
    switch (bytes.take<std::uint8_t>() % 3) {
      case 0:
        accounting_call(bytes);
        break;
      case 1:
        ledger_call(bytes, handles);
        break;
      default:
        noise_call(bytes, handles);
    }
  }
  for (dpf_ledger* ledger : handles.ledgers) dpf_ledger_free(ledger);
  for (dpf_calibration* calibration : handles.calibrations) dpf_calibration_free(calibration);
  for (dpf_attention_noise* noise : handles.noises) dpf_attention_noise_free(noise);
  for (dpf_noise_source* source : handles.sources) dpf_noise_source_free(source);
  unlink(path().c_str());
  return 0;
}
