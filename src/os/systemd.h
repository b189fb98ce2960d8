// What systemd is told when it started us with Type=notify. Without NOTIFY_SOCKET nothing happens.
#pragma once

namespace relevo::os {

void notify_ready();
void notify_reloading();  // with MONOTONIC_USEC, as Type=notify-reload wants it
void notify_stopping();

}  // namespace relevo::os
