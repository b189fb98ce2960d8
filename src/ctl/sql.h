// SQL over libpq, one connection a statement.
#pragma once

#include "ctl/context.h"

namespace relevo::ctl {

class LibpqSql : public Sql {
public:
    std::expected<SqlTable, SqlError> run(const SqlTarget& target,
                                          const std::string& statement) override;
};

}  // namespace relevo::ctl
