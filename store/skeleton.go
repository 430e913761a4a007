package store

import (
	"time"

	"github.com/isomerfs/isomerfs/fault"
)

type Options struct {
	Follow         []string
	Settle, Rescan time.Duration
}

func Open(path string, o Options) (Store, error) { return nil, fault.New(fault.Unsupported, "none") }

func Plain(path string) (s Store, model, version string, err error) {
	return nil, "", "", fault.New(fault.Unsupported, "none")
}
