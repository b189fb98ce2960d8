#include "ctl/diff.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/text.h"
#include "ctl/table.h"

namespace relevo::ctl {
namespace {

constexpr std::size_t context = 3;

struct Line {
    char mark = ' ';  // ' ', '-', '+'
    std::string text;
    std::size_t before = 0;  // lines of each side that stand above this one
    std::size_t after = 0;
};

std::vector<std::string> lines_of(std::string_view text) {
    auto lines = split(text, '\n');
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
}

// Longest common subsequence by the textbook's table: configurations have hundreds of lines, and
// what both ends share is cut off before.
class Lcs {
public:
    Lcs(const std::vector<std::string>& a, const std::vector<std::string>& b, std::size_t skip,
        std::size_t tail)
        : columns_(b.size() - skip - tail + 1), skip_(skip) {
        const auto rows = a.size() - skip - tail + 1;
        lengths_.assign(rows * columns_, 0);
        for (std::size_t i = rows - 1; i-- > 0;)
            for (std::size_t j = columns_ - 1; j-- > 0;)
                cell(i, j) = a[skip + i] == b[skip + j] ? cell(i + 1, j + 1) + 1
                                                        : std::max(cell(i + 1, j), cell(i, j + 1));
    }
    // Is it right to drop a line of the old side first, at these positions?
    bool drop_first(std::size_t i, std::size_t j) {
        return cell(i - skip_ + 1, j - skip_) >= cell(i - skip_, j - skip_ + 1);
    }

private:
    std::uint32_t& cell(std::size_t i, std::size_t j) { return lengths_[i * columns_ + j]; }
    std::size_t columns_, skip_;
    std::vector<std::uint32_t> lengths_;
};

std::vector<Line> script(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    const auto shortest = std::min(a.size(), b.size());
    std::size_t head = 0;
    while (head < shortest && a[head] == b[head]) ++head;
    std::size_t tail = 0;
    while (tail < shortest - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) ++tail;

    Lcs lcs(a, b, head, tail);
    std::vector<Line> lines;
    std::size_t i = 0, j = 0;
    const auto a_end = a.size() - tail, b_end = b.size() - tail;
    const auto add = [&](char mark, const std::string& text) {
        lines.push_back({mark, text, i, j});
    };
    while (i < a.size() || j < b.size()) {
        const bool common = i < head || i >= a_end;
        if (common && (j < head || j >= b_end)) {
            add(' ', a[i]);
            ++i, ++j;
        } else if (i < a_end && j < b_end && a[i] == b[j]) {
            add(' ', a[i]);
            ++i, ++j;
        } else if (j >= b_end || (i < a_end && lcs.drop_first(i, j))) {
            add('-', a[i]);
            ++i;
        } else {
            add('+', b[j]);
            ++j;
        }
    }
    return lines;
}

std::string range(std::size_t start, std::size_t length) {
    if (length == 1) return fmt::format("{}", start + 1);
    return fmt::format("{},{}", length == 0 ? start : start + 1, length);
}

void add_hunk(std::string& out, const std::vector<Line>& lines, std::size_t from, std::size_t to,
              bool colour) {
    std::size_t removed = 0, added = 0;
    for (auto k = from; k < to; ++k) {
        removed += lines[k].mark != '+';
        added += lines[k].mark != '-';
    }
    const auto heading = fmt::format("@@ -{} +{} @@", range(lines[from].before, removed),
                                     range(lines[from].after, added));
    out += paint(heading, Tone::faint, colour) + "\n";
    for (auto k = from; k < to; ++k) {
        const auto tone = lines[k].mark == '+'   ? Tone::good
                          : lines[k].mark == '-' ? Tone::bad
                                                 : Tone::plain;
        out += paint(lines[k].mark + lines[k].text, tone, colour) + "\n";
    }
}

}  // namespace

std::string unified_diff(std::string_view before, std::string_view after, bool colour) {
    const auto lines = script(lines_of(before), lines_of(after));
    std::string out;
    std::size_t next = 0;
    while (next < lines.size()) {
        auto changed = next;
        while (changed < lines.size() && lines[changed].mark == ' ') ++changed;
        if (changed == lines.size()) break;
        // The hunk goes on while the next change is so near that the contexts would touch.
        auto last = changed;
        for (auto k = changed; k < lines.size() && k <= last + 2 * context + 1; ++k)
            if (lines[k].mark != ' ') last = k;
        const auto from = std::max(next, changed > context ? changed - context : 0);
        const auto to = std::min(lines.size(), last + context + 1);
        if (out.empty()) out = "--- \n+++ \n";
        add_hunk(out, lines, from, to, colour);
        next = to;
    }
    return out;
}

}  // namespace relevo::ctl
