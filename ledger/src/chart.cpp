// The chart of a report, as SVG.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "dpflash/ledger/text.hpp"

namespace dpflash::ledger {
namespace {

constexpr std::size_t kMostGroups = 60;
constexpr double kLeft = 230;
constexpr double kWidth = 560;
constexpr double kRow = 34;
constexpr double kTop = 84;

std::string digits(double x, const char* format = "%.4g") {
  char text[40];
  std::snprintf(text, sizeof text, format, x);
  return text;
}

std::string at(double x) { return digits(x, "%.1f"); }

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

/// At most 30 characters of UTF-8, whole ones.
std::string shortened(const std::string& text) {
  std::size_t characters = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0u) == 0x80u) continue;
    if (++characters > 30) return text.substr(0, i) + "…";
  }
  return text;
}

std::string label_of(const Share& s) {
  std::string out;
  for (const std::string& part : {s.run, s.layer, s.head.empty() ? std::string() : "head " + s.head})
    if (!part.empty()) out += (out.empty() ? "" : " · ") + part;
  return out.empty() ? "(no label)" : out;
}

std::string text(double x, double y, const std::string& content, const char* style = "") {
  return "<text x=\"" + at(x) + "\" y=\"" + at(y) + "\"" + style + ">" + escaped(content) + "</text>\n";
}

std::string bar(double y, double height, double length, const char* colour) {
  return "<rect x=\"" + at(kLeft) + "\" y=\"" + at(y) + "\" width=\"" + at(std::max(length, 0.5)) + "\" height=\"" +
         at(height) + "\" fill=\"" + colour + "\"/>\n";
}

std::string line(double x, double bottom, const char* colour, const char* dash) {
  return "<line x1=\"" + at(x) + "\" y1=\"" + at(kTop - 8) + "\" x2=\"" + at(x) + "\" y2=\"" + at(bottom) +
         "\" stroke=\"" + colour + "\" stroke-width=\"1.5\" stroke-dasharray=\"" + dash + "\"/>\n";
}

}  // namespace

std::string to_svg(const Report& report) {
  const double whole = report.state.spent.upper;
  const double budget = report.state.budget.epsilon.value();
  const std::size_t shown = std::min(report.shares.size(), kMostGroups);
  double most = std::max(budget, std::isfinite(whole) ? whole : 0);
  if (!(most > 0)) most = 1;
  const auto length = [&](double epsilon) {
    return kWidth * std::min(1.0, std::isfinite(epsilon) ? epsilon / most : 1.0);
  };
  const double bottom = kTop + kRow * static_cast<double>(shown);
  const double height = bottom + 56;
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"" + at(height) +
                    "\" viewBox=\"0 0 900 " + at(height) +
                    "\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
                    "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  out += text(20, 28, "Privacy spent by " + std::string(name_of(report.grouping)), " font-size=\"17\"");
  out += text(20, 50,
              "epsilon " + digits(whole) + " of " + digits(budget) + " at delta " +
                  digits(report.state.budget.delta.value()) +
                  "; what leaving a group out would save (dark), and what it costs alone (light)");
  for (std::size_t i = 0; i < shown; ++i) {
    const Share& s = report.shares[i];
    const double y = kTop + kRow * static_cast<double>(i);
    out += text(kLeft - 10, y + 17, shortened(label_of(s)), " text-anchor=\"end\"");
    out += bar(y + 2, 22, length(s.alone), "#a9c5e8");
    out += bar(y + 7, 12, length(s.marginal), "#1f4e8c");
    out += text(kLeft + length(s.alone) + 6, y + 17, digits(s.marginal) + " / " + digits(s.alone), " font-size=\"11\"");
  }
  out += line(kLeft + length(whole), bottom, "#444", "none") + line(kLeft + length(budget), bottom, "#b3261e", "5,4");
  out += text(kLeft + length(whole), bottom + 18, "spent", " text-anchor=\"middle\" font-size=\"11\"");
  out +=
      text(kLeft + length(budget), bottom + 34, "budget", " text-anchor=\"middle\" font-size=\"11\" fill=\"#b3261e\"");
  if (shown < report.shares.size())
    out += text(20, bottom + 34, std::to_string(report.shares.size() - shown) + " smaller groups are not drawn");
  return out + "</svg>\n";
}

}  // namespace dpflash::ledger
