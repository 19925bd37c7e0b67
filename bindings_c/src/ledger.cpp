#include <dpflash/dpflash.h>

#include <algorithm>
#include <cstring>
#include <dpflash/accounting/error.hpp>
#include <dpflash/accounting/plan_json.hpp>
#include <dpflash/ledger/text.hpp>
#include <vector>

#include "errors.hpp"
#include "guard.hpp"
#include "handles.hpp"
#include "structs.hpp"

namespace dpflash::c {
namespace {

using accounting::UnusableInput;
using ledger::Ledger;
using ledger::Receipt;

constexpr dpf_labels kLabels = DPF_LABELS_INIT;
constexpr dpf_receipt kReceipt = DPF_RECEIPT_INIT;

std::string text_of(const char* text) { return text == nullptr ? std::string() : std::string(text); }

ledger::Labels read_labels(const dpf_labels* given) {
  const dpf_labels labels = read_struct(given, kLabels, "labels");
  ledger::Labels out{.run = text_of(labels.run), .layer = text_of(labels.layer), .head = text_of(labels.head)};
  if (labels.first_step != -1 || labels.last_step != -1) out.steps = ledger::Steps{labels.first_step, labels.last_step};
  return out;
}

/// Checked before anything is recorded, so that nothing can go wrong behind it.
void check_receipt(const dpf_receipt* receipt) {
  if (receipt != nullptr)
    check_header("receipt", receipt->struct_size, receipt->abi_version, sizeof(dpf_receipt), sizeof(dpf_receipt));
}

void give(dpf_receipt* target, const Receipt& receipt) noexcept {
  if (target == nullptr) return;
  target->sequence = receipt.sequence;
  std::memset(target->hash, 0, sizeof target->hash);
  std::memcpy(target->hash, receipt.hash.data(), std::min(receipt.hash.size(), sizeof target->hash - 1));
}

Receipt receipt_of(const dpf_receipt& given) {
  const dpf_receipt receipt = read_struct(&given, kReceipt, "receipts");
  const std::string_view hash(receipt.hash, strnlen(receipt.hash, sizeof receipt.hash));
  return ledger::parse_receipt(std::to_string(receipt.sequence) + ":" + std::string(hash), "receipts");
}

/// A call that records a plan.
template <class Record>
int with_plan(dpf_ledger* handle, const char* plan, std::size_t length, const dpf_labels* labels, dpf_receipt* receipt,
              const Record& record) {
  return guard([&] {
    check_receipt(receipt);
    const ledger::Labels who = read_labels(labels);
    give(receipt, record(held(handle, "ledger")->value, accounting::parse_plan(read_text(plan, length, "plan")), who));
  });
}

template <class Record>
int with_reservation(dpf_ledger* handle, dpf_receipt* receipt, const Record& record) {
  return guard([&] {
    check_receipt(receipt);
    give(receipt, record(held(handle, "ledger")->value));
  });
}

template <class Answer>
int text_answer(const dpf_ledger* handle, char* buffer, std::size_t capacity, std::size_t* size, const Answer& answer) {
  return guard([&] {
    const TextTarget target{buffer, capacity, size};
    target.check();
    target.write(answer(held(handle, "ledger")->value));
  });
}

}  // namespace
}  // namespace dpflash::c

using namespace dpflash::c;
using dpflash::accounting::UnusableInput;
using dpflash::ledger::Ledger;

int dpf_labels_init(dpf_labels* labels, uint32_t abi_version) {
  return guard([&] { init_struct(labels, kLabels, abi_version, "labels"); });
}

int dpf_receipt_init(dpf_receipt* receipt, uint32_t abi_version) {
  return guard([&] { init_struct(receipt, kReceipt, abi_version, "receipt"); });
}

int dpf_ledger_create(const char* path, double epsilon, double delta, int32_t adjacency, dpf_ledger** ledger) {
  return make_handle(ledger, "ledger", [&] {
    require(path, "path");
    return new LedgerObject{
        Ledger::create(path, {dpflash::accounting::Epsilon(epsilon), dpflash::accounting::Delta(delta),
                              adjacency_of(adjacency, "adjacency")})};
  });
}

