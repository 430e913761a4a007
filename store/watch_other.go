//go:build !linux

package store

import "errors"

var errWatches = errors.New("too many watches")

// newNotifier fails: only Linux tells when a file is closed after writing.
func newNotifier() (notifier, error) { return nil, errors.ErrUnsupported }

func seesChanges(folder string) bool { return false }
