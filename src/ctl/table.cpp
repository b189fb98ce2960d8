#include "ctl/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/text.h"

namespace relevo::ctl {
namespace {

using Widths = std::vector<std::size_t>;

std::string_view code_of(Tone tone) {
    switch (tone) {
        case Tone::plain: return "";
        case Tone::leader: return "\x1b[1;32m";
        case Tone::good: return "\x1b[32m";
        case Tone::attention: return "\x1b[33m";
        case Tone::bad: return "\x1b[1;31m";
        case Tone::faint: return "\x1b[2m";
    }
    return "";
}

Widths widths_of(const Table& table) {
    Widths widths;
    for (const auto& column : table.columns) widths.push_back(display_width(column.name));
    for (const auto& row : table.rows) {
        RLV_ASSERT(row.size() == widths.size());
        for (std::size_t i = 0; i < row.size(); ++i)
            for (const auto& line : split(row[i].text, '\n'))
                widths[i] = std::max(widths[i], display_width(line));
    }
    return widths;
}

std::string rule(const Widths& widths) {
    std::string line = "+";
    for (const auto width : widths) line += std::string(width + 2, '-') + "+";
    return line;
}

// The title lies over the border; the border goes on behind it.
std::string top_border(const std::string& title, const Widths& widths) {
    auto border = rule(widths);
    if (title.empty()) return border;
    const auto shown = " " + title + " ";
    const auto end = 1 + display_width(shown);
    return "+" + shown + (end < border.size() ? border.substr(end) : "-+");
}

std::string padded(std::string_view text, std::size_t width, Align align, Tone tone, bool colour) {
    const std::string blanks(width - std::min(width, display_width(text)), ' ');
    const auto painted = paint(text, tone, colour);
    return align == Align::left ? painted + blanks : blanks + painted;
}

void draw_row(std::string& out, const Table& table, const std::vector<Cell>& row,
              const Widths& widths, bool colour) {
    std::vector<std::vector<std::string>> lines;
    std::size_t height = 1;
    for (const auto& cell : row) {
        lines.push_back(split(cell.text, '\n'));
        height = std::max(height, lines.back().size());
    }
    for (std::size_t y = 0; y < height; ++y) {
        out += "|";
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string_view text = y < lines[i].size() ? lines[i][y] : std::string_view();
            out +=
                " " + padded(text, widths[i], table.columns[i].align, row[i].tone, colour) + " |";
        }
        out += "\n";
    }
}

bool has_lines(const Table& table) {
    return std::ranges::any_of(table.rows, [](const auto& row) {
        return std::ranges::any_of(row, [](const Cell& cell) { return cell.text.contains('\n'); });
    });
}

}  // namespace

std::size_t display_width(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string paint(std::string_view text, Tone tone, bool colour) {
    const auto code = colour && !text.empty() ? code_of(tone) : "";
    if (code.empty()) return std::string(text);
    return std::string(code) + std::string(text) + "\x1b[0m";
}

std::string draw(const Table& table, bool colour) {
    const auto widths = widths_of(table);
    const auto border = rule(widths) + "\n";
    const bool ruled = has_lines(table);

    std::string out = top_border(table.title, widths) + "\n";
    std::vector<Cell> header;
    header.reserve(table.columns.size());
    for (const auto& column : table.columns) header.push_back({column.name, Tone::plain});
    draw_row(out, table, header, widths, false);
    out += border;
    for (const auto& row : table.rows) {
        draw_row(out, table, row, widths, colour);
        if (ruled) out += border;
    }
    if (!ruled || table.rows.empty()) out += border;
    return out;
}

std::string size_text(std::int64_t bytes) {
    constexpr const char* units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(units)) {
        value /= 1024;
        ++unit;
    }
    return unit == 0 || value >= 100 ? fmt::format("{:.0f} {}", value, units[unit])
                                     : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace relevo::ctl