int dpf_ledger_open(const char* path, int32_t read_only, dpf_ledger** ledger) {
  return make_handle(ledger, "ledger", [&] {
    require(path, "path");
    if (read_only != 0 && read_only != 1) throw UnusableInput("read_only", std::to_string(read_only), "0 or 1");
    return new LedgerObject{Ledger(path, read_only == 1 ? Ledger::Access::read : Ledger::Access::write)};
  });
}

void dpf_ledger_free(dpf_ledger* ledger) { Registry<dpf_ledger>::remove(ledger); }

int dpf_ledger_set_patience(dpf_ledger* ledger, double seconds) {
  return guard([&] { held(ledger, "ledger")->value.set_patience(seconds); });
}

int dpf_ledger_spend(dpf_ledger* ledger, const char* plan, size_t plan_length, const dpf_labels* labels,
                     dpf_receipt* receipt) {
  return with_plan(ledger, plan, plan_length, labels, receipt,
                   [](Ledger& l, const auto& what, const auto& who) { return l.spend(what, who); });
}

int dpf_ledger_reserve(dpf_ledger* ledger, const char* plan, size_t plan_length, const dpf_labels* labels,
                       dpf_receipt* receipt) {
  // Without its number a reservation could never be ended.
  if (receipt == nullptr) return guard([] { require(nullptr, "receipt"); });
  return with_plan(ledger, plan, plan_length, labels, receipt,
                   [](Ledger& l, const auto& what, const auto& who) { return l.reserve(what, who); });
}

int dpf_ledger_commit(dpf_ledger* ledger, int64_t reservation, int64_t count, dpf_receipt* receipt) {
  return with_reservation(ledger, receipt, [&](Ledger& l) {
    return l.commit(reservation, count == 0 ? std::nullopt : std::optional<std::int64_t>(count));
  });
}

int dpf_ledger_abort(dpf_ledger* ledger, int64_t reservation, dpf_receipt* receipt) {
  return with_reservation(ledger, receipt, [&](Ledger& l) { return l.abort(reservation); });
}

int dpf_ledger_state_json(const dpf_ledger* ledger, char* buffer, size_t capacity, size_t* size) {
  return text_answer(ledger, buffer, capacity, size, [](const Ledger& l) { return to_json(l.state()); });
}

int dpf_ledger_entries_json(const dpf_ledger* ledger, int64_t first, int64_t count, char* buffer, size_t capacity,
                            size_t* size) {
  return text_answer(ledger, buffer, capacity, size, [&](const Ledger& l) {
    std::string out = "[";
    for (const auto& entry : l.entries(first, count)) out += (out.size() == 1 ? "" : ",") + to_json(entry);
    return out + "]";
  });
}

int dpf_ledger_report(const dpf_ledger* ledger, const char* by, int32_t svg, dpf_progress progress, void* user,
                      char* buffer, size_t capacity, size_t* size) {
  return text_answer(ledger, buffer, capacity, size, [&](const Ledger& l) {
    require(by, "by");
    if (svg != 0 && svg != 1) throw UnusableInput("svg", std::to_string(svg), "0 or 1");
    const auto report = l.report(dpflash::ledger::parse_grouping(by, "by"), [&](double done) {
      if (progress != nullptr && progress(done, user) != 0) throw Cancelled("report: cancelled by progress");
      return true;
    });
    return svg == 1 ? to_svg(report) : to_json(report);
  });
}

int dpf_ledger_verify_json(const dpf_ledger* ledger, const dpf_receipt* receipts, size_t count, char* buffer,
                           size_t capacity, size_t* size) {
  return text_answer(ledger, buffer, capacity, size, [&](const Ledger& l) {
    if (count > 0) require(receipts, "receipts");
    std::vector<dpflash::ledger::Receipt> asked;
    for (std::size_t i = 0; i < count; ++i) asked.push_back(receipt_of(receipts[i]));
    return to_json(l.verify(asked));
  });
}
