// net lies below ports, so its coroutines are spelt as os spells them; the type is the same one.
#pragma once

#include "os/task.h"

namespace relevo::net {
using os::Task;
}
