// libFuzzer target: a ledger's file with bytes changed. Opening, reading and spending may fail with an error, and never
// crash; a file that passes for sound has the entries that it was made with.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <dpflash/accounting/error.hpp>
#include <dpflash/ledger/ledger.hpp>
#include <dpflash/ledger/text.hpp>
#include <fstream>
#include <iterator>

using namespace dpflash;

namespace {

std::string path() {
  const char* const folder = std::getenv("TMPDIR");
  return std::string(folder != nullptr ? folder : "/tmp") + "/dpflash-fuzz-file-" + std::to_string(getpid()) + ".db";
}

struct Made {
  std::string bytes;
  std::vector<ledger::Receipt> receipts;
  Made() {
    unlink(path().c_str());
    {
      ledger::Ledger made = ledger::Ledger::create(path(), {accounting::Epsilon(3), accounting::Delta(1e-5)});
      for (int i = 0; i < 3; ++i)
        receipts.push_back(made.spend({.events = {{.mechanism = accounting::Gaussian{20.0 + i}}}}, {.run = "r"}));
      receipts.push_back(made.reserve({.events = {{.mechanism = accounting::Gaussian{50}, .count = 3}}}));
    }
    std::ifstream in(path(), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Made made;
  std::string bytes = made.bytes;
  // Each five bytes of the input: where, and what; the last of them may cut the file.
  for (std::size_t i = 0; i + 5 <= size; i += 5) {
    const std::size_t at = (data[i] << 16 | data[i + 1] << 8 | data[i + 2]) % bytes.size();
    if (data[i + 3] == 0xff && data[i + 4] == 0xff)
      bytes.resize(at + 1);
    else
      bytes[at] = static_cast<char>(data[i + 4]);
  }
  std::ofstream(path(), std::ios::binary | std::ios::trunc) << bytes;
  try {
    ledger::Ledger changed(path());
    changed.set_patience(0);
    const ledger::Verification found = changed.verify(made.receipts);
    static_cast<void>(to_json(found));
    static_cast<void>(to_json(changed.state()));
    for (const ledger::Entry& entry : changed.entries(1, 100)) static_cast<void>(to_json(entry));
    static_cast<void>(to_svg(changed.report(ledger::Grouping::all)));
    if (found.sound() && found.entries != 5) std::abort();
    changed.spend({.events = {{.mechanism = accounting::Gaussian{90}}}});
    changed.commit(5, 1);
  } catch (const ledger::LedgerError&) {
  } catch (const ledger::OverBudget&) {
  } catch (const accounting::UnusableInput&) {
  } catch (const accounting::NotComputable&) {
  }
  unlink((path() + "-journal").c_str());
  return 0;
}
