package main

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// beats is how often in the time that a watchdog waits the daemon says that it lives.
const beats = 3

// beat tells systemd's watchdog, where there is one, that the daemon lives, until ctx ends. Each time it asks the daemon
// how it is: where the locks that requests take are never given back, the beat stops. It asks neither the mount, which
// the daemon must not touch, nor the store: one that does not answer is no reason to end readers of what is kept.
func (s *server) beat(ctx context.Context) {
	patience, err := daemon.SdWatchdogEnabled(false)
	if err != nil || patience <= 0 {
		if err != nil {
			s.log.Warn("watchdog", "error", err)
		}
		return
	}
	ticks := time.NewTicker(patience / beats)
	defer ticks.Stop()
	for {
		s.status()
		daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}
