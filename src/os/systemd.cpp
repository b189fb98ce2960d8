#include "os/systemd.h"

#include <fmt/core.h>
#include <systemd/sd-daemon.h>

#include <ctime>

namespace relevo::os {

void notify_ready() { ::sd_notify(0, "READY=1"); }

void notify_reloading() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const auto us = now.tv_sec * 1'000'000LL + now.tv_nsec / 1'000;
    ::sd_notify(0, fmt::format("RELOADING=1\nMONOTONIC_USEC={}", us).c_str());
}

void notify_stopping() { ::sd_notify(0, "STOPPING=1"); }

}  // namespace relevo::os
