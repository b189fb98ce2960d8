// A table as the operator's terminal shows it: a title over the top border, a rule below the
// header, multi-line cells. Pure: values in, text out. Layout: contract 6.3.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace relevo::ctl {

enum class Align { left, right };

// What a cell wants the eye to do. Becomes a colour only when the caller says so.
enum class Tone { plain, leader, good, attention, bad, faint };

struct Column {
    std::string name;
    Align align = Align::left;
};

struct Cell {
    std::string text;  // UTF-8, may have several lines
    Tone tone = Tone::plain;
};

struct Table {
    std::string title;  // overlays the top border from its second column; empty: none
    std::vector<Column> columns;
    std::vector<std::vector<Cell>> rows;  // each as long as columns
};

// Every line ends in '\n'. When any cell has several lines, a rule separates all rows.
std::string draw(const Table& table, bool colour);

// The text in the tone's colour (ANSI), or as it is.
std::string paint(std::string_view text, Tone tone, bool colour);

// "512 kB", "1.4 GB", as pg_size_pretty counts.
std::string size_text(std::int64_t bytes);

// Columns on a terminal: code points, which is right for the names PostgreSQL hosts have.
std::size_t display_width(std::string_view text);

}  // namespace relevo::ctl
