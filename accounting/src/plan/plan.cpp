#include <dpflash/accounting/plan.hpp>
namespace dpflash::accounting {
std::string_view name_of(Adjacency) { return "add-or-remove-one"; }
}
