// Rows for programs: the same facts as a table's, as tsv, json or yaml. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace relevo::ctl {

enum class Format { pretty, tsv, json, yaml, topology };

// One value: its text (tsv) and its JSON text; an empty json means "no value" and is left out.
struct Field {
    std::string text;
    std::string json;
};
Field text_field(std::string_view text);  // empty text: no value
Field number_field(std::int64_t number);

struct Records {
    std::vector<std::string> names;
    std::vector<std::vector<Field>> rows;  // each as long as names
};

// A header row and the rows, separated by delimiter. Cells are written as they are.
std::string to_tsv(const Records& records, std::string_view delimiter = "\t");
// One line: an array of objects keyed by name, in Python's spacing as Patroni prints it.
std::string to_json_line(const Records& records);
// A YAML list of maps, keys in the order of the columns.
std::string to_yaml_list(const Records& records);

}  // namespace relevo::ctl
